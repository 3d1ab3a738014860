"""Calibration of one detector after its run is closed, in a thread: image, geometry, commit, figure."""

import hashlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ponikeeper import __version__
from ponikeeper.errors import CalibrationError, FitError, PonikeeperError, ProblemsError, ShapeError
from ponikeeper.geometry import Geometry
from ponikeeper.protocol import AssumedErrors, Commit
from ponikeeper.protocol.hashed_files import with_files
from ponikeeper.protocol.origin import snapshot_lines
from ponikeeper.system.file_hash import file_entry
from ponikeeper.text.ascii import to_ascii
from ponikeeper_client._image_files.averaging import mean_image, subtract_dark
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.documents import azimuthal_integrator
from ponikeeper_client.fit._acceptance import Criteria
from ponikeeper_client.fit.calibrants import Calibrant
from ponikeeper_client.fit.figure import draw, draw_image
from ponikeeper_client.fit.fit import Fit, fit_image, measure_image
from ponikeeper_client.fit.identify import named_lookalike
from ponikeeper_client.fit.start import Nominal, Start, resolve_start
from ponikeeper_client.gui.calib2 import Calib2, Panel
from ponikeeper_client.images import ImageSource, as_frames
from ponikeeper_client.plans._exposure import ExposurePosition
from ponikeeper_client.plans._output_files import OutputFiles
from ponikeeper_client.plans._result import Calibrated
from ponikeeper_client.plans._wavelength import SourcedWavelength
from ponikeeper_client.plans.background import ReportProgress

log = logging.getLogger(__name__)

Method = Literal["auto", "gui", "poni"]

_METHODS = {"auto": "fit", "gui": "gui", "poni": "poni"}
"""The provenance's name of each method."""

_MAX_COMMENT = 1000
"""Largest length of the provenance's comment (characters)."""


def mask_record(mask: NDArray[Any]) -> dict[str, object]:
    """Return what the provenance has of a mask that is no file.

    Parameters
    ----------
    mask
        Shape (y, x); nonzero is masked.

    Returns
    -------
    dict
        ``shape``, and ``sha256`` of one byte for each pixel, row by row, 1 where it is masked:
        ``hashlib.sha256((mask != 0).tobytes()).hexdigest()``. So the type of the array does not matter.
    """
    return {"shape": list(mask.shape), "sha256": hashlib.sha256((mask != 0).tobytes()).hexdigest()}


@dataclass(frozen=True, slots=True)
class CalibrationOptions:
    """The user's options, the same for each detector of a calibration.

    Parameters
    ----------
    calibrant, method, start, label, config_det, wavelength_sigma, part
        As for `calibrate`.
    dark
        An image to subtract, shape (y, x); the uid of the run that has it; None for the run's own stream
        ``dark``, if it has one.
    mask
        Shape (y, x); nonzero is masked.
    mask_file
        The file of the mask, which is committed with the geometry; None where the mask is an array.
    """

    calibrant: Calibrant
    method: Method
    start: Start | None
    dark: NDArray[Any] | str | None
    mask: NDArray[Any] | None
    label: str | None
    config_det: bool
    mask_file: str | Path | None = None
    wavelength_sigma: float | None = None
    part: bool = False


