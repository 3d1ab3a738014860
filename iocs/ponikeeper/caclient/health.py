"""The CA calls of the health check (aioca): what an IOC says about itself and about its detectors, read at once."""

import asyncio
from collections.abc import Sequence
from typing import cast

from aioca import DBR_CHAR_STR, DBR_STRING, FORMAT_TIME, caget

from ponikeeper.caclient.client import read_snapshot
from ponikeeper.errors import MessageError, NotConnectedError
from ponikeeper.protocol.health import NUMBERS, PARTS, DetectorHealth, IocHealth


async def read_ioc(prefix: str, timeout: float) -> IocHealth | None:
    """Read the PVs of an IOC about itself.

    Parameters
    ----------
    prefix
        Prefix of the IOC's own PVs.
    timeout
        How long to wait for the answers (s).

    Returns
    -------
    IocHealth or None
        None if one of them does not answer.
    """
    states, messages, numbers = await asyncio.gather(
        caget([f"{prefix}{part}:Status_RBV" for part in PARTS], datatype=DBR_STRING, timeout=timeout, throw=False),
        caget([f"{prefix}{part}:Message_RBV" for part in PARTS], datatype=DBR_CHAR_STR, timeout=timeout, throw=False),
        caget([f"{prefix}{suffix}" for suffix in NUMBERS], timeout=timeout, throw=False),
    )
    if not all(value.ok for value in (*states, *messages, *numbers)):
        return None
    failed = {
        part: str(message) for part, state, message in zip(PARTS, states, messages, strict=True) if str(state) != "OK"
    }
    return IocHealth(failed, dict(zip(NUMBERS, (float(cast("float", number)) for number in numbers), strict=True)))


async def read_detectors(prefixes: Sequence[str], timeout: float) -> dict[str, DetectorHealth | None]:
    """Read the status of several detectors with its alarm severity.

    Parameters
    ----------
    prefixes
        PV prefixes of the detectors.
    timeout
        How long to wait for the answers (s).

    Returns
    -------
    dict
        By prefix; None where the detector does not answer, or its IOC hangs behind a gateway.
    """
    return dict(zip(prefixes, await asyncio.gather(*(_read_detector(each, timeout) for each in prefixes)), strict=True))


async def _read_detector(prefix: str, timeout: float) -> DetectorHealth | None:
    pv = f"{prefix}Status_RBV"
    try:
        snapshot, status = await asyncio.gather(
            read_snapshot(prefix, timeout), caget(pv, format=FORMAT_TIME, timeout=timeout, throw=False)
        )
    except (NotConnectedError, MessageError):
        return None
    return DetectorHealth(snapshot, int(status.severity)) if status.ok else None
