"""The CA call that reads many PVs of the contract at once (aioca)."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aioca import DBR_CHAR_STR, DBR_STRING, FORMAT_TIME, caget

from ponikeeper.protocol.pvs import PV, Kind

_DATATYPES: Mapping[Kind, Any] = {Kind.TEXT: DBR_CHAR_STR, Kind.ENUM: DBR_STRING}


@dataclass(frozen=True, slots=True)
class PVReading:
    """The value of a PV.

    Parameters
    ----------
    text
        Its value as text.
    severity
        Its alarm severity.
    """

    text: str
    severity: int


async def read_values(pvs: Sequence[tuple[str, PV]], timeout: float) -> list[PVReading | None]:
    """Read PVs at once.

    Parameters
    ----------
    pvs
        Each whole name with its row of the contract.
    timeout
        How long to wait for the answers (s).

    Returns
    -------
    list of PVReading or None
        In the same order; None for a PV that does not answer.
    """

    async def one(name: str, pv: PV) -> PVReading | None:
        value = await caget(name, datatype=_DATATYPES.get(pv.kind), format=FORMAT_TIME, timeout=timeout, throw=False)
        return PVReading(str(value), int(value.severity)) if value.ok else None

    return list(await asyncio.gather(*(one(name, pv) for name, pv in pvs)))
