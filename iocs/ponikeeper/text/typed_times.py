"""Times as a person types them: with a zone, in local time, or a whole day. Pure but for the zone of the host."""

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo

EXPECTED = "2026-11-22T09:30:00Z, 2026-11-22 09:30 (local time) or 2026-11-22 (a day)"

_FORM = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[Tt ]+(\d{2}:?.*))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class TypedTime:
    """An instant, or a day.

    Parameters
    ----------
    start, end
        With their zone; the day lasts from the first one until just before the second one. Equal for an instant.
    """

    start: datetime
    end: datetime

    @property
    def is_day(self) -> bool:
        """Whether it is a day."""
        return self.start < self.end

    def __str__(self) -> str:
        zone = f"{self.start:%z}"
        shown = f"{self.start:%Y-%m-%d}" if self.is_day else self.start.replace(tzinfo=None).isoformat(" ")
        return f"{shown} (UTC{zone[:3]}:{zone[3:5]})"


def parse(text: str, zone: tzinfo | None = None) -> TypedTime:
    """Parse a time.

    Parameters
    ----------
    text
        ISO 8601: a date with or without a time, and a time with or without a zone.
    zone
        The zone of a time without one; None is that of this host.

    Returns
    -------
    TypedTime
        In the zone that the text has, or in `zone`.

    Raises
    ------
    ValueError
        The text is no such time, or the clocks showed that time never or twice.
    """
    match = _FORM.fullmatch(text.strip())
    try:
        given = datetime.fromisoformat(" ".join(part for part in match.groups() if part)) if match else None
    except ValueError as error:
        raise ValueError(f"{text!a} is not a time ({error}): expected {EXPECTED}") from None
    if match is None or given is None:
        raise ValueError(f"{text!a} is not a time: expected {EXPECTED}")
    try:
        if match[2] is None:
            following = datetime.combine(given.date() + timedelta(days=1), time())
            return TypedTime(_in_zone(given, zone), _in_zone(following, zone))
        instant = given if given.tzinfo else _unambiguous(given, zone)
    except OverflowError:
        raise ValueError(f"{text!a} is out of range: expected {EXPECTED}") from None
    return TypedTime(instant, instant)


def _in_zone(local: datetime, zone: tzinfo | None) -> datetime:
    """Return a local time with its zone; raises `OverflowError` in the first and the last hours of the calendar."""
    try:
        return local.astimezone() if zone is None else local.replace(tzinfo=zone)
    except ValueError as error:
        raise OverflowError(str(error)) from None


def _unambiguous(local: datetime, zone: tzinfo | None) -> datetime:
    """Return a local time with its zone; raises `ValueError` where the clocks were changed."""
    one, other = (_in_zone(local.replace(fold=fold), zone) for fold in (0, 1))
    if one.utcoffset() == other.utcoffset():
        return one
    examples = " or ".join(f"{local.isoformat()}{each:%z}" for each in (one, other))
    raise ValueError(
        f"{local.isoformat(' ')} is not one time, for the clocks were changed then: write it with the zone, {examples}"
    )
