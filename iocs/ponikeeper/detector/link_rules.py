"""The value of a link, whether it moves, and whether it is within its tolerance. Pure.

Times are passed in: seconds of one monotonic clock.
"""

import math
from dataclasses import dataclass, replace

from ponikeeper.config import Link
from ponikeeper.protocol import LinkState, is_within, measures_beam
from ponikeeper.protocol.link_units import Egu, conversion, converted
from ponikeeper.protocol.link_values import kind_of
from ponikeeper.protocol.links import MAX_ERROR
from ponikeeper.text.ascii import cut, json_literal

SHORTEST = 0.5
"""Shortest time for which a link has to stay within its tolerance, or a range, before it counts as returned (s)."""

_FINEST = 32
"""Approximate number of values that are kept of the last `settle` seconds."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The last update of one PV.

    Parameters
    ----------
    connected
        Whether the PV is connected.
    value
        In the units of the PV; None if the PV has no finite number.
    error
        Why there is no value, though the PV is connected.
    severity
        Alarm severity of the value, as EPICS numbers it.
    egu
        The units that the PV reports; None until they are known.
    kind
        What the PV has: ``number``, ``whole`` (a number of an integer type), ``states``, ``text`` or ``array``.
    """

    connected: bool = False
    value: float | None = None
    error: str | None = None
    severity: int = 0
    egu: Egu | None = None
    kind: str = "number"


@dataclass(frozen=True, slots=True)
class TrackPoint:
    """The value of a link from `since` on until the next point of the track; None if it is unknown."""

    since: float
    value: float | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of one link at one time.

    Parameters
    ----------
    value
        None if the PV has no finite number.
    connected
        Whether every PV of the link is connected.
    flag
        Value of the moving PV; None if the link has none, or it has no value.
    track
        Values during the last `settle` seconds, ending with the current one; empty while there is no value.
    outside_at
        When it was last seen beyond its tolerance; None if it never was, or has moved since.
    error
        Why there is no value, or why it is unknown whether the link moves.
    """

    value: float | None = None
    connected: bool = False
    flag: bool | None = None
    track: tuple[TrackPoint, ...] = ()
    outside_at: float | None = None
    error: str | None = None


def updated(
    link: Link, before: Reading, value: Sample, moving: Sample, reference: float | None, settle: float, now: float
) -> Reading:
    """Return the reading of a link after an update of its PVs.

    Parameters
    ----------
    link
        Its configuration.
    before
        The reading before.
    value, moving
        Last update of the link's PV and of its moving PV; the latter is ignored if the link has none.
    reference
        Its value where the active geometry applies; None if that is unknown.
    settle
        For how long a link must not have moved to be at rest (s).
    now
        Time (s).
    """
    value = in_units(link, value)
    flag = None if link.moving is None or moving.value is None else moving.value != 0
    reading = Reading(
        value.value,
        value.connected and (link.moving is None or moving.connected),
        flag,
        _track(before, value.value, bool(flag), settle, now),
        error=cut(error, MAX_ERROR) if (error := _error(link, value, moving)) else None,
    )
    return replace(reading, outside_at=_last_outside(link, before, reading, reference, settle, now))


def in_units(link: Link, sample: Sample) -> Sample:
    """Convert the value of a PV to the units of its link.

    Parameters
    ----------
    link
        Its configuration. Where the kind of the link has no units, any value is returned as it is.
    sample
        The last update of the PV.

    Returns
    -------
    Sample
        With the value in the units of the configuration; without a value as long as the units of the PV are unknown,
        or if they cannot be converted.
    """
    if sample.value is None or not kind_of(link).has_tolerance:
        return sample
    if sample.egu is None:
        return replace(sample, value=None, error="its units are not known yet")
    factor = conversion(sample.egu, link.units, link.egu, measures_beam=measures_beam(link))
    if factor is not None:
        return replace(sample, value=converted(sample.value, factor))
    word = json_literal(sample.egu.text)
    error = f"its units are {word}, expected {link.units}: correct units of the link, or add egu = {word}"
    return replace(sample, value=None, error=error)


def is_moving(link: Link, reading: Reading, settle: float, now: float) -> bool | None:
    """Return whether a link moves, or has moved within `settle` seconds; None if that is unknown."""
    if reading.flag or (link.moving is not None and (reading.flag is None or reading.value is None)):
        return reading.flag
    return None if reading.value is None else now < rests_from(link, reading, settle)


def rests_from(link: Link, reading: Reading, settle: float) -> float:
    """Return when a link is at rest if there is no further update (s).

    A change by less than the tolerance within `settle` is no motion: it is noise of the readback, or drift.
    """
    ends = zip(reading.track, reading.track[1:], strict=False)
    moved = [after.since for place, after in ends if not _is_near(link, reading.value, place.value)]
    return max(moved, default=-math.inf) + settle


def returns_at(reading: Reading, settle: float) -> float:
    """Return when a link that is within its tolerance again counts as returned, if there is no further update (s).

    A readback that jitters about the edge of the tolerance is beyond it all the time.
    """
    return -math.inf if reading.outside_at is None else reading.outside_at + max(settle, SHORTEST)


def state_of(
    link: Link,
    reading: Reading,
    calibrated: float | None,
    reference: float | None,
    settle: float,
    now: float,
    mismatch: float | None = None,
    out_of_service: str | None = None,
) -> LinkState:
    """Return a link as ``Links_RBV`` shows it; parameters as `updated` and `LinkState`."""
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
        is_moving(link, reading, settle, now),
        reading.connected,
        within,
        reading.error,
        mismatch,
        out_of_service,
        link.scale_sigma,
    )


def _track(before: Reading, value: float | None, flag: bool, settle: float, now: float) -> tuple[TrackPoint, ...]:
    """Return the values of a link within the last `settle` seconds."""
    if value is None:
        return ()
    here = TrackPoint(now, value)
    if flag or before.flag or not before.track:  # its value just before this update is unknown
        return (TrackPoint(now, None), here)
    track = before.track
    if len(track) > 1 and now - track[-2].since < settle / _FINEST:
        track = track[:-1]
    recent = [after.since > now - settle for after in track[1:]]
    return (*(place for place, keep in zip(track, [*recent, True], strict=True) if keep), here)


def _last_outside(
    link: Link, before: Reading, reading: Reading, reference: float | None, settle: float, now: float
) -> float | None:
    """Return when a link was last seen beyond its tolerance."""
    if reference is None or reading.value is None or is_moving(link, reading, settle, now):
        return None
    seen = [value for value in (before.value, reading.value) if value is not None]
    return before.outside_at if all(is_within(link, value, reference) for value in seen) else now


def _is_near(link: Link, value: float | None, place: float | None) -> bool:
    return value is not None and place is not None and is_within(link, value, place)


def _error(link: Link, value: Sample, moving: Sample) -> str | None:
    """Return what is wrong with the PVs of a link; `connected` covers a link's own PV that is not connected."""
    if value.error is not None or not value.connected or link.moving is None:
        return value.error
    if not moving.connected:
        return f"{link.moving} is not connected"
    return None if moving.error is None else f"{link.moving}: {moving.error}"
