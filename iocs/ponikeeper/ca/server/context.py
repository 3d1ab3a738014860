"""The server of one IOC: sockets, clients and the names that it serves. caproto hosts the PVs and the environment."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import caproto as ca
from caproto.asyncio.server import Context as _Context

from ponikeeper.access.rules import OPEN
from ponikeeper.ca.server.circuit import Access, Circuit
from ponikeeper.ca.server.identity import ClientIdentity
from ponikeeper.ca.server.names import ChannelNameError, Modifiers, parse_name
from ponikeeper.ca.server.searches import Beacons, SearchResponder
from ponikeeper.ca.server.source import Source
from ponikeeper.putlog.entry import Put

log = logging.getLogger(__name__)

_BACKLOG = 128
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""A client whose host is gone is disconnected after two minutes (s, s, probes)."""


class Context(_Context):
    """The server of one IOC.

    Parameters
    ----------
    pvdb
        Channel data by PV name.
    interfaces
        Addresses to listen on; None is those of the environment.
    port
        UDP port for searches and the first TCP port to try; None is that of the environment.
    access
        The access rules.
    on_denied
        Called with the PV and the client of each put that the rules deny.
    record_put
        Records each put before it is answered.
    """

    def __init__(
        self,
        pvdb: dict[str, Any],
        interfaces: list[str] | None = None,
        port: int | None = None,
        access: Access = OPEN,
        on_denied: Callable[[str, ClientIdentity], None] = lambda name, identity: None,  # noqa: ARG005
        record_put: Callable[[Put], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(pvdb, interfaces)
        self.access, self.on_denied, self.record_put = access, on_denied, record_put
        if port is not None:
            self.ca_server_port = port
        self.circuits: set[Circuit] = set()
        self.tcp_port = 0
        for name, source in pvdb.items():
            source.name = name

    def count_clients(self) -> tuple[int, int]:
        """Return the number of connected clients and of their channels."""
        return len(self.circuits), sum(len(circuit.channels) for circuit in self.circuits)

    async def update_access_rights(self) -> None:
        """Send every client its access rights, after the rules have changed."""
        for circuit in list(self.circuits):
            circuit.update_access_rights()

    def find(self, name: str) -> tuple[Source, Modifiers] | None:
        """Return the PV of a channel name, and its modifiers; None if it is not served."""
        try:
            parsed = parse_name(name)
        except ChannelNameError as error:
            log.debug("no channel: %s", error)
            return None
        source = self.pvdb.get(parsed.record)
        if source is not None and parsed.field:
            source = source.find_field(parsed.field)
        return None if source is None else (source, parsed.modifiers)

    def add_circuit(self, circuit: Circuit) -> bool:
        """Add a client; False if there are too many."""
        self.circuits.add(circuit)
        return True

    def discard_circuit(self, circuit: Circuit) -> None:
        """Remove a client."""
        self.circuits.discard(circuit)

    async def run(self, *, log_pv_names: bool = False, startup_hook: Any = None) -> None:  # noqa: ARG002
        """Serve until cancelled.

        Parameters
        ----------
        startup_hook
            Coroutine function that is run beside the server once it listens; its end has no effect, its error ends
            the server.
        """
        loop = asyncio.get_running_loop()
        self.port, self.tcp_sockets = await self._bind_tcp_sockets_with_consistent_port_number(_tcp_socket)
        self.tcp_port = int(self.port)
        responders = [SearchResponder(self.find, self.tcp_port) for _ in self.interfaces]
        servers: list[asyncio.Server] = []
        beacons = Beacons(self.tcp_port, self.environ, ca.get_beacon_address_list())
        try:
            for interface, responder in zip(self.interfaces, responders, strict=True):
                await responder.listen(interface, self.ca_server_port)
            for sock in self.tcp_sockets.values():
                server = await loop.create_server(lambda: Circuit(self), sock=sock, backlog=_BACKLOG)
                servers.append(server)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(beacons.run())
                if startup_hook is not None:
                    tasks.create_task(startup_hook(None))
        finally:
            for server in servers:
                server.close()
            for circuit in list(self.circuits):
                circuit.abort()
            for responder in responders:
                responder.close()
            beacons.close()
            for sock in self.tcp_sockets.values():
                sock.close()


async def _tcp_socket(address: str, port: int) -> socket.socket:
    """Bind a socket with an explicit TCP protocol; otherwise asyncio leaves Nagle's algorithm on."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # inherited by accepted sockets
    for option, value in _KEEPALIVE.items():
        with suppress(AttributeError, OSError):  # not every system has them
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    sock.setblocking(False)
    try:
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    return sock
