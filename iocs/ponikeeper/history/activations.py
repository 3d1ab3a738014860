"""Which revision was active at a time. Pure.

Serials tell the order of activations, their timestamps are those of the IOC's clock. A clock that was wrong for a
while leaves timestamps out of order: those that do not fit the others are not used, and what they name may have been
active at any time between the ones before and after them. But it may also be the others that are wrong, as after a
clock that was ahead for ten commits, and right again for the next two. So a timestamp that is possible counts, too:
the answer then has both revisions.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ponikeeper.history.records import Activation
from ponikeeper.text.timestamps import to_datetime

RELEASED = datetime(2026, 11, 1, tzinfo=UTC)
"""A clock that shows an earlier time than the release of this version was not set yet."""


@dataclass(frozen=True, slots=True)
class ActivePeriod:
    """A time during which one revision was active.

    Parameters
    ----------
    activation
        Its beginning.
    until
        Time of the next activation whose timestamp is in order (UTC ISO 8601); None where there is none.
    is_dated
        False where the timestamp of the activation is out of order.
    """

    activation: Activation
    until: str | None
    is_dated: bool


def active_during(
    activations: Sequence[Activation], start: datetime, end: datetime, now: datetime
) -> list[ActivePeriod]:
    """Return what was active at some time of a period.

    Parameters
    ----------
    activations
        All of one detector, in the order of their serials.
    start, end
        From the first time to just before the second one; an instant where they are equal.
    now
        The present time: a timestamp after it, or before this version was released, cannot be right where it is out
        of order.

    Returns
    -------
    list of ActivePeriod
        In their order; empty before the first activation. For an instant one that is dated at most, and more where
        timestamps are out of order.
    """
    if not activations:
        return []
    times = [to_datetime(activation.time) for activation in activations]
    dated = _in_order(times)
    first = dated[0]
    found = {
        number: ActivePeriod(activations[number], activations[first].time, False)
        for number in range(first)
        if start < times[first]
    }
    for index, following in zip(dated, [*dated[1:], None], strict=True):
        if not _overlaps(times[index], None if following is None else times[following], start, end):
            continue
        until = None if following is None else activations[following].time
        numbers = range(index, len(activations) if following is None else following)
        found |= {number: ActivePeriod(activations[number], until, number == index) for number in numbers}
    for index in sorted({*range(len(times))} - {*dated} - found.keys()):
        following = next((number for number in range(index + 1, len(times)) if times[number] >= times[index]), None)
        is_possible = RELEASED <= times[index] <= now
        if is_possible and _overlaps(times[index], None if following is None else times[following], start, end):
            until = None if following is None else activations[following].time
            found[index] = ActivePeriod(activations[index], until, False)
    return [found[number] for number in sorted(found)]


def _overlaps(begin: datetime, until: datetime | None, start: datetime, end: datetime) -> bool:
    """Return whether a time from `begin` to `until` contains the instant, or a part of the period."""
    return (begin <= start or begin < end) and (until is None or start < until)


def _in_order(times: Sequence[datetime]) -> list[int]:
    """Return the indices of a longest part of the times that is in order (patience sorting)."""
    tails: list[datetime] = []
    ends: list[int] = []
    before: list[int] = []
    for index, time in enumerate(times):
        place = bisect_right(tails, time)
        tails[place : place + 1] = [time]
        ends[place : place + 1] = [index]
        before.append(ends[place - 1] if place else -1)
    chain: list[int] = []
    index = ends[-1] if ends else -1
    while index >= 0:
        chain.append(index)
        index = before[index]
    return chain[::-1]
