"""Whether the clock of the host can be right. Pure.

Records have the time of the clock, right or wrong; their order is that of their numbers. So a clock that was wrong for
a while misdates only what was recorded meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from ponikeeper.history.activations import RELEASED
from ponikeeper.history.records import KIND_WORDS, Activation, Correction, LabelRecord, ServiceChange, name_of
from ponikeeper.store import StoredState
from ponikeeper.text import timestamps

_AHEAD = 1.0
"""How far the newest record may lie ahead of the clock (s): a time server corrects smaller errors all the time."""

_STEP = 0.5
"""Change of the clock between two readings, beyond the time that passed, that is reported (s)."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The clock at one instant.

    Parameters
    ----------
    time
        What it shows (UTC).
    steady
        A clock that cannot be set, at the same instant (s).
    """

    time: datetime
    steady: float


def clock_problem(now: datetime, detectors: Mapping[str, StoredState]) -> str:
    """Return why the clock cannot be right; empty where nothing is against it.

    Parameters
    ----------
    now
        What the clock shows.
    detectors
        What the store has of each detector, by prefix.

    Returns
    -------
    str
        A sentence, with the record that is farthest ahead of the clock.
    """
    shown = timestamps.to_seconds(timestamps.from_datetime(now))
    if now < RELEASED:
        return f"the clock of this host shows {shown}, before this version was made: it was not set. {_CHECK}"
    newest = [(time, prefix, what) for prefix, stored in detectors.items() for time, what in _newest(stored)]
    time, prefix, what = max(newest, default=(now, "", ""))
    ahead = (time - now).total_seconds()
    if ahead <= _AHEAD:
        return ""
    return (
        f"{what} of {prefix} is dated {timestamps.to_seconds(timestamps.from_datetime(time))}, {ahead:.0f} s ahead of "
        f"the clock of this host ({shown}): the clock is wrong, or was when that was recorded. {_CHECK}"
    )


_CHECK = "Records keep their order all the same. Check the time service of the host (timedatectl)."


def clock_step(before: ClockReading, after: ClockReading) -> float:
    """Return by how much the clock was set between two readings.

    Parameters
    ----------
    before, after
        The readings.

    Returns
    -------
    float
        Forward, or back where it is negative (s); 0 where it was not set.
    """
    step = (after.time - before.time).total_seconds() - (after.steady - before.steady)
    return step if abs(step) > _STEP else 0.0


def step_text(step: float, since: datetime, after: ClockReading, serials: Mapping[str, tuple[int, int]]) -> str:
    """Format that the clock was set, and which records have times of the clock before.

    Parameters
    ----------
    step
        By how much it was set (s).
    since
        When the clock before was first read, by that clock.
    after
        The first reading after it.
    serials
        By prefix, the serials of the newest activation at `since` and now.

    Returns
    -------
    str
        One sentence, and one with the activations of each detector.
    """
    direction = "forward" if step > 0 else "back"
    to, first = (timestamps.to_seconds(timestamps.from_datetime(time)) for time in (after.time, since))
    text = f"the clock of this host was set {direction} by {abs(step):.1f} s, to {to}"
    dated = [f"{prefix} {_serials(old, new)}" for prefix, (old, new) in serials.items() if new > old]
    if not dated:
        return f"{text}; nothing was activated since {first}"
    return f"{text}; activated since {first}, by the clock before: {', '.join(dated)}"


def _serials(old: int, new: int) -> str:
    return f"serial {new}" if new == old + 1 else f"serials {old + 1} to {new}"


def _newest(stored: StoredState) -> list[tuple[datetime, str]]:
    """Return the times of the newest records of each kind, with their names."""
    activations = () if stored.activation is None else (stored.activation,)
    newest = (
        record
        for records in (activations, stored.corrections, stored.service, stored.labels)
        for record in records[-1:]
    )
    return [(timestamps.to_datetime(record.time), _name(record)) for record in newest]


def _name(record: Activation | Correction | ServiceChange | LabelRecord) -> str:
    kind, number = name_of(record)
    return f"{KIND_WORDS[kind]} {number}"
