"""Which rows of a stream belong to which of its descriptors, where only their times tell. Pure.

Tiled keeps the rows of a stream in one table, with number and time, and the descriptors beside it, with
their times. The RunEngine makes both one after another, with one clock: so a row belongs to the last
descriptor before it. That is said only where the times bear it out; else it cannot be told.
"""

import bisect
import itertools
from collections.abc import Iterable, Sequence

from ponikeeper_client.recall.runs import Event


def deal(times: Sequence[float], rows: Iterable[Event]) -> tuple[list[tuple[Event, ...]], str]:
    """Deal the rows of a stream out to its descriptors.

    Parameters
    ----------
    times
        When each descriptor was made (s since 1970), in their order.
    rows
        Of the table, in any order; a row that was written twice counts once.

    Returns
    -------
    list of tuple of Event
        For each descriptor what it covers, in the order of time.
    str
        Why that cannot be told; empty where it can.
    """
    ordered = sorted(set(rows), key=lambda row: (row.time or 0.0, row.seq_num))
    if len(times) == 1:
        return [tuple(ordered)], ""
    doubt = _doubt(times, ordered)
    dealt: list[list[Event]] = [[] for _ in times]
    if not doubt:
        for row in ordered:
            dealt[bisect.bisect_right(times, row.time or 0.0) - 1].append(row)
    return [tuple(each) for each in dealt], doubt


def _doubt(times: Sequence[float], ordered: Sequence[Event]) -> str:
    """Say why the times do not tell the order in which descriptors and rows were made."""
    if any(row.time is None for row in ordered):
        return "the catalog does not say when the events were made"
    if any(later <= earlier for earlier, later in itertools.pairwise(times)):
        return "the times of the descriptors do not rise: the clock was set during the run"
    if any(row.time in times for row in ordered):
        return "an event and a descriptor have the same time"
    if ordered and (ordered[0].time or 0.0) < times[0]:
        return "an event is older than the first descriptor: its time is not that of the run"
    newest, seen = 0, set[int]()
    for row in ordered:
        if row.seq_num not in seen and row.seq_num < newest:
            return f"event {newest} is older than event {row.seq_num}: the clock was set during the run"
        newest = max(newest, row.seq_num)
        seen.add(row.seq_num)
    return ""
