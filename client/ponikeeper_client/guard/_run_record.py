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
from functools import lru_cache
from typing import Any, cast

import bluesky
from bluesky.utils import Msg

from ponikeeper.errors import RecordError
from ponikeeper.protocol import applies
from ponikeeper.protocol.links import links_of
from ponikeeper.protocol.status import BY_LINKS
from ponikeeper.text.strictjson import loads
from ponikeeper_client._motion import LinkWatch
from ponikeeper_client.device import CalibrationData, calibrations
from ponikeeper_client.documents import matched_keys, recorded_model
from ponikeeper_client.guard._rest import HeldExposure

Streams = Mapping[str, Collection[Any]]
"""The devices that are read in each stream of a run."""

KEEPS_PER_STREAM = tuple(int(part) for part in bluesky.__version__.split(".")[:2]) >= (1, 15)
"""Whether this bluesky keeps the configurations of devices for each stream."""

_DOCUMENTS_OF_EVENTS = ("event", "event_page", "stream_datum")


@dataclass(frozen=True, slots=True)
class CalibrationState:
    """The activation, revision and status of a calibration, and what it says of links, as read or as recorded.

    Parameters
    ----------
    serial
        Serial number of the activation; 0 if there is none.
    uid
        Uid of the revision; empty if there is none.
    status
        Name of the status.
    out_of_service
        Names of the links that are out of service: the status says nothing about them.
    joints
        Where a model is active: the values of its links for which it gave the geometry, in the order of their names.
    displaced
        Names of the links because of which the status does not apply; empty where there is another reason, too.
    """

    serial: int
    uid: str
    status: str
    out_of_service: frozenset[str] = frozenset()
    joints: tuple[tuple[str, float], ...] = ()
    displaced: frozenset[str] = frozenset()

    def has_geometry_of(self, other: "CalibrationState", travelling: Collection[str] = ()) -> bool:
        """Check whether both are the same activation of the same revision, whatever the status.

        Parameters
        ----------
        other
            Another state of the same calibration.
        travelling
            Names of links that each event tells: what one model gives for other values of these is the same.

        Returns
        -------
        bool
        """
        if (self.serial, self.uid) == (other.serial, other.uid):
            return True
        joints = [[link for link, _ in each.joints] for each in (self, other)]
        if self.uid != other.uid or joints[0] != joints[1] or set(joints[0]).isdisjoint(travelling):
            return False
        return self._others(travelling) == other._others(travelling)

    def has_status_of(self, other: "CalibrationState", moving: Collection[str] = ()) -> bool:
        """Check whether both have the same status, which says something about the same links.

        Parameters
        ----------
        other
            Another state of the same calibration.
        moving
            Names of links that are moved on purpose: as long as a model has them, the motion of these does not count.

        Returns
        -------
        bool
        """
        if self.out_of_service != other.out_of_service:
            return False
        travels = (self._travels(moving), other._travels(moving))
        return self.status == other.status or (any(travels) and all(map(_applies_or, (self, other), travels)))

    def may_stand_for(self, other: "CalibrationState", moving: Collection[str]) -> bool:
        """Check whether a geometry that applied stands for a state: it applies, or only its joints move on purpose."""
        return applies(other.status) or self.has_status_of(other, moving)

    def _others(self, travelling: Collection[str]) -> list[tuple[str, float]]:
        return [(link, value) for link, value in self.joints if link not in travelling]

    def _travels(self, moving: Collection[str]) -> bool:
        joints = {link for link, _ in self.joints}
        return bool(self.displaced) and self.displaced <= joints.intersection(moving)


def _applies_or(state: CalibrationState, travels: bool) -> bool:
    return travels or applies(state.status)


def read_state(calib: CalibrationData) -> CalibrationState:
    """Read the state that a run would record now; raises as `CalibrationData.read_configuration`."""
    configuration = calib.recorded_values()
    return _state(*(configuration[f"{calib.name}_{key}"]["value"] for key in _KEYS))


def recorded_state(descriptor: Mapping[str, Any], calib: str) -> CalibrationState | None:
    """Return the state of a calibration in a descriptor, by its name; None if it is not recorded there."""
    values = _recorded_values(descriptor, calib)
    return None if values is None else _state(*values)


