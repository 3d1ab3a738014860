"""The CA calls of the command line (aioca)."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from aioca import DBR_CHAR_STR, CANothing, caget, camonitor, caput, connect
from epicscorelibs.ca.cadef import CAException, ca_context_create

from ponikeeper.errors import MessageError, NotConnectedError
from ponikeeper.protocol import LinkState, Request, Result, Snapshot, parse_links, request_text
from ponikeeper.protocol.exchange import Exchange, Read, Wait
from ponikeeper.protocol.heartbeat import PERIOD, Heartbeat, hung_text
from ponikeeper.protocol.pvs import is_prefix_right
from ponikeeper.protocol.status import reaches

TIMEOUT = 5.0
"""How long one get or put may take (s)."""

_LAST_LOOK = 1.0
"""How long an IOC may take to answer after the time for a status is over (s)."""

_PAUSE = 0.05
"""Seconds between two reads of the results."""

_PREEMPTIVE = 1
"""``ca_enable_preemptive_callback``: libca calls back from threads of its own."""

Answer = Snapshot | NotConnectedError | MessageError
"""The snapshot of a detector, or why it cannot be read."""


def create_context() -> None:
    """Create libca's context in this thread.

    One that aioca creates is destroyed at exit, which waits for a peer that hangs.
    """
    ca_context_create(_PREEMPTIVE)


async def read_text(pv: str, timeout: float = TIMEOUT) -> str:
    """Read a text PV.

    Parameters
    ----------
    pv
        Its name.
    timeout
        How long to wait for the answer (s).

    Raises
    ------
    NotConnectedError
        The PV does not answer.
    """
    return str(await get(pv, DBR_CHAR_STR, timeout))


async def read_snapshot(prefix: str, timeout: float = TIMEOUT) -> Snapshot:
    """Read the snapshot of a detector: its active geometry, status and provenance.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    timeout
        How long to wait for the answer (s).

    Raises
    ------
    NotConnectedError
        The PV does not answer, or a gateway answers for an IOC that hangs.
    MessageError
        The text is not a snapshot that this version can read.
    """
    pv, alive = f"{prefix}Snapshot_RBV", f"{prefix}Alive_RBV"
    # both PVs are searched for at the same time: libca takes 30 ms until it sends a search
    text, connected = await asyncio.gather(read_text(pv, timeout), connect(alive, timeout=timeout, throw=False))
    if not connected.ok:
        raise NotConnectedError(no_answer(alive, timeout))
    if await require_alive(prefix, timeout):
        text = await read_text(pv, timeout)
    return Snapshot.from_json(text)


async def require_alive(prefix: str, timeout: float = TIMEOUT) -> bool:
    """Check that the IOC of a detector is alive, and not only a gateway that answers for it.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    timeout
        How long to wait for a sign of life (s); at least for two updates.

    Returns
    -------
    bool
        Whether there is a gateway with a cache: then what was read before may be old.

    Raises
    ------
    NotConnectedError
        The IOC is not alive.
    """
    pv, clock, heartbeat = f"{prefix}Alive_RBV", time.monotonic, Heartbeat()
    for _ in range(2):
        heartbeat.see(float(await get(pv, None, timeout)), clock())
    if heartbeat.is_fresh(clock()):
        return False
    advanced: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_update(value: Any) -> None:
        if heartbeat.see(float(value), clock()) and not advanced.done():
            advanced.set_result(None)

    patience = max(timeout, 2 * PERIOD)
    subscription = camonitor(pv, on_update)
    try:
        async with asyncio.timeout(patience):
            await advanced
    except TimeoutError:
        raise NotConnectedError(hung_text(pv, heartbeat.value, patience)) from None
    finally:
        subscription.close()
    return True


async def read_snapshots(prefixes: Sequence[str], timeout: float = TIMEOUT) -> dict[str, Answer]:
    """Read the snapshots of several detectors concurrently.

    Parameters
    ----------
    prefixes
        PV prefixes of the detectors.
    timeout
        How long to wait for the answers (s).

    Returns
    -------
    dict
        For each prefix the snapshot, or why it cannot be read.
    """

    async def one(prefix: str) -> Answer:
        try:
            return await read_snapshot(prefix, timeout)
        except (NotConnectedError, MessageError) as error:
            return error

    return dict(zip(prefixes, await asyncio.gather(*map(one, prefixes)), strict=True))


async def wait_for_status(prefixes: Sequence[str], status: str, timeout: float) -> dict[str, Answer]:
    """Wait until several detectors have a status at once, by monitors.

    Parameters
    ----------
    prefixes
        PV prefixes of the detectors.
    status
        The name of the status, as `reaches` takes it.
    timeout
        How long to wait (s).

    Returns
    -------
    dict
        The answer of each detector, by prefix, when all had the status or when the time was over. For an IOC that
        hangs behind a gateway it is why it cannot be read.
    """
    deadline = time.monotonic() + timeout
    answers = await _monitored_status(prefixes, status, timeout)
    left = max(min(deadline - time.monotonic(), TIMEOUT), _LAST_LOOK)

    async def verified(prefix: str, answer: Answer) -> Answer:
        if not isinstance(answer, Snapshot):
            return answer
        try:
            await require_alive(prefix, left)
        except NotConnectedError as error:
            return error
        return answer

    checked = await asyncio.gather(*(verified(prefix, answer) for prefix, answer in answers.items()))
    return dict(zip(answers, checked, strict=True))


async def _monitored_status(prefixes: Sequence[str], status: str, timeout: float) -> dict[str, Answer]:
    """Wait for a status by monitors, as `wait_for_status` does, without a check that the IOCs are alive."""
    pvs = {prefix: f"{prefix}Snapshot_RBV" for prefix in prefixes}
    answers: dict[str, Answer] = {prefix: NotConnectedError(no_answer(pv, timeout)) for prefix, pv in pvs.items()}
    reached: asyncio.Future[dict[str, Answer]] = asyncio.get_running_loop().create_future()

    def on_update(prefix: str, text: Any) -> None:
        answers[prefix] = _parse_update(text, NotConnectedError(no_answer(pvs[prefix], timeout)))
        waiting = [
            answer
            for answer in answers.values()
            if not (isinstance(answer, Snapshot) and reaches(answer.status, status))
        ]
        if not waiting and not reached.done():
            reached.set_result(dict(answers))

    subscriptions = [
        camonitor(pv, partial(on_update, prefix), datatype=DBR_CHAR_STR, notify_disconnect=True)
        for prefix, pv in pvs.items()
    ]
    try:
        async with asyncio.timeout(timeout):
            return await reached
    except TimeoutError:
        return answers
    finally:
        for subscription in subscriptions:
            subscription.close()


def _parse_update(text: Any, disconnected: NotConnectedError) -> Answer:
    """Parse an update of a snapshot's monitor."""
    try:
        return disconnected if isinstance(text, CANothing) else Snapshot.from_json(str(text))
    except MessageError as error:
        return error


