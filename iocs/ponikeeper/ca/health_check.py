"""The health check: the IOC subscribes to its own heartbeat over a real circuit, as any client does.

A server can answer gets for hours while its monitors are dead, and clients that show a number do not
notice. So systemd's watchdog depends on a subscription, and on the store's thread.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, Protocol

import caproto as ca

from ponikeeper.ca.pva_part import PvaPart

log = logging.getLogger(__name__)

_PAUSE = 1.0
"""Seconds before a lost circuit is opened again, and between two echoes."""

_MAX_AGE = 5.0
"""For how long a heartbeat counts (s): one is sent every second."""

_MAX_PING = 10.0
"""For how long the store's thread may be busy with other work than waiting for the disk (s)."""


class StoreThread(Protocol):
    """The thread that writes to the disk."""

    async def ping(self) -> None:
        """Return when the thread has processed this call."""
        ...

    def waits_for_disk(self) -> bool:
        """Return whether the thread waits for the disk: then a restart would not help."""
        ...


class HealthCheck:
    """Subscribes to one PV of a server, as any client does.

    Parameters
    ----------
    host, port
        Address of the server (TCP).
    pv
        A PV that changes every second.
    on_address
        Called with the address of its own end of each connection, before it connects.
    """

    def __init__(self, host: str, port: int, pv: str, on_address: Callable[[tuple[str, int]], None]) -> None:
        self._host, self._port, self._pv, self._on_address = host, port, pv, on_address
        self._last_heartbeat = -_MAX_AGE
        self._first = asyncio.Event()

    async def run(self) -> NoReturn:
        """Subscribe, and again whenever the circuit is lost; until cancelled."""
        while True:
            with suppress(OSError, ca.CaprotoError):
                await self._listen()
            await asyncio.sleep(_PAUSE)

    async def wait_for_heartbeat(self, timeout: float) -> None:
        """Wait until the first heartbeat has arrived; raises `TimeoutError`."""
        async with asyncio.timeout(timeout):
            await self._first.wait()

    def has_heartbeat(self) -> bool:
        """Return whether a heartbeat has arrived within the last seconds."""
        return time.monotonic() - self._last_heartbeat < _MAX_AGE

    async def _listen(self) -> None:
        reader, writer = await asyncio.open_connection(sock=await self._connect())
        circuit = ca.VirtualCircuit(ca.CLIENT, (self._host, self._port), 0)
        channel = ca.ClientChannel(self._pv, circuit)

        def send(*commands: Any) -> None:
            for command in commands:
                writer.writelines(map(bytes, circuit.send(command)))

        echoes = None
        try:
            send(ca.VersionRequest(0, 13), ca.HostNameRequest("localhost"), ca.ClientNameRequest("selfcheck"))
            send(channel.create())
            while data := await reader.read(65536):
                for message in circuit.recv(data)[0]:
                    circuit.process_command(message)
                    if isinstance(message, ca.CreateChanResponse):
                        send(channel.subscribe())
                    elif isinstance(message, ca.EchoResponse) or _has_value(message):
                        self._record_heartbeat()
                    elif isinstance(message, ca.EventAddResponse) and echoes is None:
                        # the access rules forbid reading it from here: only echoes can be checked
                        log.warning("the access rules forbid this host to read %s: monitors are not checked", self._pv)
                        echoes = asyncio.create_task(_echo(send))
        finally:
            if echoes is not None:
                echoes.cancel()
            writer.close()

    async def _connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.bind((self._host, 0))
            self._on_address(sock.getsockname())
            await asyncio.get_running_loop().sock_connect(sock, (self._host, self._port))
        except BaseException:
            sock.close()
            raise
        return sock

    def _record_heartbeat(self) -> None:
        self._last_heartbeat = time.monotonic()
        self._first.set()


def _has_value(message: Any) -> bool:
    """Return whether a message is an update with a value."""
    return isinstance(message, ca.EventAddResponse) and message.status == ca.CAStatus.ECA_NORMAL.value


async def _echo(send: Callable[[Any], None]) -> NoReturn:
    while True:
        send(ca.EchoRequest())
        await asyncio.sleep(_PAUSE)


async def feed_watchdog(
    check: HealthCheck,
    store: StoreThread,
    notify: Callable[[str], None],
    period: float,
    over_pva: PvaPart | None = None,
) -> NoReturn:
    """Notify the watchdog as long as monitors arrive and the store's thread works; until cancelled.

    A thread that waits for the disk counts as working: an alarm tells the clients, the active values are
    still served, and a new process would wait for the same disk.

    Parameters
    ----------
    notify
        Sends a message to systemd.
    period
        Watchdog interval (s).
    over_pva
        None if PVAccess is not served.
    """
    loop = asyncio.get_running_loop()
    ping, pinged = loop.create_task(store.ping()), time.monotonic()
    last_problem = ""
    while True:
        await asyncio.wait([ping], timeout=period)
        now = time.monotonic()
        problem = "" if check.has_heartbeat() else "no heartbeat has arrived by monitor"
        if over_pva is not None and not over_pva.has_heartbeat():
            problem = problem or "no heartbeat has arrived by monitor over PVAccess"
        if not ping.done() and now - pinged > _MAX_PING and not store.waits_for_disk():
            problem = "the store's thread does not answer, and does not wait for the disk"
        if problem and problem != last_problem:
            log.error("the watchdog is not fed: %s", problem)
        last_problem = problem
        if not problem:
            notify("WATCHDOG=1")
        if ping.done():
            await asyncio.sleep(period)
            ping, pinged = loop.create_task(store.ping()), time.monotonic()
