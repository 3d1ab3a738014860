"""The put log: each put is kept before it is answered, or as soon as its sink takes it again."""

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
"""How long an answer waits for its line: a disk may hang (s)."""

_PERIOD = 1.0
"""Seconds between two tries of a sink that fails."""

_MAX_BACKLOG = 10_000
"""Puts that are kept for a sink that fails or hangs; more are lost, and counted."""


class PutLog:
    """Keeps each put, in the order of their answers.

    Parameters
    ----------
    sink
        Where they go; from here on it is touched by this object's thread only.
    channels
        The IOC's own, by suffix.
    """

    def __init__(self, sink: Sink, channels: Mapping[str, Any]) -> None:
        self._sink, self._health = sink, HealthPVs(channels, "PutLog", AlarmStatus.WRITE)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="putlog")
        self._waiting: deque[Put] = deque()  # the thread's own
        self._unanswered = self._backlog = self._lost = 0
        self._problem = ""
        self._changed = asyncio.Event()

    async def write(self, put: Put) -> None:
        """Keep a put; returns when that is done, or when it takes too long to wait for."""
        if self._unanswered + self._backlog >= _MAX_BACKLOG:
            self._lost += 1
            self._changed.set()
        else:
            await asyncio.wait([asyncio.ensure_future(self._write(put))], timeout=_MAX_WAIT)

    async def run(self) -> None:
        """Show how the log stands, and try a sink that fails again and again; for ever."""
        while True:
            await self._publish()
            try:
                await asyncio.wait_for(self._changed.wait(), _PERIOD if self._problem else None)
            except TimeoutError:
                await self._write()
            self._changed.clear()

    async def close(self) -> None:
        """Let go of the sink, after what waits was written or could not be."""
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
        """Write what waits and one more, in the thread; give what is wrong, and how many wait."""
        if put is not None:
            self._waiting.append(put)
        try:
            while self._waiting:
                self._sink.write(self._waiting[0])
                self._waiting.popleft()
        except OSError as error:
            return str(error), len(self._waiting)
        return "", 0

    async def _publish(self) -> None:
        message = self._problem + (f"; {self._lost} puts are lost" if self._lost else "")
        await self._health.publish(not self._problem and not self._lost, message)
