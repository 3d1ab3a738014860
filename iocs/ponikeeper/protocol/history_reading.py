"""How a history is read in parts: generators that yield queries and are sent the replies. Pure.

The caller has the connection: it sends each query, passes the reply to the generator, and gets the result at the
end. So the command line (aioca) and the client (ophyd) read a history by the same rules.

Examples
--------
>>> steps = revision(12)
>>> str(next(steps))
'revision 12'
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar, cast

from ponikeeper.errors import RefusedError
from ponikeeper.history.corrections import corrected_revisions
from ponikeeper.history.records import Activation, Correction, Record, Revision, ServiceChange, name_of
from ponikeeper.protocol.history_query import MAX_RECORDS, HistoryQuery, Reply

_TRIES = 20
"""How often the end of a history is read again if corrections are added meanwhile."""

_WINDOW = 60
"""Revisions that are listed around one of them."""

T = TypeVar("T")

Steps = Generator[HistoryQuery, Reply, T]
"""Yields queries, is sent their replies, and returns the result."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Some revisions of a history, with all corrections.

    Parameters
    ----------
    revisions
        In their order.
    corrections
        All of the detector, in their order.
    count
        Number of revisions that the history has.
    """

    revisions: list[Revision]
    corrections: list[Correction]
    count: int


FullHistory = tuple[list[Revision], list[Activation], list[Correction], list[ServiceChange]]
"""All records of a detector, in the order of `KINDS`."""


def run(steps: Steps[T], ask: Callable[[HistoryQuery], Reply]) -> T:
    """Run a reading to its end.

    Parameters
    ----------
    steps
        One of the generators of this module.
    ask
        Sends a query and returns its reply.
    """
    try:
        query = next(steps)
        while True:
            query = steps.send(ask(query))
    except StopIteration as end:
        return cast("T", end.value)


def revision(number: int) -> Steps[Revision]:
    """Read one revision.

    Parameters
    ----------
    number
        Its number, from 1.

    Raises
    ------
    RefusedError
        There is no revision of that number.
    """
    if number < 1:
        raise RefusedError(f"there is no revision {number}: they are numbered from 1 on")
    reply = yield HistoryQuery("revision", number)
    if reply.records:
        return cast("Revision", reply.records[0])
    raise RefusedError(f"there is no revision {number}: the history has {_numbers(reply.count)}")


def around(number: int) -> Steps[Listing]:
    """Read the revisions around a number, which need not exist, and all corrections."""
    first = max(1, number - _WINDOW // 2)
    revisions, count = yield from _counted("revision", first, number + _WINDOW // 2)
    corrections = yield from all_corrections()
    return Listing(cast("list[Revision]", revisions), corrections, count)


def everything() -> Steps[Listing]:
    """Read all revisions and all corrections."""
    revisions, count = yield from _counted("revision", 1)
    corrections = yield from all_corrections()
    return Listing(cast("list[Revision]", revisions), corrections, count)


def all_corrections() -> Steps[list[Correction]]:
    """Read all corrections."""
    return cast("list[Correction]", (yield from records("judgement", 1)))


def all_activations() -> Steps[list[Activation]]:
    """Read all activations."""
    return cast("list[Activation]", (yield from records("activation", 1)))


def labelled(label: str) -> Steps[Revision]:
    """Read the newest revision with a label that is not corrected, as `activate` selects it.

    Parameters
    ----------
    label
        The label.

    Raises
    ------
    RefusedError
        There is none.
    """
    wrong = corrected_revisions((yield from all_corrections()))
    newest_wrong, labels = 0, set[str]()
    reply = yield HistoryQuery("revision", 1)
    count, last = reply.count, reply.count
    while last > 0:
        first = max(1, last - MAX_RECORDS["revision"] + 1)
        page = cast("list[Revision]", (yield from records("revision", first, last)))
        for each in reversed(page):
            labels |= {each.label} if each.label else set()
            if each.label != label:
                continue
            if each.number not in wrong:
                return each
            newest_wrong = newest_wrong or each.number
        last = first - 1
    if newest_wrong:
        raise RefusedError(
            f"every revision labelled {label} was superseded or retracted, the last one is {newest_wrong}: "
            f"to read it, give its number: --revision {newest_wrong}"
        )
    known = f"labels {', '.join(sorted(labels))}" if labels else f"no labels, and {_numbers(count)}"
    raise RefusedError(f"there is no revision labelled {label}: the history has {known}")


def full_history() -> Steps[FullHistory]:
    """Read all records as of one instant, while commits continue.

    The activations are read again until no correction was added meanwhile. Each revision was activated by
    the transaction that stored it, so the revisions of that instant are those up to the newest one that
    these activations name. Service changes refer to no other record.

    Raises
    ------
    RefusedError
        Corrections are added all the time.
    """
    corrections: list[Record] = []
    activations: list[Record] = []
    for _ in range(_TRIES):
        corrections += yield from records("judgement", len(corrections) + 1)
        activations += yield from records("activation", len(activations) + 1)
        if (yield HistoryQuery("judgement", len(corrections) + 1)).count == len(corrections):
            break
    else:
        raise RefusedError("corrections are added all the time: try again later")
    named = cast("list[Activation]", activations)
    newest = max((activation.revision for activation in named), default=0)
    revisions = yield from records("revision", 1, newest)
    service = yield from records("service", 1)
    return (
        cast("list[Revision]", revisions),
        named,
        cast("list[Correction]", corrections),
        cast("list[ServiceChange]", service),
    )


def records(kind: str, first: int, last: int | None = None) -> Steps[list[Record]]:
    """Read the records of a kind from one number to another, or to the newest."""
    return (yield from _counted(kind, first, last))[0]


def _counted(kind: str, first: int, last: int | None = None) -> Steps[tuple[list[Record], int]]:
    """Read records, and the number of the newest one of the kind."""
    results: list[Record] = []
    count = 0
    while last is None or first <= last:
        reply = yield HistoryQuery(kind, first)
        count = reply.count
        results += [record for record in reply.records if last is None or name_of(record)[1] <= last]
        first += len(reply.records)
        if first > count:
            break
        if not reply.records:
            raise RefusedError(f"{kind} {first} of {count} is not published: it is too long for its PV")
    return results, count


def _numbers(count: int) -> str:
    return f"revisions 1 to {count}" if count else "no revisions"
