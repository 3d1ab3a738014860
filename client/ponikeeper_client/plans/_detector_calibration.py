"""What is done with the image of one detector after its run is closed: off the RunEngine's loop."""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ponikeeper import __version__
from ponikeeper.errors import CalibrationError, PonikeeperError, ProblemsError, ShapeError
from ponikeeper.geometry import Geometry
from ponikeeper.protocol import Commit
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.documents import azimuthal_integrator
from ponikeeper_client.fit.calibrants import Calibrant
from ponikeeper_client.fit.figure import draw
from ponikeeper_client.fit.fit import Fit, fit_image, measure_image
from ponikeeper_client.fit.start import Start, resolve_start
from ponikeeper_client.gui.calib2 import Calib2, Panel
from ponikeeper_client.images import ImageSource, mean_image
from ponikeeper_client.plans._exposure import Position
from ponikeeper_client.plans._output_files import Files
from ponikeeper_client.plans._result import Calibrated
from ponikeeper_client.plans._wavelength import Statement
from ponikeeper_client.plans.background import Told

Method = Literal["auto", "gui", "poni"]

_METHODS = {"auto": "fit", "gui": "gui", "poni": "poni"}
"""What the record calls each method."""

_LONGEST_COMMENT = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user wants, the same for each detector of a calibration.

    Parameters
    ----------
    dark
        An image to subtract, shape (y, x); the uid of a run that has it; None for the run's own
        stream ``dark``, where it has one.
    mask
        Shape (y, x), nonzero is masked.
    """

    calibrant: Calibrant
    method: Method
    start: Start | None
    dark: NDArray[Any] | str | None
    mask: NDArray[Any] | None
    label: str | None
    config_det: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """One detector's calibration, its image taken.

    Parameters
    ----------
    detector, calib
        Name of the one, device of the other.
    in_force
        The geometry before; None where there was none.
    images
        Who has the run's images.
    run_uid, key
        Of the run, and of the images in it.
    position
        Tells where the links stood during the exposure, or raises.
    wavelength
        To calibrate with, and who says so.
    """

    wanted: Wanted
    detector: str
    calib: CalibrationData
    in_force: Geometry | None
    images: ImageSource
    run_uid: str
    key: str
    position: Callable[[], Position]
    wavelength: Statement
    files: Files

    def run(self, tell: Told, cancelled: threading.Event) -> Calibrated:
        """Find the geometry and put it in force.

        Raises
        ------
        CalibrationError
            Nothing was put in force; says why, what is kept where, and what to do.
        """
        try:
            tell(0.0, "wait for the images")
            image = self._image()
            self.files.keep_image(image)
        except PonikeeperError as error:
            raise self._failed(error, f"the images are in run {self.run_uid}") from error
        try:
            position = self.position()
            fit, warnings = self._found(image, tell, cancelled)
            self.files.keep_poni(fit.geometry)
        except PonikeeperError as error:
            raise self._failed(error, self._instead()) from error
        if position.why:
            warnings = (f"the position is unknown: {position.why}", *warnings)
        result = Calibrated(self.detector, fit.geometry, fit, self.files, self.in_force, warnings=warnings)
        if self.wanted.config_det:
            result = self._committed(result, position, tell, cancelled)
        tell(0.95, "draw the picture")
        try:
            title = f"{self.detector}, run {self.run_uid}"
            self.files.keep_picture(draw(fit, image, self.wanted.mask, title))
        except Exception as error:  # noqa: BLE001  # a picture that fails takes no geometry back
            result = replace(result, warnings=(*result.warnings, f"no picture could be drawn: {error}"))
        return result

    def _image(self) -> NDArray[np.float64]:
        """Give the image of the run: averaged in double precision, the dark subtracted."""
        frames = self.images.read(self.run_uid, self.key)
        if frames is None:
            raise CalibrationError(f"run {self.run_uid} has no stream primary")
        image = mean_image(frames)
        dark = self.wanted.dark
        if isinstance(dark, str):
            dark = self.images.read(dark, self.key)
        elif dark is None:
            dark = self.images.read(self.run_uid, self.key, "dark")
        if dark is None:
            return image
        background = mean_image(dark)
        if background.shape != image.shape:
            raise ShapeError(f"the dark has shape {background.shape} and the image {image.shape}: expected the same")
        return image - background

    def _found(self, image: NDArray[np.float64], tell: Told, cancelled: threading.Event) -> tuple[Fit, tuple[str, ...]]:
        """Find the geometry as the user wants it found, and what is to be known of it."""
        wanted, shape = self.wanted, (image.shape[0], image.shape[1])
        if wanted.method == "gui":
            return self._from_gui(image, tell, cancelled)
        begun = resolve_start(wanted.start, self.in_force, self.wavelength.wavelength, shape)
        if wanted.method == "poni":
            tell(0.5, "measure the rings")
            fit = measure_image(image, begun.geometry, wanted.calibrant, mask=wanted.mask)
            return fit, fit.problems
        fit = fit_image(
            image, begun.geometry, wanted.calibrant, mask=wanted.mask, tolerance=begun.tolerance,
            progress=lambda done, what: tell(0.1 + 0.7 * done, what),
        )  # fmt: skip
        fit.require_accepted()
        return fit, ()

    def _from_gui(
        self, image: NDArray[np.float64], tell: Told, cancelled: threading.Event
    ) -> tuple[Fit, tuple[str, ...]]:
        """Let a person calibrate, and measure how well what they saved fits."""
        tell(0.2, "a person calibrates in pyFAI-calib2")
        folder, wanted = self.files.gui, self.wanted
        folder.mkdir(exist_ok=True)
        calibrant, mask = folder / f"{wanted.calibrant.name}.D", None
        wanted.calibrant.write(calibrant)
        if wanted.mask is not None:
            mask = folder / "mask.tiff"
            Files(folder, "mask").keep_image(np.asarray(wanted.mask, float))
        start = self._start_of_gui((image.shape[0], image.shape[1]))
        with Calib2(self.files.image, folder, calibrant, self.wavelength.wavelength, start, mask) as program:
            saved = program.wait(cancelled)
        try:
            azimuthal_integrator(saved.geometry, shape=(image.shape[0], image.shape[1]))
            fit = measure_image(image, saved.geometry, wanted.calibrant, mask=wanted.mask)
        except ShapeError as error:
            raise CalibrationError(f"{saved.path.name} is for another detector: {error}") from error
        return fit, (*saved.warnings, *fit.problems)

    def _start_of_gui(self, shape: tuple[int, int]) -> Geometry | Panel | None:
        """Give what the window shows at first: with nothing known the person chooses the detector."""
        if self.wanted.start is None and self.in_force is None:
            return None
        return resolve_start(self.wanted.start, self.in_force, self.wavelength.wavelength, shape).geometry

    def _committed(self, found: Calibrated, position: Position, tell: Told, cancelled: threading.Event) -> Calibrated:
        tell(0.9, "commit")
        if cancelled.is_set():
            raise CalibrationError(
                f"{self.detector}: the plan ended before the commit; nothing was put in force. {self._by_hand()}"
            )
        commit = Commit(
            geometry=found.geometry.as_dict(),
            provenance=self._provenance(found),
            label=self.wanted.label,
            position=position.values,
        )
        try:
            result = self.calib.transact(commit)
        except PonikeeperError as error:
            raise self._failed(error, self._by_hand()) from error
        return replace(found, revision=result.revision, serial=result.serial)

    def _provenance(self, found: Calibrated) -> dict[str, object]:
        """Say where the geometry came from; what a person changed in the window is theirs."""
        import pyFAI

        own = found.geometry.wavelength == self.wavelength.wavelength
        said = {
            "method": _METHODS[self.wanted.method],
            "wavelength_from": self.wavelength.source if own else "pyFAI-calib2",
            "run_uid": self.run_uid,
            "image_sha256": hashlib.sha256(self.files.image.read_bytes()).hexdigest(),
            "software": f"ponikeeper {__version__}, pyFAI {pyFAI.version}",
        }
        comment = "; ".join(found.warnings).encode("ascii", "replace").decode()[:_LONGEST_COMMENT]
        return found.fit.provenance() | said | ({"comment": comment} if comment else {})

    def _failed(self, error: PonikeeperError, instead: str) -> CalibrationError:
        reasons = error.problems if isinstance(error, ProblemsError) else (str(error),)
        return CalibrationError(
            [
                *(f"{self.detector}: {reason}" for reason in reasons),
                f"{self.detector}: nothing was put in force. {instead}",
            ]
        )

    def _instead(self) -> str:
        """Say what to do with the image that was kept."""
        return (
            f'The image is kept: {self.files.image}. Calibrate it by hand, calibrate(..., method="gui"), or fit it '
            f"again: ponikeeper fit {self.files.image} --calibrant {self.wanted.calibrant.name} --start ... "
            f"--put '{self.calib.prefix}'"
        )

    def _by_hand(self) -> str:
        """Say how the geometry that was found can still be put in force."""
        return f"The geometry is kept: ponikeeper put '{self.calib.prefix}' {self.files.poni}"
