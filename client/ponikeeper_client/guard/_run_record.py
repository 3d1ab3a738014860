"""Record of one run: the states that were active, what the documents recorded, and how streams are described again.

bluesky reads the configuration of a device when the device is first read, keeps it, and describes streams with
what it keeps. Up to 1.14 it keeps one configuration for the whole run: a later stream is described with the
old one unless the device was configured in between. From 1.15 on it keeps one for each stream. When a device is
configured, it describes every stream of the device again, but with the configurations of the stream that was
created last, and raises a KeyError if another stream has a device that this one does not have.
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import bluesky
from bluesky.utils import Msg

from ponikeeper.errors import RecordError
from ponikeeper.protocol import applies
from ponikeeper_client._motion import LinkWatch
from ponikeeper_client.device import CalibrationData, calibrations
from ponikeeper_client.documents import CALIBRATION_MD_SOURCE, matched_keys
from ponikeeper_client.guard._rest import HeldExposure
from ponikeeper_client.guard._run_parts import RunParts
from ponikeeper_client.guard._state import CalibrationState, recorded_pvs, recorded_state

Streams = Mapping[str, Collection[Any]]
"""The devices that are read in each stream of a run."""

KEEPS_PER_STREAM = tuple(int(part) for part in bluesky.__version__.split(".")[:2]) >= (1, 15)
"""Whether this bluesky keeps the configurations of devices for each stream."""

_DOCUMENTS_OF_EVENTS = ("event", "event_page", "stream_datum")


class DocumentRecord:
    """A callback that keeps the descriptors of the open runs, and which of them events refer to."""

    def __init__(self) -> None:
        self._sources: dict[str, Mapping[str, Any]] = {}  # of calibration_md, by run
        self._descriptors: dict[str, Mapping[str, Any]] = {}
        self._told: dict[tuple[str, str], frozenset[str] | None] = {}
        self._events: list[str] = []

    def __call__(self, name: str, document: Mapping[str, Any]) -> None:
        """Receive a document."""
        if name == "start" and CALIBRATION_MD_SOURCE in document:
            self._sources[document["uid"]] = document[CALIBRATION_MD_SOURCE]
        elif name == "descriptor":
            self._descriptors[document["uid"]] = document
        elif name in _DOCUMENTS_OF_EVENTS and document["descriptor"] in self._descriptors:
            self._events.append(document["descriptor"])
        elif name == "stop":
            run = document["run_start"]
            self._sources.pop(run, None)
            self._descriptors = {uid: one for uid, one in self._descriptors.items() if one["run_start"] != run}
            self._events = [uid for uid in self._events if uid in self._descriptors]
            self._told = {key: links for key, links in self._told.items() if key[0] in self._descriptors}

    def newest(self, run: str, stream: str | None, calib: str) -> CalibrationState | None:
        """Return the last recorded state of a calibration in a stream of a run, or in any stream if that is None."""
        for descriptor in reversed(self._descriptors.values()):
            if descriptor["run_start"] == run and stream in (None, descriptor.get("name")):
                state = recorded_state(descriptor, calib)
                if state is not None:
                    return state
        return None

    def has_other_start(self, run: str, calib: str, now: CalibrationState) -> bool:
        """Check whether ``calibration_md`` in the start document of a run is not that of a state, or is missing."""
        source = self._sources.get(run)
        if source is None or source["calib"] != calib:
            return False
        if not source["written"]:
            return applies(now.status)
        if (source["serial"], source["revision_uid"]) != (now.serial, now.uid):
            return True
        return applies(source["status"]) and not applies(now.status)

    def links_told(self, run: str, calib: str) -> frozenset[str]:
        """Return the names of the links that are read in each stream of a run in which a calibration is recorded."""
        mine = [each for each in self._descriptors.values() if each["run_start"] == run]
        told = [links for each in mine if (links := self._links_of(each, calib)) is not None]
        return frozenset.intersection(*told) if told else frozenset()

    def _links_of(self, descriptor: Mapping[str, Any], calib: str) -> frozenset[str] | None:
        """Return the names of the links that are read with a descriptor; None if it does not record the calibration."""
        key = descriptor["uid"], calib
        if key not in self._told:
            is_recorded = recorded_state(descriptor, calib) is not None
            links = matched_keys(descriptor["data_keys"], recorded_pvs(descriptor, calib)) if is_recorded else ()
            self._told[key] = frozenset(links) if is_recorded else None
        return self._told[key]

    def streams(self, run: str, device: str) -> set[str]:
        """Return the names of the streams of a run in which a device was recorded, by its name."""
        mine = [each for each in self._descriptors.values() if each["run_start"] == run]
        return {each["name"] for each in mine if device in (each.get("configuration") or {})}

    def take_event_descriptors(self, run: str) -> Iterable[Mapping[str, Any]]:
        """Return the descriptors to which events of a run referred since the last call."""
        mine = [uid for uid in dict.fromkeys(self._events) if self._descriptors[uid]["run_start"] == run]
        self._events = [uid for uid in self._events if uid not in mine]
        return [self._descriptors[uid] for uid in mine]


@dataclass(frozen=True, slots=True)
class Renewal:
    """What makes a run describe its streams again.

    Parameters
    ----------
    create
        The stream to create and drop first; None if that is not needed.
    configure
        The devices to configure after that.
    """

    create: str | None
    configure: Collection[Any]


def renewal(
    stale: Collection[Any], guarded: Collection[Any], streams: Streams, stream: str, *, per_stream: bool
) -> Renewal:
    """Decide how to describe streams with the new configuration of some devices. Pure.

    Parameters
    ----------
    stale
        The devices whose configuration has changed.
    guarded
        All devices with a guarded calibration.
    streams
        The devices of each open stream.
    stream
        The stream of the next event.
    per_stream
        Whether this bluesky keeps configurations for each stream.

    Returns
    -------
    Renewal
        The messages that are needed.

    Raises
    ------
    RecordError
        This bluesky cannot do it.
    """
    if not per_stream:
        return Renewal(None, stale)
    touched = {name: objects for name, objects in streams.items() if any(each in objects for each in stale)}
    together = [each for objects in touched.values() for each in objects]
    ordered = sorted(streams, key=lambda name: name != stream)  # creating an open stream renews what it keeps
    create = next((name for name in ordered if all(each in streams[name] for each in together)), None)
    if create is None:
        names = "; ".join(f"{name}: {', '.join(each.name for each in objects)}" for name, objects in touched.items())
        raise RecordError(
            f"bluesky {bluesky.__version__} cannot record a new geometry in a run whose streams read different "
            f"devices ({names}): take one run for each geometry, or read all of them in one of the streams"
        )
    # for the other devices, the stream may still keep the state before a change that another stream recorded
    return Renewal(create, [each for each in guarded if each in together] if len(touched) > 1 else stale)


@dataclass
class PendingEvent:
    """An event that is being read, with its messages, so that it can be read again."""

    stream: str
    messages: list[Msg]

    @property
    def objects(self) -> list[Any]:
        """The devices that were read."""
        return [msg.obj for msg in self.messages if msg.command == "read"]


@dataclass
class FlyScan:
    """A fly scan.

    Parameters
    ----------
    state
        The active state when it began.
    completing
        The group of its ``complete`` message, in a tuple; None before that message.
    completed
        Whether that group has been waited for.
    """

    state: CalibrationState
    completing: tuple[Any] | None = None
    completed: bool = False


@dataclass
class Run:
    """One open run.

    Parameters
    ----------
    uid
        Uid of the start document.
    guarded
        The calibrations to guard; None guards each one that is read.
    devices
        The calibrations of the run, each with the devices that record it: a detector, or the calibration itself.
    streams
        The devices that are read in each stream.
    states
        The states of each calibration that were active since the end of the last exposure.
    exposing
        The state of each calibration at the start of the current exposure.
    last_checked
        The state of each calibration at its last check.
    warned_status
        The last status of each calibration for which a warning was logged.
    watches
        The link watches of the current exposure.
    fly_scans
        The fly scans whose frames are not collected yet.
    monitored
        The calibrations of monitored devices whose events do not have serial and status, each with its device.
    parts
        How it is closed and continued where each geometry gets a run of its own.
    event
        The event that is being read.
    rested
        The calibrations whose links were waited for before their first exposure.
    checked_names
        The calibrations whose links were compared with the names in `moving`.
    held
        The first exposure while a link moves, held back until it is known whether it is a dark frame.
    moving
        Names of the links of which each event tells where they are, because they are moved on purpose.
    told
        Names of the links that are read with each event, by calibration.
    warned_untold
        The calibrations for which it was logged that no event tells where their links are.
    """

    uid: str
    guarded: tuple[CalibrationData, ...] | None = None
    moving: frozenset[str] = frozenset()
    parts: RunParts = field(default_factory=lambda: RunParts(Msg("open_run")))
    told: dict[CalibrationData, frozenset[str]] = field(default_factory=dict)
    warned_untold: set[CalibrationData] = field(default_factory=set)
    devices: dict[CalibrationData, list[Any]] = field(default_factory=dict)
    streams: dict[str, list[Any]] = field(default_factory=dict)
    states: dict[CalibrationData, list[CalibrationState]] = field(default_factory=dict)
    exposing: dict[CalibrationData, CalibrationState] = field(default_factory=dict)
    last_checked: dict[CalibrationData, CalibrationState] = field(default_factory=dict)
    warned_status: dict[CalibrationData, str] = field(default_factory=dict)
    watches: dict[CalibrationData, LinkWatch] = field(default_factory=dict)
    fly_scans: dict[CalibrationData, FlyScan] = field(default_factory=dict)
    monitored: dict[CalibrationData, Any] = field(default_factory=dict)
    event: PendingEvent | None = None
    rested: set[CalibrationData] = field(default_factory=set)
    checked_names: set[CalibrationData] = field(default_factory=set)
    held: HeldExposure | None = None
    _silenced: dict[CalibrationData, ExitStack] = field(default_factory=dict)
    _cached_states: dict[tuple[str, CalibrationData], CalibrationState] = field(default_factory=dict)
    _calibrations: dict[Any, list[CalibrationData]] = field(default_factory=dict)

    def calibrations_of(self, *objects: Any) -> list[CalibrationData]:
        """Return the guarded calibrations of some devices, and add them to the run."""
        for obj in objects:
            if obj not in self._calibrations:
                own = calibrations(obj)
                self._calibrations[obj] = [calib for calib in own if self.guarded is None or calib in self.guarded]
            for calib in self._calibrations[obj]:
                known = self.devices.setdefault(calib, [])
                known += [obj] * (obj not in known)
        return [calib for obj in objects for calib in self._calibrations[obj]]

    def has_same_geometry(self, calib: CalibrationData, one: CalibrationState, other: CalibrationState) -> bool:
        """Check whether the events of two states of a calibration have one geometry, or one model and its links."""
        return one.has_geometry_of(other, self.moving | self.told.get(calib, frozenset()))

    def is_recorded_as(self, calib: CalibrationData, one: CalibrationState, other: CalibrationState) -> bool:
        """Check whether the events of two states of a calibration belong to one descriptor."""
        return self.has_same_geometry(calib, one, other) and one.has_status_of(other, self.moving)

    def silence(self, calibs: Iterable[CalibrationData]) -> None:
        """Keep some devices from warning of their status until the end of the run: the guard does."""
        for calib in calibs:
            if calib not in self._silenced:
                self._silenced[calib] = ExitStack()
                self._silenced[calib].enter_context(calib.status_warnings.silenced())

    def end(self) -> None:
        """Stop the link watches; from then on the devices warn of their status again."""
        self.stop_watches()
        self.forget_motion()
        for silenced in self._silenced.values():
            silenced.close()
        self._silenced.clear()

    def forget_motion(self) -> None:
        """Record the next event with what the IOC says, since the motion belongs to the last one."""
        for calib in self.devices:
            calib.exposure_motion.clear()

    def begin_again(self, uid: str) -> None:
        """Go on as the next run: bluesky has described no stream, and reads each configuration again."""
        self.uid = uid
        self._cached_states.clear()

    def recorders(self, calibs: Iterable[CalibrationData], stream: str | None = None) -> list[Any]:
        """Return the devices that record some calibrations, in the whole run or in one stream."""
        among = self.streams.get(stream, ()) if stream is not None else None
        devices = [obj for calib in calibs for obj in self.devices[calib] if among is None or obj in among]
        return list(dict.fromkeys(devices))

    def add_reading(self, stream: str, objects: Iterable[Any]) -> None:
        """Add devices that are read in a stream, and the states that bluesky keeps of them."""
        known = self.streams.setdefault(stream, [])
        known += [obj for obj in objects if obj not in known]
        for calib in self.calibrations_of(*known):
            self._cached_states.setdefault(self._key(stream, calib), self.states[calib][0])

    def mark_renewed(self, stream: str, calibs: Iterable[CalibrationData]) -> None:
        """Replace the states that bluesky keeps for a stream by the active ones."""
        self._cached_states |= {self._key(stream, calib): self.states[calib][0] for calib in calibs}

    def cached_state(self, stream: str, calib: CalibrationData) -> CalibrationState | None:
        """Return the state with which bluesky would describe a new stream; None if it has read nothing yet."""
        return self._cached_states.get(self._key(stream, calib))

    def watch(self, calibs: Iterable[CalibrationData]) -> None:
        """Start to watch the links of some calibrations."""
        for calib in calibs:
            if calib in self.watches:
                self.watches.pop(calib).stop()
            watch = LinkWatch(calib)
            watch.start()
            self.watches[calib] = watch

    def stop_watches(self) -> Mapping[CalibrationData, LinkWatch]:
        """Stop and return the link watches."""
        watches, self.watches = self.watches, {}
        for watch in watches.values():
            watch.stop()
        return watches

    @staticmethod
    def _key(stream: str, calib: CalibrationData) -> tuple[str, CalibrationData]:
        return (stream if KEEPS_PER_STREAM else "", calib)
