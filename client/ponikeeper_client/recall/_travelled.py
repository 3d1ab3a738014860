"""The geometry of each event of one descriptor, from what it recorded, its readings, and a history. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

from ponikeeper.geometry.files import files_of
from ponikeeper.geometry.kinematics import Evaluation, Reach
from ponikeeper.history import Correction, DerivedGeometry, Revision
from ponikeeper.history.corrections import chain, correction_text
from ponikeeper.protocol import LinkState, Status
from ponikeeper.protocol.integration import integration_of
from ponikeeper.protocol.link_values import compared
from ponikeeper.protocol.models import farthest_reach, model_of
from ponikeeper.protocol.status import BY_LINKS
from ponikeeper.text.timestamps import from_posix, to_datetime
from ponikeeper_client.documents import Applicability, Calibration, applicability
from ponikeeper_client.recall._best_known import apply_corrections, as_recorded, use_revision, verified_revision
from ponikeeper_client.recall._event_states import is_guarded, state_parts, travelling_links
from ponikeeper_client.recall._exposures import Track
from ponikeeper_client.recall._lookup import Lookup
from ponikeeper_client.recall._models import computed_at, joints_at
from ponikeeper_client.recall._places import Columns, Place, difference
from ponikeeper_client.recall._reading import record_of, record_part
from ponikeeper_client.recall._runs import Event, Run, Section
from ponikeeper_client.recall._values import BestKnown, Recorded

_EXPOSURE = "exposure=, in seconds or as a data key, takes the travel into account; exposure=0 neglects it"
"""What helps where a link of the model moved during the exposure."""

_OF_MODEL = frozenset({Status.OUT_OF_RANGE.name, Status.UNCERTAIN.name})
"""Statuses that depend on where the joints are: decided again for the position of the event."""


Values = tuple[tuple[str, float], ...]
"""Values of links by name, in the order of the names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventGeometry(BestKnown):
    """The geometry of one event of a run.

    Parameters
    ----------
    recorded
        What the descriptor of the event recorded.
    geometry
        The geometry: as it was recorded, or `computed` by recall; None where there is none.
    position
        The value of each link of the model, in its units; empty where no model was active.
    evaluation
        What the model gives for `position`, with its uncertainty, in which the travel during the exposure is; None
        where no model was active.
    """

    position: Mapping[str, float] = field(default_factory=dict[str, float], hash=False)
    evaluation: Evaluation | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Options:
    """How the geometries of events are determined.

    Parameters
    ----------
    keys, exposure, best
        ``position_keys``, ``exposure`` and ``best`` of `geometries`.
    lookup
        Finds the histories; None where only the run itself is used.
    """

    keys: Mapping[str, str]
    exposure: float | str | None
    best: bool
    lookup: Lookup | None


