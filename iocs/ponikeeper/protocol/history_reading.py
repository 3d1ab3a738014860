"""How a history is read in parts: generators that yield queries and are sent the replies. Pure.

The caller has the connection: it sends each query, passes the reply to the generator, and gets the result at the
end. So the command line (aioca) and the client (ophyd) read a history by the same rules.

Examples
--------
>>> steps = revision(12)
>>> str(next(steps))
'revision 12'
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar, cast

from ponikeeper.errors import RefusedError
from ponikeeper.history import Activation, Correction, DerivedGeometry, LabelRecord, Revision, UndoRecord
from ponikeeper.history import labels as label_rules
from ponikeeper.history.corrections import corrected_revisions
from ponikeeper.history.records import KINDS, Record, name_of
from ponikeeper.history.undos import undone_revisions
from ponikeeper.protocol.history_query import MAX_RECORDS, HistoryQuery, Reply

_TRIES = 20
"""How often the end of a history is read again if corrections are added meanwhile."""

_FEW = MAX_RECORDS["derived"] // 2
"""So many records of what models gave are read at once, and not searched."""

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
        In their order, with the labels that they have now.
    corrections
        All of the detector, in their order.
    count
        Number of revisions that the history has.
    undone
        Numbers of the revisions whose activations were all undone.
    """

    revisions: list[Revision]
    corrections: list[Correction]
    count: int
    undone: frozenset[int] = frozenset()


FullHistory = dict[str, list[Record]]
"""All records by kind, in the order of `KINDS`."""


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
    return (yield from _listing(revisions, count))


def everything() -> Steps[Listing]:
    """Read all revisions and all corrections."""
    revisions, count = yield from _counted("revision", 1)
    return (yield from _listing(revisions, count))


def _listing(revisions: list[Record], count: int) -> Steps[Listing]:
    """Read what is shown with revisions: corrections, the labels that they have now, and what was undone."""
    corrections = yield from all_corrections()
    labels = yield from all_labels()
    undone = yield from all_undone()
    return Listing(
        [label_rules.with_label(each, labels) for each in cast("list[Revision]", revisions)], corrections, count, undone
    )


def all_corrections() -> Steps[list[Correction]]:
    """Read all corrections."""
    return cast("list[Correction]", (yield from records("judgement", 1)))


def all_activations() -> Steps[list[Activation]]:
    """Read all activations."""
    return cast("list[Activation]", (yield from records("activation", 1)))


def all_derived() -> Steps[list[DerivedGeometry]]:
    """Read what models gave for all positions."""
    return cast("list[DerivedGeometry]", (yield from records("derived", 1)))


def derived_of(serial: int) -> Steps[DerivedGeometry | None]:
    """Read what a model gave for one activation: by bisection, since numbers and serials grow together.

    Parameters
    ----------
    serial
        Serial of the activation.

    Returns
    -------
    DerivedGeometry or None
        None where the revision itself was active.
    """
    first, last = 1, (yield HistoryQuery("derived", 1)).count
    while first <= last:
        middle = first if last - first < _FEW else (first + last) // 2
        read = cast("tuple[DerivedGeometry, ...]", (yield HistoryQuery("derived", middle)).records)
        if not read:
            raise RefusedError(f"derived {middle} of {last} is not published: it is too long for its PV")
        match = next((one for one in read if one.serial == serial), None)
        if match is not None:
            return match
        if serial < read[0].serial:
            last = middle - 1
        else:
            first = read[-1].number + 1 if serial > read[-1].serial else last + 1
    return None


def all_labels() -> Steps[list[LabelRecord]]:
    """Read all label records."""
    return cast("list[LabelRecord]", (yield from records("label", 1)))


def all_undos() -> Steps[tuple[list[Activation], list[UndoRecord]]]:
    """Read all undos, and all activations if there is an undo."""
    undos = cast("list[UndoRecord]", (yield from records("undo", 1)))
    return (yield from all_activations()) if undos else [], undos


def all_undone() -> Steps[frozenset[int]]:
    """Read the numbers of the revisions whose activations were all undone."""
    return undone_revisions(*(yield from all_undos()))


def labelled(label: str) -> Steps[Revision]:
    """Read the revision that got a label last and was neither corrected nor undone, as `activate` selects it.

    Parameters
    ----------
    label
        The label.

    Returns
    -------
    Revision
        As it was committed: a label record may have given it the label later.

    Raises
    ------
    RefusedError
        There is none.
    """
    wrong = corrected_revisions((yield from all_corrections()))
    labels = yield from all_labels()
    wrong |= yield from all_undone()
    reply = yield HistoryQuery("revision", 1)
    count = first = reply.count + 1
    seen: list[Revision] = []
    matches: list[tuple[int, int]] = []
    while first > 1:
        first, last = max(1, first - MAX_RECORDS["revision"]), first - 1
        seen += reversed(cast("list[Revision]", (yield from records("revision", first, last))))
        matches = [*label_rules.labelled(label, [each.number for each in seen if each.label == label], labels)]
        number = next((number for newest, number in matches if number not in wrong and newest >= first), None)
        if number is not None:
            read = next((each for each in seen if each.number == number), None)
            return read or (yield from revision(number))
    if matches:
        number = matches[0][1]
        raise RefusedError(
            f"every revision labelled {label} was superseded, retracted or undone, the last one is {number}: "
            f"to read it, give its number: --revision {number}"
        )
    names = {name for name in (label_rules.label_of(each, labels) for each in seen) if name}
    known = f"labels {', '.join(sorted(names))}" if names else f"no labels, and {_numbers(count - 1)}"
    raise RefusedError(f"there is no revision labelled {label}: the history has {known}")


def full_history(known: Mapping[str, int] = MappingProxyType({})) -> Steps[FullHistory]:
    """Read all records as of one instant, while commits continue.

    The activations are read again until no record of another kind was added meanwhile. Each revision was
    activated by the transaction that stored it, so the revisions of that instant are those up to the newest one
    that these activations name.

    Parameters
    ----------
    known
        Number of the newest record of each kind that is known already: of this kind, the records from it on are read.

    Raises
    ------
    RefusedError
        Records are added all the time.
    """
    first = {kind: max(1, known.get(kind, 1)) for kind in KINDS}
    read: dict[str, list[Record]] = {kind: [] for kind in KINDS}
    later = [kind for kind in KINDS if kind not in ("revision", "activation")]
    for _ in range(_TRIES):
        for kind in (*later, "activation"):
            read[kind] += yield from records(kind, first[kind] + len(read[kind]))
        added = 0
        for kind in later:
            after = first[kind] + len(read[kind])
            added += max(0, (yield HistoryQuery(kind, after)).count + 1 - after)
        if not added:
            break
    else:
        raise RefusedError("corrections, undos, labels or service changes are added all the time: try again later")
    activated = (activation.revision for activation in cast("list[Activation]", read["activation"]))
    newest = max([known.get("revision", 0), *activated])
    read["revision"] = yield from records("revision", first["revision"], newest)
    return read


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
