"""The status of each event: as it was read with the event, otherwise that of the descriptor. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ponikeeper.protocol import Status, applies
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


def state_parts(events: Sequence[Event], calibration: Calibration) -> list[StatePart]:
    """Divide the events of a descriptor by the states of a calibration that were read with them.

    Parameters
    ----------
    events
        The events that the descriptor covers.
    calibration
        What the descriptor recorded.

    Returns
    -------
    list of StatePart
        In their order; one where the events have no states.
    """
    record = calibration.status_record()
    keys = [calibration.keys.get(state) for state in STATE_KEYS]

    def states(event: Event) -> tuple[Any, ...]:
        values = dict(event.states)
        return tuple(values.get(key or "") for key in keys)

    parts = [
        StatePart(_record_at(record, calibration, *found), tuple(members), all(each is not None for each in found))
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