class TravelledDescriptor:
    """What one descriptor recorded of one calibration, and what is known of its events.

    Parameters
    ----------
    run, stream, section
        The run, the stream, the descriptor with its events.
    calibration
        What it recorded.
    options
        How the geometries are determined.
    """

    def __init__(self, run: Run, stream: str, section: Section, calibration: Calibration, options: Options) -> None:
        self._run, self._section, self._calibration, self._options = run, section, calibration, options
        self._whole = record_of(section, run, stream, calibration)
        data_keys = section.descriptor.get("data_keys") or {}
        keys = {link: key for link, key in options.keys.items() if link in self.links and key in data_keys}
        self._columns = Columns.of(calibration, section.descriptor, travelling_links(run, calibration), keys)
        events = [event for each in run.streams[stream] for event in each.events]
        self._tracks = {} if self._columns is None else {key: Track(key, events) for key in self._columns.keys.values()}
        self._history = None
        if options.lookup is not None and self._whole.revision is not None:
            self._history = options.lookup.whole(self._whole)

    @property
    def links(self) -> Collection[str]:
        """Names of the links of the model; none where no model was active."""
        model = self._whole.model
        return () if model is None or model.problem else model.joints.keys()

    @property
    def data_keys(self) -> Collection[str]:
        """The data keys of the events."""
        return (self._section.descriptor.get("data_keys") or {}).keys()

    @property
    def of(self) -> str:
        """Detector and stream."""
        return f"{self._whole.detector} in {self._whole.stream}"

    def is_of(self, detector: str | None, stream: str | None) -> bool:
        """Return whether it is of a detector and a stream; None means any."""
        return detector in (None, self._whole.detector) and stream in (None, self._whole.stream)

    def results(self) -> Iterator[EventGeometry]:
        """Yield the geometry of each event."""
        for part in state_parts(self._section.events, self._calibration, self._run):
            record = record_part(self._whole, self._run, self._calibration, part)
            for event in part.events:
                yield self._result(replace(record, events=(event,)), event)

    def _result(self, record: Recorded, event: Event) -> EventGeometry:
        columns = self._columns
        if columns is None or record.geometry is None:
            return self._without_model(record)
        place, travel = self._place(columns, event)
        if place.problem:
            return self._nothing(record, place.problem)
        own, instant = self._own, from_posix(self._whole.begins if event.time is None else event.time)
        steps = tuple(chain(self._corrections, own.number, instant)) if self._options.best else ()
        if steps:
            return self._replaced(record, columns, place, travel, steps, instant)
        found = self._recorded_at(place, event)
        farthest = farthest_reach(columns.model.model, own.position if found is None else found.position)
        computed = computed_at(own, place.values, farthest, travel)
        if computed.evaluation is None:
            return self._nothing(record, computed.problem)
        wrong = "" if found is None else difference(found.geometry, computed.evaluation.geometry)
        if wrong:
            return self._nothing(record, wrong)
        right = computed.revision if found is None else found
        status = computed.applied_to(self._applicability(record, columns, place, right, instant))
        return EventGeometry(
            recorded=record,
            geometry=right.geometry,
            revision=own.number,
            uid=own.uid,
            checksum=own.checksum,
            label=own.label,
            files=files_of(own.provenance) if self._history is not None else record.files,
            covariance=_covariance(computed.revision),
            integration=integration_of(own.provenance) if self._history is not None else record.integration,
            computed=computed.text if found is None else "",
            place=computed.text,
            applicability=status,
            authority=self._authority,
            position=place.values,
            evaluation=computed.evaluation,
        )

    def _replaced(
        self,
        record: Recorded,
        columns: Columns,
        place: Place,
        travel: Mapping[str, float],
        steps: tuple[Correction, ...],
        instant: str,
    ) -> EventGeometry:
        """Return what replaces the model of the run, at the position of an event."""
        assert self._history is not None
        number = steps[-1].by
        right = None if number is None else self._history.revision(number)
        if right is None:
            return replace(self._nothing(record, correction_text(steps[-1])), chain=steps)
        model, computed = model_of(right), None
        if model is not None:
            units = {joint.link: joint.units for joint in columns.model.model.joints}
            here = {link: {"value": value, "units": units[link]} for link, value in place.values.items()}
            values = joints_at(model, {**(self._own.position or {}), **here})
            if values is None:
                text = f"revision {number} is a model of other links than the run recorded"
                return replace(self._nothing(record, text), chain=steps)
            computed = computed_at(right, values, Reach.MARGIN, travel)
            if computed.evaluation is None:
                return replace(self._nothing(record, computed.problem), chain=steps)
            right = computed.revision
        status = self._applicability(record, columns, place, right, instant)
        return EventGeometry(
            recorded=record,
            geometry=right.geometry,
            revision=right.number,
            uid=right.uid,
            checksum=right.checksum,
            label=right.label,
            files=files_of(right.provenance),
            covariance=_covariance(right),
            integration=integration_of(right.provenance),
            computed="" if computed is None else computed.text,
            applicability=status if computed is None else computed.applied_to(status),
            chain=steps,
            authority=self._authority,
            position=place.values,
            evaluation=None if computed is None else computed.evaluation,
        )

    def _without_model(self, record: Recorded) -> EventGeometry:
        """Return the recorded geometry, or with `best` the right one, by the history with its status as known now."""
        if self._history is None or record.geometry is None or record.revision is None:
            identity = {name: getattr(record, name) for name in ("revision", "uid", "checksum", "label")}
            known = replace(as_recorded(record), reason=record.reason, **identity)
        else:
            whole, number = self._history, record.revision
            best = self._options.best
            (known,) = apply_corrections(record, whole) if best else use_revision(record, number, whole)
        return EventGeometry(**{name: getattr(known, name) for name in BestKnown.__dataclass_fields__})

    def _nothing(self, record: Recorded, reason: str) -> EventGeometry:
        revision = {"revision": record.revision, "uid": record.uid, "checksum": record.checksum, "label": record.label}
        return EventGeometry(
            recorded=record,
            geometry=None,
            reason=reason,
            applicability=record.applicability,
            authority=self._authority,
            **revision,
        )

    @property
    def _authority(self) -> str:
        return "the run" if self._history is None else self._history.authority

    @property
    def _corrections(self) -> Sequence[Correction]:
        return () if self._history is None else self._history.corrections()

    @cached_property
    def _own(self) -> Revision:
        """The model with what it gave for the recorded position: by the history, or by the run itself."""
        record = self._whole
        if self._history is not None:
            return verified_revision(record, self._history)
        assert record.model is not None
        assert record.geometry is not None
        provenance = {"method": "model", "model": record.model.values, "files": record.files}
        number, uid, checksum = record.revision or 0, record.uid or "", record.checksum or ""
        position = record.model.position
        return Revision(number, uid, "", record.label, record.geometry, position, provenance, checksum)

    @cached_property
    def _rests(self) -> Mapping[Values, Sequence[tuple[str, DerivedGeometry]]]:
        """What the model gave, by the history: with the time of each activation, by the values of the joints."""
        rests: dict[Values, list[tuple[str, DerivedGeometry]]] = {}
        model = self._whole.model
        if self._history is None or model is None:
            return rests
        for time, one in self._history.derived_of(self._own.number):
            values = joints_at(model.model, one.position)
            if values is not None:
                rests.setdefault(_values(values), []).append((time, one))
        return rests

    def _place(self, columns: Columns, event: Event) -> tuple[Place, dict[str, float]]:
        """Return where the links were in the middle of the exposure, and how far each travelled during it."""
        exposure = self._options.exposure
        if isinstance(exposure, str):
            reading = event.reading(exposure)
            if reading is None or reading.value is None or not reading.value >= 0:
                return Place(problem=f"event {event.seq_num} has no exposure time in {exposure}"), {}
            exposure = reading.value
        place = columns.place(event)
        if place.problem or not columns.keys:
            return place, {}
        flown = any(self._tracks[key].is_of_flight for key in columns.keys.values())
        if exposure is None and (event.time is None or flown or _in_flight(self._run)):
            names = ", ".join(columns.keys.values())
            advice = "give exposure=, in seconds or as a data key; exposure=0 uses the positions as they are"
            what = f"the detector was exposed in flight, and {names} says only where it was at one time"
            return Place(problem=f"{what}: {advice}"), {}
        if not exposure:
            return place, {}
        middle, travel = event, dict[str, float]()
        for key in columns.keys.values():
            exposed = self._tracks[key].during(event, exposure)
            if exposed.problem:
                return Place(problem=exposed.problem), {}
            middle = middle.with_value(key, exposed.value)
            travel[key] = exposed.travel
        return columns.place(middle), columns.lengths(travel)

    def _recorded_at(self, place: Place, event: Event) -> Revision | None:
        """Return what was recorded for a position: by the descriptor, or by the newest record until the event."""
        assert self._whole.model is not None
        if place.values == self._whole.model.joints:
            return self._own
        there = self._rests.get(_values(place.values), ())
        if not there:
            return None
        until = None if event.time is None else to_datetime(from_posix(event.time))
        before = [one for time, one in there if until is None or to_datetime(time) <= until]
        given = before[-1] if before else there[0][1]
        return replace(self._own, geometry=given.geometry, position=given.position)

    def _moved_unexpectedly(self, record: Recorded, columns: Columns) -> bool:
        """Return whether a guard recorded that a joint moved during the exposure, though not on purpose."""
        if record.record.name != Status.MOVING.name or not is_guarded(self._run, self._calibration.name):
            return False
        moving = {link.name for link in record.record.links or () if link.moving}
        return not moving.intersection(self.links) <= set(columns.travelling)

    def _applicability(
        self, record: Recorded, columns: Columns, place: Place, right: Revision, instant: str
    ) -> Applicability:
        """Return whether a geometry applies, with the joints where the event says that they were."""
        status = record.record
        if status.links is None and status.name in BY_LINKS:
            return record.applicability  # it is not known which link moved
        if self._options.exposure is None and self._moved_unexpectedly(record, columns):
            return replace(record.applicability, remedy=_EXPOSURE)
        units = {joint.link: joint.units for joint in columns.model.model.joints}
        links = tuple(
            replace(link, value=place.values[link.name], moving=False)
            if link.name in units and link.units == units[link.name] and link.connected and link.error is None
            else link
            for link in status.links or _links_of(columns)
        )
        links = tuple(compared(link, right.position, right.geometry.wavelength) for link in links)
        depends = status.name in BY_LINKS or status.name in _OF_MODEL
        there = replace(status, name=Status.VALID.name if depends else status.name, links=links)
        return applicability(there, self._own, right, self._corrections, instant)


def _values(values: Mapping[str, float]) -> Values:
    return tuple(sorted(values.items()))


def _covariance(revision: Revision) -> Mapping[str, Any] | None:
    return cast("Mapping[str, Any] | None", revision.provenance.get("covariance"))


def _in_flight(run: Run) -> bool:
    """Return whether a run says that its detector was exposed while something moved."""
    return run.start.get("plan_name") == "fly" or bool(run.start.get("flyers"))


def _links_of(columns: Columns) -> tuple[LinkState, ...]:
    """Return the joints as links, where the run did not record its links."""
    return tuple(
        LinkState(joint.link, columns.keys.get(joint.link, ""), "motor", joint.units, None, None, None, False, True)
        for joint in columns.model.model.joints
    )
