"""The plan `calibrate`: expose a powder standard, find the geometry, have it in force."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from bluesky import preprocessors as bpp
from numpy.typing import ArrayLike, NDArray
from rich.console import Console

from ponikeeper.errors import CalibrationError, ProblemsError
from ponikeeper.geometry import Geometry
from ponikeeper.protocol import label_problem
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.fit.calibrants import Calibrant
from ponikeeper_client.fit.calibrants import calibrant as find_calibrant
from ponikeeper_client.fit.image_files import read_mask
from ponikeeper_client.fit.start import Start, check_start, read_poni
from ponikeeper_client.gui.display import require_display
from ponikeeper_client.images import Collector, ImageSource, image_key, image_source
from ponikeeper_client.plans._detector_calibration import Calibration, Method, Wanted
from ponikeeper_client.plans._exposure import Exposed, Exposure, Plan, Shutter, expose
from ponikeeper_client.plans._output_files import Files, require_folder
from ponikeeper_client.plans._result import Calibrated
from ponikeeper_client.plans.background import Told, Work


def calibrate(
    detectors: Sequence[Any],
    calibs: Sequence[CalibrationData] | None = None,
    *,
    calibrant: str | Path | Calibrant = "Ni",
    wavelength: float | None = None,
    method: Method = "auto",
    start: Start | None = None,
    num: int = 1,
    dark: Literal["take"] | str | ArrayLike | None = None,
    mask: str | Path | ArrayLike | None = None,
    label: str | None = None,
    config_det: bool = True,
    images: Callable[[str, str], ArrayLike] | None = None,
    db: Any = None,
    shutter: Shutter | None = None,
    key: str | None = None,
    output_dir: str | Path = "calibrations",
    md: Mapping[str, Any] | None = None,
) -> Plan:
    """Expose a powder standard, find the geometry of each detector, and put it in force.

    All that can be wrong beforehand is told before the shutter opens. The fits begin when the run is
    closed, in threads of their own; each result is kept as soon as it is there.

    Parameters
    ----------
    detectors
        To expose, all in one run.
    calibs
        The `CalibrationData` of each; left out, the one component of that kind that each has.
    calibrant
        The standard: pyFAI's name, or a .D file.
    wavelength
        In m; left out, `RE.md["bt_wavelength"]` (angstrom), that in force if the energy has not
        moved since, or the linked energy. It is never fitted and never made up.
    method
        ``"auto"`` fits; ``"gui"`` opens pyFAI-calib2; ``"poni"`` takes the geometry of `start`.
    start
        Where to begin: None is what is in force, or a PONI file, a `Geometry`, a `Nominal` distance.
    num
        Number of exposures, which are averaged.
    dark
        ``"take"`` takes one with the shutter closed; an array (y, x); the uid of a run in `db`;
        None subtracts the run's own stream ``dark``, which bluesky-darkframes makes, if it has one.
    mask
        An array (y, x) or a file of one, nonzero is masked, beside the detector's own gaps.
    label
        Name of the revision, such as ``"near"``.
    config_det
        Whether the geometry is put in force; else it is found and written only.
    images, db
        Who has the images, if not the run's own documents: a function of run uid and data key, or
        the session's catalog (Tiled, databroker).
    shutter
        Is opened for the exposure, and closed whatever happens.
    key
        Data key of the images, where a detector has several.
    output_dir
        For ``{run_uid}_{data_key}.tiff``, ``.poni`` and ``.png``.
    md
        Further metadata of the run.

    Returns
    -------
    dict of str to Calibrated
        By the detector's name.

    Raises
    ------
    CalibrationError
        For at least one detector nothing was put in force; says why for each, and what to do. What
        the others found is in force and in its attribute `results`.
    """
    pairs = list(zip(detectors, _calibs_of(detectors, calibs), strict=True))
    how = Exposure(_checked_num(num), shutter, isinstance(dark, str) and dark == "take")
    wanted = Wanted(find_calibrant(calibrant), method, start, _dark(dark, shutter, db), _mask(mask), label, config_det)
    named = _named_start(method, start)
    collector = Collector()
    source = image_source(collector, images, db)
    if label is not None and (problem := label_problem(label)):
        raise CalibrationError(problem)
    require_folder(Path(output_dir))
    if method == "gui":
        require_display()
    for calib in dict.fromkeys(calib for _, calib in pairs):
        in_force = calib.read_snapshot().geometry  # an IOC that does not answer is told before anything is exposed
        if method == "auto":
            check_start(start, in_force)
    metadata = {
        "plan_name": "calibrate",
        "detectors": [detector.name for detector in detectors],
        "num_points": num,
        "num_intervals": num - 1,
        "calibrant": wanted.calibrant.name,
        "hints": {},
        **(md or {}),
    }
    exposing = expose(pairs, how, wavelength, named, metadata)
    run_uid, exposed = yield from bpp.subs_wrapper(exposing, collector)
    collector.keep(run_uid)
    return (yield from _results(wanted, run_uid, exposed, collector, source, key, Path(output_dir)))


def _results(
    wanted: Wanted,
    run_uid: str,
    exposed: Sequence[Exposed],
    collector: Collector,
    source: ImageSource,
    key: str | None,
    folder: Path,
) -> Plan:
    """Calibrate one detector after the other; what fails keeps nothing from the others."""
    results: dict[str, Calibrated] = {}
    problems: list[str] = []
    for one in exposed:
        name = one.detector.name
        work = Work(f"calibrate {name}", _later(wanted, run_uid, one, collector, source, key, folder), _thread_of(one))
        yield from work.finish()
        try:
            results[name] = work.result()
        except ProblemsError as error:
            problems += error.problems
        except Exception as error:  # noqa: BLE001  # the others are not to be lost by it
            problems.append(f"{name}: {type(error).__name__}: {error}; nothing was put in force, run {run_uid} is kept")
        else:
            _show(results[name])
    if problems:
        raise CalibrationError(problems, results)
    return results


def _later(
    wanted: Wanted, run_uid: str, one: Exposed, collector: Collector, source: ImageSource, key: str | None, folder: Path
) -> Callable[[Told, threading.Event], Calibrated]:
    """Give what is to be done off the RunEngine's loop."""

    def run(tell: Told, cancelled: threading.Event) -> Calibrated:
        descriptor = collector.descriptor(run_uid) or {}
        data_key = image_key(descriptor, one.detector.name, key)
        return Calibration(
            wanted, one.detector.name, one.calib, one.in_force, source, run_uid, data_key, one.position,
            one.wavelength, Files(folder, f"{run_uid}_{data_key}"),
        ).run(tell, cancelled)  # fmt: skip

    return run


