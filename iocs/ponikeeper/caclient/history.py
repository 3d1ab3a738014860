"""The CA calls of the command line for a history (aioca); they leave the selected revision unchanged."""

import asyncio
import random
from typing import TypeVar, cast

from aioca import CANothing, caput

from ponikeeper.caclient.client import TIMEOUT, get, no_answer, read_text
from ponikeeper.errors import NotConnectedError, RefusedError
from ponikeeper.history import LabelRecord, Revision
from ponikeeper.protocol import history_reading
from ponikeeper.protocol.history_query import HistoryQuery, Reply, parse_reply
from ponikeeper.protocol.history_reading import FullHistory, Steps

_TRIES = 20
"""How often a query is sent if another client's query replaces its answer."""

_PAUSE = 0.02
"""Longest pause before the first repetition of a query (s)."""

T = TypeVar("T")


async def read(prefix: str, steps: Steps[T]) -> T:
    """Read from the history of a detector.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    steps
        What to read: a generator of `ponikeeper.protocol.history_reading`.

    Raises
    ------
    RefusedError
        The history does not have it.
    HistoryError
        An answer is damaged: its checksum is wrong.
    NotConnectedError
        The IOC does not answer.
    """
    try:
        query = next(steps)
        while True:
            query = steps.send(await _query(prefix, query))
    except StopIteration as end:
        return cast("T", end.value)


async def read_revisions(prefix: str, *numbers: int) -> tuple[list[Revision], list[LabelRecord]]:
    """Read several revisions by their numbers, as they were committed, and all labels; raises as `read`."""
    revisions = [await read(prefix, history_reading.revision(number)) for number in numbers]
    return revisions, await read(prefix, history_reading.all_labels())


async def read_all(prefix: str) -> FullHistory:
    """Read all records of a detector as of one instant, while commits continue; raises as `read`."""
    return await read(prefix, history_reading.full_history())


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
