"""What the guard knows of one run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bluesky.utils import Msg

from ponikeeper_client._motion import LinkWatch
from ponikeeper_client.device import CalibrationData, calibrations
from ponikeeper_client.guard.state import State
from ponikeeper_client.guard.streams import KEEPS_PER_STREAM


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
