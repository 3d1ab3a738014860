"""Timestamps as text: UTC, ISO 8601, microseconds, ``2026-11-22T09:30:01.250000Z``.

Records, messages and documents all hold times in this one form, so that they sort as texts. Only `now`
reads the clock; functions that decide by the time take it as a parameter.
"""

from datetime import UTC, datetime, tzinfo

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
"""Lengths (s)."""


def now() -> datetime:
    """Return the current time, with the zone UTC."""
    return datetime.now(UTC)


def from_datetime(time: datetime) -> str:
    """Format a time as a timestamp.

    Parameters
    ----------
    time
        With a time zone; without one it is local time.

    Returns
    -------
    str
        UTC, such as ``2026-11-22T09:30:01.250000Z``.
    """
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def from_posix(seconds: float) -> str:
    """Format a POSIX time (s since 1970) as a timestamp."""
    return from_datetime(datetime.fromtimestamp(seconds, UTC))


def to_datetime(timestamp: str) -> datetime:
    """Parse a timestamp.

    Parameters
    ----------
    timestamp
        ISO 8601 with a zone.

    Raises
    ------
    ValueError
        The text is not ISO 8601, or has no zone.
    """
    time = datetime.fromisoformat(timestamp)
    if time.tzinfo is None:
        raise ValueError(f"{timestamp!a} has no time zone: expected such as 2026-11-22T09:30:00Z")
    return time


def to_posix(timestamp: str) -> float:
    """Parse a timestamp to a POSIX time (s since 1970); raises `ValueError` as `to_datetime`."""
    return to_datetime(timestamp).timestamp()


def is_timestamp(value: object) -> bool:
    """Return whether a value is an ISO 8601 text with a time zone."""
    if not isinstance(value, str):
        return False
    try:
        to_datetime(value)
    except ValueError:
        return False
    return True


def normalized(value: object) -> str | None:
    """Format an ISO 8601 text of any zone as a timestamp.

    Returns
    -------
    str or None
        The same time in UTC; None where `value` is no such text, or UTC cannot express it (year 1 or 9999).
    """
    if not isinstance(value, str):
        return None
    try:
        return from_datetime(to_datetime(value))
    except (ValueError, OverflowError):
        return None


def to_minutes(timestamp: str) -> str:
    """Shorten a timestamp for a table: ``2026-11-22 09:30``."""
    return timestamp[:16].replace("T", " ")


def to_seconds(timestamp: str) -> str:
    """Shorten a timestamp to whole seconds: ``2026-11-22T09:30:01Z``."""
    return f"{timestamp[:19]}Z"


def shortest(timestamp: str) -> str:
    """Shorten a timestamp where its fraction of a second is zero, else return it unchanged."""
    return to_seconds(timestamp) if timestamp.endswith(".000000Z") else timestamp


def with_age(timestamp: str, now: datetime, zone: tzinfo | None = None) -> str:
    """Format when something happened for a person: local time and age, ``14:05 (2 h ago)``.

    Parameters
    ----------
    timestamp
        ISO 8601 with a zone.
    now
        The present time, with a time zone.
    zone
        The local time zone; None is that of this host.

    Returns
    -------
    str
        With the date unless it is that of `now`; at most 39 characters.
    """
    time = to_datetime(timestamp)
    local = time.astimezone(zone)
    day = "" if local.date() == now.astimezone(zone).date() else f"{local:%Y-%m-%d} "
    return f"{day}{local:%H:%M} ({_age((now.astimezone(UTC) - time).total_seconds())})"


def _age(seconds: float) -> str:
    if seconds < 0:
        return "ahead of the clock"
    if seconds < _MINUTE:
        return "just now"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min ago"
    return f"{seconds // _HOUR:.0f} h ago" if seconds < 2 * _DAY else f"{seconds // _DAY:.0f} d ago"


def for_file_name(time: datetime) -> str:
    """Format a time for the name of a file: ``20261122T093001.250000Z``, which sorts by time."""
    return f"{time.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"
