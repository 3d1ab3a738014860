"""Queries by which a history is read over Channel Access in parts, and their replies. Pure.

``History:Read`` takes a query (``revision 12``), ``History:Read_RBV`` shows the records of that kind from that
number on, as many as fit. The next query replaces the reply; each reply names its query, so that a client can
tell whether it is its own.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from ponikeeper.errors import HistoryError
from ponikeeper.history.records import KINDS, Record, with_checksum
from ponikeeper.protocol.json_text import MAX_BYTES, VERSION
from ponikeeper.text import strictjson

MAX_RECORDS: Mapping[str, int] = MappingProxyType(
    {
        "revision": 40,
        "activation": 110,
        "judgement": 110,
        "service": 110,
        "undo": 120,
        "label": 100,
        "derived": 50,
        "rename": 100,
    }
)
"""Number of records of each kind that never fit one reply, so that no more need to be read for it."""

_QUERY = re.compile(r"([a-z]+) +([1-9][0-9]{0,14})", re.ASCII)


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """A query for the records of a kind from a number on; as text ``revision 12``.

    Parameters
    ----------
    kind
        A key of `KINDS`.
    first
        Number of the first record.
    """

    kind: str
    first: int

    def __str__(self) -> str:
        return f"{self.kind} {self.first}"


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to a query.

    Parameters
    ----------
    read
        The query as text.
    count
        Number of the newest record of that kind.
    records
        Those from the first one on, in their order; none beyond the newest.
    """

    read: str
    count: int
    records: tuple[Record, ...]


def parse_query(text: str) -> HistoryQuery:
    """Parse a query.

    Parameters
    ----------
    text
        Such as ``revision 12``.

    Returns
    -------
    HistoryQuery
        The query.

    Raises
    ------
    HistoryError
        The text is not a query.
    """
    match = _QUERY.fullmatch(text.strip())
    if match is None or match[1] not in KINDS:
        kinds = ", ".join(f"{kind} N" for kind in KINDS)
        raise HistoryError(f"History:Read: {text[:40]!a} is not a query: expected one of {kinds}; N from 1 on")
    return HistoryQuery(match[1], int(match[2]))


def reply_text(
    prefix: str, query: HistoryQuery, count: int, records: Sequence[Record], first_prefix: str | None = None
) -> str:
    """Format a reply with as many of the records as fit.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    query
        The query.
    count
        Number of the newest record of the kind.
    records
        Records from the first one of the query on.
    first_prefix
        PV prefix that the checksums cover; None is `prefix`.

    Returns
    -------
    str
        The text of ``History:Read_RBV``.
    """
    covered = first_prefix or prefix
    name = "" if covered == prefix else f'"prefix": {strictjson.dumps(covered)}, '
    head = f'{{"v": {VERSION}, "read": "{query}", "count": {count}, {name}"records": ['
    room = MAX_BYTES - len(head) - len("]}")
    texts: list[str] = []
    for record in records:
        text = strictjson.dumps(with_checksum(covered, record))
        room -= len(text) + len(", ")
        if room < 0:
            break
        texts.append(text)
    return f"{head}{', '.join(texts)}]}}"


def parse_reply(prefix: str, text: str) -> Reply:
    """Parse a reply, and verify the checksum of each record.

    Parameters
    ----------
    prefix
        PV prefix of the detector, with which the PV was read.
    text
        The text of ``History:Read_RBV``; of a detector that was renamed it has the prefix that the checksums cover.

    Returns
    -------
    Reply
        The reply.

    Raises
    ------
    HistoryError
        The text is not a reply of this version, or a record was changed.
    """
    expected = f'expected {{"v": {VERSION}, "read": "revision 12", "count": 57, "records": [...]}}'
    try:
        values = cast("dict[str, object]", strictjson.loads(text))
        version, read, count = values["v"], str(values["read"]), int(cast("int", values["count"]))
        kind = KINDS[read.partition(" ")[0]]
        records = cast("list[dict[str, object]]", values["records"])
        covered = str(values.get("prefix", prefix))
    except (ValueError, TypeError, KeyError) as error:
        raise HistoryError(f"{prefix}History:Read_RBV has no valid reply ({error}): {expected}") from None
    if version != VERSION:
        raise HistoryError(f"{prefix}History:Read_RBV has version {version!a}: {expected}")
    return Reply(read, count, tuple(kind.parse(covered, record) for record in records))
