"""Where a link stands and whether it moves, from what its PVs say: pure, the time is always given.

Times are seconds of one clock that never goes back.
"""

from dataclasses import dataclass

from ponikeeper.config import Link
from ponikeeper.messages import LinkState, Position, is_within


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
class Reading:
    """One link at one time.

    Parameters
    ----------
    connected
        Whether every PV of the link is.
    moving
        What the moving PV says; None where there is none, or where it says nothing.
    since
        When the link was last seen to move, or to come back.
    reference
        Its value then: what stays within tolerance of it is a readback's noise, no motion.
    """

    value: float | None = None
    connected: bool = False
    moving: bool | None = None
    since: float = 0.0
    reference: float | None = None
    error: str | None = None


def updated(link: Link, before: Reading, value: Sample, moving: Sample, now: float) -> Reading:
    """Take up what the PVs of a link say.

    Parameters
    ----------
    value, moving
        Of the link's PV and of its moving PV; the latter is ignored where the link has none.
    """
    flag = None if link.moving is None or moving.value is None else moving.value != 0
    since, reference = before.since, before.reference
    if value.value is None:
        reference = None
    elif flag or before.moving or reference is None or not is_within(link, value.value, reference):
        since, reference = now, value.value
    return Reading(
        value.value,
        value.connected and (link.moving is None or moving.connected),
        flag,
        since,
        reference,
        _error(link, value, moving),
    )


def in_motion(link: Link, reading: Reading, settle: float, now: float) -> bool | None:
    """Tell whether a link moves; None where it is not known.

    Parameters
    ----------
    settle
        How long a link without a moving PV must have stood still to be at rest (s).
    """
    if link.moving is not None:
        return reading.moving
    return None if reading.value is None else now - reading.since < settle


def time_to_rest(link: Link, reading: Reading, settle: float, now: float) -> float | None:
    """Give the seconds after which a link is at rest if it says nothing more; None where time changes nothing."""
    if link.moving is None and in_motion(link, reading, settle, now):
        return reading.since + settle - now
    return None


def calibrated_value(link: Link, position: Position | None) -> float | None:
    """Give where a link stood in a position; None where that is not known, or known in other units."""
    stood = (position or {}).get(link.name)
    value = None if stood is None or stood["units"] != link.units else stood["value"]
    return value if isinstance(value, float) else None


def state_of(link: Link, reading: Reading, position: Position | None, settle: float, now: float) -> LinkState:
    """Tell a link as ``Links_RBV`` shows it.

    Parameters
    ----------
    position
        Of the revision in force.
    """
    return LinkState(
        link.name,
        link.pv,
        link.kind,
        link.units,
        link.tolerance,
        reading.value,
        calibrated_value(link, position),
        in_motion(link, reading, settle, now),
        reading.connected,
        reading.error,
    )


def _error(link: Link, value: Sample, moving: Sample) -> str | None:
    """Say what is wrong with the PVs of a link; that its own is not connected is said by `connected`."""
    if value.error is not None or not value.connected or link.moving is None:
        return value.error
    if not moving.connected:
        return f"{link.moving} is not connected"
    return None if moving.error is None else f"{link.moving}: {moving.error}"
