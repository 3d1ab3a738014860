"""Which revision of the history a command reads: by its number, its label, or a time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ponikeeper.cli.console import ca_history
from ponikeeper.errors import ConfigError, RefusedError
from ponikeeper.history import Activation, Correction, DerivedGeometry, Revision
from ponikeeper.history.activations import ActivePeriod, active_during
from ponikeeper.history.corrections import chain
from ponikeeper.history.derived import derived_by_serial, with_derived
from ponikeeper.history.labels import label_of
from ponikeeper.history.undos import undo_lines, undone_revisions
from ponikeeper.protocol import Snapshot, history_reading, origin
from ponikeeper.protocol.json_text import VERSION
from ponikeeper.protocol.model_revisions import is_model
from ponikeeper.text import timestamps, typed_times
from ponikeeper.text.typed_times import TypedTime

_LISTED = 6
"""Revisions that a message lists."""


@dataclass(frozen=True, slots=True)
class Selector:
    """How a revision is selected; exactly one is not None.

    Parameters
    ----------
    number
        By its number.
    label
        The newest one with a label that is not corrected.
    at
        The one that was active at a time.
    """

    number: int | None = None
    label: str | None = None
    at: TypedTime | None = None


@dataclass(frozen=True, slots=True)
class Selected:
    """A revision of the history, with what is known of it.

    Parameters
    ----------
    revision
        The revision, as it was committed.
    label
        The label that it has now.
    corrections
        All of the detector, in their order.
    at
        The time for which it was selected.
    periods
        When it was active then; empty where it was not selected by time.
    is_undone
        Whether every activation of it was undone.
    undos
        Which of its activations were undone, when and by whom, as lines for people.
    """

    revision: Revision
    label: str | None
    corrections: Sequence[Correction]
    at: TypedTime | None
    periods: Sequence[ActivePeriod]
    is_undone: bool = False
    undos: Sequence[str] = ()

    @property
    def instant(self) -> str | None:
        """The time for which it is used, UTC ISO 8601; None is now."""
        return None if self.at is None else timestamps.from_datetime(self.at.start)


def parse_selector(number: str | None, label: str | None, at: str | None, now: datetime) -> Selector | None:
    """Parse the options that select a revision.

    Parameters
    ----------
    number, label, at
        Values of ``--revision``, ``--label`` and ``--at``.
    now
        The current time.

    Returns
    -------
    Selector or None
        None where no option is given: the active revision.

    Raises
    ------
    ConfigError
        Several are given, or the number or the time is not one, or the time lies in the future.
    """
    given = {"--revision": number, "--label": label, "--at": at}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise ConfigError(f"{' and '.join(names)} are given: give only one of them, for each selects a revision")
    if not names:
        return None
    if number is not None:
        if not (number.isascii() and number.isdigit()):
            raise ConfigError(f"--revision {number!a} is not a number: for a label type --label {number}")
        return Selector(number=int(number))
    if at is None:
        return Selector(label=label)
    try:
        time = typed_times.parse(at)
    except ValueError as error:
        raise ConfigError(f"--at {error}") from None
    if time.start > now:
        raise ConfigError(f"--at {time} lies in the future: omit --at to read the active geometry")
    return Selector(at=time)


async def read_selected(prefix: str, selector: Selector) -> Selected:
    """Read the selected revision, with all corrections.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    selector
        Which revision.

    Raises
    ------
    RefusedError
        There is no such revision, or several were active at that time.
    HistoryError
        An answer is damaged: its checksum is wrong.
    NotConnectedError
        The IOC does not answer.
    """

    def read(steps: Any) -> Any:
        return ca_history().read(prefix, steps)

    periods: list[ActivePeriod] = []
    if selector.label is not None:
        revision = await read(history_reading.labelled(selector.label))
    else:
        number = selector.number or 0
        if selector.at is not None:
            activations = await read(history_reading.all_activations())
            periods = active_then(prefix, activations, selector.at, timestamps.now())
            number = periods[0].activation.revision
        revision = await read(history_reading.revision(number))
        if periods and is_model(revision):
            revision = as_active(revision, selector, periods, await read(history_reading.all_derived()))
    corrections = await read(history_reading.all_corrections())
    label = label_of(revision, await read(history_reading.all_labels()))
    activations, undos = await read(history_reading.all_undos())
    number, undone = revision.number, undone_revisions(activations, undos)
    lines = undo_lines(number, activations, undos)
    return Selected(revision, label, corrections, selector.at, periods, number in undone, lines)


def active_then(prefix: str, activations: Sequence[Activation], at: TypedTime, now: datetime) -> list[ActivePeriod]:
    """Find the one revision that was active at a time.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    activations
        All of the detector, in their order.
    at
        An instant or a day.
    now
        The present time.

    Returns
    -------
    list of ActivePeriod
        Each of the same revision; at least one.

    Raises
    ------
    RefusedError
        No revision was active, or several; the message lists them.
    """
    periods = active_during(activations, at.start, at.end, now)
    if not activations:
        raise RefusedError(f"{prefix} is UNSET: no geometry was ever committed")
    if not periods:
        first = activations[0]
        raise RefusedError(
            f"{prefix} had no active revision at {at}: the first one is revision {first.revision}, from {first.time} on"
        )
    if len({period.activation.revision for period in periods}) == 1 and periods[0].is_dated:
        return periods
    shown = "; ".join(period_text(period) for period in periods[:_LISTED])
    more = f"; and {len(periods) - _LISTED} more" if len(periods) > _LISTED else ""
    if all(period.is_dated for period in periods):
        raise RefusedError(f"several revisions were active at {at}: {shown}{more}: give a time of that day as --at")
    raise RefusedError(
        f"it is not known which revision was active at {at}, because the clock of the IOC was wrong: "
        f"{shown}{more}: give --revision N"
    )


def as_active(
    revision: Revision, selector: Selector, periods: Sequence[ActivePeriod], derived: Sequence[DerivedGeometry]
) -> Revision:
    """Return a model with the one geometry that was active at a time.

    Parameters
    ----------
    revision
        The model.
    selector
        The time.
    periods
        When it was active.
    derived
        What the models of the detector gave.

    Returns
    -------
    Revision

    Raises
    ------
    RefusedError
        It gave several geometries in that time.
    """
    by_serial = derived_by_serial(derived)
    first, *others = (by_serial.get(period.activation.serial) for period in periods)
    geometry = with_derived(revision, first).geometry
    if any(with_derived(revision, other).geometry != geometry for other in others):
        shown = "; ".join(period_text(period) for period in periods[:_LISTED])
        raise RefusedError(
            f"the model, revision {revision.number}, gave {len(periods)} geometries at {selector.at}: {shown}: give a "
            "time of that day as --at"
        )
    return with_derived(revision, first)


def period_text(period: ActivePeriod) -> str:
    """Format from when to when a revision was active."""
    activation = period.activation
    if not period.is_dated:
        return f"revision {activation.revision} some time before {period.until or 'now'}"
    until = "on" if period.until is None else f"to {period.until}"
    return f"revision {activation.revision} from {activation.time} {until}"


def comment_lines(selected: Selected, snapshot: Snapshot) -> list[str]:
    """Describe a selected revision in the comments of a PONI file.

    Parameters
    ----------
    selected
        The revision.
    snapshot
        What is active now.

    Returns
    -------
    list of str
        What it is, its corrections, and whether it is active.
    """
    number = selected.revision.number
    revision = replace(selected.revision, label=selected.label)
    lines = origin.revision_lines(snapshot.prefix, revision, selected.corrections, selected.instant)
    if selected.at is not None:
        shown = [period_text(period) for period in (selected.periods[0], selected.periods[-1])]
        lines.append(f"selected as active at {selected.at}: {'; '.join(dict.fromkeys(shown))}")
    lines += _undone_lines(selected)
    if _is_active(selected, snapshot):
        return [*lines, f"it is active now; {origin.status_line(snapshot)}"]
    if number == snapshot.revision:
        place = origin.position_line(snapshot.position)
        return [*lines, f"NOT ACTIVE when this was read: the model was active for another position ({place})"]
    return [*lines, f"NOT ACTIVE when this was read: revision {snapshot.revision} was"]


def warnings(selected: Selected) -> list[str]:
    """Return what is against a selected revision, as lines for the terminal; empty where nothing is."""
    number = selected.revision.number
    undone = _undone_lines(selected)
    if not chain(selected.corrections, number, selected.instant):
        return undone
    return [*origin.correction_lines(number, selected.corrections, selected.instant), *undone]


def _is_active(selected: Selected, snapshot: Snapshot) -> bool:
    """Return whether what was selected is active, a model with the same geometry."""
    revision = selected.revision
    return revision.number == snapshot.revision and (not is_model(revision) or revision.geometry == snapshot.geometry)


def _undone_lines(selected: Selected) -> list[str]:
    """Return which activations of a revision were undone, and whether all of them were."""
    number = selected.revision.number
    text = f"revision {number} was undone: every activation of it that a person or a client asked for"
    return [*selected.undos, *([text] if selected.is_undone else [])]


def as_json(selected: Selected, snapshot: Snapshot) -> dict[str, object]:
    """Return a selected revision as a JSON object.

    Parameters
    ----------
    selected
        The revision.
    snapshot
        What is active now.

    Returns
    -------
    dict
        The keys of a revision, ``active``, ``corrections``, and where it was selected by time ``at``.
    """
    number = selected.revision.number
    values: dict[str, object] = {
        "v": VERSION,
        "prefix": snapshot.prefix,
        **selected.revision.as_dict(),
        "label_now": selected.label,
        "active": _is_active(selected, snapshot),
        "undone": selected.is_undone,
        "undos": [*selected.undos],
        "active_revision": snapshot.revision,
        "corrections": [item.as_dict() for item in selected.corrections if item.revision == number],
    }
    if selected.at is not None:
        values["at"] = {
            "start": timestamps.from_datetime(selected.at.start),
            "end": timestamps.from_datetime(selected.at.end),
            "active": [
                {"serial": each.activation.serial, "since": each.activation.time, "until": each.until}
                for each in selected.periods
            ],
        }
    return values
