"""The plan `calibrate_travel`: calibrate at several positions, and commit the model of them."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from bluesky import plan_stubs as bps

from ponikeeper.errors import CalibrationError, PonikeeperError
from ponikeeper.protocol import label_problem
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.fit.start import Start
from ponikeeper_client.model.history_fit import Knowledge
from ponikeeper_client.plans._exposure import Plan
from ponikeeper_client.plans._travel import Positions, Travel, joints_of, travel_of
from ponikeeper_client.plans._travel_progress import DetectorTravel, TravelProgress, print_lines
from ponikeeper_client.plans.arrival import TIMEOUT, move_all_and_settle
from ponikeeper_client.plans.calibrate import calibrate, calibs_of

_OWN = ("detectors", "calibs", "start", "label", "config_det", "md")
"""Arguments of `calibrate` that this plan gives itself."""


def calibrate_travel(
    detectors: Sequence[Any],
    stage: Any,
    positions: Positions,
    calibs: Sequence[CalibrationData] | None = None,
    *,
    axis: int | Mapping[str, int] | None = None,
    nominal: bool = False,
    order: Sequence[str] = (),
    ranges: Mapping[str, tuple[float, float]] | None = None,
    motor_sigma: Mapping[str, float] | None = None,
    scale_sigma: Mapping[str, float] | None = None,
    label: str | None = None,
    start: Start | Sequence[Start | None] | None = None,
    timeout: float = TIMEOUT,
    md: Mapping[str, Any] | None = None,
    **options: Any,
) -> Plan:
    """Calibrate detectors at several positions, and activate the model of each: a geometry at every position.

    At each position the detectors are calibrated as by `calibrate`, and the revisions are committed. The model is
    fitted to these, and committed if nothing is against it. What can be known before is checked before anything moves:
    that the motors are linked, and that the positions determine the model.

    Parameters
    ----------
    detectors
        The detectors to expose.
    stage
        The motor that moves them, whose readback is one of the linked PVs; or motors by the names of their links:
        ``{"z": det_z, "tth": arm}``. What a link does is known by its units: a length is a stage or rail, an angle an
        arm, keV or angstrom the beam.
    positions
        Where to calibrate (the motor's units): ``[300.0, 500.0, 700.0]``, or by labels of the calibrations,
        ``{"near": 300.0, "far": 700.0}``; of several motors each is a dict, ``{"z": 300.0, "tth": 10.0}``.
    calibs
        The `CalibrationData` of each detector; if omitted, the one component of this type that each detector has.
    axis
        The lab axis to which the axis of an arm is parallel, 1 (up), 2 (horizontal) or 3 (beam), negative for
        left-handed; of several arms by the names of their links.
    nominal
        Whether the axes of arms are as designed, within 5 mrad and 0.5 mm: then one position is enough for an arm.
    order
        All links from the floor to the detector; if omitted, arms before stages.
    ranges
        Declared ranges of links, instead of the calibrated ones: ``{"tth": (0, 40)}``.
    motor_sigma
        Standard deviation of the position of a link, in its units: ``{"z": 0.005}``.
    scale_sigma
        Relative standard deviation of the scale of a motor; if omitted, as the IOC is configured.
    label
        Label of the model, such as ``"travel"``.
    start
        Where the fit at the first position starts, as for `calibrate`; or a list, one for each position. Where none is
        given: the active geometry, at the first position or if it applies; else what the calibrations before predict;
        else every distance is tried.
    timeout
        How long to wait until the links are at rest after a move (s).
    md
        Additional metadata of the runs, whose key ``travel`` has the position.
    **options
        As for `calibrate`: `calibrant`, `wavelength`, `num`, `dark`, `mask`, `shutter`, `output_dir`, ...

    Returns
    -------
    dict of str to CalibratedTravel
        By the name of the detector.

    Raises
    ------
    CalibrationError
        An argument is not allowed, a motor is not linked, or the positions do not determine the model: then nothing
        has moved. Or a calibration failed, or something is against the model: the calibrations before are committed,
        and the message says which positions are missing, and what to type to go on.
    CalibrantError, WavelengthError
        As for `calibrate`.

    Examples
    --------
    >>> RE(calibrate_travel([detector], det_z, [300, 500, 700], calibrant="CeO2", label="travel", shutter=shutter))
    """
    travel, pairs = travel_of(stage, positions), [*zip(detectors, calibs_of(detectors, calibs), strict=True)]
    _check_options(options, label)
    starts = _starts(start, travel)
    known = Knowledge(nominal, motor_sigma or {}, scale_sigma or {}, ranges or {})
    each = [DetectorTravel(one.name, calib, joints_of(calib, travel, axis, order, known)) for one, calib in pairs]
    progress = TravelProgress(travel, known, label, each)
    devices = [calib for _, calib in pairs]
    for index, stop in enumerate(travel.stops):
        try:
            yield from bps.checkpoint()
            yield from move_all_and_settle(travel.targets(stop), devices, timeout)
            begin = progress.start(index) if starts[index] is None else starts[index]
            results = yield from calibrate(
                list(detectors),
                devices,
                start=begin,
                label=stop.label,
                md={**_metadata(travel, index), **(md or {})},
                **options,
            )
        except PonikeeperError as error:
            progress.add(getattr(error, "results", {}))
            raise progress.stopped(error, index) from error
        except Exception:
            print_lines(progress.how_to_go_on(index))
            raise
        progress.add(results)
    try:
        return (yield from progress.models())
    except CalibrationError:
        raise
    except Exception:
        print_lines(progress.how_to_go_on(len(travel.stops)))
        raise


def _check_options(options: Mapping[str, Any], label: str | None) -> None:
    allowed = inspect.signature(calibrate).parameters.keys() - set(_OWN)
    if unknown := sorted(options.keys() - allowed):
        raise CalibrationError(
            f"{', '.join(unknown)}: calibrate_travel has no such argument; expected those of calibrate, "
            f"{', '.join(sorted(allowed))}"
        )
    if label is not None and (problem := label_problem(label)):
        raise CalibrationError(problem)


def _metadata(travel: Travel, index: int) -> dict[str, object]:
    """Return what a run records of the travel; its plan is `calibrate`, which no guard is to disturb."""
    places = {travel.motors[key].name: place for key, place in travel.stops[index].places.items()}
    return {"travel": {"number": index + 1, "of": len(travel.stops), "position": places}}


def _starts(start: Any, travel: Travel) -> list[Start | None]:
    """Return the start at each position; None where none is given."""
    if not isinstance(start, (list, tuple)):
        return [start, *[None] * (len(travel.stops) - 1)]
    if len(start) != len(travel.stops):
        raise CalibrationError(f"start has {len(start)} items, and there are {len(travel.stops)} positions")
    return list(start)
