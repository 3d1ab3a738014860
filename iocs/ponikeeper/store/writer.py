"""The one thread that touches the store, and what is known of the disk's health."""

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from ponikeeper.errors import DamagedStoreError, StoreError
from ponikeeper.store import History

SLOW = 0.8
"""Seconds after which a write that has not returned is told as a failing disk."""

PERIOD = 0.8
"""Seconds between two looks at the disk; while it is failing each of them is a test write."""

_SCARCE = 1e6
"""Free bytes below which a test write shows whether there is room."""

_NOTICED = 0.01
"""The part by which the free bytes have to change to be told."""

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
        self._thread_id = 0
        self._listeners: list[Callable[[Health], Awaitable[None]]] = []
        self.health = Health(free=self._free())
        self.damage = ""
        """What is damaged, where anything is."""

    def on_health(self, listener: Callable[[Health], Awaitable[None]]) -> None:
        """Call a coroutine with the health whenever it was looked at."""
        self._listeners.append(listener)

    async def read(self, method: Callable[[History], T], on_slow: Callable[[], Awaitable[None]] | None = None) -> T:
        """Read from the history.

        Parameters
        ----------
        on_slow
            Called once where the disk does not answer for `SLOW` seconds; the read goes on.

        Raises
        ------
        DamagedStoreError
            It is not what was written; from now on the store takes no writes.
        StoreError
            It cannot be read now.
        """
        try:
            return await self._run(method, on_slow)
        except DamagedStoreError as error:
            await self._tell_damage(error)
            raise

    async def write(self, method: Callable[[History], T], on_slow: Callable[[], Awaitable[None]] | None = None) -> T:
        """Write to the history; on return it is on disk.

        Parameters
        ----------
        on_slow
            Called once where the disk does not answer for `SLOW` seconds; the write goes on.

        Raises
        ------
        DamagedStoreError
            The history was found damaged: nothing is written to it any more.
        UncertainStoreError
            Whether it was written is not known.
        StoreError
            It was not written.
        """
        if self.damage:
            raise DamagedStoreError(self.damage)
        began = time.monotonic()
        try:
            result = await self._run(method, on_slow)
        except DamagedStoreError as error:
            await self._tell_damage(error)
            raise
        except StoreError as error:
            await self._tell(replace(self.health, ok=False, message=str(error)))
            raise
        await self._tell(Health(latency=time.monotonic() - began, free=self._free()))
        return result

    async def watch(self) -> None:
        """Verify the older part of the history, and look after the disk; runs for ever."""
        await asyncio.gather(self._verify_all(), self._watch_disk())

    async def probe(self) -> None:
        """Make a test write; its outcome is in `health`."""
        with suppress(StoreError):  # told by write: this is how a failing disk is found
            await self.write(History.probe)

    async def ping(self) -> None:
        """Return when the thread has done all that was given to it before."""
        self._thread_id = await asyncio.get_running_loop().run_in_executor(self._thread, threading.get_native_id)

    def waits_for_disk(self) -> bool:
        """Tell whether the thread hangs in the kernel, as it does when a disk does not answer, or a debugger has it."""
        stat = Path(f"/proc/self/task/{self._thread_id}/stat")
        with suppress(OSError):
            return stat.read_text().rpartition(")")[2].split()[0] in "DtT"
        return False

    def close(self) -> None:
        """End the thread after what it is doing, and close the history."""
        self._thread.submit(self._history.close)
        self._thread.shutdown(wait=True)

    async def _run(self, method: Callable[[History], T], on_slow: Callable[[], Awaitable[None]] | None) -> T:
        """Run a method on the thread; a disk that does not answer is told, and waited for."""
        future = asyncio.get_running_loop().run_in_executor(self._thread, method, self._history)
        done, _ = await asyncio.wait({future}, timeout=SLOW)
        if not done:
            await self._tell(replace(self.health, ok=False, message=f"the disk has not answered for {SLOW:g} s"))
            if on_slow is not None:
                await on_slow()
        return await future

    async def _verify_all(self) -> None:
        """Verify slice after slice; a disk that cannot be read now is tried again, damage is told by `read`."""
        left = True
        while left:
            try:
                left = await self.read(History.verify_next)
                await asyncio.sleep(0)  # commits go first
            except DamagedStoreError:
                return
            except StoreError as error:
                await self._tell(replace(self.health, ok=False, message=str(error)))
                await asyncio.sleep(PERIOD)

    async def _watch_disk(self) -> None:
        """Try a disk that fails, or looks as if it would, until it takes writes."""
        while True:
            await asyncio.sleep(PERIOD)
            if self.damage:
                continue
            free, doubtful = await self._run(lambda history: _disk(history.path.parent), None)
            if doubtful or not self.health.ok:
                await self.probe()
            elif abs(free - self.health.free) > _NOTICED * self.health.free:
                await self._tell(replace(self.health, free=free))

    async def _tell_damage(self, error: DamagedStoreError) -> None:
        """Tell once and for all: what is damaged does not heal, and nothing is to be written over it."""
        if not self.damage:
            self.damage = str(error)
            await self._tell(self.health)

    async def _tell(self, health: Health) -> None:
        if self.damage:
            health = replace(health, ok=False, message=self.damage)
        self.health = health
        for listener in self._listeners:
            await listener(health)

    def _free(self) -> float:
        return _disk(self._history.path.parent)[0]


def _disk(directory: Path) -> tuple[float, bool]:
    """Give the free bytes of a directory's disk, and whether it looks as if it took no writes."""
    try:
        disk = os.statvfs(directory)
    except OSError:
        return 0.0, True
    free = float(disk.f_bavail * disk.f_frsize)
    return free, free < _SCARCE or bool(disk.f_flag & os.ST_RDONLY)