@dataclass(frozen=True, slots=True)
class DetectorCalibration:
    """The calibration of one detector whose run is closed.

    Parameters
    ----------
    options
        The user's options.
    detector, calib
        Name of the detector, and the device of its calibration.
    active
        The geometry that was active before; None if there was none.
    images
        Where to read the images of the run.
    run_uid, key
        Uid of the run, and data key of the images in it.
    position
        Returns the position of the links during the exposure, or raises.
    wavelength
        The wavelength of the calibration, with its source.
    files
        The files to write.
    assumed
        The errors that the fit assumes.
    """

    options: CalibrationOptions
    detector: str
    calib: CalibrationData
    active: Geometry | None
    images: ImageSource
    run_uid: str
    key: str
    position: Callable[[], ExposurePosition]
    wavelength: SourcedWavelength
    files: OutputFiles
    assumed: AssumedErrors

    def run(self, report: ReportProgress, cancelled: threading.Event) -> Calibrated:
        """Find the geometry and activate it.

        Parameters
        ----------
        report
            Called before each step.
        cancelled
            Set when the plan has ended: then nothing is committed any more.

        Returns
        -------
        Calibrated
            With the revision, unless `config_det` is false.

        Raises
        ------
        CalibrationError
            Nothing was activated; the message says why, which files were written, and what to do.
        """
        try:
            report(0.0, "wait for the images")
            image = self._image()
            self.files.write_image(image)
        except PonikeeperError as error:
            raise self._error(error, f"The images are in run {self.run_uid}") from error
        try:
            position = self.position()
            fit, warnings = self._fit(image, report, cancelled)
            self.files.write_poni(fit.geometry, self._uncommitted_lines(position))
        except PonikeeperError as error:
            raise self._error(error, self._use_of_image()) from error
        if position.reason:
            warnings = (f"the position is unknown: {position.reason}", *warnings)
        result = Calibrated(self.detector, fit.geometry, fit, self.files, self.active, warnings=warnings)
        if self.options.config_det:
            result = self._commit(result, position, report, cancelled)
        report(0.95, "draw the figure")
        try:
            self.files.write_picture(draw(fit, image, self.options.mask, self._title))
        except Exception as error:  # noqa: BLE001  # an error of the figure does not undo the commit
            result = replace(result, warnings=(*result.warnings, f"the figure could not be drawn: {error}"))
        return result

    @property
    def _title(self) -> str:
        """The title of the figure."""
        return f"{self.detector}, run {self.run_uid}"

    def _image(self) -> NDArray[np.float64]:
        """Read the image of the run: averaged over its valid pixels, the dark subtracted."""
        frames = self.images.read(self.run_uid, self.key)
        if frames is None:
            raise CalibrationError(f"run {self.run_uid} has no stream primary")
        image = mean_image(frames)
        dark = self.options.dark
        if isinstance(dark, str):
            dark = self.images.read(dark, self.key)
        elif dark is None:
            dark = self.images.read(self.run_uid, self.key, "dark")
        if dark is None:
            return image
        return subtract_dark(image, mean_image(as_frames(dark, "the dark"), dark=True))

    def _fit(
        self, image: NDArray[np.float64], report: ReportProgress, cancelled: threading.Event
    ) -> tuple[Fit, tuple[str, ...]]:
        """Find the geometry with the user's method; return it with warnings."""
        options, shape = self.options, (image.shape[0], image.shape[1])
        if options.method == "gui":
            return self._calibrate_in_gui(image, report, cancelled)
        start = resolve_start(options.start, self.active, self.wavelength.wavelength, shape)
        if options.method == "poni":
            report(0.5, "measure the rings")
            fit = measure_image(image, start.geometry, options.calibrant, mask=options.mask)
            return fit, fit.problems
        try:
            fit = fit_image(
                image, start.geometry, options.calibrant, mask=options.mask, tolerance=start.tolerance,
                criteria=Criteria.of(self.assumed, options.wavelength_sigma, options.part),
                progress=lambda done, step: report(0.1 + 0.7 * done, step),
            )  # fmt: skip
        except FitError as error:
            problem = error.problems[0]
            self._draw_rejected(lambda: draw_image(image, self._title, problem))
            raise
        if not fit.accepted:
            fit = named_lookalike(image, fit, mask=options.mask, tolerance=start.tolerance)
            self._draw_rejected(lambda: draw(fit, image, options.mask, self._title))
        fit.require_accepted()
        return fit, fit.warnings

    def _draw_rejected(self, png: Callable[[], bytes]) -> None:
        """Write the picture of a rejected fit; the reasons against it are reported in any case."""
        try:
            self.files.write_picture(png())
        except Exception as error:  # noqa: BLE001  # as with the picture of an accepted fit
            log.warning("%s: the figure could not be drawn: %s", self.detector, error)

    def _calibrate_in_gui(
        self, image: NDArray[np.float64], report: ReportProgress, cancelled: threading.Event
    ) -> tuple[Fit, tuple[str, ...]]:
        """Open pyFAI-calib2 for the user, and measure how well the saved geometry fits."""
        report(0.2, "calibrate in pyFAI-calib2")
        folder, options = self.files.gui, self.options
        folder.mkdir(exist_ok=True)
        calibrant, mask = folder / f"{options.calibrant.name}.D", None
        options.calibrant.write(calibrant)
        hidden = ~np.isfinite(image)
        if options.mask is not None:
            hidden |= options.mask != 0
        if hidden.any():
            mask = folder / "mask.tiff"
            OutputFiles(folder, "mask").write_image(hidden.astype(float))
        start = self._start_of_gui((image.shape[0], image.shape[1]))
        with Calib2(self.files.image, folder, calibrant, self.wavelength.wavelength, start, mask) as program:
            saved = program.wait(cancelled)
        try:
            azimuthal_integrator(saved.geometry, shape=(image.shape[0], image.shape[1]), any_files=True)
            fit = measure_image(image, saved.geometry, options.calibrant, mask=options.mask)
        except ShapeError as error:
            raise CalibrationError(f"{saved.path.name} is for another detector: {error}") from error
        return fit, (*saved.warnings, *fit.problems)

    def _start_of_gui(self, shape: tuple[int, int]) -> Geometry | Panel | None:
        """Return the initial geometry of the window; None if nothing is known and the user chooses the detector."""
        start = self.options.start
        if start is None and self.active is None:
            return None
        geometry = resolve_start(start, self.active, self.wavelength.wavelength, shape).geometry
        if isinstance(start, Nominal) and start.dist is None:
            return Panel(geometry.detector, geometry.pixel1, geometry.pixel2, geometry.detector_config)
        return geometry

    def _commit(
        self, result: Calibrated, position: ExposurePosition, report: ReportProgress, cancelled: threading.Event
    ) -> Calibrated:
        report(0.9, "commit")
        if cancelled.is_set():
            raise CalibrationError(
                f"{self.detector}: the plan ended before the commit; nothing was activated. {self._use_of_poni()}"
            )
        commit = Commit(
            geometry=result.geometry.as_dict(),
            provenance=self._provenance(result),
            label=self.options.label,
            position=position.values,
        )
        try:
            response = self.calib.transact(with_files(commit, file_entry, self.options.mask_file))
        except PonikeeperError as error:
            raise self._error(error, self._use_of_poni()) from error
        result = replace(result, revision=response.revision, serial=response.serial)
        snapshot = self.calib.verified()
        if snapshot is None or snapshot.serial != response.serial:
            return result
        result = replace(result, status=snapshot.status, status_reason=snapshot.reason)
        try:
            self.files.write_poni(result.geometry, snapshot_lines(snapshot))
        except PonikeeperError as error:  # the file without its revision is there
            result = replace(result, warnings=(*result.warnings, str(error)))
        return result

    def _uncommitted_lines(self, position: ExposurePosition) -> list[str]:
        """Format what the file of a geometry is that is not committed yet."""
        values = "unknown"
        if not isinstance(position.values, str):
            values = ", ".join(f"{name} {value!r}" for name, value in position.values.items()) or "no links"
        lines = [f"fitted to run {self.run_uid}, {self.key}", f"position: {values}", "status: not committed"]
        return [to_ascii(line) for line in lines]

    def _provenance(self, result: Calibrated) -> dict[str, object]:
        """Build the provenance; a wavelength that was changed in the window has pyFAI-calib2 as its source."""
        unchanged = result.geometry.wavelength == self.wavelength.wavelength
        record: dict[str, object] = {
            "method": _METHODS[self.options.method],
            "wavelength_from": self.wavelength.source if unchanged else "pyFAI-calib2",
            "run_uid": self.run_uid,
            "image_sha256": hashlib.sha256(self.files.image.read_bytes()).hexdigest(),
            "software": f"ponikeeper {__version__}, pyFAI {version('pyFAI')}",
        }
        if self.options.mask is not None and self.options.mask_file is None:
            record["mask_array"] = mask_record(self.options.mask)
        comment = "; ".join(result.warnings).encode("ascii", "replace").decode()[:_MAX_COMMENT]
        return result.fit.provenance() | record | ({"comment": comment} if comment else {})

    def _error(self, error: PonikeeperError, remedy: str) -> CalibrationError:
        """Build the error that names the detector, every reason, and what to do."""
        reasons = error.problems if isinstance(error, ProblemsError) else (str(error),)
        return CalibrationError(
            [
                *(f"{self.detector}: {reason}" for reason in reasons),
                f"{self.detector}: nothing was activated. {remedy}",
            ]
        )

    def _use_of_image(self) -> str:
        """Format what to do with the image that was written."""
        return (
            f"The image was saved: {self.files.image}{self._picture_note()}. Calibrate it by hand, "
            f'calibrate(..., method="gui"), or fit it '
            f"again: ponikeeper fit {self.files.image} --calibrant {self.options.calibrant.name} --start ... "
            f"--put '{self.calib.prefix}'"
        )

    def _picture_note(self) -> str:
        """Format where the picture of a rejected fit is, if there is one."""
        return f", with a picture of the fit, {self.files.picture.name}" if self.files.picture.exists() else ""

    def _use_of_poni(self) -> str:
        """Format how the geometry that was written can be committed."""
        return f"The geometry was saved; to commit it: ponikeeper put '{self.calib.prefix}' {self.files.poni}"
