"""A CA gateway in miniature: it subscribes to each PV of an IOC, and answers every get from the last update.

Run as ``python caching_relay.py PREFIX...`` with the CA environment of a gateway. Like EPICS' gateway, it goes on
answering for an IOC that hangs.
"""

import asyncio
import sys
import time
from typing import Any

import aioca
from aioca import DBR_CHAR_STR, DBR_STRING, FORMAT_TIME

from gateways import ALIAS
from ponikeeper.ca.channels import make_channel
from ponikeeper.ca.server import Context
from ponikeeper.errors import RefusedError
from ponikeeper.protocol.pvs import DETECTOR_PVS, PV, Kind

DATATYPES = {Kind.TEXT: DBR_CHAR_STR, Kind.ENUM: DBR_STRING}


def relayed(name: str, pv: PV) -> Any:
    """Return a channel that passes puts on to the PV of this name."""

    async def put(value: Any, _: object) -> None:
        if isinstance(value, Exception):
            raise RefusedError(str(value))
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        try:
            await aioca.caput(name, text, datatype=DATATYPES.get(pv.kind), wait=True, timeout=30)
        except aioca.CANothing as error:
            raise RefusedError(str(error)) from error

    return make_channel(pv, put if pv.writable else None)


async def main(prefixes: list[str]) -> None:
    """Serve the PVs of some detectors."""
    channels = {prefix + pv.suffix: (pv, relayed(prefix + pv.suffix, pv)) for prefix in prefixes for pv in DETECTOR_PVS}
    await aioca.connect(list(channels), timeout=30)
    subscriptions = []
    for name, (pv, channel) in channels.items():

        def update(value: Any, channel: Any = channel, pv: PV = pv) -> None:
            channel.post(str(value) if pv.kind in (Kind.TEXT, Kind.ENUM, Kind.STRING) else value, time.time())

        subscriptions.append(
            aioca.camonitor(name, update, datatype=DATATYPES.get(pv.kind), format=FORMAT_TIME, all_updates=True)
        )

    async def ready(_: object) -> None:
        print("READY", flush=True)

    await Context({ALIAS + name: channel for name, (_, channel) in channels.items()}).run(ready)


asyncio.run(main(sys.argv[1:]))
