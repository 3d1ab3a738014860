"""The plan `calibrate`: expose a powder standard, fit the geometry, activate it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np
from bluesky import preprocessors as bpp
from numpy.typing import ArrayLike, NDArray
from rich.console import Console

from ponikeeper.errors import CalibrationError, ProblemsError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.files import MASK, files_of
from ponikeeper.protocol import DEFAULT_ERRORS, label_problem
from ponikeeper.system.terminal import make_console
from ponikeeper_client._image_files.reading import read_mask
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.documents import verify_files
from ponikeeper_client.fit._acceptance import Criteria
from ponikeeper_client.fit.calibrants import Calibrant, required_calibrant
from ponikeeper_client.fit.ring_plan import ring_problem
from ponikeeper_client.fit.start import Start, check_start, named_start, planned_start, read_poni
from ponikeeper_client.gui.display import require_display
from ponikeeper_client.images import Collector, ImageSource, image_key, image_source
from ponikeeper_client.plans._detector_calibration import CalibrationOptions, DetectorCalibration, Method
from ponikeeper_client.plans._exposure import ExposedDetector, Exposure, Plan, Shutter, expose
from ponikeeper_client.plans._output_files import OutputFiles, create_folder
from ponikeeper_client.plans._result import Calibrated
from ponikeeper_client.plans.background import BackgroundTask, ReportProgress


def calibrate(
    detectors: Sequence[Any],
    calibs: Sequence[CalibrationData] | None = None,
    *,
    calibrant: str | Path | Calibrant | None = None,
    wavelength: float | None = None,
    wavelength_sigma: float | None = None,
    method: Method = "auto",
    start: Start | None = None,
    num: int = 1,
    dark: Literal["take"] | str | ArrayLike | None = None,
    mask: str | Path | ArrayLike | None = None,
    part: bool = False,
    label: str | None = None,
    config_det: bool = True,
    images: Callable[[str, str], ArrayLike] | None = None,
    db: Any = None,
    shutter: Shutter | None = None,
    key: str | None = None,
    output_dir: str | Path = "calibrations",
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Expose a powder standard, fit the geometry of each detector, and activate it.

    The arguments are checked before the shutter opens, and a warning says if the panel will have too few rings of the
    standard. The fits begin when the run is closed, each in a thread;
    each result is committed as soon as it is there.

    Parameters
    ----------
    detectors
        The detectors to expose, all in one run.
    calibs
        The `CalibrationData` of each; if omitted, the one component of this type that each detector has.
    calibrant
        The standard in the beam: pyFAI's name, or a .D file. It is never guessed.
    wavelength
        Wavelength of the beam (m). If omitted: `RE.md["bt_wavelength"]` (angstrom), that of the active geometry
        if the energy has not moved since, or the linked energy. It is never fitted and never guessed.
    wavelength_sigma
        Relative standard deviation of the wavelength, which enters the uncertainty of the geometry; if omitted, that in
        the configuration of the IOC (0.005).
    method
        ``"auto"`` fits; ``"gui"`` opens pyFAI-calib2; ``"poni"`` uses the geometry of `start`.
    start
        Where the fit starts: None for the active geometry, or a PONI file, a `Geometry`, a `Nominal` distance;
        ``"blind"`` if nothing but the detector of the active geometry is known.
    num
        Number of exposures, which are averaged.
    dark
        ``"take"`` takes a dark frame with the shutter closed; an array (y, x) or the uid of a run in `db` is
        subtracted; None subtracts the run's own stream ``dark``, which bluesky-darkframes records, if there is one.
    mask
        An array (y, x), or a file with one; nonzero is masked, in addition to the detector's own gaps. The path of
        a file is committed with the geometry, with its SHA-256; of an array, shape and SHA-256 are recorded.
    part
        Accept a geometry that the image determines only in a part of the detector, such as from short arcs; the
        revision says in which circle it is valid.
    label
        Label of the revision, such as ``"near"``.
    config_det
        Whether to activate the geometry; else it is only fitted and written to files.
    images, db
        Where to read the images, if not from the run's own documents: a function of run uid and data key, or
        the session's catalog (Tiled, databroker).
    shutter
        Opened for the exposure, and closed in any case.
    key
        Data key of the images, if a detector has several.
    output_dir
        Folder of ``{run_uid}_{data_key}.tiff``, ``.poni`` and ``.png``.
    md
        Additional metadata of the run.

    Returns
    -------
    dict of str to Calibrated
        By the name of the detector.

    Raises
    ------
    CalibrantError
        The standard is missing or unknown.
    CalibrationError
        At least one detector was not calibrated; the message says why for each, and what to do. The results of
        the others are active, and in the attribute `results` of the error.
    GeometryFileError
        A file of the active geometry, from which the fit starts, is missing or has another content.
    WavelengthError
        The wavelength is not known, or its sources contradict each other.

    Examples
    --------
    >>> RE(calibrate([detector], calibrant="CeO2", label="near", num=5, dark="take", shutter=shutter))
    """
    pairs = list(zip(detectors, calibs_of(detectors, calibs), strict=True))
    exposure = Exposure(_checked_num(num), shutter, isinstance(dark, str) and dark == "take")
    start = named_start(start)
    options = CalibrationOptions(
        required_calibrant(calibrant), method, start, _checked_dark(dark, shutter, db), _mask_array(mask), label,
        config_det, mask if isinstance(mask, (str, Path)) else None,
        wavelength_sigma, part,
    )  # fmt: skip
    Criteria.of(DEFAULT_ERRORS, wavelength_sigma, part)  # an error before the exposure
    given_start = _given_start(method, start)
    collector = Collector()
    source = image_source(collector, images, db)
    if label is not None and (problem := label_problem(label)):
        raise CalibrationError(problem)
    create_folder(Path(output_dir))
    if method == "gui":
        require_display()
    for calib in dict.fromkeys(calib for _, calib in pairs):
        snapshot = calib.read_snapshot()  # an IOC that does not answer is reported before the exposure
        if method == "auto":
            check_start(start, snapshot.geometry)
        if snapshot.geometry is not None and not isinstance(start, (Geometry, str, Path)):  # it starts from there
            files = files_of(snapshot.provenance)
            verify_files(snapshot.geometry, {name: entry for name, entry in files.items() if name != MASK})
    metadata = {
        "plan_name": "calibrate",
        "detectors": [detector.name for detector in detectors],
        "num_points": num,
        "num_intervals": num - 1,
        "calibrant": options.calibrant.name,
        "hints": {},
        **(md or {}),
    }
    exposing = expose(pairs, exposure, wavelength, given_start, metadata, lambda one: _warn_of_few_rings(options, one))
    with ExitStack() as silenced:  # that the active geometry does not apply is why this is run
        for _, calib in pairs:
            silenced.enter_context(calib.status_warnings.silenced())
        run_uid, exposed = yield from bpp.subs_wrapper(exposing, collector)
    collector.keep(run_uid)
    return (yield from _results(options, run_uid, exposed, collector, source, key, Path(output_dir)))