def _thread_of(one: Exposed) -> Any:
    """Give the class of threads that share the session's Channel Access."""
    return one.calib.snapshot.cl.thread_class


def _calibs_of(detectors: Sequence[Any], calibs: Sequence[CalibrationData] | None) -> list[CalibrationData]:
    """Find the calibration of each detector.

    Raises
    ------
    CalibrationError
        A detector has none, or several, or the two lists differ in length.
    """
    if not detectors:
        raise CalibrationError("no detectors are given: expected at least one")
    names = [detector.name for detector in detectors]
    if len(set(names)) < len(names):
        raise CalibrationError(f"a detector stands twice in {', '.join(names)}: expected each once")
    if calibs is not None:
        if len(calibs) != len(detectors):
            raise CalibrationError(f"{len(detectors)} detectors and {len(calibs)} calibs: expected one for each")
        return list(calibs)
    found: list[CalibrationData] = []
    for detector in detectors:
        own = [
            getattr(detector, name)
            for name in getattr(detector, "component_names", ())
            if isinstance(getattr(detector, name), CalibrationData)
        ]
        if len(own) != 1:
            told = ", ".join(calib.attr_name for calib in own) or "none"
            raise CalibrationError(
                f"{detector.name} has {len(own)} calibrations ({told}): give calibs=[...], one CalibrationData each"
            )
        found += own
    return found


def _named_start(method: Method, start: Start | None) -> Geometry | None:
    """Give the geometry that the user named to start from, None where they named none.

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
        raise CalibrationError('method="poni" takes the geometry of start: give start="some.poni", or a Geometry')
    return geometry


def _checked_num(num: int) -> int:
    if isinstance(num, bool) or not isinstance(num, int) or num < 1:
        raise CalibrationError(f"num={num!r} is not allowed: expected a number of exposures, 1 or more")
    return num


def _dark(dark: Any, shutter: Shutter | None, db: Any) -> NDArray[Any] | str | None:
    """Give what is to be subtracted, as `Wanted` has it.

    Raises
    ------
    CalibrationError
        It cannot be had.
    """
    if dark is None:
        return None
    if isinstance(dark, str):
        if dark == "take":
            if shutter is None:
                raise CalibrationError('dark="take" needs a shutter to close: give shutter=Shutter(device, 1, 0)')
            return None
        if db is None:
            raise CalibrationError(f'dark={dark!r} names a run: give db=, which has it; or dark="take", or an array')
        return dark
    return np.asarray(dark)


def _mask(mask: Any) -> NDArray[Any] | None:
    if isinstance(mask, (str, Path)):
        return read_mask(Path(mask))
    return None if mask is None else np.asarray(mask)


def _show(result: Calibrated) -> None:
    """Show a person what was found."""
    console = Console()
    console.print(result.table())
    for warning in result.warnings:
        console.print(warning, style="yellow", markup=False, highlight=False)
