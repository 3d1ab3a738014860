"""What the guard does about each message of a plan."""

import logging
import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bluesky.protocols import WritesExternalAssets
from bluesky.utils import Msg, ensure_generator
from ophyd import Device

from ponikeeper.errors import NotConnectedError, PonikeeperError, RecordError
from ponikeeper_client.device import CalibrationData, calibrations
from ponikeeper_client.fresh import wait_for
from ponikeeper_client.guard.concern import OF_LINKS, concern, off_links, unknown_links
from ponikeeper_client.guard.state import Records, State, in_force, recorded
from ponikeeper_client.guard.streams import KEEPS_PER_STREAM, renewal
from ponikeeper_client.motion import LinkWatch, moves

Plan = Generator[Msg, Any, Any]
OnChange = Literal["new_descriptor", "fail", "warn"]
OnStatus = Literal["warn", "fail"]

_DARK = "dark"
"""The stream that is exempt: a dark frame has no geometry."""

_AGREEMENT = 0.1
"""Seconds for which the links may lag behind the status."""

_TRIES = 5
"""How often a geometry may change while one event is recorded."""

_log = logging.getLogger("ponikeeper_client.guard")


@dataclass
class _Event:
    """An event that is being read: its messages, so that it can be begun anew."""

    stream: str
    messages: list[Msg]

    @property
    def objects(self) -> list[Any]:
        return [msg.obj for msg in self.messages if msg.command == "read"]


@dataclass
class _Run:
    """One open run.

    Parameters
    ----------
    exempt
        Whether it is left alone.
    devices
        The calibrations that were met, each with the device that records it.
    streams
        What was read in each stream.
    kept
        By stream and calibration, what bluesky read of it first.
    seen
        By calibration, what was in force since the last exposure ended.
    exposing
        By calibration, what was in force when the exposure began that is under way.
    before
        By calibration, what was in force when it was last judged.
    """

    uid: str
    exempt: bool
    devices: dict[CalibrationData, Device] = field(default_factory=dict)
    streams: dict[str, list[Any]] = field(default_factory=dict)
    kept: dict[tuple[str, CalibrationData], State] = field(default_factory=dict)
    seen: dict[CalibrationData, list[State]] = field(default_factory=dict)
    exposing: dict[CalibrationData, State] = field(default_factory=dict)
    before: dict[CalibrationData, State] = field(default_factory=dict)
    told: dict[CalibrationData, str] = field(default_factory=dict)
    watches: dict[CalibrationData, LinkWatch] = field(default_factory=dict)
    flown: dict[CalibrationData, State] = field(default_factory=dict)
    event: _Event | None = None


