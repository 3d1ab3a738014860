"""Handling of the messages of a guarded plan."""

import time
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from bluesky.protocols import WritesExternalAssets
from bluesky.utils import Msg, ensure_generator

from ponikeeper.errors import NotConnectedError, PonikeeperError, RecordError
from ponikeeper_client._motion import LinkWatch
from ponikeeper_client.device import CalibrationData, proofs
from ponikeeper_client.documents import GUARD_KEY
from ponikeeper_client.guard._policy import Policy, log
from ponikeeper_client.guard._proofs import SharedProofs
from ponikeeper_client.guard._rest import DARK, HeldExposure, group_of, names_stream_next, stream_of, takes_dark
from ponikeeper_client.guard._run_parts import RunParts, StagedWriters
from ponikeeper_client.guard._run_record import (
    KEEPS_PER_STREAM,
    DocumentRecord,
    FlyScan,
    PendingEvent,
    Run,
    renewal,
)
from ponikeeper_client.guard._state import CalibrationState, read_state, read_states, recorded_state

Plan = Generator[Msg, Any, Any]

_MOTION_TIME = 2.0
"""How long to wait for a link before the first exposure, in addition to its settling time (s)."""

_POLL_PERIOD = 0.05
"""How long to wait before the links are read again (s)."""

_MAX_ATTEMPTS = 5
"""Largest number of attempts to record one event while the geometry keeps changing."""


