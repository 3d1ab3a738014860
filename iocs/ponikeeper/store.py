"""The one thread that touches the store, and what is known of the disk's health."""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from ponikeeper.errors import StoreError
from ponikeeper.history import History

SLOW = 0.8
"""Seconds after which a write that has not returned is told as a failing disk."""

PROBE_PERIOD = 0.8
"""Seconds between two test writes while the disk is failing."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the store takes writes; `latency` (s) of the last one, `free` bytes on its disk."""

    ok: bool = True
    message: str = ""
    latency: float = 0.0
    free: float = 0.0


class Store:
    """Runs the history's methods one after another on a thread of their own.

    Parameters
    ----------
    history
        The open history; from here on it is touched by this object's thread only.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._listeners: list[Callable[[Health], Awaitable[None]]] = []
        self.health = Health(free=self._free())

    def on_health(self, listener: Callable[[Health], Awaitable[None]]) -> None:
        """Call a coroutine with the health whenever it was looked at."""
        self._listeners.append(listener)

    async def read(self, method: Callable[[History], T]) -> T:
        """Read from the history.

        Raises
        ------
        StoreError
            It cannot be read now.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, method, self._history)

    async def write(self, method: Callable[[History], T], on_slow: Callable[[], Awaitable[None]] | None = None) -> T:
        """Write to the history; on return it is on disk.

        Parameters
        ----------
        on_slow
            Called once where the disk does not answer for `SLOW` seconds; the write goes on.

        Raises
        ------
        StoreError
            It was not written.
        """
        began = time.monotonic()
        future = asyncio.get_running_loop().run_in_executor(self._thread, method, self._history)
        done, _ = await asyncio.wait({future}, timeout=SLOW)
        if not done:
            await self._tell(replace(self.health, ok=False, message=f"the disk has not answered for {SLOW:g} s"))
            if on_slow is not None:
                await on_slow()
        try:
            result = await future
        except StoreError as error:
            await self._tell(replace(self.health, ok=False, message=str(error)))
            raise
        await self._tell(Health(latency=time.monotonic() - began, free=self._free()))
        return result

    async def watch(self) -> None:
        """Verify the older part of the history, then try a failing disk until it recovers; runs for ever."""
        damage = await self._verify_all()
        while True:
            await asyncio.sleep(PROBE_PERIOD)
            if damage is not None:
                await self._tell(replace(self.health, ok=False, message=damage))
            elif not self.health.ok:
                await self.probe()

    async def probe(self) -> None:
        """Make a test write; its outcome is in `health`."""
        try:
            await self.write(History.probe)
        except StoreError:
            pass  # told by write: this is how a failing disk is found

    def close(self) -> None:
        """End the thread after what it is doing, and close the history."""
        self._thread.submit(self._history.close)
        self._thread.shutdown(wait=True)

    async def _verify_all(self) -> str | None:
        try:
            while await self.read(History.verify_next):
                await asyncio.sleep(0)  # commits go first
        except StoreError as error:
            return str(error)
        return None

    async def _tell(self, health: Health) -> None:
        self.health = health
        for listener in self._listeners:
            await listener(health)

    def _free(self) -> float:
        try:
            return float(shutil.disk_usage(self._history.path.parent).free)
        except OSError:
            return 0.0
