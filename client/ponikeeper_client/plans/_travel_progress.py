"""How far a travel has come: what was calibrated, where the next fit starts, the models, and how to go on."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.text import Text

from ponikeeper.errors import CalibrationError, PonikeeperError, ProblemsError
from ponikeeper.protocol import applies
from ponikeeper.system.terminal import make_console
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.fit.start import Start
from ponikeeper_client.model.commit import commit_of
from ponikeeper_client.model.history_fit import HistoryFit, Knowledge, fit_history
from ponikeeper_client.model.options import command_line
from ponikeeper_client.model.table import print_table
from ponikeeper_client.plans._exposure import Plan
from ponikeeper_client.plans._result import Calibrated, CalibratedTravel
from ponikeeper_client.plans._travel import Joints, Stop, Travel
from ponikeeper_client.plans.background import BackgroundTask, ReportProgress


@dataclass(slots=True)
class DetectorTravel:
    """One detector on its way.

    Parameters
    ----------
    name, calib
        Name of the detector, and the device of its calibration.
    joints
        How the motors move it.
    done
        Its calibrations so far.
    """

    name: str
    calib: CalibrationData
    joints: Joints
    done: list[Calibrated] = field(default_factory=list[Calibrated])

    @property
    def revisions(self) -> list[str]:
        """Numbers of the revisions so far."""
        return [str(each.revision) for each in self.done]

    def fit(self, known: Knowledge) -> HistoryFit:
        """Fit a model to the calibrations so far; raises as `fit_history`."""
        links = self.calib.read_links(all_links=True)
        return fit_history(self.calib.history(), ",".join(self.revisions), self.joints.motion, known, links)


@dataclass(slots=True)
class TravelProgress:
    """The whole travel: what was calibrated so far, and what is missing.

    Parameters
    ----------
    travel
        The motors, and where they go.
    known
        What is known of the motors.
    label
        Label of the models.
    detectors
        The detectors.
    """

    travel: Travel
    known: Knowledge
    label: str | None
    detectors: list[DetectorTravel]

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
        here = {link.name: link.value for link in one.calib.read_links() if link.value is not None}
        try:
            return one.fit(self.known).fitted.model.geometry_at(here)
        except ProblemsError:  # the calibrations so far do not determine a model
            return "blind"

    def models(self) -> Plan:
        """Fit and commit the model of each detector; an error of one does not stop the others."""
        results: dict[str, CalibratedTravel] = {}
        problems: list[str] = []
        for one in self.detectors:

            def work(report: ReportProgress, cancelled: threading.Event, one: DetectorTravel = one) -> CalibratedTravel:
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

    def _missing(self, one: DetectorTravel, index: int) -> list[Stop]:
        return list(self.travel.stops[index + (len(one.done) > index) :])

    def _command(self, one: DetectorTravel, missing: Sequence[Stop]) -> str:
        pairs = zip(self.travel.stops, one.done, strict=False)
        done = ", ".join(f"revision {each.revision} at {one.joints.place_text(stop)}" for stop, each in pairs)
        if not done:
            return f"{one.name}: nothing was calibrated: begin again with calibrate_travel"
        revisions = [*one.revisions, *(stop.label or "NUMBER" for stop in missing)]
        command = command_line(one.calib.prefix, revisions, one.joints.motion, self.known, self.label)
        places = "; ".join(one.joints.place_text(stop) for stop in missing)
        missed = f"missing is {places}: calibrate there with calibrate(...), then" if missing else "to go on,"
        return f"{one.name}: committed are {done}, and no model; {missed} type: {command}"

    def _model(self, one: DetectorTravel, report: ReportProgress, cancelled: threading.Event) -> CalibratedTravel:
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
    console = make_console()
    console.print(Text(result.title), soft_wrap=True)
    print_table(result.table())
    print_lines(result.warnings)


def print_lines(lines: Sequence[str]) -> None:
    """Print what a user should know."""
    for line in lines:
        make_console().print(Text(line, style="yellow"), soft_wrap=True)
