"""The IOC tells recceivers, and through them ChannelFinder, which PVs it has."""

import asyncio
import logging
import random
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NoReturn

from ponikeeper import __version__
from ponikeeper.config import Config
from ponikeeper.site import recsync
from ponikeeper.system.process_stats import host_name

log = logging.getLogger(__name__)

_HOLDOFF = 1.0
"""Seconds within which IOCs that heard the same announcement spread their uploads."""

_PATIENCE = 30.0
"""Seconds without a word after which a recceiver is taken for dead: it pings more often."""

_PAUSE = 30.0
"""Seconds until it is tried again, where this host does not let it listen."""


async def announce(config: Config, heard_on: int, listening: "asyncio.Future[int]") -> NoReturn:
    """Tell every recceiver that announces itself which PVs there are, one at a time; for ever.

    Parameters
    ----------
    heard_on
        UDP port of their announcements.
    listening
        The server's TCP port, once it answers.
    """
    told = recsync.upload(_infos(config, await listening), _records(config))
    while True:
        try:
            found = await _hear(heard_on)
        except OSError as error:
            log.warning("no recceiver can be heard on UDP port %d: %s", heard_on, error)
            await asyncio.sleep(_PAUSE)
            continue
        await asyncio.sleep(random.uniform(0, _HOLDOFF))  # noqa: S311
        try:
            await _tell(found, told)
        except (OSError, EOFError, recsync.RecsyncError) as error:  # a TimeoutError is an OSError
            log.info("recceiver %s:%d: %s", found.host, found.port, error or "gone")


class _Ear(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.found: asyncio.Future[recsync.Announcement] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        found = recsync.read_announcement(data, addr[0])
        if found is not None and not self.found.done():
            self.found.set_result(found)


async def _hear(port: int) -> recsync.Announcement:
    """Wait for the announcement of a recceiver; every process on this host that listens hears a broadcast."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", port))
        transport, ear = await asyncio.get_running_loop().create_datagram_endpoint(_Ear, sock=sock)
    except BaseException:
        sock.close()
        raise
    with closing(transport):
        return await ear.found


async def _tell(found: recsync.Announcement, told: bytes) -> NoReturn:
    """Upload, and answer pings until the recceiver is gone, which raises."""
    async with asyncio.timeout(_PATIENCE):
        reader, writer = await asyncio.open_connection(found.host, found.port)
    try:
        writer.write(recsync.greeting(found.key))
        header, _ = await _receive(reader)
        if not recsync.is_greeting(header):
            raise recsync.RecsyncError("the first message is no greeting")
        writer.write(told)
        log.info("recceiver %s:%d is told of all PVs", found.host, found.port)
        while True:
            writer.write(recsync.reply(*await _receive(reader)))
            async with asyncio.timeout(_PATIENCE):
                await writer.drain()
    finally:
        writer.close()


async def _receive(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    async with asyncio.timeout(_PATIENCE):
        header = await reader.readexactly(recsync.HEADER_BYTES)
        return header, await reader.readexactly(recsync.body_length(header))


def _infos(config: Config, port: int) -> dict[str, str]:
    """Tell of the IOC what EPICS IOCs tell of themselves, under the names of their environment."""
    known = {
        "EPICS_VERSION": f"ponikeeper {__version__}",
        "HOSTNAME": host_name(),
        "IOCNAME": config.source.stem,
        "RSRV_SERVER_PORT": str(port),
        "PWD": str(Path.cwd()),
        "ENGINEER": config.ioc.engineer,
        "LOCATION": config.ioc.location,
    }
    return {key: value for key, value in known.items() if value}


def _records(config: Config) -> Iterator[recsync.Record]:
    for name, pv in config.served_pvs():
        yield recsync.Record(name, pv.record_type, {"recordDesc": pv.desc})