class Guard:
    """Receives every message of a plan before bluesky does.

    Parameters
    ----------
    calibs
        The calibrations to guard; None guards each one that is read.
    policy
        Fails the run or logs a warning.
    exempt
        The names of plans whose runs are not guarded.

    Attributes
    ----------
    record
        A callback that must receive every document.
    """

    def __init__(
        self, calibs: tuple[CalibrationData, ...] | None, policy: Policy, exempt: Collection[str] = ()
    ) -> None:
        self._calibs, self._policy, self._exempt_plans = calibs, policy, exempt
        self._runs: dict[Any, Run] = {}
        self._staged = StagedWriters()
        self._proofs = SharedProofs(calibs)
        self._exempt: set[Any] = set()  # the runs of exempt plans, by key
        self._reading = False  # in a run that was open before
        self.record = DocumentRecord()

    def handle(self, msg: Msg) -> Plan:
        """Pass a message on, with the messages that must come before and after it; return its response."""
        if msg.command == "open_run":
            return (yield from self._open_run(msg))
        self._staged.note(msg)
        self._proofs.note(msg)
        if msg.command == "set":
            for each in self._runs.values():
                each.rested.clear()
        run = self._runs.get(msg.run)
        if run is None:
            self._check_foreign_run(msg)
        elif run.held is not None:
            if run.held.takes(msg):
                return None
            yield from self._release(run, run.held, msg)
        handler = None if run is None else getattr(self, f"_{msg.command}", None)
        return (yield msg) if handler is None else (yield from handler(run, msg))

    def _open_run(self, msg: Msg) -> Plan:
        """Open a run, and record in its start document that it is guarded."""
        if msg.kwargs.get("plan_name") in self._exempt_plans:
            self._exempt.add(msg.run)
            return (yield msg)
        guards = [*msg.kwargs.get(GUARD_KEY, ()), self._policy.mark(self._calibs)]
        opened = msg._replace(kwargs={**msg.kwargs, GUARD_KEY: guards})
        uid = yield opened
        self._exempt.discard(msg.run)
        self._runs[msg.run] = Run(uid, self._calibs, self._policy.travelling, parts=RunParts(opened))
        return uid

    def _check_foreign_run(self, msg: Msg) -> None:
        """Refuse to record in a run that was opened outside of the guarded plan: its earlier messages are unknown."""
        if msg.command == "close_run":
            self._exempt.discard(msg.run)
        if msg.run in self._exempt:
            return
        if msg.command == "create":
            self._reading = stream_of(msg) != DARK
        if msg.command in ("kickoff", "declare_stream") or (msg.command == "read" and self._reading):
            names = ", ".join(calib.name for calib in Run("", self._calibs).calibrations_of(*_objects(msg)))
            if names:
                raise RecordError(
                    f"calibration_guard cannot guard {names}, because the run was opened outside of it: wrap the "
                    "plan that opens the run, or append calibration_guard to RE.preprocessors"
                )
        if msg.command in ("save", "drop"):
            self._reading = False

    def end(self) -> None:
        """End the record of all runs."""
        for run in self._runs.values():
            run.end()

    def _close_run(self, run: Run, msg: Msg) -> Plan:
        del self._runs[msg.run]
        try:
            self._check_end(run, msg)
        finally:
            run.end()
        return (yield msg)

    def _check_end(self, run: Run, msg: Msg) -> None:
        """Check the last events of a run, and whether the geometry changed until its end."""
        if msg.kwargs.get("exit_status") in (None, "success"):
            self._check_motion(run, run.stop_watches())
            self._verify(run)
            for calib, proof in proofs(list(run.states)).items():
                try:
                    now = read_state(calib, proof)  # the status does not matter: nothing is exposed any more
                except NotConnectedError as error:
                    if calib in run.fly_scans:
                        raise
                    log.warning("%s: %s; the recorded geometry was active", calib.name, error)
                    continue
                self._policy.check_change(run, calib, now)
                self._policy.check_fly_scan(run, calib, now)

    def _wait_for_rest(self, run: Run, msg: Msg, calibs: Sequence[CalibrationData]) -> Plan:
        """Wait before the first exposure while a link moves or settles, for a limited time."""
        for calib in calibs:
            if calib in run.rested:
                continue
            run.rested.add(calib)
            deadline: float | None = None
            while self._policy.is_unsettled(calib):
                if deadline is None:
                    deadline = time.monotonic() + calib.read_settle() + _MOTION_TIME
                if time.monotonic() > deadline:
                    break
                yield Msg("sleep", None, _POLL_PERIOD, run=msg.run)

    def _trigger(self, run: Run, msg: Msg) -> Plan:
        calibs = run.calibrations_of(msg.obj)
        run.silence(calibs)
        if takes_dark(msg):
            return (yield msg)
        first = [each for each in calibs if each not in run.rested] if names_stream_next(msg) else []
        answers = self._proofs.of_trigger(first, [*run.devices])
        if any(self._policy.is_unsettled(each, answers[each]) for each in first):
            run.held = HeldExposure(msg)
            return None
        run.rested.update(first)
        yield from self._wait_for_rest(run, msg, calibs)
        return (yield from self._expose(run, msg))

    def _release(self, run: Run, held: HeldExposure, following: Msg) -> Plan:
        """Pass on the messages of an exposure that was held back; unless it is a dark frame, wait for rest first."""
        run.held = None
        if not held.is_dark(following):
            objects = [msg.obj for msg in held.messages if msg.command == "trigger"]
            yield from self._wait_for_rest(run, following, run.calibrations_of(*objects))
        for msg in held.messages:
            yield from self._expose(run, msg) if msg.command == "trigger" else self._wait(run, msg)

    def _expose(self, run: Run, msg: Msg) -> Plan:
        """Pass a trigger on; from then on the links are watched."""
        calibs = run.calibrations_of(msg.obj)
        if self._policy.renews_by_new_run and self._staged.any and not run.exposing:
            yield from self._begin_again_before_files(run, msg)
        self._staged.expose(msg.obj)
        if calibs:
            repeated = False

            def begin() -> None:  # what it reads is checked when it is known not to be a dark frame
                nonlocal repeated
                if repeated:
                    self._proofs.forget()
                answers = self._proofs.of_trigger(calibs, [*run.devices])
                run.exposing |= {calib: read_state(calib, answers[calib]) for calib in calibs}
                run.watch([calib for calib in calibs if repeated or calib not in run.watches])
                repeated = True

            yield from _repeatable(msg, begin)
        return (yield msg)

    def _declare_stream(self, run: Run, msg: Msg) -> Plan:
        yield from self._read_states(run, msg, run.calibrations_of(*msg.args))
        response = yield msg
        run.add_reading(msg.kwargs["name"], msg.args)
        run.parts.keep(msg)
        return response

    def _create(self, run: Run, msg: Msg) -> Plan:
        stream = stream_of(msg)
        exposing, run.exposing = run.exposing, {}
        watches = run.stop_watches()
        if stream == DARK:
            run.rested -= exposing.keys()
            return (yield msg)
        self._policy.check_moving_names(run)
        for calib, state in exposing.items():
            self._policy.check(run, calib, state)
        self._check_motion(run, watches)
        known = run.streams.get(stream)
        yield from self._renew(run, msg, stream, list(run.devices) if known is None else run.calibrations_of(*known))
        run.event = PendingEvent(stream, [msg])
        return (yield msg)

    def _read(self, run: Run, msg: Msg) -> Plan:
        calibs = run.calibrations_of(msg.obj)
        run.silence(calibs)
        with ExitStack() as proven:
            if run.event is not None:
                for calib in calibs:
                    proven.enter_context(calib.proven(self._proofs.known(calib)))
                run.event.messages.append(msg)
                new = [calib for calib in calibs if calib not in run.states]
                yield from self._read_states(run, msg, new)
                for calib in new:
                    self._policy.check(run, calib, run.states[calib][0])
                run.add_reading(run.event.stream, [msg.obj])
            return (yield msg)

    def _monitor(self, run: Run, msg: Msg) -> Plan:
        """Record a device that makes its events itself; they keep the descriptor with which it began."""
        calibs = run.calibrations_of(msg.obj)
        yield from self._read_states(run, msg, [calib for calib in calibs if calib not in run.states])
        for calib in calibs:
            self._policy.check(run, calib, read_state(calib))
        response = yield msg
        run.parts.keep(msg)
        run.monitored |= {calib: msg.obj for calib in calibs if not calib.is_read_per_event}
        for stream in self.record.streams(run.uid, msg.obj.name) if calibs else ():
            run.streams.setdefault(stream, [])
        return response

    def _unmonitor(self, run: Run, msg: Msg) -> Plan:
        run.parts.forget_monitor(msg.obj)
        run.monitored = {calib: device for calib, device in run.monitored.items() if device is not msg.obj}
        return (yield msg)

    def _drop(self, run: Run, msg: Msg) -> Plan:
        run.event = None
        run.forget_motion()
        return (yield msg)

    def _save(self, run: Run, msg: Msg) -> Plan:
        event, run.event = run.event, None
        if event is None:
            return (yield msg)
        self._check_motion(run, run.stop_watches())  # of an exposure that bluesky repeated after a pause
        # dropping the event would lose the documents of its files; their exposure was over before the change
        final = any(isinstance(obj, WritesExternalAssets) for obj in event.objects)
        calibs = run.calibrations_of(*event.objects)
        for _ in range(_MAX_ATTEMPTS):
            if not self._has_changed(run, event.stream, calibs) or final:
                break
            yield Msg("drop", run=msg.run)
            final = not (yield from self._renew(run, msg, event.stream, calibs))
            yield from ensure_generator(event.messages)
        response = yield msg
        run.forget_motion()
        self._verify(run)
        return response

    def _kickoff(self, run: Run, msg: Msg) -> Plan:
        calibs = run.calibrations_of(msg.obj)
        self._policy.check_moving_names(run)
        for calib in run.fly_scans.keys() & set(calibs):  # the frames of its last fly scan are not collected yet
            self._policy.check_fly_scan(run, calib, read_state(calib))
        yield from self._wait_for_rest(run, msg, calibs)
        stream = next((name for name, objects in run.streams.items() if msg.obj in objects), "")
        yield from self._renew(run, msg, stream, calibs)
        run.fly_scans |= {calib: FlyScan(run.states[calib][0]) for calib in calibs}
        return (yield msg)

    def _complete(self, run: Run, msg: Msg) -> Plan:
        for calib in run.calibrations_of(msg.obj):
            if calib in run.fly_scans:
                run.fly_scans[calib].completing = (msg.kwargs.get("group"),)
        return (yield msg)

    def _wait(self, run: Run, msg: Msg) -> Plan:
        response = yield msg
        for scan in run.fly_scans.values():
            scan.completed |= response is not False and scan.completing == (group_of(msg),)  # False: the wait timed out
        return response

    def _collect(self, run: Run, msg: Msg) -> Plan:
        calibs = run.calibrations_of(msg.obj, *msg.args)
        for calib in calibs:
            now = read_state(calib)
            self._policy.check(run, calib, now)
            self._policy.check_fly_scan(run, calib, now)
        response = yield msg
        for stream in self.record.streams(run.uid, msg.obj.name) if msg.obj else ():
            run.streams.setdefault(stream, [])
        if msg.kwargs.get("name") is None and run.fly_scans.keys() >= set(calibs):  # the flyer itself names its streams
            for stream in self.record.streams(run.uid, msg.obj.name):
                run.add_reading(stream, [msg.obj])
        self._verify(run)
        for calib in calibs:
            if calib in run.fly_scans and run.fly_scans[calib].completed:
                del run.fly_scans[calib]
        return response

    def _read_states(self, run: Run, msg: Msg, calibs: Sequence[CalibrationData]) -> Plan:
        """Read the active states of some calibrations into the run."""

        def read() -> None:
            for calib in calibs:
                run.states[calib] = []
            for calib, proof in self._proofs.ask(calibs).items():
                run.states[calib] = [read_state(calib, proof)]

        if calibs:
            run.silence(calibs)
            yield from _repeatable(msg, read)

    def _check_motion(self, run: Run, watches: Mapping[CalibrationData, LinkWatch]) -> None:
        """Check what the links did during an exposure."""
        for calib, watch in watches.items():
            self._policy.check_motion(run, calib, watch)

    def _renew(self, run: Run, msg: Msg, stream: str, calibs: Sequence[CalibrationData]) -> Plan:
        """Make bluesky record the next event of a stream with the active states; return whether it will."""
        for _ in range(_MAX_ATTEMPTS):
            yield from self._read_states(run, msg, calibs)
            for calib in calibs:
                self._policy.check(run, calib, run.states[calib][0])
            stale = [calib for calib in calibs if self._is_stale(run, stream, calib)]
            if not stale:
                return True
            if self._policy.renews_by_new_run:
                if not (yield from self._begin_again(run)):
                    return False
                continue
            devices = run.recorders(stale, stream) or run.recorders(stale)
            guarded = run.recorders(run.devices)
            try:
                needed = renewal(devices, guarded, run.streams, stream, per_stream=KEEPS_PER_STREAM)
            except RecordError as error:
                self._policy.fail_or_warn_unrecordable(error)
                return False
            if needed.create is not None:
                yield Msg("create", None, name=needed.create, run=msg.run)
                yield Msg("drop", run=msg.run)
            for device in dict.fromkeys(needed.configure):
                yield Msg("configure", device, {}, run=msg.run)
            run.mark_renewed(stream, stale)
        return True  # it keeps changing; the recorded event is verified at the end

    def _begin_again_before_files(self, run: Run, msg: Msg) -> Plan:
        """Begin the next part of a run before an exposure to files, which belongs to the part in which it begins."""
        calibs = list(run.devices)
        yield from self._read_states(run, msg, calibs)
        if any(self._is_stale(run, None, calib) for calib in calibs):
            yield from self._begin_again(run)

    def _begin_again(self, run: Run) -> Plan:
        """Close a run and open the next part, which reads the configuration of its devices again; return whether."""
        flying = ", ".join(calib.name for calib in run.fly_scans)
        problem = f"the frames of a fly scan of {flying} are not collected yet" if flying else self._staged.problem()
        if problem is not None:
            self._policy.fail_or_warn_unrecordable(RecordError(f"no new run can begin for the new geometry: {problem}"))
            return False
        self._verify(run)
        yield run.parts.closing
        yield from self._staged.restage()
        run.begin_again((yield run.parts.opening(run.uid)))
        yield from ensure_generator(run.parts.kept)
        return True

    def _is_stale(self, run: Run, stream: str | None, calib: CalibrationData) -> bool:
        """Check whether the run would record the next event of a stream with a state that is not active."""
        now = run.states[calib][0]
        if not run.is_recorded_as(calib, self._next_state(run, stream, calib), now):
            return True
        return self._policy.renews_by_new_run and self.record.has_other_start(run.uid, calib.name, now)

    def _next_state(self, run: Run, stream: str | None, calib: CalibrationData) -> CalibrationState:
        """Return the state with which bluesky would record the next event of a stream, of any if that is None."""
        described = self.record.newest(run.uid, stream, calib.name)
        cached = None if stream is None else run.cached_state(stream, calib)
        return described or cached or run.states[calib][0]

    def _has_changed(self, run: Run, stream: str, calibs: Sequence[CalibrationData]) -> bool:
        """Check whether the event that was read would be recorded with a state that is no longer active."""
        changed = False
        for calib, now in read_states(calibs):
            self._policy.check(run, calib, now)
            described, states = self._next_state(run, stream, calib), run.states[calib]
            # the status differs from the first one if bluesky repeated exposure and reading after a pause
            changed |= not run.has_same_geometry(calib, described, now)
            changed |= not described.has_status_of(states[0], run.moving)
            changed |= self._policy.renews_by_new_run and self.record.has_other_start(run.uid, calib.name, now)
            states.append(now)
        return changed

    def _verify(self, run: Run) -> None:
        """Check that the new events were recorded with states that were active; raises `RecordError`."""
        self._policy.read_links_of(run, self.record)
        for descriptor in self.record.take_event_descriptors(run.uid):
            stream = descriptor["name"]
            if stream not in run.streams and stream != DARK:
                self._refuse_unguarded(run, descriptor)
            for calib in run.calibrations_of(*run.streams.get(stream, ())):
                self._policy.check_recorded(run, calib, stream, recorded_state(descriptor, calib.name))

    def _refuse_unguarded(self, run: Run, descriptor: Mapping[str, Any]) -> None:
        """Refuse readings that another preprocessor adds after the guard."""
        names = ", ".join(calib.name for calib in run.devices if recorded_state(descriptor, calib.name) is not None)
        if names:
            raise RecordError(
                f"calibration_guard did not guard {names} in the stream {descriptor['name']}: append it to "
                "RE.preprocessors after the preprocessors that add readings, such as SupplementalData"
            )


def _repeatable(msg: Msg, act: Callable[[], None]) -> Plan:
    """Call a function in a message of its own: bluesky repeats it when it repeats messages after a pause."""
    failed: list[PonikeeperError] = []

    async def call() -> None:
        failed.clear()
        try:
            act()
        except PonikeeperError as error:
            failed.append(error)

    yield Msg("wait_for", None, [call], run=msg.run)
    if failed:
        raise failed[0]


def _objects(msg: Msg) -> list[Any]:
    """Return the devices of a message."""
    return [*([] if msg.obj is None else [msg.obj]), *msg.args]
