"""The plan `calibrate_travel`: calibrate at several positions, and commit the model of them."""

import inspect
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bluesky import plan_stubs as bps
from rich.console import Console
from rich.text import Text

from ponikeeper.errors import CalibrationError, PonikeeperError, ProblemsError
from ponikeeper.protocol import applies, label_problem
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.fit.start import Start
from ponikeeper_client.model.commit import commit_of
from ponikeeper_client.model.fit import FittedModel
from ponikeeper_client.model.history_fit import HistoryFit, Knowledge, fit_history
from ponikeeper_client.model.options import command_line
from ponikeeper_client.model.table import member_table, print_table
from ponikeeper_client.plans._exposure import Plan
from ponikeeper_client.plans._result import Calibrated
from ponikeeper_client.plans._travel import Joints, Positions, Stop, Travel, joints_of, travel_of
from ponikeeper_client.plans.arrival import TIMEOUT, move_all_and_settle
from ponikeeper_client.plans.background import BackgroundTask, ReportProgress
from ponikeeper_client.plans.calibrate import calibrate, calibs_of

_OWN = ("detectors", "calibs", "start", "label", "config_det", "md")
"""Arguments of `calibrate` that this plan gives itself."""


@dataclass(frozen=True, slots=True)
class CalibratedTravel:
    """The model of one detector, and the calibrations to which it was fitted.

    Parameters
    ----------
    detector
        Name of the detector.
    calibrations
        In the order of the positions.
    fitted
        The model, and how well it fits.
    revision, serial
        The revision that is the model, and its activation.
    status, status_reason
        Status of the active geometry after the commit, and why; empty if another geometry is active since.
    warnings
        What the user should know about the model.
    """

    detector: str
    calibrations: tuple[Calibrated, ...]
    fitted: FittedModel
    revision: int
    serial: int
    status: str = ""
    status_reason: str = ""
    warnings: tuple[str, ...] = field(default=())

    @property
    def title(self) -> str:
        """The detector, the revision of its model, and the status."""
        status = self.status + (f": {self.status_reason}" if self.status_reason else "")
        return f"{self.detector}: the model is revision {self.revision}" + (f", {status}" if status else "")

    def table(self) -> Any:
        """Build a rich table of the members: position, residual, and how far the others predict each.

        Returns
        -------
        rich.table.Table
        """
        return member_table(self.fitted.model)


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
    each = [_Detector(one.name, calib, joints_of(calib, travel, axis, order, known)) for one, calib in pairs]
    going = _Going(travel, known, label, each)
    devices = [calib for _, calib in pairs]
    for index, stop in enumerate(travel.stops):
        yield from bps.checkpoint()
        try:
            yield from move_all_and_settle(travel.targets(stop), devices, timeout)
            begin = going.start(index) if starts[index] is None else starts[index]
            results = yield from calibrate(
                list(detectors),
                devices,
                start=begin,
                label=stop.label,
                md={**_metadata(travel, index), **(md or {})},
                **options,
            )
        except PonikeeperError as error:
            going.add(getattr(error, "results", {}))
            raise going.stopped(error, index) from error
        except Exception:
            _print_lines(going.how_to_go_on(index))
            raise
        going.add(results)
    return (yield from going.models())


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


@dataclass(slots=True)
class _Detector:
    """One detector on its way: its calibrations so far."""

    name: str
    calib: CalibrationData
    joints: Joints
    done: list[Calibrated] = field(default_factory=list[Calibrated])

    @property
    def revisions(self) -> list[str]:
        return [str(each.revision) for each in self.done]

    def fit(self, known: Knowledge) -> HistoryFit:
        links = self.calib.read_links(all_links=True)
        return fit_history(self.calib.history(), ",".join(self.revisions), self.joints.motion, known, links)