class Guard:
    """Sees every message of a plan before bluesky does; parameters as `calibration_guard`.

    Attributes
    ----------
    records
        Has to be given every document.
    """

    def __init__(
        self,
        calibs: tuple[CalibrationData, ...] | None,
        on_change: OnChange,
        on_status: OnStatus,
        moving: tuple[str, ...],
    ) -> None:
        self._calibs, self._on_change, self._on_status, self._moving = calibs, on_change, on_status, moving
        self._runs: dict[Any, _Run] = {}
        self._found: dict[Any, tuple[CalibrationData, ...]] = {}
        self.records = Records()

    def handle(self, msg: Msg) -> Plan:
        """Pass a message on, with what has to come before and after it; gives its answer."""
        if msg.command == "open_run":
            uid = yield msg
            self._runs[msg.run] = _Run(uid, msg.kwargs.get("plan_name") == "calibrate")
            return uid
        run = self._runs.get(msg.run)
        handler = None if run is None or run.exempt else getattr(self, f"_{msg.command}", None)
        if handler is not None:
            return (yield from handler(run, msg))
        if msg.command == "close_run":
            self._runs.pop(msg.run, None)
        return (yield msg)

    def end(self) -> None:
        """Watch no longer."""
        for run in self._runs.values():
            for watch in run.watches.values():
                watch.stop()

    def _close_run(self, run: _Run, msg: Msg) -> Plan:
        del self._runs[msg.run]
        if msg.kwargs.get("exit_status") in (None, "success"):
            self._verify(run)
            for calib in run.seen:  # by now it may have been moved away, which nothing was exposed at
                try:
                    self._judge_change(run, calib, in_force(calib))
                except NotConnectedError as error:
                    if calib in run.flown:
                        raise
                    _log.warning("%s: %s; what was recorded was in force", calib.name, error)
                self._require_flown(run, calib)
        return (yield msg)

    def _trigger(self, run: _Run, msg: Msg) -> Plan:
        for calib in self._met(run, msg.obj):  # judged when it is known that it is no dark frame
            run.exposing[calib] = in_force(calib)
            if calib not in run.watches:
                run.watches[calib] = LinkWatch(calib)
                run.watches[calib].start()
        return (yield msg)

    def _declare_stream(self, run: _Run, msg: Msg) -> Plan:
        calibs = [calib for obj in msg.args for calib in self._met(run, obj)]
        yield from self._note(run, msg, calibs)
        answer = yield msg
        self._keep(run, msg.kwargs["name"], msg.args)
        return answer

    def _create(self, run: _Run, msg: Msg) -> Plan:
        stream = msg.kwargs["name"] if "name" in msg.kwargs else msg.args[0]
        exposing, run.exposing = run.exposing, {}
        watches, run.watches = run.watches, {}
        for watch in watches.values():
            watch.stop()
        if stream == _DARK:
            return (yield msg)
        self._require_links(run)
        for calib, state in exposing.items():
            self._judge(run, calib, state)
        objects = run.streams.get(stream)
        calibs = list(run.devices) if objects is None else [each for obj in objects for each in self._met(run, obj)]
        yield from self._renewed(run, msg, stream, calibs)
        for calib, watch in watches.items():
            moved = [text for name, text in moves(watch.seen).items() if name not in self._moving]
            self._complain(calib, "; ".join(moved))
        run.event = _Event(stream, [msg])
        return (yield msg)

    def _read(self, run: _Run, msg: Msg) -> Plan:
        if run.event is not None:
            run.event.messages.append(msg)
            unseen = [calib for calib in self._met(run, msg.obj) if calib not in run.seen]
            yield from self._note(run, msg, unseen)
            for calib in unseen:
                self._judge(run, calib, run.seen[calib][0])
            self._keep(run, run.event.stream, [msg.obj])
        return (yield msg)

    def _drop(self, run: _Run, msg: Msg) -> Plan:
        run.event = None
        return (yield msg)

    def _save(self, run: _Run, msg: Msg) -> Plan:
        event, run.event = run.event, None
        if event is None:
            return (yield msg)
        calibs = [calib for obj in event.objects for calib in self._met(run, obj)]
        for _ in range(_TRIES):
            changed = []
            for calib in calibs:
                now = in_force(calib)
                self._judge(run, calib, now)
                if not self._recorded(run, event.stream, calib).has_geometry_of(now):
                    changed.append(calib)
                    run.seen[calib].append(now)
            # files that were told of while it was read would be lost with it; their exposure was over before the change
            if not changed or any(isinstance(obj, WritesExternalAssets) for obj in event.objects):
                break
            yield Msg("drop", run=msg.run)
            yield from self._renewed(run, msg, event.stream, calibs)
            yield from ensure_generator(event.messages)
        answer = yield msg
        self._verify(run)
        return answer

    def _kickoff(self, run: _Run, msg: Msg) -> Plan:
        calibs = self._met(run, msg.obj)
        streams = [name for name, objects in run.streams.items() if msg.obj in objects]
        if calibs:
            yield from self._renewed(run, msg, streams[0] if streams else "", calibs)
            run.flown |= {calib: run.seen[calib][0] for calib in calibs}
        return (yield msg)

    def _collect(self, run: _Run, msg: Msg) -> Plan:
        for calib in [calib for obj in (msg.obj, *msg.args) for calib in self._met(run, obj)]:
            self._judge(run, calib, in_force(calib))
            self._require_flown(run, calib)
        answer = yield msg
        self._verify(run)
        return answer

    def _met(self, run: _Run, obj: Any) -> Sequence[CalibrationData]:
        """Give the guarded calibrations of an object, and remember that the run has them."""
        if obj not in self._found:
            self._found[obj] = tuple(
                calib for calib in calibrations(obj) if self._calibs is None or calib in self._calibs
            )
        for calib in self._found[obj]:
            run.devices.setdefault(calib, obj)
        return self._found[obj]

    def _keep(self, run: _Run, stream: str, objects: Iterable[Any]) -> None:
        """Remember what bluesky keeps of the devices of a stream."""
        known = run.streams.setdefault(stream, [])
        known += [obj for obj in objects if obj not in known]
        for calib in [calib for obj in known for calib in self._met(run, obj)]:
            run.kept.setdefault((stream if KEEPS_PER_STREAM else "", calib), run.seen[calib][0])

    def _note(self, run: _Run, msg: Msg, calibs: Sequence[CalibrationData]) -> Plan:
        """Look at what is in force, in a message of its own: where a pause has bluesky do messages again, this too."""
        if not calibs:
            return
        failed: list[PonikeeperError] = []

        async def look() -> None:
            failed.clear()
            for calib in calibs:
                run.seen[calib] = []
                try:
                    run.seen[calib] = [in_force(calib)]
                except PonikeeperError as error:
                    failed.append(error)

        yield Msg("wait_for", None, [look], run=msg.run)
        if failed:
            raise failed[0]

    def _renewed(self, run: _Run, msg: Msg, stream: str, calibs: Sequence[CalibrationData]) -> Plan:
        """Have the stream described by what is in force."""
        for _ in range(_TRIES):
            yield from self._note(run, msg, calibs)
            for calib in calibs:
                self._judge(run, calib, run.seen[calib][0])
            stale = [calib for calib in calibs if self._recorded(run, stream, calib) != run.seen[calib][0]]
            if not stale:
                return
            try:
                how = renewal(
                    [run.devices[calib] for calib in stale], list(run.devices.values()), run.streams, stream,
                    per_stream=KEEPS_PER_STREAM,
                )  # fmt: skip
            except RecordError as error:
                self._object(error)
                return
            if how.begin is not None:
                yield Msg("create", None, name=how.begin, run=msg.run)
                yield Msg("drop", run=msg.run)
            for device in dict.fromkeys(how.configure):
                yield Msg("configure", device, {}, run=msg.run)
            for calib in stale:
                run.kept[(stream if KEEPS_PER_STREAM else "", calib)] = run.seen[calib][0]

    def _recorded(self, run: _Run, stream: str, calib: CalibrationData) -> State:
        """Give with what the next event of a stream would be recorded; what is in force where it is new."""
        described = self.records.newest(run.uid, stream, calib.name)
        kept = run.kept.get((stream if KEEPS_PER_STREAM else "", calib))
        return described or kept or run.seen[calib][0]

    def _verify(self, run: _Run) -> None:
        """See that events were recorded with what was in force.

        Raises
        ------
        RecordError
            One was not.
        """
        for descriptor in self.records.take_events():
            objects = run.streams.get(descriptor["name"], ()) if descriptor["run_start"] == run.uid else ()
            for calib in [calib for obj in objects for calib in self._met(run, obj)]:
                found, seen = recorded(descriptor, calib.name), run.seen.get(calib)
                if found is not None and seen and not any(found.has_geometry_of(state) for state in seen):
                    self._object(
                        RecordError(
                            f"{calib.name}: an event of the stream {descriptor['name']} was recorded with serial "
                            f"{found.serial}, while serial {seen[-1].serial} was in force: what was exposed before a "
                            "pause is not to be used; take the run again"
                        )
                    )

    def _judge(self, run: _Run, calib: CalibrationData, now: State) -> None:
        """Compare with what was in force before, and with what should be.

        Raises
        ------
        RecordError
            The run is to fail.
        """
        self._judge_change(run, calib, now)
        if now.status == "VALID":
            run.told.pop(calib, None)
        elif self._on_status == "fail" or run.told.get(calib) != now.status:
            run.told[calib] = now.status
            self._complain(calib, self._concern(calib, now.status))

    def _judge_change(self, run: _Run, calib: CalibrationData, now: State) -> None:
        before = run.before.setdefault(calib, now)
        if now.has_geometry_of(before):
            return
        run.before[calib] = now
        change = f"{calib.name}: the geometry changed during the run, from serial {before.serial} to {now.serial}"
        if self._on_change == "fail":
            raise RecordError(f"{change}: on_change is fail; take the run again")
        _log.log(logging.WARNING if self._on_change == "warn" else logging.INFO, "%s", change)

    def _concern(self, calib: CalibrationData, status: str) -> str | None:
        try:
            reason = calib.read_snapshot().reason
            links = calib.read_links()
        except NotConnectedError as error:
            return concern(status, str(error), (), self._moving)
        if self._moving and status in OF_LINKS:
            wait_for(lambda: off_links(calib.read_links()), time.monotonic() + _AGREEMENT)
            links = calib.read_links()
        return concern(status, reason, links, self._moving)

    def _complain(self, calib: CalibrationData, problem: str | None) -> None:
        if not problem:
            return
        if self._on_status == "fail":
            raise RecordError(f"{calib.name}: {problem}; on_status is fail")
        _log.warning("%s: %s", calib.name, problem)

    def _object(self, error: RecordError) -> None:
        """Fail the run, or warn where nothing else is wanted."""
        if self._on_change != "warn":
            raise error
        _log.warning("%s", error)

    def _require_flown(self, run: _Run, calib: CalibrationData) -> None:
        """See that what flies has met one geometry.

        Raises
        ------
        RecordError
            It has met two: which frame belongs to which is not known.
        """
        began, now = run.flown.get(calib), run.before.get(calib)
        if began is not None and now is not None and not now.has_geometry_of(began):
            self._object(
                RecordError(
                    f"{calib.name}: the geometry changed from serial {began.serial} to {now.serial} during a fly scan: "
                    "which frames belong to which is not known; take the run again"
                )
            )

    def _require_links(self, run: _Run) -> None:
        """See that what is declared to move can move; raises `ValueError`."""
        if self._moving and run.devices:
            problem = unknown_links(self._moving, [link for calib in run.devices for link in calib.read_links()])
            if problem is not None:
                raise ValueError(problem)
