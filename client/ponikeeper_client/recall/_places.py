"""Where the links of a model were when an event was read, and whether the recorded geometry is that of there. Pure.

A descriptor has what the model gave for one position; its events may have been read at others.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from ponikeeper.errors import GeometryError, ModelError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.kinematics import AnyJoint
from ponikeeper.geometry.parameters import PARAMETERS
from ponikeeper.protocol.models import STEP_PX, shift_px
from ponikeeper_client.documents import Calibration, RecordedModel, in_units_of_joint
from ponikeeper_client.recall._runs import Event

AGREEMENT = 1e-12
"""Largest difference of a recorded geometry from what its model gives here (m, rad; of a wavelength, relative)."""

ELSEWHERE = "{} for another position than that of the event: geometries(run) returns the geometry of each event"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the links of a model were.

    Parameters
    ----------
    values
        The value of each link, in the units of the model.
    problem
        Why that is not known; empty where it is.
    """

    values: Mapping[str, float] = field(default_factory=dict[str, float])
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of the events of one descriptor that have the positions of a model's links.

    Parameters
    ----------
    model
        The model.
    keys
        The data key of each link that has one.
    data_keys
        Of the descriptor.
    travelling
        Names of the links that were moved without a new descriptor: only a column tells where they were.
    read_by_ioc
        Names of the links whose column has the PV that the IOC read, and whose units it knew.
    """

    model: RecordedModel
    keys: Mapping[str, str]
    data_keys: Mapping[str, Mapping[str, Any]]
    travelling: Collection[str] = ()
    read_by_ioc: Collection[str] = ()

    @classmethod
    def of(
        cls,
        calibration: Calibration,
        descriptor: Mapping[str, Any],
        travelling: Collection[str],
        given: Mapping[str, str],
    ) -> "Columns | None":
        """Find the columns of a calibration.

        Parameters
        ----------
        calibration, descriptor
            What the descriptor recorded, and the descriptor.
        travelling
            As for the class.
        given
            Data keys by link that the user gives.

        Returns
        -------
        Columns or None
            None where no model was active.
        """
        model, data_keys = calibration.model(), descriptor.get("data_keys") or {}
        if model is None:
            return None
        matched, links = calibration.position_keys(data_keys), calibration.status_record().links or ()
        known = {link.name for link in links if link.value is not None and link.error is None}
        keys = {**matched, **given}
        read_by_ioc = {link for link in known & matched.keys() if keys[link] == matched[link]}
        return cls(model, keys, data_keys, travelling, read_by_ioc)

    def place(self, event: Event) -> Place:
        """Return where the links were when an event was read.

        Parameters
        ----------
        event
            The event, with its readings.

        Returns
        -------
        Place
            A link that no column has was where the recorded geometry was computed.
        """
        if self.model.problem:
            return Place(problem=self.model.problem)
        values = dict(self.model.joints)
        for joint in self.model.model.joints:
            link, key = joint.link, self.keys.get(joint.link)
            if key is None and link in self.travelling:
                return Place(
                    problem=f"{link} was moved, and no column of the events is known to have it: "
                    f"geometries(run, position_keys={{{link!r}: 'KEY'}}) names one of {', '.join(self.data_keys)}"
                )
            if key is None:
                continue
            reading, data_key = event.reading(key), self.data_keys.get(key, {})
            if reading is None or reading.value is None:
                return Place(problem=f"event {event.seq_num} has no number in {key}, which says where {link} was")
            value = self._converted(joint, key, reading.value)
            if value is None:
                units = f"{data_key.get('units')}, which cannot be converted to the {joint.units} of {link}"
                return Place(problem=f"{key} is in {units}")
            values[link] = value
        return Place(values)

    def lengths(self, travel: Mapping[str, float]) -> dict[str, float]:
        """Convert how far links travelled, by data key, to the units of the model, by link."""
        lengths: dict[str, float] = {}
        for joint in self.model.model.joints:
            key = self.keys.get(joint.link)
            length = None if key is None else travel.get(key)
            if key is not None and length is not None:
                lengths[joint.link] = self._converted(joint, key, length) or 0.0
        return lengths

    def _converted(self, joint: AnyJoint, key: str, value: float) -> float | None:
        """Convert a value of a column to the units of a joint; None where that is not possible."""
        is_beam, is_read = joint.kind == "beam", joint.link in self.read_by_ioc
        data_key = self.data_keys.get(key, {})
        return in_units_of_joint(value, data_key, joint.units, measures_beam=is_beam, read_by_ioc=is_read)


@dataclass(frozen=True, slots=True)
class PlacePart:
    """Consecutive events for which the recorded geometry holds, or for which it does not.

    Parameters
    ----------
    events
        The events.
    reason
        Why the recorded geometry is not that of the events; empty where it is.
    """

    events: tuple[Event, ...]
    reason: str


def place_parts(columns: Columns | None, geometry: Geometry | None, events: Sequence[Event]) -> Iterator[PlacePart]:
    """Divide events by whether a recorded geometry is that of their position.

    Parameters
    ----------
    columns
        Where the positions are; None where no model was active.
    geometry
        The recorded geometry.
    events
        The events of its descriptor.

    Yields
    ------
    PlacePart
        In their order; one where no model was active.
    """
    if columns is None or geometry is None or not events:
        yield PlacePart(tuple(events), "")
        return
    elsewhere = ELSEWHERE.format("the recorded geometry is what a model gave")

    def reason(event: Event) -> str:
        place = columns.place(event)
        return place.problem or ("" if _stands(columns.model, geometry, place.values) else elsewhere)

    for text, members in groupby(events, reason):
        yield PlacePart(tuple(members), text)


def _stands(recorded: RecordedModel, geometry: Geometry, values: Mapping[str, float]) -> bool:
    """Return whether a recorded geometry is that of a position, as the IOC decides it."""
    if values == recorded.joints:
        return True
    try:
        return shift_px(recorded.model, geometry, recorded.model.geometry_at(values)) <= STEP_PX
    except (GeometryError, ModelError):
        return False


def disagreement(recorded: RecordedModel, geometry: Geometry) -> str:
    """Compare a recorded geometry with what its model gives for the recorded position.

    Parameters
    ----------
    recorded
        The model with the recorded position.
    geometry
        The recorded geometry.

    Returns
    -------
    str
        The value that differs by more than `AGREEMENT`; empty where they agree.
    """
    try:
        here = recorded.model.geometry_at(recorded.joints)
    except (GeometryError, ModelError) as error:
        return f"its model gives no geometry for the recorded position: {error}"
    return difference(geometry, here)


def difference(geometry: Geometry, computed: Geometry) -> str:
    """Return which value of two geometries of one model differs most; empty where they agree within `AGREEMENT`."""
    numbers = [name for name in PARAMETERS if name not in ("pixel1", "pixel2")]
    off = {name: abs(getattr(geometry, name) - getattr(computed, name)) for name in numbers}
    allowed = {name: AGREEMENT * (computed.wavelength if name == "wavelength" else 1.0) for name in numbers}
    wrong = [name for name in numbers if not off[name] <= allowed[name]]
    same = ("pixel1", "pixel2", "detector", "detector_config")
    wrong += [name for name in same if getattr(geometry, name) != getattr(computed, name)]
    if not wrong:
        return ""
    name = max(wrong, key=lambda name: off.get(name, 0.0))
    by = f"by {off[name]:.2g} {PARAMETERS[name].unit} " if name in off else ""
    return f"the recorded {name} differs {by}from what its model gives for that position: one of them was changed"