def _results(
    options: CalibrationOptions,
    run_uid: str,
    exposed: Sequence[ExposedDetector],
    collector: Collector,
    source: ImageSource,
    key: str | None,
    folder: Path,
) -> Plan:
    """Calibrate one detector after the other; an error of one does not stop the others."""
    results: dict[str, Calibrated] = {}
    problems: list[str] = []
    for one in exposed:
        name = one.detector.name
        function = _calibration_of(options, run_uid, one, collector, source, key, folder)
        task = BackgroundTask(f"calibrate {name}", function, _thread_class(one))
        yield from task.finish()
        try:
            results[name] = task.result()
        except ProblemsError as error:
            problems += error.problems
        except Exception as error:  # noqa: BLE001  # the results of the others must not be lost
            problems.append(
                f"{name}: {type(error).__name__}: {error}; nothing was activated, the images are in run {run_uid}"
            )
        else:
            _print(results[name])
    if problems:
        raise CalibrationError(problems, results)
    return results


def _calibration_of(
    options: CalibrationOptions, run_uid: str, one: ExposedDetector, collector: Collector, source: ImageSource,
    key: str | None, folder: Path,
) -> Callable[[ReportProgress, threading.Event], Calibrated]:  # fmt: skip
    """Return the function that calibrates one detector in a thread."""

    def run(report: ReportProgress, cancelled: threading.Event) -> Calibrated:
        descriptor = collector.descriptor(run_uid) or {}
        data_key = image_key(descriptor, one.detector.name, key)
        return DetectorCalibration(
            options, one.detector.name, one.calib, one.active, source, run_uid, data_key, one.position,
            one.wavelength, OutputFiles(folder, f"{run_uid}_{data_key}"), one.assumed,
        ).run(report, cancelled)  # fmt: skip

    return run


