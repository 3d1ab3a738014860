"""What the guard knows of one run: the geometry now, what the documents recorded, and how streams are described again.

bluesky reads a device's configuration when the device is first read, keeps it, and describes streams by
what it keeps. Up to 1.14 it keeps it once for the run: a later stream is described by what is old,
unless the device was configured in between. From 1.15 on it keeps it for each stream; when a device is
configured it describes anew every stream that has it, out of what it keeps for the ONE stream that was
last begun, and ends in a KeyError where another stream has a device which that one does not have.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import bluesky
from bluesky.utils import Msg

from ponikeeper.errors import RecordError
from ponikeeper_client._motion import LinkWatch
from ponikeeper_client.device import CalibrationData, calibrations

Streams = Mapping[str, Collection[Any]]
"""What is read in each stream of a run."""

KEEPS_PER_STREAM = tuple(int(part) for part in bluesky.__version__.split(".")[:2]) >= (1, 15)


@dataclass(frozen=True, slots=True)
class Renewal:
    """What to do so that a run describes its streams anew.

    Parameters
    ----------
    begin
        The stream to begin first, and to drop again; None where that is not needed.
    configure
        Which devices to configure then.
    """

    begin: str | None
    configure: Collection[Any]


def renewal(
    stale: Collection[Any], guarded: Collection[Any], streams: Streams, stream: str, *, per_stream: bool
) -> Renewal:
    """Say how streams are described anew with the configuration of some devices.

    Parameters
    ----------
    stale
        The devices whose configuration has changed.
    guarded
        All whose configuration may have.
    stream
        In which an event comes next.
    per_stream
        Whether this bluesky keeps configurations for each stream.

    Raises
    ------
    RecordError
        This bluesky cannot.
    """
    if not per_stream:
        return Renewal(None, stale)
    touched = {name: objects for name, objects in streams.items() if any(each in objects for each in stale)}
    together = [each for objects in touched.values() for each in objects]
    named = sorted(streams, key=lambda name: name != stream)  # what an open stream has kept is renewed as well
    begin = next((name for name in named if all(each in streams[name] for each in together)), None)
    if begin is None:
        told = "; ".join(f"{name} {', '.join(each.name for each in objects)}" for name, objects in touched.items())
        raise RecordError(
            f"bluesky {bluesky.__version__} cannot record a new geometry in a run whose streams read different "
            f"devices ({told}): take one run for each geometry, or read all of them in one of the streams"
        )
    # of the others it may keep, for that stream, what was before a change that another stream recorded
    return Renewal(begin, [each for each in guarded if each in together] if len(touched) > 1 else stale)


_DOCUMENTS_OF_EVENTS = ("event", "event_page", "stream_datum")


@dataclass(frozen=True, slots=True)
class State:
    """One calibration, as it is in force or as it was recorded.

    Parameters
    ----------
    serial, uid
        Of the activation and of the revision; 0 and empty where there is none.
    status
        By its name.
    """

    serial: int
    uid: str
    status: str

    def has_geometry_of(self, other: "State") -> bool:
        """Tell whether both are the same activation of the same revision, whatever the status."""
        return (self.serial, self.uid) == (other.serial, other.uid)


def in_force(calib: CalibrationData) -> State:
    """Give what a run that reads the configuration now would record; raises as that does."""
    found = calib.read_configuration()
    serial, uid, status = (found[f"{calib.name}_{key}"]["value"] for key in ("serial", "revision_uid", "status"))
    return State(serial, uid, status)


def recorded(descriptor: Mapping[str, Any], calib: str) -> State | None:
    """Give what a descriptor recorded of a calibration, by its name; None where that is nothing."""
    for configured in (descriptor.get("configuration") or {}).values():
        data: Mapping[str, Any] = configured["data"]
        for joint in "_-":  # ophyd-async's
            if f"{calib}{joint}serial" in data:
                return State(*(data[f"{calib}{joint}{key}"] for key in ("serial", "revision_uid", "status")))
    return None


class Records:
    """A callback that remembers what the descriptors of a session recorded, and which of them events refer to."""

    def __init__(self) -> None:
        self._descriptors: dict[str, Mapping[str, Any]] = {}
        self._events: list[str] = []

    def __call__(self, name: str, document: Mapping[str, Any]) -> None:
        """Take a document."""
        if name == "descriptor":
            self._descriptors[document["uid"]] = document
        elif name in _DOCUMENTS_OF_EVENTS and document["descriptor"] in self._descriptors:
            self._events.append(document["descriptor"])
        elif name == "stop":
            run = document["run_start"]
            self._descriptors = {uid: one for uid, one in self._descriptors.items() if one["run_start"] != run}
            self._events = [uid for uid in self._events if uid in self._descriptors]

    def newest(self, run: str, stream: str | None, calib: str) -> State | None:
        """Give what was recorded last of a calibration in a stream of a run, in any stream where that is None."""
        for descriptor in reversed(self._descriptors.values()):
            if descriptor["run_start"] == run and stream in (None, descriptor.get("name")):
                found = recorded(descriptor, calib)
                if found is not None:
                    return found
        return None

    def streams(self, run: str, device: str) -> set[str]:
        """Name the streams of a run in which a device was recorded, by its name."""
        mine = [each for each in self._descriptors.values() if each["run_start"] == run]
        return {each["name"] for each in mine if device in (each.get("configuration") or {})}

    def take_events(self, run: str) -> Iterable[Mapping[str, Any]]:
        """Give the descriptors that events of a run referred to since this was asked last."""
        mine = [uid for uid in dict.fromkeys(self._events) if self._descriptors[uid]["run_start"] == run]
        self._events = [uid for uid in self._events if uid not in mine]
        return [self._descriptors[uid] for uid in mine]


@dataclass
class Event:
    """An event that is being read: its messages, so that it can be begun anew."""

    stream: str
    messages: list[Msg]

    @property
    def objects(self) -> list[Any]:
        """What was read."""
        return [msg.obj for msg in self.messages if msg.command == "read"]


@dataclass
class Flight:
    """A fly scan.

    Parameters
    ----------
    state
        What was in force when it began.
    ending
        Whether it was told to end, and by which group that is waited for.
    landed
        Whether that has come.
    """

    state: State
    ending: tuple[Any] | None = None
    landed: bool = False


@dataclass
class Run:
    """One open run.

    Parameters
    ----------
    only
        What to guard; None is each calibration that is met.
    devices
        The calibrations that were met, each with what records it: a detector, the calibration by itself.
    streams
        What was read in each stream.
    seen
        By calibration, what was in force since the last exposure ended.
    exposing
        By calibration, what was in force when the exposure began that is under way.
    before
        By calibration, what was in force when it was last judged.
    told
        By calibration, the status that was last warned of.
    """

    uid: str
    only: tuple[CalibrationData, ...] | None = None
    devices: dict[CalibrationData, list[Any]] = field(default_factory=dict)
    streams: dict[str, list[Any]] = field(default_factory=dict)
    seen: dict[CalibrationData, list[State]] = field(default_factory=dict)
    exposing: dict[CalibrationData, State] = field(default_factory=dict)
    before: dict[CalibrationData, State] = field(default_factory=dict)
    told: dict[CalibrationData, str] = field(default_factory=dict)
    watches: dict[CalibrationData, LinkWatch] = field(default_factory=dict)
    flights: dict[CalibrationData, Flight] = field(default_factory=dict)
    event: Event | None = None
    _kept: dict[tuple[str, CalibrationData], State] = field(default_factory=dict)
    _found: dict[Any, list[CalibrationData]] = field(default_factory=dict)

    def met(self, *objects: Any) -> list[CalibrationData]:
        """Give the guarded calibrations of some objects, and remember that the run has them."""
        for obj in objects:
            if obj not in self._found:
                found = calibrations(obj)
                self._found[obj] = [calib for calib in found if self.only is None or calib in self.only]
            for calib in self._found[obj]:
                known = self.devices.setdefault(calib, [])
                known += [obj] * (obj not in known)
        return [calib for obj in objects for calib in self._found[obj]]

    def recorders(self, calibs: Iterable[CalibrationData], stream: str | None = None) -> list[Any]:
        """Give what records some calibrations, of all that is read, or of a stream."""
        among = self.streams.get(stream, ()) if stream is not None else None
        found = [obj for calib in calibs for obj in self.devices[calib] if among is None or obj in among]
        return list(dict.fromkeys(found))

    def read(self, stream: str, objects: Iterable[Any]) -> None:
        """Remember that objects are read in a stream, and with what bluesky keeps of their configuration."""
        known = self.streams.setdefault(stream, [])
        known += [obj for obj in objects if obj not in known]
        for calib in self.met(*known):
            self._kept.setdefault(self._key(stream, calib), self.seen[calib][0])

    def renewed(self, stream: str, calibs: Iterable[CalibrationData]) -> None:
        """Remember that bluesky keeps for a stream what was seen last."""
        self._kept |= {self._key(stream, calib): self.seen[calib][0] for calib in calibs}

    def kept(self, stream: str, calib: CalibrationData) -> State | None:
        """Give what bluesky keeps, and describes a stream with that is new; None where it has read nothing."""
        return self._kept.get(self._key(stream, calib))

    def watch(self, calibs: Iterable[CalibrationData]) -> None:
        """Watch the links of some calibrations, from now on."""
        for calib in calibs:
            if calib in self.watches:
                self.watches.pop(calib).stop()
            watch = LinkWatch(calib)
            watch.start()
            self.watches[calib] = watch

    def stop_watches(self) -> Mapping[CalibrationData, LinkWatch]:
        """Watch no longer; gives what was watched."""
        watches, self.watches = self.watches, {}
        for watch in watches.values():
            watch.stop()
        return watches

    @staticmethod
    def _key(stream: str, calib: CalibrationData) -> tuple[str, CalibrationData]:
        return (stream if KEEPS_PER_STREAM else "", calib)
