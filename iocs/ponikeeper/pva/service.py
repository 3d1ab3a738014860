"""The part of the service that serves PVAccess: started with it, ready when it answers, stopped with it."""

import asyncio
import os
import secrets
from collections.abc import Mapping, Sequence

from ponikeeper.access.gate import Gate
from ponikeeper.config import Config
from ponikeeper.errors import ConfigError
from ponikeeper.protocol.geometry_structure import NAME
from ponikeeper.pva.geometry import Geometry
from ponikeeper.pva.heartbeat import HeartbeatMonitor
from ponikeeper.pva.published import Channel, Published, Requests
from ponikeeper.pva.scalars import Scalar
from ponikeeper.pva.server import Access, PvaServer
from ponikeeper.pva.settings import own_host, required_port, server_settings


class PvaService:
    """Serves the PVs of an IOC over PVAccess.

    Parameters
    ----------
    config
        Of the IOC.
    channels
        Its PVs by name.
    requests
        What runs the requests of each detector, by its prefix.
    access, gate
        The access rules, and what each put passes.
    ca_interfaces
        Addresses on which the Channel Access server listens.
    """

    def __init__(
        self,
        config: Config,
        channels: Mapping[str, Channel],
        requests: Mapping[str, Requests],
        access: Access,
        gate: Gate,
        ca_interfaces: Sequence[str],
    ) -> None:
        self._config = config
        heartbeat = f"{config.ioc.prefix}HEARTBEAT"
        self._check_name = f"{heartbeat}#{secrets.token_hex(8)}"  # the rules may forbid this host to read the other
        sources: dict[str, Published] = {name: Scalar(channel) for name, channel in channels.items()}
        sources |= {
            prefix + NAME: Geometry(channels[f"{prefix}Snapshot_RBV"], each) for prefix, each in requests.items()
        }
        sources[self._check_name] = Scalar(channels[heartbeat])
        settings = server_settings(config.pva, os.environ, ca_interfaces)
        self._required = required_port(config.pva, os.environ)
        self._server = PvaServer(sources, access, gate, settings, [self._check_name])
        self._check: HeartbeatMonitor | None = None
        self._started = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled.

        Raises
        ------
        ConfigError
            It cannot listen on an address.
        """
        try:
            await self._start()
            await asyncio.Event().wait()
        finally:
            if self._check is not None:
                await self._check.stop()
            await self._server.stop()

    @property
    def port(self) -> int:
        """The TCP port."""
        return self._server.port

    async def wait_until_ready(self, timeout: float) -> None:
        """Wait until the first heartbeat has arrived by a monitor.

        Raises
        ------
        TimeoutError
            None has arrived in time.
        """
        async with asyncio.timeout(timeout):
            await self._started.wait()
        assert self._check is not None
        await self._check.wait(timeout)

    def has_heartbeat(self) -> bool:
        """Return whether a heartbeat has arrived within the last seconds."""
        return self._check is not None and self._check.has_heartbeat()

    async def update_access_rights(self) -> None:
        """Make every client connect again, after the rules have changed."""
        self._server.update_access_rights()

    async def _start(self) -> None:
        try:
            await self._server.start()
        except OSError as error:
            raise ConfigError(
                f"{self._config.source}: pva: cannot listen: {error}; expected addresses of this host, "
                "and under systemd RestrictAddressFamilies=AF_INET6 AF_NETLINK in addition to those of the unit"
            ) from error
        if self._required is not None and self._required[1] != self._server.port:  # pvxs takes any other port then
            name, port = self._required
            raise ConfigError(
                f"{self._config.source}: pva: {name} = {port} is used by another program: expected a free port, or "
                f"none: clients find the server by their searches; to see the program, type ss -ltnp 'sport = :{port}'"
            )
        self._check = HeartbeatMonitor(own_host(self._server.interfaces), self._server.port, self._check_name)
        self._check.start()
        self._started.set()
