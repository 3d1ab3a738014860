"""The put log: each put is written before it is answered, or as soon as its sink works again."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from caproto import AlarmStatus

from ponikeeper.ca.health_pvs import HealthPVs
from ponikeeper.putlog.entry import Put
from ponikeeper.putlog.sinks import Sink

log = logging.getLogger(__name__)

_MAX_WAIT = 0.5
"""How long the answer to a put waits for its line, since a disk may hang (s)."""

_PERIOD = 1.0
"""Seconds between two attempts to write to a failing sink."""

_MAX_BACKLOG = 10_000
"""Puts that are kept in memory for a sink that fails or hangs; further ones are lost, and counted."""


class PutLog:
    """Writes each put to a sink, in the order of the answers.

    Parameters
    ----------
    sink
        The destination; only the thread of this object uses it.
    channels
        The IOC's own channels, by suffix.
    """

    def __init__(self, sink: Sink, channels: Mapping[str, Any]) -> None:
        self._sink, self._health = sink, HealthPVs(channels, "PutLog", AlarmStatus.WRITE)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="putlog")
        self._waiting: deque[Put] = deque()  # used by the thread only
        self._unanswered = self._backlog = self._lost = 0
        self._problem = ""
        self._changed = asyncio.Event()

    async def write(self, put: Put) -> None:
        """Write a put; return when it is written, or after a short wait."""
        if self._unanswered + self._backlog >= _MAX_BACKLOG:
            self._lost += 1
            self._changed.set()
        else:
            await asyncio.wait([asyncio.ensure_future(self._write(put))], timeout=_MAX_WAIT)

    async def run(self) -> None:
        """Publish the health of the log, and retry a failing sink; until cancelled."""
        while True:
            self._publish()
            try:
                async with asyncio.timeout(_PERIOD if self._problem else None):
                    await self._changed.wait()
            except TimeoutError:
                await self._write()
            self._changed.clear()

    async def close(self) -> None:
        """Stop the thread, after one more attempt to write what waits."""
        await asyncio.wait([asyncio.ensure_future(self._write())], timeout=_MAX_WAIT)
        self._thread.shutdown(wait=False)

    async def _write(self, put: Put | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._unanswered += 1
        problem, self._backlog = await loop.run_in_executor(self._thread, self._write_all, put)
        self._unanswered -= 1
        if problem != self._problem:
            self._problem = problem
            log.error("put log: %s", problem or "it is written again")
            self._changed.set()

    def _write_all(self, put: Put | None) -> tuple[str, int]:
        """Write the waiting puts and one more, in the thread; return the error text and how many still wait."""
        if put is not None:
            self._waiting.append(put)
        try:
            while self._waiting:
                self._sink.write(self._waiting[0])
                self._waiting.popleft()
        except OSError as error:
            return str(error), len(self._waiting)
        return "", 0

    def _publish(self) -> None:
        message = self._problem + (f"; {self._lost} puts are lost" if self._lost else "")
        self._health.publish(not self._problem and not self._lost, message)
