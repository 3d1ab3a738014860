"""A PVAccess server in the process of the test, in a loop of its own thread: a few PVs and one geometry."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, Self

from live import free_ports
from ponikeeper.access.gate import Gate
from ponikeeper.access.rules import OPEN, Rules
from ponikeeper.ca.channels import make_channel
from ponikeeper.protocol.pvs import DETECTOR_PVS
from ponikeeper.pva.scalars import Scalar
from ponikeeper.pva.server import PvaServer

TIMEOUT = 20.0


class PvaServed:
    """The PVs of one detector, ``P:``, for the duration of a block.

    Parameters
    ----------
    rules
        The access rules; they can be replaced.
    """

    def __init__(self, rules: Rules = OPEN) -> None:
        self.rules = rules
        self.received: list[tuple[Any, str]] = []
        self.hold: asyncio.Event | None = None
        self.on_put: Callable[[Any], None] | None = None
        self.channels: dict[str, Any] = {}
        for pv in DETECTOR_PVS:
            channel = make_channel(pv, self._handle if pv.writable else None)
            channel.name = f"P:{pv.suffix}"
            self.channels[channel.name] = channel
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.call(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self.server.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(TIMEOUT)
        self.loop.close()

    def right(self, user: str, address: str, level: int = 0) -> Any:
        """Return the right of a client by the rules now."""
        return self.rules.right(user, address, level)

    def call(self, awaitable: Any) -> Any:
        """Run a coroutine in the loop of the server."""
        return asyncio.run_coroutine_threadsafe(awaitable, self.loop).result(TIMEOUT)

    def do(self, function: Callable[[], Any]) -> Any:
        """Call a function in the loop of the server."""

        async def run() -> Any:
            return function()

        return self.call(run())

    def post(self, name: str, value: Any) -> None:
        """Publish a value."""
        self.do(lambda: self.channels[name].post(value, time.time()))

    async def _start(self) -> None:
        self.hold = asyncio.Event()
        self.hold.set()
        self.port, search = free_ports(2)
        settings = {
            "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
            "EPICS_PVAS_SERVER_PORT": str(self.port),
            "EPICS_PVAS_BROADCAST_PORT": str(search),
            "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
        }
        sources = {name: Scalar(channel) for name, channel in self.channels.items()}
        self.server = PvaServer(sources, self, Gate(), settings)
        await self.server.start()

    async def _handle(self, value: Any, identity: Any) -> None:
        assert threading.current_thread() is self._thread
        assert self.hold is not None
        await self.hold.wait()
        self.received.append((value, str(identity)))
        if self.on_put is not None:
            self.on_put(value)
