"""The CA calls of the command line for a history (aioca); they leave the selected revision unchanged."""

import asyncio
import random
from typing import cast

from aioca import CANothing, caput

from ponikeeper.caclient.client import TIMEOUT, get, no_answer, read_snapshot, read_text
from ponikeeper.errors import NotConnectedError, RefusedError
from ponikeeper.history.records import Activation, Correction, Record, Revision, name_of
from ponikeeper.protocol.history_query import HistoryQuery, Reply, parse_reply

_TRIES = 20
"""How often a query is sent if another client's query replaces its answer."""

_PAUSE = 0.02
"""Longest pause before the first repetition of a query (s)."""

_WINDOW = 60
"""Revisions that are listed around one of them."""

FullHistory = tuple[list[Revision], list[Activation], list[Correction]]


async def read_revision(prefix: str, number: int) -> Revision:
    """Read one revision of the history.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    number
        Number of the revision, from 1.

    Raises
    ------
    RefusedError
        There is no revision of that number.
    HistoryError
        The answer is damaged: its checksum is wrong.
    NotConnectedError
        The IOC does not answer.
    """
    if number < 1:
        raise RefusedError(f"there is no revision {number}: they are numbered from 1 on")
    reply = await _query(prefix, HistoryQuery("revision", number))
    if not reply.records:
        raise _no_such_revision(number, reply.count)
    return cast("Revision", reply.records[0])


async def read_revisions(prefix: str, *numbers: int) -> list[Revision]:
    """Read several revisions; raises as `read_revision`."""
    return [await read_revision(prefix, number) for number in numbers]


async def read_around(prefix: str, around: int) -> tuple[list[Revision], list[Correction], int]:
    """Read the revisions around one, all corrections, and the number of the active revision.

    Raises as `read_revision`.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    around
        The number of the revision; 0 is the active one.
    """
    active = (await read_snapshot(prefix)).revision
    centre = around or active
    if around:
        await read_revision(prefix, around)
    revisions = await _read_from(prefix, "revision", max(1, centre - _WINDOW // 2), centre + _WINDOW // 2)
    corrections = await _read_from(prefix, "judgement", 1)
    return cast("list[Revision]", revisions), cast("list[Correction]", corrections), active


async def read_all(prefix: str) -> FullHistory:
    """Read all records of a detector as of one instant, while commits continue; raises as `read_revision`.

    The activations are read again until no correction was added meanwhile. Each revision was activated by
    the transaction that stored it, so the revisions of that instant are those up to the newest one that
    these activations name.
    """
    corrections: list[Record] = []
    activations: list[Record] = []
    for _ in range(_TRIES):
        corrections += await _read_from(prefix, "judgement", len(corrections) + 1)
        activations += await _read_from(prefix, "activation", len(activations) + 1)
        if (await _query(prefix, HistoryQuery("judgement", len(corrections) + 1))).count == len(corrections):
            break
    else:
        raise RefusedError(f"{prefix}: corrections are added all the time: try again later")
    named = cast("list[Activation]", activations)
    newest = max((activation.revision for activation in named), default=0)
    revisions = await _read_from(prefix, "revision", 1, newest)
    return cast("list[Revision]", revisions), named, cast("list[Correction]", corrections)


async def _read_from(prefix: str, kind: str, first: int, last: int | None = None) -> list[Record]:
    """Read the records of a kind from one number to another, or to the newest."""
    records: list[Record] = []
    while last is None or first <= last:
        reply = await _query(prefix, HistoryQuery(kind, first))
        records += [record for record in reply.records if last is None or name_of(record)[1] <= last]
        first += len(reply.records)
        if first > reply.count:
            break
        if not reply.records:
            raise RefusedError(f"{prefix}: {kind} {first} of {reply.count} is not published: it is too long for its PV")
    return records


async def _query(prefix: str, query: HistoryQuery) -> Reply:
    """Query records, again if another client's query has replaced the answer."""
    pv = f"{prefix}History:Read"
    await get(pv)
    for number in range(_TRIES):
        try:
            await caput(pv, str(query), wait=True, timeout=TIMEOUT)
        except CANothing as error:
            if any(word in str(error).lower() for word in ("disconnect", "timed out", "timeout")):
                raise NotConnectedError(no_answer(pv, TIMEOUT)) from error
            raise RefusedError(f"{pv}: {await read_text(f'{prefix}Message_RBV')}") from error
        reply = parse_reply(prefix, await read_text(f"{pv}_RBV"))
        if reply.read == str(query):
            return reply
        await asyncio.sleep(random.uniform(0, _PAUSE * (number + 1)))  # noqa: S311  # not in step with the other clients
    raise RefusedError(f"{query} of {prefix} could not be read: other clients send queries all the time")


def _no_such_revision(number: int, count: int) -> RefusedError:
    return RefusedError(f"there is no revision {number}: the history has {f'1 to {count}' if count else 'none'}")
