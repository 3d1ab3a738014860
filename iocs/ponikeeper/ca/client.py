"""The few CA calls that the command line needs (aioca)."""

import asyncio
import os
from collections.abc import Callable
from typing import Any, cast

from aioca import DBR_CHAR_STR, CANothing, caget, camonitor, caput

from ponikeeper import strictjson
from ponikeeper.errors import NotConnectedError, RefusedError
from ponikeeper.messages import Request, Result, Snapshot, parse_results, request_text

TIMEOUT = 5.0
_TRIES = 20


async def read_text(pv: str, timeout: float = TIMEOUT) -> str:
    """Read a text PV.

    Raises
    ------
    NotConnectedError
        It does not answer.
    """
    return str(await _got(pv, DBR_CHAR_STR, timeout))


async def read_snapshot(prefix: str, timeout: float = TIMEOUT) -> Snapshot:
    """Read all that is in force on a detector.

    Raises
    ------
    NotConnectedError
        It does not answer.
    """
    return Snapshot.from_json(await read_text(f"{prefix}Snapshot_RBV", timeout))


async def transact(prefix: str, request: Request, timeout: float = 30.0) -> Result:
    """Run one transaction and give its verdict.

    Parameters
    ----------
    request
        With an id, by which its result is found.

    Raises
    ------
    RefusedError
        With the IOC's reasons.
    NotConnectedError
        It does not answer; whether the transaction was stored is not known then.
    """
    pv = f"{prefix}Request"
    refused = ""
    try:
        await caput(pv, request_text(request), datatype=DBR_CHAR_STR, wait=True, timeout=timeout)
    except CANothing as error:
        if "disconnect" in str(error).lower() or "timed out" in str(error).lower() or "timeout" in str(error).lower():
            raise NotConnectedError(_silent(pv, timeout)) from error
        refused = str(error)
    for _ in range(_TRIES):
        for result in parse_results(await read_text(f"{prefix}Results_RBV")):
            if result.request == request.request and result.outcome != "undetermined":
                if result.outcome == "refused":
                    raise RefusedError(result.errors)
                return result
        await asyncio.sleep(0.1)
    raise RefusedError(refused or "the result is no longer among the last ones: look at the history")


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
    for _ in range(_TRIES):  # somebody else may be looking at another one
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


async def select(prefix: str, number: int) -> None:
    """Select a revision to look at; 0 is the one in force.

    Raises
    ------
    RefusedError
        There is none of that number.
    """
    pv = f"{prefix}History:Select"
    count = int(await _got(f"{prefix}History:Count_RBV", None, TIMEOUT))
    if not 0 <= number <= count:
        raise RefusedError(f"there is no revision {number}: the history has {f'1 to {count}' if count else 'none'}")
    try:
        await caput(pv, number, wait=True, timeout=TIMEOUT)
    except CANothing as error:
        raise NotConnectedError(_silent(pv, TIMEOUT)) from error


async def watch(prefix: str, show: Callable[[Snapshot], None]) -> None:
    """Call a function with each snapshot, for ever.

    Raises
    ------
    NotConnectedError
        The IOC does not answer at the beginning; later interruptions are waited for.
    """
    pv = f"{prefix}Snapshot_RBV"
    await read_text(pv)
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def told(text: Any) -> None:
        try:
            show(Snapshot.from_json(str(text)))
        except Exception as error:  # noqa: BLE001  # whatever it is ends the watching, and is told there
            if not ended.done():
                ended.set_exception(error)

    subscription = camonitor(pv, told, datatype=DBR_CHAR_STR)
    try:
        await ended
    finally:
        subscription.close()


async def _got(pv: str, datatype: Any, timeout: float) -> Any:
    try:
        return await caget(pv, datatype=datatype, timeout=timeout)
    except CANothing as error:
        raise NotConnectedError(_silent(pv, timeout)) from error


def _silent(pv: str, timeout: float) -> str:
    where = os.environ.get("EPICS_CA_ADDR_LIST", "not set")
    return (
        f"{pv} does not answer within {timeout:g} s: is the prefix right, is the IOC running, "
        f"is EPICS_CA_ADDR_LIST ({where}) right?"
    )
