"""The heartbeat of an IOC over PVAccess: a monitor from within its own process, and a get from elsewhere."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from p4p.client.asyncio import Context as AsyncContext  # pyright: ignore[reportMissingImports]
from p4p.client.raw import Context  # pyright: ignore[reportMissingImports]

_MAX_AGE = 5.0
"""For how long a heartbeat counts (s): one is sent every second."""


class HeartbeatMonitor:
    """Subscribes to one PV of a server over TCP, as any client does.

    Parameters
    ----------
    host, port
        Address of the server.
    pv
        A PV that changes every second.
    """

    def __init__(self, host: str, port: int, pv: str) -> None:
        self._settings = client_settings(host, port)
        self._pv = pv
        self._loop = asyncio.get_running_loop()
        self._first = asyncio.Event()
        self._last = -_MAX_AGE
        self._context: Any = None
        self._subscription: Any = None

    def start(self) -> None:
        """Subscribe; p4p connects again by itself."""
        self._context = Context("pva", conf=self._settings, useenv=False, nt=False)
        self._subscription = self._context.monitor(self._pv, self._receive)

    async def wait(self, timeout: float) -> None:
        """Wait until the first heartbeat has arrived; raises `TimeoutError`."""
        async with asyncio.timeout(timeout):
            await self._first.wait()

    def has_heartbeat(self) -> bool:
        """Return whether a heartbeat has arrived within the last seconds."""
        return time.monotonic() - self._last < _MAX_AGE

    async def stop(self) -> None:
        """Disconnect."""
        if self._context is not None:
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._subscription.close()
        self._context.close()

    def _receive(self) -> None:
        """Receive updates, in the thread of the client."""
        while (update := self._subscription.pop()) is not None:
            if not isinstance(update, Exception):
                self._last = time.monotonic()
                self._loop.call_soon_threadsafe(self._first.set)


def client_settings(host: str, port: int) -> Mapping[str, str]:
    """Return the settings of a client of one server, which does not search by UDP."""
    return {"EPICS_PVA_NAME_SERVERS": f"{host}:{port}", "EPICS_PVA_AUTO_ADDR_LIST": "NO", "EPICS_PVA_ADDR_LIST": ""}


async def answers(pv: str, timeout: float) -> bool:
    """Return whether a PV can be read over PVAccess by a client with the environment of this process.

    Parameters
    ----------
    pv
        Its name.
    timeout
        How long to wait for the answer (s).

    Returns
    -------
    bool
    """
    with AsyncContext("pva", nt=False) as context:
        try:
            async with asyncio.timeout(timeout):
                await context.get(pv)
        except TimeoutError:
            return False
        return True
