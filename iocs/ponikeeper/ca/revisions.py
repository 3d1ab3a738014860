"""What the command line reads of the history: it selects, as a person at a screen would (aioca)."""

import asyncio
from collections.abc import Sequence
from typing import cast

from aioca import CANothing, caput

from ponikeeper import strictjson
from ponikeeper.ca.client import TIMEOUT, TRIES, got, read_snapshot, read_text, silent
from ponikeeper.errors import NotConnectedError, RefusedError


async def read_revision(prefix: str, number: int) -> dict[str, object]:
    """Read one revision of the history.

    Raises
    ------
    RefusedError
        There is none of that number.
    NotConnectedError
        The IOC does not answer.
    """
    if number < 1:
        raise RefusedError(f"there is no revision {number}: they are numbered from 1 on")
    for _ in range(TRIES):  # somebody else may be looking at another one
        await select(prefix, number)
        text = await read_text(f"{prefix}History:Selected_RBV")
        if text:
            values = cast("dict[str, object]", strictjson.loads(text))
            if values["revision"] == number:
                return values
        await asyncio.sleep(0.05)
    raise RefusedError(f"revision {number} could not be read: another client selects others")


async def read_revisions(prefix: str, *numbers: int) -> list[dict[str, object]]:
    """Read several revisions; raises as `read_revision`."""
    return [await read_revision(prefix, number) for number in numbers]


async def read_history(prefix: str, around: int) -> str:
    """Read the list of revisions around one; 0 is the one in force.

    Raises
    ------
    RefusedError
        There is none of that number.
    NotConnectedError
        The IOC does not answer.
    """
    await select(prefix, around)
    return await read_text(f"{prefix}History:List_RBV")


async def read_judgements(
    prefix: str, numbers: Sequence[int], around: int
) -> tuple[dict[int, list[dict[str, object]]], int]:
    """Read all that was judged of some revisions, and which revision is in force.

    Parameters
    ----------
    around
        The revision that is selected when this returns.

    Raises
    ------
    RefusedError
        There is none of a number.
    NotConnectedError
        The IOC does not answer.
    """
    revisions = await read_revisions(prefix, *numbers)
    await select(prefix, around)
    judgements = {
        number: cast("list[dict[str, object]]", revision["judgements"])
        for number, revision in zip(numbers, revisions, strict=True)
    }
    return judgements, (await read_snapshot(prefix)).revision


async def select(prefix: str, number: int) -> None:
    """Select a revision to look at; 0 is the one in force.

    Raises
    ------
    RefusedError
        There is none of that number.
    """
    pv = f"{prefix}History:Select"
    count = int(await got(f"{prefix}History:Count_RBV"))
    if not 0 <= number <= count:
        raise RefusedError(f"there is no revision {number}: the history has {f'1 to {count}' if count else 'none'}")
    try:
        await caput(pv, number, wait=True, timeout=TIMEOUT)
    except CANothing as error:
        raise NotConnectedError(silent(pv, TIMEOUT)) from error
