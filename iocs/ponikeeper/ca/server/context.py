"""The server of one IOC: sockets, clients and the names that it serves."""

import asyncio
import logging
import os
import resource
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ponikeeper.access.gate import Gate
from ponikeeper.access.rules import OPEN
from ponikeeper.ca.server.circuit import Access, Circuit
from ponikeeper.ca.server.environment import Environment, host_networks, read_environment
from ponikeeper.ca.server.names import ChannelNameError, Modifiers, parse_name
from ponikeeper.ca.server.searches import Beacons, SearchResponder, is_port_shared
from ponikeeper.ca.server.source import Source
from ponikeeper.ca.server.stream import Turn
from ponikeeper.protocol.clients import ClientInfo

log = logging.getLogger(__name__)

_BACKLOG = 128
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""A client whose host is gone is disconnected after two minutes (s, s, probes)."""

RESERVED_FILES = 64
"""File descriptors that are never used for clients: the store, the put log and Python need some."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many clients are served.

    Parameters
    ----------
    clients
        In all; None: as many as there are file descriptors, without `RESERVED_FILES`.
    per_host
        Of one address; None: half of all.
    """

    clients: int | None = None
    per_host: int | None = None

    def numbers(self) -> tuple[int, int]:
        """Return both limits, at most as many as there are file descriptors."""
        files = max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] - RESERVED_FILES, 1)
        clients = min(self.clients or files, files)
        return clients, min(self.per_host or max(clients // 2, 1), clients)


class Context:
    """The server of one IOC.

    Parameters
    ----------
    pvdb
        Channels by PV name.
    interfaces
        Addresses to listen on; None is those of the environment.
    port
        UDP port for searches and the first TCP port to try; None is that of the environment.
    access
        The access rules.
    gate
        What each put passes; None records none.
    limits
        How many clients are served.
    environment
        The EPICS variables; None reads them.

    Raises
    ------
    ConfigError
        A variable of the environment cannot be used.
    """

    def __init__(
        self,
        pvdb: dict[str, Any],
        interfaces: Sequence[str] | None = None,
        port: int | None = None,
        access: Access = OPEN,
        gate: Gate | None = None,
        limits: Limits | None = None,
        environment: Environment | None = None,
    ) -> None:
        self.pvdb = pvdb
        self.environment = environment or read_environment(
            os.environ, host_networks(), socket.gethostbyname, interfaces, port
        )
        self.access, self.gate = access, gate or Gate()
        self.circuits: set[Circuit] = set()
        self._refused_clients = 0
        self.turn, self.update_turn = Turn(), Turn()
        self._admitted: tuple[str, int] | None = None
        self.tcp_port = 0
        self._limits = limits or Limits()
        self._per_host: Counter[str] = Counter()
        for name, source in pvdb.items():
            source.name = name

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The addresses that the server listens on."""
        return self.environment.interfaces

    def count_clients(self) -> tuple[int, int]:
        """Return the number of connected clients and of their channels."""
        return len(self.circuits), sum(len(circuit.channels) for circuit in self.circuits)

    def clients(self) -> list[ClientInfo]:
        """Return what is known of each client."""
        return [
            ClientInfo(
                circuit.identity.user, circuit.identity.host, *circuit.address, len(circuit.channels),
                circuit.count_subscriptions(),
            )
            for circuit in self.circuits
        ]  # fmt: skip

    def count_refused_clients(self) -> int:
        """Return how many clients were refused because there were too many."""
        return self._refused_clients

    async def update_access_rights(self) -> None:
        """Send every client its access rights, after the rules have changed."""
        for circuit in list(self.circuits):
            circuit.update_access_rights()
            await asyncio.sleep(0)  # the clients are served in between

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
        if source is None or not source.allows(parsed.modifiers):
            return None
        return source, parsed.modifiers

    def admit(self, address: tuple[str, int]) -> None:
        """Admit one client however many there are: the health check, at the address of its end of the connection."""
        self._admitted = address

    def add_circuit(self, circuit: Circuit) -> bool:
        """Add a client; False if there are too many, in all or of its host."""
        host = circuit.address[0]
        clients, per_host = self._limits.numbers()
        if circuit.address == self._admitted:
            pass
        elif len(self.circuits) >= clients or self._per_host[host] >= per_host:
            self._refused_clients += 1
            log.warning("refused a client of %s: %d clients are connected", host, len(self.circuits))
            return False
        self.circuits.add(circuit)
        self._per_host[host] += 1
        return True

    def discard_circuit(self, circuit: Circuit) -> None:
        """Remove a client."""
        if circuit in self.circuits:
            self.circuits.discard(circuit)
            host = circuit.address[0]
            self._per_host[host] -= 1
            if not self._per_host[host]:
                del self._per_host[host]

    async def run(self, startup_hook: Callable[[Any], Awaitable[None]] | None = None) -> None:
        """Serve until cancelled.

        Parameters
        ----------
        startup_hook
            Coroutine function that is run once the server listens; an error in it ends the server.

        Raises
        ------
        OSError
            The server cannot listen on an address.
        """
        environment = self.environment
        sockets = _listening_sockets(environment.interfaces, environment.port)
        self.tcp_port = sockets[0].getsockname()[1]
        if self.tcp_port != environment.port:
            log.warning(
                "TCP port %d is taken by another server, using %d; give one of the two another port (port = in [ioc], "
                "or EPICS_CAS_SERVER_PORT)", environment.port, self.tcp_port,
            )  # fmt: skip
        if any(is_port_shared(address, environment.port) for address in environment.interfaces):
            log.warning("%s", shared_port_text(environment.port))
        responder = SearchResponder(self.find, self.tcp_port, environment.ignored)
        beacons = Beacons(self.tcp_port, environment.period, environment.beacons)
        servers: list[asyncio.Server] = []
        try:
            for address in environment.interfaces:
                await responder.listen(address, environment.port)
            for address in set(environment.broadcasts.values()):
                await responder.listen(address, environment.port)
            for sock in sockets:
                servers.append(await asyncio.get_running_loop().create_server(lambda: Circuit(self), sock=sock))  # noqa: PERF401
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(beacons.run())
                if startup_hook is not None:
                    tasks.create_task(startup_hook(None))  # type: ignore[arg-type]
        finally:
            for server in servers:
                server.close()
            for circuit in list(self.circuits):
                circuit.abort()
            responder.close()
            beacons.close()
            for sock in sockets:
                sock.close()


def shared_port_text(port: int) -> str:
    """Return the warning that another server has bound the UDP port."""
    return (
        f"UDP port {port} is shared with another server: searches by unicast (this host in EPICS_CA_ADDR_LIST, name "
        "servers, some gateways) reach only one of the two; give one of them another port (port = in [ioc], or "
        "EPICS_CAS_SERVER_PORT)"
    )


def _listening_sockets(addresses: Sequence[str], port: int) -> list[socket.socket]:
    """Bind and listen on one port at all addresses: the given one, or any if another server has it.

    Raises
    ------
    OSError
        An address cannot be bound.
    """
    for candidate in (port, 0):
        sockets: list[socket.socket] = []
        try:
            for address in addresses:
                sock = _tcp_socket(address, candidate or (sockets[0].getsockname()[1] if sockets else 0))
                sockets.append(sock)
                sock.listen(_BACKLOG)
        except OSError:
            for sock in sockets:
                sock.close()
            if not candidate:
                raise
        else:
            return sockets
    raise AssertionError


def _tcp_socket(address: str, port: int) -> socket.socket:
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