@dataclass(slots=True)
class _Going:
    """The whole travel: what was calibrated so far, and what is missing."""

    travel: Travel
    known: Knowledge
    label: str | None
    detectors: list[_Detector]

    def add(self, results: Mapping[str, Calibrated]) -> None:
        """Keep the results of one position."""
        for one in self.detectors:
            if one.name in results:
                one.done.append(results[one.name])

    def start(self, index: int) -> Start | None:
        """Return where the fits start at a position."""
        if index == 0 or all(applies(one.calib.read_snapshot().status) for one in self.detectors):
            return None
        if len(self.detectors) > 1:
            return "blind"
        (one,) = self.detectors
        stop = self.travel.stops[index]
        try:
            return one.fit(self.known).fitted.model.geometry_at(one.joints.position(stop))
        except ProblemsError:  # the calibrations so far do not determine a model
            return "blind"

    def models(self) -> Plan:
        """Fit and commit the model of each detector; an error of one does not stop the others."""
        results: dict[str, CalibratedTravel] = {}
        problems: list[str] = []
        for one in self.detectors:

            def work(report: ReportProgress, cancelled: threading.Event, one: _Detector = one) -> CalibratedTravel:
                return self._model(one, report, cancelled)

            task = BackgroundTask(f"model of {one.name}", work, one.calib.snapshot.cl.thread_class)
            yield from task.finish()
            try:
                results[one.name] = task.result()
            except ProblemsError as error:
                problems += [*(f"{one.name}: {problem}" for problem in error.problems), self._command(one, [])]
            except Exception as error:  # noqa: BLE001  # the models of the others must not be lost
                problems += [f"{one.name}: {type(error).__name__}: {error}", self._command(one, [])]
            else:
                _print(results[one.name])
        if problems:
            raise CalibrationError(problems, results)
        return results

    def stopped(self, error: PonikeeperError, index: int) -> CalibrationError:
        """Return the error of a position, with what is missing and how to go on."""
        problems = error.problems if isinstance(error, ProblemsError) else (str(error),)
        return CalibrationError([*problems, *self.how_to_go_on(index)], {one.name: one.done for one in self.detectors})

    def how_to_go_on(self, index: int) -> list[str]:
        """Format for each detector where it was calibrated, and what to do from a position on, which failed."""
        return [self._command(one, self._missing(one, index)) for one in self.detectors]

    def _missing(self, one: _Detector, index: int) -> list[Stop]:
        return list(self.travel.stops[index + (len(one.done) > index) :])

    def _command(self, one: _Detector, missing: Sequence[Stop]) -> str:
        pairs = zip(self.travel.stops, one.done, strict=False)
        done = ", ".join(f"revision {each.revision} at {one.joints.place_text(stop)}" for stop, each in pairs)
        if not done:
            return f"{one.name}: nothing was calibrated: begin again with calibrate_travel"
        revisions = [*one.revisions, *(stop.label or "NUMBER" for stop in missing)]
        command = command_line(one.calib.prefix, revisions, one.joints.motion, self.known, self.label)
        places = "; ".join(one.joints.place_text(stop) for stop in missing)
        missed = f"missing is {places}: calibrate there with calibrate(...), then" if missing else "to go on,"
        return f"{one.name}: committed are {done}, and no model; {missed} type: {command}"

    def _model(self, one: _Detector, report: ReportProgress, cancelled: threading.Event) -> CalibratedTravel:
        report(0.1, "fit the model")
        made = one.fit(self.known)
        request = commit_of(made.fitted, made.members, one.calib.read_links(all_links=True), self.label)
        report(0.8, "commit")
        if cancelled.is_set():
            raise CalibrationError("the plan ended before the commit of the model")
        response = one.calib.transact(request)
        snapshot = one.calib.verified()
        status, reason = "", ""
        if snapshot is not None and snapshot.revision == response.revision:
            status, reason = snapshot.status, snapshot.reason
        return CalibratedTravel(
            one.name, tuple(one.done), made.fitted, response.revision or 0, response.serial or 0, status, reason,
            (*made.fitted.notes, *made.notes),
        )  # fmt: skip


def _print(result: CalibratedTravel) -> None:
    """Print a model for the user."""
    console = Console()
    console.print(Text(result.title), soft_wrap=True)
    print_table(console, result.table())
    _print_lines(result.warnings)


def _print_lines(lines: Sequence[str]) -> None:
    for line in lines:
        Console().print(Text(line, style="yellow"), soft_wrap=True)
