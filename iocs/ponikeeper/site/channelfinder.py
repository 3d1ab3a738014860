"""Registration of the IOC's PVs with recceivers, and through them with ChannelFinder."""

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
from ponikeeper.errors import RecsyncError
from ponikeeper.site import recsync
from ponikeeper.system.process_stats import host_name

log = logging.getLogger(__name__)

_HOLDOFF = 1.0
"""Longest random delay (s) before an upload, so that IOCs do not all answer an announcement at once."""

_TIMEOUT = 30.0
"""Seconds without a message after which a recceiver counts as gone; it pings more often."""

_RETRY_DELAY = 30.0
"""Seconds until the next attempt where the port cannot be opened."""


async def announce(config: Config, heard_on: int, listening: "asyncio.Future[int]") -> NoReturn:
    """Register all PVs with each recceiver that announces itself, one at a time; runs until cancelled.

    Parameters
    ----------
    config
        Configuration of the IOC.
    heard_on
        UDP port of the announcements.
    listening
        TCP port of the CA server, once it is known.
    """
    upload = recsync.upload(_infos(config, await listening), _records(config))
    while True:
        try:
            recceiver = await _next_announcement(heard_on)
        except OSError as error:
            log.warning("cannot listen for recceivers on UDP port %d: %s", heard_on, error)
            await asyncio.sleep(_RETRY_DELAY)
            continue
        await asyncio.sleep(random.uniform(0, _HOLDOFF))  # noqa: S311
        try:
            await _register(recceiver, upload)
        except (OSError, EOFError, RecsyncError) as error:  # a TimeoutError is an OSError
            log.info("recceiver %s:%d: %s", recceiver.host, recceiver.port, error or "gone")


class _AnnouncementListener(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.announcement: asyncio.Future[recsync.Announcement] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        announcement = recsync.read_announcement(data, addr[0])
        if announcement is not None and not self.announcement.done():
            self.announcement.set_result(announcement)


async def _next_announcement(port: int) -> recsync.Announcement:
    """Wait for the next announcement; every process on this host that listens receives a broadcast."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", port))
        transport, listener = await asyncio.get_running_loop().create_datagram_endpoint(
            _AnnouncementListener, sock=sock
        )
    except BaseException:
        sock.close()
        raise
    with closing(transport):
        return await listener.announcement


async def _register(recceiver: recsync.Announcement, upload: bytes) -> NoReturn:
    """Upload the PVs, then answer pings until the connection ends, which raises an error."""
    async with asyncio.timeout(_TIMEOUT):
        reader, writer = await asyncio.open_connection(recceiver.host, recceiver.port)
    try:
        writer.write(recsync.greeting(recceiver.key))
        header, _ = await _receive(reader)
        if not recsync.is_greeting(header):
            raise RecsyncError("the first message is not a greeting")
        writer.write(upload)
        log.info("recceiver %s:%d: all PVs registered", recceiver.host, recceiver.port)
        while True:
            writer.write(recsync.reply(*await _receive(reader)))
            async with asyncio.timeout(_TIMEOUT):
                await writer.drain()
    finally:
        writer.close()


async def _receive(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    async with asyncio.timeout(_TIMEOUT):
        header = await reader.readexactly(recsync.HEADER_BYTES)
        return header, await reader.readexactly(recsync.body_length(header))


def _infos(config: Config, port: int) -> dict[str, str]:
    """Return the properties that EPICS IOCs report of themselves, under the names of their environment variables."""
    values = {
        "EPICS_VERSION": f"ponikeeper {__version__}",
        "HOSTNAME": host_name(),
        "IOCNAME": config.source.stem,
        "RSRV_SERVER_PORT": str(port),
        "PWD": str(Path.cwd()),
        "ENGINEER": config.ioc.engineer,
        "LOCATION": config.ioc.location,
    }
    return {key: value for key, value in values.items() if value}


def _records(config: Config) -> Iterator[recsync.Record]:
    for name, pv in config.served_pvs():
        yield recsync.Record(name, pv.record_type, {"recordDesc": pv.desc})
