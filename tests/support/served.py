"""A server with ten numbers and some texts, in a thread of this process."""

import asyncio
import contextlib
import socket
import threading
import time
from typing import Any, Self

from caproto import AlarmSeverity, AlarmStatus

from live import TIMEOUT, wait_for
from ponikeeper.ca.channels import PutHandler, make_channel
from ponikeeper.ca.server import Context
from ponikeeper.protocol.pvs import PV, Kind


class Served:
    """Ten numbers ``X0`` to ``X9``, a text, a string and an enum on a server in a thread of this process.

    Parameters
    ----------
    handler
        Handles the puts to the numbers.
    options
        Of the server.
    """

    def __init__(self, handler: PutHandler | None = None, **options: Any) -> None:
        self.numbers = [make_channel(PV(f"X{number}", Kind.DOUBLE, "", writable=True), handler) for number in range(10)]
        self.text = make_channel(PV("Text", Kind.TEXT, ""))
        self.string = make_channel(PV("String", Kind.STRING, ""))
        self.enum = make_channel(PV("Enum", Kind.ENUM, "", states=("Idle", "Do")))
        self._options = options
        self.loop = asyncio.new_event_loop()
        self.lost: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.lost.append(context))
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(TIMEOUT)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(TIMEOUT)
        self.loop.close()

    def make_context(self) -> Context:
        """Build the server."""
        channels = (*self.numbers, self.text, self.string, self.enum)
        return Context({channel.pv.suffix: channel for channel in channels}, **self._options)

    @property
    def port(self) -> int:
        """The TCP port."""
        return self.context.tcp_port

    def show(self, channel: Any, *values: Any, severity: int = 0) -> None:
        """Publish values, one after another."""

        def show() -> None:
            for value in values:
                channel.post(value, time.time(), AlarmSeverity(severity), AlarmStatus.NO_ALARM)

        self.call(show)

    def call(self, function: Any) -> Any:
        """Call a function in the thread of the server, and return what it returns."""

        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(TIMEOUT)

    def circuit(self, sock: socket.socket) -> Any:
        """Return the server's end of a connection."""
        ours = sock.getsockname()
        return wait_for(lambda: [one for one in list(self.context.circuits) if one.address == ours])[0]

    context: Context

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)

        async def ready(_: object) -> None:
            self._ready.set()

        async def serve() -> None:
            self.context = self.make_context()
            await self.context.run(startup_hook=ready)

        self._task = self.loop.create_task(serve())
        with contextlib.suppress(asyncio.CancelledError):
            self.loop.run_until_complete(self._task)
        self.loop.run_until_complete(asyncio.sleep(0))  # connections are closed in the next turn
        rest = asyncio.all_tasks(self.loop)
        for task in rest:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