async def read_links(prefix: str) -> tuple[LinkState, ...]:
    """Read the links of a detector as they are now.

    Parameters
    ----------
    prefix
        PV prefix of the detector.

    Raises
    ------
    NotConnectedError
        The PV does not answer.
    MessageError
        The text is not a list of links that this version can read.
    """
    return parse_links(await read_text(f"{prefix}Links_RBV"))


async def read_follow(prefix: str) -> bool:
    """Return whether the geometry follows the links.

    Parameters
    ----------
    prefix
        PV prefix of the detector.

    Raises
    ------
    NotConnectedError
        The IOC does not answer.
    """
    return bool(await get(f"{prefix}Follow_RBV"))


async def transact(prefix: str, request: Request, timeout: float = 30.0) -> Result:
    """Run one request and return its result.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    request
        The request; its id identifies the result.
    timeout
        How long to wait for the result (s).

    Returns
    -------
    Result
        An accepted one.

    Raises
    ------
    RefusedError
        With the IOC's reasons.
    NotConnectedError
        The IOC does not answer; the message says whether the request may have been stored.
    """
    pv, results = f"{prefix}Request", f"{prefix}Results_RBV"
    text, clock = request_text(request), time.monotonic
    exchange = Exchange(
        str(request.request), pv, results, now=clock(), timeout=timeout, answer_timeout=TIMEOUT, pause=_PAUSE
    )
    while not isinstance(step := exchange.step(clock()), Result):
        left = max(0.0, step.until - clock())
        if isinstance(step, Wait):
            await asyncio.sleep(left)
        elif isinstance(step, Read):
            with suppress(NotConnectedError):
                exchange.read(await read_text(results, left), clock())
        else:
            await _put(exchange, pv, text, left)
    return step


async def _put(exchange: Exchange, pv: str, text: str, timeout: float) -> None:
    """Put a request, and report to the exchange what came of it."""
    try:
        await connect(pv, timeout=timeout)
    except CANothing:
        exchange.not_connected(no_answer(pv, timeout), time.monotonic())
        return
    try:
        await caput(pv, text, datatype=DBR_CHAR_STR, wait=True, timeout=timeout)
    except (CANothing, CAException) as error:
        exchange.put_failed(str(error), time.monotonic())
    else:
        exchange.sent(time.monotonic())


async def watch(prefix: str, show: Callable[[Snapshot], None]) -> None:
    """Call a function with each snapshot, until cancelled.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    show
        The function; an error that it raises ends the call.

    Raises
    ------
    NotConnectedError
        The IOC does not answer at the beginning; after later interruptions the monitor continues.
    """
    pv = f"{prefix}Snapshot_RBV"
    await read_snapshot(prefix)
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_update(text: Any) -> None:
        try:
            show(Snapshot.from_json(str(text)))
        except Exception as error:  # noqa: BLE001  # any error ends the wait below, which raises it
            if not ended.done():
                ended.set_exception(error)

    subscription = camonitor(pv, on_update, datatype=DBR_CHAR_STR)
    try:
        await ended
    finally:
        subscription.close()


async def get(pv: str, datatype: Any = None, timeout: float = TIMEOUT) -> Any:
    """Read one PV; raises `NotConnectedError` if it does not answer."""
    try:
        return await caget(pv, datatype=datatype, timeout=timeout)
    except CANothing as error:
        raise NotConnectedError(no_answer(pv, timeout)) from error


def no_answer(pv: str, timeout: float) -> str:
    """Return the message that a PV does not answer within a time (s), with what to check."""
    where = os.environ.get("EPICS_CA_ADDR_LIST", "not set")
    return (
        f"{pv} does not answer within {timeout:.3g} s: {is_prefix_right(pv)}, is the IOC running, "
        f"is EPICS_CA_ADDR_LIST ({where}) right?"
    )
