"""A search for another server of our PVs: two servers of one name would give two values."""

import asyncio
import socket
from collections.abc import Sequence

import caproto as ca

_PERIOD = 0.1
_BATCH = 12
"""Names in one datagram: with the longest names it still fits into one packet."""


async def find_server(names: Sequence[str], addresses: Sequence[tuple[str, int]], timeout: float = 0.3) -> str | None:
    """Search for PVs as a client would.

    Parameters
    ----------
    addresses
        Where to search: hosts and UDP ports.
    timeout
        How long to wait for an answer (s); the search is sent every 0.1 s.

    Returns
    -------
    str or None
        A sentence with the first PV that a server answers for, and that server.
    """
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    broadcaster = ca.Broadcaster(our_role=ca.CLIENT)
    datagrams = [
        broadcaster.send(
            ca.VersionRequest(0, 13),
            *(ca.SearchRequest(names[number], number, 13) for number in range(first, min(first + _BATCH, len(names)))),
        )
        for first in range(0, len(names), _BATCH)
    ]

    class _Listener(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            for command in broadcaster.recv(data, addr):
                if isinstance(command, ca.SearchResponse) and not answer.done():
                    answer.set_result(f"{names[command.cid]} is served by {addr[0]}:{command.port}")

    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.setblocking(False)
    sock.bind(("", 0))
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(_Listener, sock=sock)
    try:
        deadline = asyncio.get_running_loop().time() + timeout
        while not answer.done() and asyncio.get_running_loop().time() < deadline:
            for address in addresses:
                for datagram in datagrams:
                    transport.sendto(datagram, address)
            await asyncio.wait({answer}, timeout=_PERIOD)
        return answer.result() if answer.done() else None
    finally:
        transport.close()
        answer.cancel()