def recorded_pvs(descriptor: Mapping[str, Any], calib: str) -> Mapping[str, str]:
    """Return the PV of each link that a descriptor recorded with a calibration, by the name of the link."""
    values = _recorded_values(descriptor, calib)
    return {} if values is None else _pvs(values[_KEYS.index("link_states")])


def _recorded_values(descriptor: Mapping[str, Any], calib: str) -> list[Any] | None:
    """Return what a descriptor recorded of `_KEYS`."""
    for configuration in (descriptor.get("configuration") or {}).values():
        data: Mapping[str, Any] = configuration["data"]
        for joint in "_-":  # ophyd, ophyd-async
            keys = [f"{calib}{joint}{key}" for key in _KEYS]
            if all(key in data for key in keys):  # a signal such as calib.serial records itself only
                return [data[key] for key in keys]
    return None


_KEYS = ("serial", "revision_uid", "status", "link_states", "model", "findings")
"""The recorded values of which a `CalibrationState` is made."""


@lru_cache(maxsize=64)
def _state(serial: int, uid: str, status: str, links: str, model: str, findings: str) -> CalibrationState:
    recorded = recorded_model(model)
    joints = {} if recorded is None or recorded.problem else recorded.joints
    displaced = _displaced(status, findings, joints) if joints else frozenset[str]()
    return CalibrationState(serial, uid, status, _out_of_service(links), tuple(sorted(joints.items())), displaced)


def _displaced(status: str, findings: str, joints: Collection[str]) -> frozenset[str]:
    """Return the links that the findings against a geometry are about; empty where one is about something else.

    A finding without a link says that the geometry is that of another position of the joints.
    """
    if status not in BY_LINKS:
        return frozenset()
    rows = cast("list[dict[str, str]]", loads(findings or "[]"))
    against = [finding for finding in rows if not applies(finding["status"])]
    if not all(finding["status"] in BY_LINKS for finding in against):
        return frozenset()
    return frozenset(link for finding in against for link in ([finding["link"]] if finding["link"] else joints))


def _out_of_service(rows: str) -> frozenset[str]:
    """Return the names of the links out of service, from the recorded links; empty where these are not known."""
    links = links_of(loads(rows)) if rows else ()
    return frozenset(link.name for link in links if link.out_of_service is not None)


@lru_cache(maxsize=64)
def _pvs(rows: str) -> Mapping[str, str]:
    return {link.name: link.pv for link in links_of(loads(rows))} if rows else {}


class DocumentRecord:
    """A callback that keeps the descriptors of the open runs, and which of them events refer to."""

    def __init__(self) -> None:
        self._descriptors: dict[str, Mapping[str, Any]] = {}
        self._events: list[str] = []

    def __call__(self, name: str, document: Mapping[str, Any]) -> None:
        """Receive a document."""
        if name == "descriptor":
            self._descriptors[document["uid"]] = document
        elif name in _DOCUMENTS_OF_EVENTS and document["descriptor"] in self._descriptors:
            self._events.append(document["descriptor"])
        elif name == "stop":
            run = document["run_start"]
            self._descriptors = {uid: one for uid, one in self._descriptors.items() if one["run_start"] != run}
            self._events = [uid for uid in self._events if uid in self._descriptors]

    def newest(self, run: str, stream: str | None, calib: str) -> CalibrationState | None:
        """Return the last recorded state of a calibration in a stream of a run, or in any stream if that is None."""
        for descriptor in reversed(self._descriptors.values()):
            if descriptor["run_start"] == run and stream in (None, descriptor.get("name")):
                state = recorded_state(descriptor, calib)
                if state is not None:
                    return state
        return None

    def links_told(self, run: str, calib: str) -> frozenset[str]:
        """Return the names of the links that are read in each stream of a run in which a calibration is recorded."""
        told = [
            frozenset(matched_keys(descriptor["data_keys"], recorded_pvs(descriptor, calib)))
            for descriptor in self._descriptors.values()
            if descriptor["run_start"] == run and recorded_state(descriptor, calib) is not None
        ]
        return frozenset.intersection(*told) if told else frozenset()

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
    """

    uid: str
    guarded: tuple[CalibrationData, ...] | None = None
    moving: frozenset[str] = frozenset()
    told: dict[CalibrationData, frozenset[str]] = field(default_factory=dict)
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
