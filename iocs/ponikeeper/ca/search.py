"""Whether somebody on the network serves a PV already: two servers of one name are two truths."""

import asyncio
import socket

import caproto as ca

_PERIOD = 0.1


async def found(name: str, port: int | None, timeout: float = 0.3) -> str | None:
    """Search for a PV as a client would.

    Parameters
    ----------
    name
        The PV.
    port
        The UDP port of this IOC; the environment's, where None.
    timeout
        Seconds to wait for an answer; the search is sent anew every 0.1 s.

    Returns
    -------
    str or None
        Host and port of the server that answered.
    """
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    broadcaster = ca.Broadcaster(our_role=ca.CLIENT)
    datagram = broadcaster.send(ca.VersionRequest(0, 13), ca.SearchRequest(name, 1, 13))

    class _Listener(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            for command in broadcaster.recv(data, addr):
                if isinstance(command, ca.SearchResponse) and not answer.done():
                    answer.set_result(f"{addr[0]}:{command.port}")

    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.setblocking(False)
    sock.bind(("", 0))
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(_Listener, sock=sock)
    try:
        deadline = asyncio.get_running_loop().time() + timeout
        while not answer.done() and asyncio.get_running_loop().time() < deadline:
            for host, default in ca.get_client_address_list():
                transport.sendto(datagram, (host, port or default))
            await asyncio.wait({answer}, timeout=_PERIOD)
        return answer.result() if answer.done() else None
    finally:
        transport.close()
        answer.cancel()