def _thread_class(one: ExposedDetector) -> Any:
    """Return the class of threads that share the session's Channel Access context."""
    return one.calib.snapshot.cl.thread_class


def calibs_of(detectors: Sequence[Any], calibs: Sequence[CalibrationData] | None) -> list[CalibrationData]:
    """Return the calibration of each detector.

    Parameters
    ----------
    detectors
        The detectors.
    calibs
        As given by the user; None for the one component that each detector has.

    Returns
    -------
    list of CalibrationData
        In the order of the detectors.

    Raises
    ------
    CalibrationError
        A detector has none, or several, or the two lists differ in length.
    """
    if not detectors:
        raise CalibrationError("no detectors are given: expected at least one")
    names = [detector.name for detector in detectors]
    if len(set(names)) < len(names):
        raise CalibrationError(f"a detector is listed twice in {', '.join(names)}: expected each once")
    if calibs is not None:
        if len(calibs) != len(detectors):
            raise CalibrationError(f"{len(detectors)} detectors and {len(calibs)} calibs: expected one for each")
        return list(calibs)
    components: list[CalibrationData] = []
    for detector in detectors:
        own = [
            getattr(detector, name)
            for name in getattr(detector, "component_names", ())
            if isinstance(getattr(detector, name), CalibrationData)
        ]
        if len(own) != 1:
            listed = ", ".join(calib.attr_name for calib in own) or "none"
            raise CalibrationError(
                f"{detector.name} has {len(own)} calibrations ({listed}): give calibs=[...], one CalibrationData each"
            )
        components += own
    return components


def _given_start(method: Method, start: Start | None) -> Geometry | None:
    """Return the geometry that the user has given to start from; None if there is none.

    Raises
    ------
    CalibrationError
        The method is unknown, or needs another start.
    """
    if method not in ("auto", "gui", "poni"):
        raise CalibrationError(f'method={method!r} is unknown: expected "auto", "gui" or "poni"')
    geometry = start if isinstance(start, Geometry) else None
    if isinstance(start, (str, Path)):
        geometry = read_poni(Path(start))
    if method == "poni" and geometry is None:
        raise CalibrationError('method="poni" uses the geometry of start: give start="some.poni", or a Geometry')
    return geometry


def _checked_num(num: int) -> int:
    if isinstance(num, bool) or not isinstance(num, int) or num < 1:
        raise CalibrationError(f"num={num!r} is not allowed: expected a number of exposures, 1 or more")
    return num


def _checked_dark(dark: Any, shutter: Shutter | None, db: Any) -> NDArray[Any] | str | None:
    """Return the dark in the form of `CalibrationOptions`.

    Raises
    ------
    CalibrationError
        It needs another argument.
    """
    if dark is None:
        return None
    if isinstance(dark, str):
        if dark == "take":
            if shutter is None:
                raise CalibrationError('dark="take" needs a shutter to close: give shutter=Shutter(device, 1, 0)')
            return None
        if db is None:
            raise CalibrationError(
                f'dark={dark!r} is the uid of a run: give the catalog that has it, db=...; or dark="take", or an array'
            )
        return dark
    return np.asarray(dark)


def _mask_array(mask: Any) -> NDArray[Any] | None:
    if isinstance(mask, (str, Path)):
        return read_mask(Path(mask))
    return None if mask is None else np.asarray(mask)


def _warn_of_few_rings(options: CalibrationOptions, one: ExposedDetector) -> None:
    """Print a warning if the panel will have too few rings of the standard, as far as it is known where it stands."""
    if options.method != "auto":
        return
    planned = planned_start(options.start, one.active, one.wavelength.wavelength)
    if planned is not None and (problem := ring_problem(*planned, options.calibrant)):
        _print_warning(make_console(), f"{one.detector.name}: {problem}")


def _print(result: Calibrated) -> None:
    """Print a result for the user."""
    console = make_console()
    console.print(result.table())
    for warning in result.warnings:
        _print_warning(console, warning)


def _print_warning(console: Console, warning: str) -> None:
    console.print(warning, style="yellow", markup=False, highlight=False, soft_wrap=True)
