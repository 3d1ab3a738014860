"""What the guard does about each message of a plan."""

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from bluesky.protocols import WritesExternalAssets
from bluesky.utils import Msg, ensure_generator

from ponikeeper.errors import NotConnectedError, PonikeeperError, RecordError
from ponikeeper_client._motion import LinkWatch
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.guard._policy import Judge, log
from ponikeeper_client.guard._run_record import (
    KEEPS_PER_STREAM,
    Event,
    Flight,
    Records,
    Run,
    State,
    in_force,
    recorded,
    renewal,
)

Plan = Generator[Msg, Any, Any]

_DARK = "dark"
"""The stream that is exempt: a dark frame has no geometry."""

_CALIBRATE = "calibrate"
"""The plan whose runs are exempt: it is there because the geometry does not hold."""

_TRIES = 5
"""How often a geometry may change while one event is recorded."""


class Guard:
    """Sees every message of a plan before bluesky does.

    Parameters
    ----------
    calibs
        What to guard; None is each calibration that is met.
    judge
        What to say about what is seen.

    Attributes
    ----------
    records
        Has to be given every document.
    """

    def __init__(self, calibs: tuple[CalibrationData, ...] | None, judge: Judge) -> None:
        self._calibs, self._judge = calibs, judge
        self._runs: dict[Any, Run] = {}
        self._left: set[Any] = set()  # the runs of `calibrate`, by key
        self._reading = False  # in a run that is not ours
        self.records = Records()

    def handle(self, msg: Msg) -> Plan:
        """Pass a message on, with what has to come before and after it; gives its answer."""
        if msg.command == "open_run":
            uid = yield msg
            if msg.kwargs.get("plan_name") == _CALIBRATE:
                self._left.add(msg.run)
            else:
                self._left.discard(msg.run)
                self._runs[msg.run] = Run(uid, self._calibs)
            return uid
        run = self._runs.get(msg.run)
        if run is None:
            self._check_outside(msg)
        handler = None if run is None else getattr(self, f"_{msg.command}", None)
        return (yield msg) if handler is None else (yield from handler(run, msg))

    def _check_outside(self, msg: Msg) -> None:
        """Refuse to record in a run that was open before: what went on in it is not known."""
        if msg.command == "close_run":
            self._left.discard(msg.run)
        if msg.run in self._left:
            return
        if msg.command == "create":
            self._reading = _stream(msg) != _DARK
        if msg.command in ("kickoff", "declare_stream") or (msg.command == "read" and self._reading):
            names = ", ".join(calib.name for calib in Run("", self._calibs).met(*_objects(msg)))
            if names:
                raise RecordError(
                    f"calibration_guard did not see the run open in which {names} is to be recorded: put it around the "
                    "plan that opens the run, or append it to RE.preprocessors"
                )
        if msg.command in ("save", "drop"):
            self._reading = False

    def end(self) -> None:
        """Watch no longer."""
        for run in self._runs.values():
            run.stop_watches()

    def _close_run(self, run: Run, msg: Msg) -> Plan:
        del self._runs[msg.run]
        if msg.kwargs.get("exit_status") in (None, "success"):
            self._judge_motion(run.stop_watches())
            self._verify(run)
            for calib in run.seen:  # where it is by now is no matter: nothing is exposed there
                try:
                    now = in_force(calib)
                except NotConnectedError as error:
                    if calib in run.flights:
                        raise
                    log.warning("%s: %s; what was recorded was in force", calib.name, error)
                    continue
                self._judge.change(run, calib, now)
                self._judge.flight(run, calib, now)
        run.stop_watches()
        return (yield msg)

    def _trigger(self, run: Run, msg: Msg) -> Plan:
        calibs = run.met(msg.obj)
        if calibs:
            begun = False

            def begin() -> None:
                nonlocal begun
                run.exposing |= {
                    calib: in_force(calib) for calib in calibs
                }  # judged when it is known to be no dark frame
                run.watch([calib for calib in calibs if begun or calib not in run.watches])
                begun = True

            yield from _repeatedly(msg, begin)
        return (yield msg)

    def _declare_stream(self, run: Run, msg: Msg) -> Plan:
        yield from self._note(run, msg, run.met(*msg.args))
        answer = yield msg
        run.read(msg.kwargs["name"], msg.args)
        return answer

    def _create(self, run: Run, msg: Msg) -> Plan:
        stream = _stream(msg)
        exposing, run.exposing = run.exposing, {}
        watches = run.stop_watches()
        if stream == _DARK:
            return (yield msg)
        self._judge.links(run)
        for calib, state in exposing.items():
            self._judge.look(run, calib, state)
        known = run.streams.get(stream)
        yield from self._renew(run, msg, stream, list(run.devices) if known is None else run.met(*known))
        self._judge_motion(watches)
        run.event = Event(stream, [msg])
        return (yield msg)

    def _read(self, run: Run, msg: Msg) -> Plan:
        if run.event is not None:
            run.event.messages.append(msg)
            unseen = [calib for calib in run.met(msg.obj) if calib not in run.seen]
            yield from self._note(run, msg, unseen)
            for calib in unseen:
                self._judge.look(run, calib, run.seen[calib][0])
            run.read(run.event.stream, [msg.obj])
        return (yield msg)

    def _drop(self, run: Run, msg: Msg) -> Plan:
        run.event = None
        return (yield msg)

    def _save(self, run: Run, msg: Msg) -> Plan:
        event, run.event = run.event, None
        if event is None:
            return (yield msg)
        self._judge_motion(run.stop_watches())  # of an exposure that bluesky did once more, after a pause
        # files that were told of while it was read would be lost with it; their exposure was over before the change
        final = any(isinstance(obj, WritesExternalAssets) for obj in event.objects)
        calibs = run.met(*event.objects)
        for _ in range(_TRIES):
            if not self._has_changed(run, event.stream, calibs) or final:
                break
            yield Msg("drop", run=msg.run)
            final = not (yield from self._renew(run, msg, event.stream, calibs))
            yield from ensure_generator(event.messages)
        answer = yield msg
        self._verify(run)
        return answer

    def _kickoff(self, run: Run, msg: Msg) -> Plan:
        calibs = run.met(msg.obj)
        self._judge.links(run)
        for calib in run.flights.keys() & set(calibs):  # the frames of its last flight are still to be collected
            self._judge.flight(run, calib, in_force(calib))
        stream = next((name for name, objects in run.streams.items() if msg.obj in objects), "")
        yield from self._renew(run, msg, stream, calibs)
        run.flights |= {calib: Flight(run.seen[calib][0]) for calib in calibs}
        return (yield msg)

    def _complete(self, run: Run, msg: Msg) -> Plan:
        for calib in run.met(msg.obj):
            if calib in run.flights:
                run.flights[calib].ending = (msg.kwargs.get("group"),)
        return (yield msg)

    def _wait(self, run: Run, msg: Msg) -> Plan:
        answer = yield msg
        group = msg.kwargs["group"] if "group" in msg.kwargs else next(iter(msg.args), None)
        for flight in run.flights.values():
            flight.landed |= answer is not False and flight.ending == (group,)  # False: the wait ended before it
        return answer

    def _collect(self, run: Run, msg: Msg) -> Plan:
        calibs = run.met(msg.obj, *msg.args)
        for calib in calibs:
            now = in_force(calib)
            self._judge.look(run, calib, now)
            self._judge.flight(run, calib, now)
        answer = yield msg
        for stream in self.records.streams(run.uid, msg.obj.name) if msg.obj else ():
            run.streams.setdefault(stream, [])
        if msg.kwargs.get("name") is None and run.flights.keys() >= set(calibs):  # the flyer itself names its streams
            for stream in self.records.streams(run.uid, msg.obj.name):
                run.read(stream, [msg.obj])
        self._verify(run)
        for calib in calibs:
            if calib in run.flights and run.flights[calib].landed:
                del run.flights[calib]
        return answer

    def _note(self, run: Run, msg: Msg, calibs: Sequence[CalibrationData]) -> Plan:
        """Look at what is in force."""

        def look() -> None:
            for calib in calibs:
                run.seen[calib] = []
                run.seen[calib] = [in_force(calib)]

        if calibs:
            yield from _repeatedly(msg, look)

    def _judge_motion(self, watches: Mapping[CalibrationData, LinkWatch]) -> None:
        """Judge what the links did during an exposure."""
        for calib, watch in watches.items():
            self._judge.motion(calib, watch)

    def _renew(self, run: Run, msg: Msg, stream: str, calibs: Sequence[CalibrationData]) -> Plan:
        """Have the next event of a stream recorded with what is in force; tells whether it will be."""
        for _ in range(_TRIES):
            yield from self._note(run, msg, calibs)
            for calib in calibs:
                self._judge.look(run, calib, run.seen[calib][0])
            stale = [calib for calib in calibs if self._next(run, stream, calib) != run.seen[calib][0]]
            if not stale:
                return True
            devices = run.recorders(stale, stream) or run.recorders(stale)
            guarded = run.recorders(run.devices)
            try:
                how = renewal(devices, guarded, run.streams, stream, per_stream=KEEPS_PER_STREAM)
            except RecordError as error:
                self._judge.unrecordable(error)
                return False
            if how.begin is not None:
                yield Msg("create", None, name=how.begin, run=msg.run)
                yield Msg("drop", run=msg.run)
            for device in dict.fromkeys(how.configure):
                yield Msg("configure", device, {}, run=msg.run)
            run.renewed(stream, stale)
        return True  # it changes all the time; what is recorded in the end is verified

    def _next(self, run: Run, stream: str, calib: CalibrationData) -> State:
        """Give with what the next event of a stream would be recorded; what is in force where all is new."""
        described = self.records.newest(run.uid, stream, calib.name)
        return described or run.kept(stream, calib) or run.seen[calib][0]

    def _has_changed(self, run: Run, stream: str, calibs: Sequence[CalibrationData]) -> bool:
        """Tell whether an event that was read would be recorded with what is in force no more."""
        changed = False
        for calib in calibs:
            now = in_force(calib)
            self._judge.look(run, calib, now)
            described, seen = self._next(run, stream, calib), run.seen[calib]
            # the status differs from what was looked at where bluesky exposed and read once more, after a pause
            changed |= not described.has_geometry_of(now) or described.status != seen[0].status
            seen.append(now)
        return changed

    def _verify(self, run: Run) -> None:
        """See that events were recorded with what was in force; raises `RecordError`."""
        for descriptor in self.records.take_events(run.uid):
            stream = descriptor["name"]
            if stream not in run.streams and stream != _DARK:
                self._refuse_unseen(run, descriptor)
            for calib in run.met(*run.streams.get(stream, ())):
                self._judge.recorded(run, calib, stream, recorded(descriptor, calib.name))

    def _refuse_unseen(self, run: Run, descriptor: Mapping[str, Any]) -> None:
        """Refuse a run into which another preprocessor puts readings behind the guard's back."""
        names = ", ".join(calib.name for calib in run.devices if recorded(descriptor, calib.name) is not None)
        if names:
            raise RecordError(
                f"calibration_guard did not see how {names} was recorded in the stream {descriptor['name']}: append it "
                "to RE.preprocessors after those that add readings, such as SupplementalData"
            )


def _repeatedly(msg: Msg, act: Callable[[], None]) -> Plan:
    """Do something in a message of its own: where a pause has bluesky do messages again, this too."""
    failed: list[PonikeeperError] = []

    async def do() -> None:
        failed.clear()
        try:
            act()
        except PonikeeperError as error:
            failed.append(error)

    yield Msg("wait_for", None, [do], run=msg.run)
    if failed:
        raise failed[0]


def _stream(msg: Msg) -> str:
    """Name the stream of a `create`."""
    return msg.kwargs["name"] if "name" in msg.kwargs else msg.args[0]


def _objects(msg: Msg) -> list[Any]:
    """Give what a message is about."""
    return [*([] if msg.obj is None else [msg.obj]), *msg.args]
