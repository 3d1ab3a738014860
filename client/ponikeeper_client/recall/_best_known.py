"""What is known now of a recorded geometry, by the judgements of its history: pure.

The revision is found by its uid, never by its number alone: a store that was begun anew numbers from 1
again, and the same number means another geometry there.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from ponikeeper.errors import NoGeometryError
from ponikeeper.history.corrections import chain
from ponikeeper.history.records import Correction, Revision
from ponikeeper.text.timestamps import from_posix, to_datetime
from ponikeeper_client.recall._histories import Histories, History, ask_ioc, holding, read_all
from ponikeeper_client.recall._reading import recorded
from ponikeeper_client.recall._values import BestKnown, Geometries, Recorded


def best_known(
    run: Any,
    detector: str | None = None,
    stream: str | None = None,
    *,
    history: Histories | None = None,
    timeout: float = 5.0,
) -> Geometries[BestKnown]:
    """Give what is known now of every geometry that a run recorded, with what was judged since.

    A judgement counts for an event by the event's own time, which is that of its document: the end of
    its exposure. Where that splits the events of one descriptor, they come in parts.

    Parameters
    ----------
    run, detector, stream
        As for `recorded`.
    history
        Exported histories, or their files, to look in; left out, the IOC is asked, by the prefix that
        the run recorded. Of several exports of one store the one that knows most counts; it knows
        nothing of what was judged after it.
    timeout
        How long an IOC may be silent (s).

    Raises
    ------
    NoGeometryError
        As `recorded`; or the IOC, or the exports, do not have the revision that the run recorded: no
        other one of the same number is taken for it.
    NotConnectedError
        The IOC does not answer.
    HistoryError
        An export, or what the IOC answers, is not what was written.
    """
    found = recorded(run, detector, stream)
    exports = None if history is None else read_all(history)
    live: dict[str, History] = {}

    def history_of(each: Recorded) -> History:
        if exports is not None:
            return holding(exports, each)
        if each.prefix is None:
            raise NoGeometryError(
                f"{each.detector} {each.place}: the run does not say which PVs it had revision {each.revision} "
                "from: give the exported history, best_known(run, history='FILE')"
            )
        if each.prefix not in live:
            live[each.prefix] = ask_ioc(each.prefix, timeout)
        return live[each.prefix]

    known: list[BestKnown] = []
    for each in found:
        known += [as_recorded(each)] if each.revision is None else judged(each, history_of(each))
    return Geometries(known)


Chain = tuple[Correction, ...]


def as_recorded(recorded: Recorded) -> BestKnown:
    """Give what is known of a geometry that names no revision: what the run recorded."""
    why = recorded.why
    if recorded.geometry is not None:
        why = "it names no revision, so nobody can have judged it: as it was recorded"
    return BestKnown(recorded=recorded, geometry=recorded.geometry, why=why, authority="the run")


def judged(recorded: Recorded, history: History) -> list[BestKnown]:
    """Give what is known of a recorded geometry, for each of its events.

    Parameters
    ----------
    recorded
        With its revision.
    history
        Of its detector.

    Returns
    -------
    list of BestKnown
        One where the same holds for all events; else the events in parts, in their order.

    Raises
    ------
    NoGeometryError
        The history does not have the revision that the run recorded.
    """
    revision = _proven(recorded, history)
    corrections = history.corrections()
    if any(event.time is None for event in recorded.events) or not recorded.events:
        return [_of_a_time(recorded, revision, corrections, history)]
    parts = groupby(
        recorded.events, lambda event: tuple(chain(corrections, revision.number, from_posix(event.time or 0.0)))
    )
    return [_known(replace(recorded, events=tuple(events)), revision, way, history) for way, events in parts]


def _proven(recorded: Recorded, history: History) -> Revision:
    """Give the revision that the run recorded, proven by uid and checksum."""
    number = recorded.revision or 0
    where = f"{recorded.detector} {recorded.place}"
    advice = "give the exported history that has it: best_known(run, history=...)"
    revision = history.revision(number)
    if revision is None:
        raise NoGeometryError(f"{where}: {history.authority} has no revision {number} (was it begun anew?): {advice}")
    if revision.uid != recorded.uid:
        raise NoGeometryError(
            f"{where}: revision {number} of {history.authority} has the uid {revision.uid}, the run recorded "
            f"{recorded.uid}: it is another geometry of the same number, the store was begun anew; {advice}"
        )
    same = recorded.geometry in (None, revision.geometry)
    if revision.checksum != recorded.checksum or not same:
        raise NoGeometryError(
            f"{where}: revision {number} of {history.authority} is not what the run recorded under the same uid "
            f"({'checksum' if same else 'geometry'} differs): one of them was changed; {advice}"
        )
    return revision


def _of_a_time(
    recorded: Recorded, revision: Revision, corrections: Sequence[Correction], history: History
) -> BestKnown:
    """Judge events whose own time is not known by the time in which they were taken, if that is all of one kind."""
    ways = [
        (instant, tuple(chain(corrections, revision.number, instant))) for instant in _instants(recorded, corrections)
    ]
    first = ways[0][1]
    other = [(instant, way) for instant, way in ways if _right(way, revision) != _right(first, revision)]
    if not other:
        return _known(recorded, revision, first, history)
    instant, way = other[0]
    until = "on" if recorded.ends is None else f"to {from_posix(recorded.ends)}"
    why = (
        f"when its events were taken is not recorded, only that it was from {from_posix(recorded.begins)} {until}; "
        f"what was judged changes at {instant}, and it cannot be told on which side of it they are"
    )
    return BestKnown(recorded=recorded, geometry=None, why=why, chain=way or first, authority=history.authority)


def _instants(recorded: Recorded, corrections: Sequence[Correction]) -> list[str]:
    """Give an instant of each part of the time that is covered, between which nothing is judged differently."""
    begins, ends = from_posix(recorded.begins), None if recorded.ends is None else from_posix(recorded.ends)
    edges = {text for item in corrections for text in (item.since, item.until) if text is not None}
    inside = [
        edge
        for edge in sorted(edges, key=to_datetime)
        if _before(begins, edge) and (ends is None or not _before(ends, edge))
    ]
    return [begins, *inside]


def _before(one: str, other: str) -> bool:
    return to_datetime(one) < to_datetime(other)


def _right(way: Chain, revision: Revision) -> int | None:
    """Name the revision that is right; None where there is none."""
    return way[-1].by if way else revision.number


def _known(recorded: Recorded, revision: Revision, way: Chain, history: History) -> BestKnown:
    number = _right(way, revision)
    if number is None:
        why = f"revision {way[-1].revision} was retracted: {way[-1].reason} [{way[-1].author}, {way[-1].time}]"
        return BestKnown(recorded=recorded, geometry=None, why=why, chain=way, authority=history.authority)
    right = revision if number == revision.number else history.revision(number)
    if right is None or any(item.revision == number for item in way):
        why = f"the judgements lead to revision {number}, which {history.authority} does not have or judged wrong, too"
        return BestKnown(recorded=recorded, geometry=None, why=why, chain=way, authority=history.authority)
    return BestKnown(
        recorded=recorded,
        geometry=right.geometry,
        revision=right.number,
        uid=right.uid,
        checksum=right.checksum,
        label=right.label,
        chain=way,
        authority=history.authority,
    )
