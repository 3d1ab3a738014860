"""Searches and beacons by UDP: how clients find the server, and notice that it is back."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence, Set
from typing import Any, NoReturn, cast

from ponikeeper.ca.server.messages import HEADER, MINOR_VERSION, RSRV_IS_UP, SEARCH, VERSION, message, text_of

log = logging.getLogger(__name__)

_ADDRESS_OF_DATAGRAM = 0xFFFFFFFF
_VERSION_BODY = MINOR_VERSION.to_bytes(2, "big") + bytes(6)
_FIRST_PERIOD = 0.02
"""Time between the first two beacons (s); it doubles up to EPICS_CAS_BEACON_PERIOD."""


MAX_DATAGRAM = 1 << 13
"""Bytes of a datagram that are read: clients send up to 1,472."""

_TURN = 1 << 16
"""Bytes of searches that are answered in one turn of the loop; clients repeat what got no answer."""


def search_replies(datagram: bytes, port: int, is_known: Callable[[str], bool]) -> bytes:
    """Write the replies to the searches of a datagram.

    Parameters
    ----------
    datagram
        As received; what is behind its first `MAX_DATAGRAM` bytes is ignored.
    port
        The server's TCP port.
    is_known
        Whether a channel of a name is served.

    Returns
    -------
    bytes
        The reply; empty if nothing that is searched for is served.
    """
    replies = []
    version = message(VERSION, 0, MINOR_VERSION, 0, 0)
    datagram, position = datagram[:MAX_DATAGRAM], 0
    while position + HEADER.size <= len(datagram):
        command, size, data_type, _, number, _ = HEADER.unpack_from(datagram, position)
        body = datagram[position + HEADER.size : position + HEADER.size + size]
        position += HEADER.size + size
        if len(body) < size:
            break
        if command == VERSION:
            version = message(VERSION, data_type & 1, MINOR_VERSION, number if data_type & 1 else 0, 0)
        elif command == SEARCH and is_known(text_of(body)):
            replies.append(message(SEARCH, port, 0, _ADDRESS_OF_DATAGRAM, number, _VERSION_BODY))
    return version + b"".join(replies) if replies else b""


def is_port_shared(address: str, port: int) -> bool:
    """Return whether another server has bound the UDP port: then only one of the two hears unicast searches."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP) as sock:
        try:
            sock.bind((address, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


class SearchResponder:
    """Answers searches that arrive at some addresses.

    Parameters
    ----------
    find
        Returns None for a channel name that is not served.
    port
        The server's TCP port.
    ignored
        Hosts that get no answer.
    """

    def __init__(self, find: Callable[[str], object], port: int, ignored: Set[str] = frozenset()) -> None:
        self._find, self._port, self._ignored = find, port, ignored
        self._endpoints: list[_Endpoint] = []

    async def listen(self, address: str, port: int) -> None:
        """Bind the UDP port at one address.

        Raises
        ------
        OSError
            The address cannot be bound.
        """
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT, socket.SO_BROADCAST):
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        sock.setblocking(False)
        try:
            sock.bind((address, port))
        except OSError:
            sock.close()
            raise
        endpoint = _Endpoint(self)
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: endpoint, sock=sock)
        self._endpoints.append(endpoint)

    def close(self) -> None:
        """Stop."""
        for endpoint in self._endpoints:
            endpoint.transport.close()

    def replies(self, datagram: bytes, host: str) -> bytes:
        """Return the replies to the searches of a datagram."""
        if host in self._ignored:
            return b""
        return search_replies(datagram, self._port, lambda name: self._find(name) is not None)


class _Endpoint(asyncio.DatagramProtocol):
    """One UDP socket."""

    transport: asyncio.DatagramTransport

    def __init__(self, responder: SearchResponder) -> None:
        self._responder = responder
        self._loop = asyncio.get_running_loop()
        self._budget = _TURN

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to answer."""
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Answer the searches of a datagram, if there were not too many in this turn."""
        if self._budget == _TURN:
            self._loop.call_soon(self._begin_turn)
        if self._budget <= 0:
            return
        self._budget -= len(data)
        reply = self._responder.replies(data, addr[0])
        if reply:
            self.transport.sendto(reply, addr)

    def _begin_turn(self) -> None:
        self._budget = _TURN

    def error_received(self, exc: Exception) -> None:
        """Ignore that a client is gone."""
        log.debug("a search could not be answered: %s", exc)


class Beacons:
    """Sends beacons, by which clients notice a server that is new or back.

    Parameters
    ----------
    port
        The server's TCP port.
    period
        Longest time between two beacons (s).
    addresses
        Where to send them.
    """

    def __init__(self, port: int, period: float, addresses: Sequence[tuple[str, int]]) -> None:
        self._port, self._period, self._addresses = port, period, addresses
        self._failing: set[tuple[str, int]] = set()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._socket.setblocking(False)

    async def run(self) -> NoReturn:
        """Send beacons until cancelled."""
        count, period = 0, _FIRST_PERIOD
        while True:
            beacon = message(RSRV_IS_UP, MINOR_VERSION, self._port, count & 0xFFFFFFFF, 0)
            for address in self._addresses:
                self._send(beacon, address)
            count += 1
            await asyncio.sleep(period)
            period = min(2 * period, self._period)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _send(self, beacon: bytes, address: tuple[str, int]) -> None:
        """Send a beacon; a failing address is logged once, not at every beacon."""
        try:
            self._socket.sendto(beacon, address)
        except OSError as error:
            if address not in self._failing:
                self._failing.add(address)
                log.info("no beacons to %s:%d: %s", *address, error)
