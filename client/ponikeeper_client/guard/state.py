"""What has to be the same in the IOC and in the record: which activation, of which revision, with which status."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ponikeeper_client.device import CalibrationData

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
