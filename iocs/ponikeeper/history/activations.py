"""Which revision was active at a time. Pure.

Serials tell the order of activations, their timestamps are those of the IOC's clock. A clock that was wrong for a
while leaves timestamps out of order: those that do not fit the others are not used, and what they name may have been
active at any time between the ones before and after them.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ponikeeper.history.records import Activation
from ponikeeper.text.timestamps import to_datetime


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


def active_during(activations: Sequence[Activation], start: datetime, end: datetime) -> list[ActivePeriod]:
    """Return what was active at some time of a period.

    Parameters
    ----------
    activations
        All of one detector, in the order of their serials.
    start, end
        From the first time to just before the second one; an instant where they are equal.

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
    periods = [
        ActivePeriod(each, activations[first].time, False) for each in activations[:first] if start < times[first]
    ]
    for index, following in zip(dated, [*dated[1:], None], strict=True):
        if not _overlaps(times[index], None if following is None else times[following], start, end):
            continue
        until = None if following is None else activations[following].time
        numbers = range(index, len(activations) if following is None else following)
        periods += [ActivePeriod(activations[number], until, number == index) for number in numbers]
    return periods


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
