"""Where a link stands, whether it moves, and whether it is within its tolerance: pure, the time is always given.

Times are seconds of one clock that never goes back.
"""

import math
from dataclasses import dataclass, replace

from ponikeeper.config import Link
from ponikeeper.history import Position
from ponikeeper.protocol import LinkState, is_within

_SHORTEST = 0.5
"""Seconds that a link has to stay within its tolerance, at the least, before it is believed to be back."""

_FINEST = 32
"""How many places of the last `settle` seconds are remembered, about."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one PV says.

    Parameters
    ----------
    value
        None where it has no finite number; `error` says why then.
    """

    connected: bool = False
    value: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a link stood from `since` on, until the next place; None where that is not known."""

    since: float
    value: float | None


@dataclass(frozen=True, slots=True)
class Reading:
    """One link at one time.

    Parameters
    ----------
    connected
        Whether every PV of the link is.
    flag
        What the moving PV says; None where there is none, or where it says nothing.
    track
        Where it stood lately, the last place being the one now; nothing while it has no value.
    left
        When it was last seen beyond its tolerance; None where it never was, or has moved since.
    """

    value: float | None = None
    connected: bool = False
    flag: bool | None = None
    track: tuple[Place, ...] = ()
    left: float | None = None
    error: str | None = None


def updated(
    link: Link, before: Reading, value: Sample, moving: Sample, reference: float | None, settle: float, now: float
) -> Reading:
    """Take up what the PVs of a link say.

    Parameters
    ----------
    value, moving
        Of the link's PV and of its moving PV; the latter is ignored where the link has none.
    reference
        Where it stands when the geometry in force holds; None where that is not known.
    settle
        How long a link must have stood still to be at rest (s).
    """
    flag = None if link.moving is None or moving.value is None else moving.value != 0
    reading = Reading(
        value.value,
        value.connected and (link.moving is None or moving.connected),
        flag,
        _track(before, value.value, bool(flag), settle, now),
        error=_error(link, value, moving),
    )
    return replace(reading, left=_left(link, before, reading, reference, settle, now))


def in_motion(link: Link, reading: Reading, settle: float, now: float) -> bool | None:
    """Tell whether a link moves, or has moved within `settle`; None where it is not known."""
    if reading.flag or (link.moving is not None and (reading.flag is None or reading.value is None)):
        return reading.flag
    return None if reading.value is None else now < rests_from(link, reading, settle)


def rests_from(link: Link, reading: Reading, settle: float) -> float:
    """Give when a link is at rest if it says nothing more.

    What moved less than the tolerance within `settle` did not move: it is a readback's noise, or drift.
    """
    ends = zip(reading.track, reading.track[1:], strict=False)
    moved = [after.since for place, after in ends if not _is_near(link, reading.value, place.value)]
    return max(moved, default=-math.inf) + settle


def returns_at(reading: Reading, settle: float) -> float:
    """Give when a link that has come back within its tolerance is believed to be there, if it says nothing more.

    A readback that jitters about the edge is beyond, all the time.
    """
    return -math.inf if reading.left is None else reading.left + max(settle, _SHORTEST)


def calibrated_value(link: Link | LinkState, position: Position | None) -> float | None:
    """Give where a link stood in a position; None where that is not known, or known in other units."""
    stood = (position or {}).get(link.name)
    value = None if stood is None or stood["units"] != link.units else stood["value"]
    return value if isinstance(value, float) else None


def quantity(value: float, units: str) -> str:
    """Write where a link stands, for a person."""
    return f"{value:.10g} {units}".rstrip()


def state_of(
    link: Link, reading: Reading, calibrated: float | None, reference: float | None, settle: float, now: float
) -> LinkState:
    """Tell a link as ``Links_RBV`` shows it; parameters as `updated`."""
    within = None
    if reading.value is not None and reference is not None:
        within = is_within(link, reading.value, reference) and now >= returns_at(reading, settle)
    return LinkState(
        link.name,
        link.pv,
        link.kind,
        link.units,
        link.tolerance,
        reading.value,
        calibrated,
        in_motion(link, reading, settle, now),
        reading.connected,
        within,
        reading.error,
    )


def _track(before: Reading, value: float | None, flag: bool, settle: float, now: float) -> tuple[Place, ...]:
    """Remember where a link stood within the last `settle`."""
    if value is None:
        return ()
    here = Place(now, value)
    if flag or before.flag or not before.track:  # where it was just before it was seen is not known
        return (Place(now, None), here)
    track = before.track
    if len(track) > 1 and now - track[-2].since < settle / _FINEST:
        track = track[:-1]
    recent = [after.since > now - settle for after in track[1:]]
    return (*(place for place, keep in zip(track, [*recent, True], strict=True) if keep), here)


def _left(
    link: Link, before: Reading, reading: Reading, reference: float | None, settle: float, now: float
) -> float | None:
    """Tell when a link was last seen beyond its tolerance."""
    if reference is None or reading.value is None or in_motion(link, reading, settle, now):
        return None
    seen = [value for value in (before.value, reading.value) if value is not None]
    return before.left if all(is_within(link, value, reference) for value in seen) else now


def _is_near(link: Link, value: float | None, place: float | None) -> bool:
    return value is not None and place is not None and is_within(link, value, place)


def _error(link: Link, value: Sample, moving: Sample) -> str | None:
    """Say what is wrong with the PVs of a link; that its own is not connected is said by `connected`."""
    if value.error is not None or not value.connected or link.moving is None:
        return value.error
    if not moving.connected:
        return f"{link.moving} is not connected"
    return None if moving.error is None else f"{link.moving}: {moving.error}"
