"""The status of each event: as it was read with the event, otherwise that of the descriptor. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ponikeeper.protocol import Status, applies
from ponikeeper.protocol.status import BY_LINKS
from ponikeeper_client.documents import GUARD_KEY, STATE_KEYS, Calibration, StatusRecord
from ponikeeper_client.recall._runs import Event, Run
from ponikeeper_client.recall._values import LINKS_AT_START, STATUS_AT_START

_DARK = "dark"


@dataclass(frozen=True, slots=True)
class StatePart:
    """Consecutive events with the same states.

    Parameters
    ----------
    record
        What is known of the status at these events.
    events
        The events.
    per_event
        Whether the states were read with the events.
    """

    record: StatusRecord
    events: tuple[Event, ...]
    per_event: bool


def state_parts(events: Sequence[Event], calibration: Calibration, run: Run) -> list[StatePart]:
    """Divide the events of a descriptor by the states of a calibration that were read with them.

    Parameters
    ----------
    events
        The events that the descriptor covers.
    calibration
        What the descriptor recorded.
    run
        The run: where a guard compared a model, each of its geometries has a serial.

    Returns
    -------
    list of StatePart
        In their order; one where the events have no states.
    """
    record, travelling = calibration.status_record(), travelling_links(run, calibration)
    keys = [calibration.keys.get(state) for state in STATE_KEYS]

    def states(event: Event) -> tuple[Any, ...]:
        values = dict(event.states)
        return tuple(values.get(key or "") for key in keys)

    parts = [
        StatePart(
            record if travelling and _is_of_model(found[1]) else _record_at(record, calibration, *found),
            tuple(members),
            all(each is not None for each in found),
        )
        for found, members in groupby(events, states)
    ]
    return parts or [StatePart(record, (), False)]


def status_notes(run: Run, stream: str, calibration: Calibration, part: StatePart) -> tuple[str, ...]:
    """Return what is not known of the status during a part of a run.

    Parameters
    ----------
    run, stream
        The run, and the stream.
    calibration, part
        A calibration of the stream, and a part of its events.

    Returns
    -------
    tuple of str
        For `Recorded.notes`; empty where every change of the status would have been recorded.
    """
    name, links = part.record.name, part.record.links
    if name in (None, Status.UNSET.name) or stream == _DARK:
        return ()
    if not (part.per_event or is_guarded(run, calibration.name)):
        return (STATUS_AT_START,)
    return (LINKS_AT_START,) if links and not applies(name) else ()


def is_guarded(run: Run, calib: str) -> bool:
    """Return whether a guard kept the record of a calibration in a run until its successful end.

    Parameters
    ----------
    run
        The run.
    calib
        Name of the calibration: ``pe1_calib``.

    Returns
    -------
    bool
        False also where the guard only warned of events that it could not record.
    """
    if (run.stop or {}).get("exit_status") != "success":
        return False
    guards: Sequence[Mapping[str, Any]] = run.start.get(GUARD_KEY) or ()
    return any(_guards(guard, calib) for guard in guards if isinstance(guard, Mapping))


def travelling_links(run: Run, calibration: Calibration) -> frozenset[str]:
    """Return the links that a guarded run moved on purpose without a new descriptor, because a model has them.

    Parameters
    ----------
    run
        The run.
    calibration
        What a descriptor recorded.

    Returns
    -------
    frozenset of str
        Names of links; empty where no model was active.
    """
    model = calibration.model()
    if model is None or model.problem:
        return frozenset()
    guards = [
        guard
        for guard in run.start.get(GUARD_KEY) or ()
        if isinstance(guard, Mapping) and calibration.name in (guard.get("calibs") or [calibration.name])
    ]
    if any(guard.get("each_rest") for guard in guards):
        return frozenset()
    return frozenset(link for guard in guards for link in guard.get("moving") or () if link in model.joints)


def _is_of_model(status: Any) -> bool:
    """Return whether the state of an event is one that a model has while its links travel."""
    return status is None or applies(str(status)) or str(status) in BY_LINKS


def _guards(guard: Mapping[str, Any], calib: str) -> bool:
    return guard.get("on_change") != "warn" and calib in (guard.get("calibs") or [calib])


def _record_at(record: StatusRecord, calibration: Calibration, serial: Any, status: Any) -> StatusRecord:
    recorded = calibration.values.get("serial")
    if status is None:
        return record
    if serial is not None and recorded is not None and serial != int(recorded):
        reason = f"serial {serial} was active when the event was read, the run recorded the geometry of {recorded}"
        return StatusRecord(Status.UNKNOWN.name, reason)
    return record.at_event(str(status), "as read with the event, which has no reason")
