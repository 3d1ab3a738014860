"""What the guard compares of a calibration: as it is read, and as a descriptor recorded it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from ponikeeper.protocol import applies
from ponikeeper.protocol.links import links_of
from ponikeeper.protocol.status import BY_LINKS
from ponikeeper.text.strictjson import loads
from ponikeeper_client.device import CalibrationData, proofs
from ponikeeper_client.documents import recorded_model


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


def read_state(calib: CalibrationData, proof: Any = None) -> CalibrationState:
    """Read the state that a run would record now; raises as `CalibrationData.read_configuration`.

    Parameters
    ----------
    calib
        The calibration.
    proof
        What `proofs` got for it just now; None asks the IOC.

    Returns
    -------
    CalibrationState
    """
    configuration = calib.recorded_values(proof)
    return _state(*(configuration[f"{calib.name}_{key}"]["value"] for key in _KEYS))


def read_states(calibs: Sequence[CalibrationData]) -> Iterator[tuple[CalibrationData, CalibrationState]]:
    """Yield the state of each calibration as `read_state` does; all IOCs are asked in one round trip."""
    for calib, proof in proofs(calibs).items():
        yield calib, read_state(calib, proof)


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
