"""How a history is read over Channel Access, piece by piece: what is put, and what is answered. Pure.

``History:Read`` takes what is asked (``revision 12``), ``History:Read_RBV`` answers with the records
of that kind from that number on, as many as fit. Whoever asks next covers the answer: it says what it
answers, so that nobody takes another one's for his own.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from ponikeeper.errors import HistoryError
from ponikeeper.history.records import KINDS, Record, sealed
from ponikeeper.protocol.json_text import MAX_BYTES, VERSION
from ponikeeper.text import strictjson

AT_ONCE: Mapping[str, int] = MappingProxyType({"revision": 40, "activation": 110, "judgement": 110})
"""How many records of a kind never fit one answer, so that no more have to be read for it."""

_ASKED = re.compile(r"([a-z]+) +([1-9][0-9]{0,14})", re.ASCII)


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """What is asked: the records of a kind, from one of them on; as a text ``revision 12``."""

    kind: str
    first: int

    def __str__(self) -> str:
        return f"{self.kind} {self.first}"


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered.

    Parameters
    ----------
    read
        What was asked.
    count
        Number of the newest record of that kind.
    records
        Those from the asked one on, in their order; none beyond the newest.
    """

    read: str
    count: int
    records: tuple[Record, ...]


def parse_query(text: str) -> HistoryQuery:
    """Read what is asked.

    Raises
    ------
    HistoryError
        It is no such text.
    """
    found = _ASKED.fullmatch(text.strip())
    if found is None or found[1] not in KINDS:
        kinds = ", ".join(f"{kind} N" for kind in KINDS)
        raise HistoryError(
            f"History:Read: {text[:40]!a} asks for nothing that is there: expected one of {kinds}; N from 1 on"
        )
    return HistoryQuery(found[1], int(found[2]))


def reply_text(prefix: str, query: HistoryQuery, count: int, records: Sequence[Record]) -> str:
    """Write the answer, with as many of the records as fit.

    Parameters
    ----------
    prefix
        The detector's PV prefix.
    count
        Number of the newest record of the kind.
    """
    head = f'{{"v": {VERSION}, "read": "{query}", "count": {count}, "records": ['
    room = MAX_BYTES - len(head) - len("]}")
    kept: list[str] = []
    for record in records:
        text = strictjson.dumps(sealed(prefix, record))
        room -= len(text) + len(", ")
        if room < 0:
            break
        kept.append(text)
    return f"{head}{', '.join(kept)}]}}"


def parse_reply(prefix: str, text: str) -> Reply:
    """Read an answer, each record proven by its checksum.

    Raises
    ------
    HistoryError
        It is no answer of this version, or a record is not what was written.
    """
    expected = f'expected {{"v": {VERSION}, "read": "revision 12", "count": 57, "records": [...]}}'
    try:
        values = cast("dict[str, object]", strictjson.loads(text))
        version, read, count = values["v"], str(values["read"]), int(cast("int", values["count"]))
        kind = KINDS[read.partition(" ")[0]]
        records = cast("list[dict[str, object]]", values["records"])
    except (ValueError, TypeError, KeyError) as error:
        raise HistoryError(f"{prefix}History:Read_RBV holds no answer ({error}): {expected}") from None
    if version != VERSION:
        raise HistoryError(f"{prefix}History:Read_RBV answers with version {version!a}: {expected}")
    return Reply(read, count, tuple(kind.parse(prefix, record) for record in records))
