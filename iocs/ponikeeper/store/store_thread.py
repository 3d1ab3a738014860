"""The one thread that uses the storage, and the health of its disk."""

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from ponikeeper.errors import DamagedStoreError, StoreError
from ponikeeper.store.interface import HistoryStorage

SLOW = 0.8
"""Seconds after which a call that has not returned is reported as a failing disk."""

PERIOD = 0.8
"""Seconds between two checks of the disk; while it fails, each of them is a test write."""

CHECK_PERIOD = 1.0
"""Seconds between two slices of the verification that never ends; one slice takes a few milliseconds."""

_SCARCE = 1e6
"""Free bytes below which a test write shows whether there is space."""

_SIGNIFICANT = 0.01
"""Relative change of the free bytes that is reported."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Health:
    """Health of the store.

    Parameters
    ----------
    ok
        Whether it accepts writes.
    message
        Why it does not.
    latency
        Of the last write (s).
    free
        Free bytes on its disk.
    """

    ok: bool = True
    message: str = ""
    latency: float = 0.0
    free: float = 0.0


_MAX_GROUP = 32
"""Writes that reach the disk together; those of several detectors then wait for it once."""


class _Call:
    """A call that waits for the thread."""

    def __init__(self, method: Callable[[HistoryStorage], Any]) -> None:
        self._method = method
        self._result: Any = None
        self.error: Exception | None = None
        self.future: Future[Any] = Future()

    def run(self, storage: HistoryStorage) -> None:
        """Call, and keep the outcome until it is on disk."""
        try:
            self._result = self._method(storage)
        except Exception as error:  # noqa: BLE001  # it belongs to the caller
            self.error = error

    def report(self) -> None:
        """Report the outcome to the caller."""
        if self.error is None:
            self.future.set_result(self._result)
        else:
            self.future.set_exception(self.error)


class StoreThread:
    """Runs the methods of a storage one after another, on a thread of its own.

    Writes go first, and those that wait at the same time reach the disk together.

    Parameters
    ----------
    storage
        The open storage; from now on only this object's thread uses it.
    """

    def __init__(self, storage: HistoryStorage) -> None:
        self._storage = storage
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._thread_id = 0
        self._writes: deque[_Call] = deque()
        self._reads: deque[_Call] = deque()
        self._running_since: float | None = None
        self._listeners: list[Callable[[Health], Awaitable[None]]] = []
        self.health = Health(free=self._free())
        self.damage = ""
        """What is damaged; empty if nothing is."""
        self._unreadable = ""

    def on_health(self, listener: Callable[[Health], Awaitable[None]]) -> None:
        """Register a coroutine function that is called with the health after each check and write."""
        self._listeners.append(listener)

    async def read(
        self, method: Callable[[HistoryStorage], T], on_slow: Callable[[], Awaitable[None]] | None = None
    ) -> T:
        """Read from the history.

        Parameters
        ----------
        method
            Called with the storage, on its thread.
        on_slow
            Called once if the disk does not answer for `SLOW` seconds; the read continues.

        Returns
        -------
        T
            What `method` returns.

        Raises
        ------
        DamagedStoreError
            It is damaged or was changed; from now on the store refuses writes.
        StoreError
            It cannot be read now.
        """
        try:
            return await self._call(self._reads, method, on_slow)
        except DamagedStoreError as error:
            await self._report_damage(error)
            raise

    async def write(
        self, method: Callable[[HistoryStorage], T], on_slow: Callable[[], Awaitable[None]] | None = None
    ) -> T:
        """Write to the history; it is on disk when this returns.

        Parameters
        ----------
        method
            Called with the storage, on its thread.
        on_slow
            Called once if the disk does not answer for `SLOW` seconds; the write continues.

        Returns
        -------
        T
            What `method` returns.

        Raises
        ------
        DamagedStoreError
            The history is damaged: nothing is written to it any longer.
        UncertainStoreError
            Whether it was written is not known.
        StoreError
            It was not written.
        """
        if self.damage:
            raise DamagedStoreError(self.damage)
        began = time.monotonic()
        try:
            result = await self._call(self._writes, method, on_slow)
        except DamagedStoreError as error:
            await self._report_damage(error)
            raise
        except StoreError as error:
            await self._report(replace(self.health, ok=False, message=str(error)))
            raise
        await self._report(Health(latency=time.monotonic() - began, free=self._free()))
        return result

    async def watch(self) -> None:
        """Verify the history again and again, and check the disk; runs for ever."""
        await asyncio.gather(self._verify_all(), self._watch_disk())

    async def probe(self) -> None:
        """Make a test write and update `health`."""
        with suppress(StoreError):  # `write` has reported it: this is how a failing disk is detected
            await self.write(lambda storage: storage.probe())

    async def ping(self) -> None:
        """Wait until the thread has finished what it was given before."""
        self._thread_id = await asyncio.get_running_loop().run_in_executor(self._thread, threading.get_native_id)

    def waits_for_disk(self) -> bool:
        """Return whether the thread is blocked in the kernel (the disk does not answer) or stopped by a debugger."""
        stat = Path(f"/proc/self/task/{self._thread_id}/stat")
        with suppress(OSError):
            return stat.read_text().rpartition(")")[2].split()[0] in "DtT"
        return False

    def close(self) -> None:
        """Close the history, and end the thread after what it was given before."""
        self._thread.submit(self._storage.close)
        self._thread.shutdown(wait=True)

    async def _call(
        self, queue: deque[_Call], method: Callable[[HistoryStorage], T], on_slow: Callable[[], Awaitable[None]] | None
    ) -> T:
        """Call a method on the thread; report a disk that does not answer, and go on waiting.

        Raises
        ------
        StoreError
            The store is closed.
        """
        call = _Call(method)
        try:
            queue.append(call)
            self._thread.submit(self._run_next)
        except RuntimeError:
            queue.remove(call)
            raise StoreError(f"{self._storage.path} is closed: the IOC ends") from None
        future: asyncio.Future[T] = asyncio.wrap_future(call.future)
        while not (await asyncio.wait({future}, timeout=self._until_slow()))[0]:
            if self._until_slow() > 0:
                continue  # it waits for other calls
            await self._report(replace(self.health, ok=False, message=f"the disk has not answered for {SLOW:g} s"))
            if on_slow is not None:
                await on_slow()
            break
        return await future

    def _until_slow(self) -> float:
        """Return how long the call that runs may take until it is reported (s)."""
        began = self._running_since
        return SLOW if began is None else max(0.0, began + SLOW - time.monotonic())

    def _run_next(self) -> None:
        """Run what waits, in the thread: all writes in one group, else one read."""
        queue, most = (self._writes, _MAX_GROUP) if self._writes else (self._reads, 1)
        calls = [queue.popleft() for _ in range(min(len(queue), most))]
        calls = [call for call in calls if call.future.set_running_or_notify_cancel()]
        self._running_since = time.monotonic()
        try:
            with self._storage.group() if len(calls) > 1 else nullcontext():
                for call in calls:
                    call.run(self._storage)
        except Exception as error:  # noqa: BLE001  # it belongs to the callers: nothing of the group is on disk
            for call in calls:
                call.error = call.error or error
        self._running_since = None
        for call in calls:
            call.report()

    async def _verify_all(self) -> None:
        """Verify slice after slice: first what the start left, then all again and again; `read` reports damage."""
        first = True
        while not self.damage:
            try:
                first &= await self.read(lambda storage: storage.verify_next())
                self._unreadable = ""
            except StoreError as error:
                self._unreadable = str(error)
                await self._report(self.health)
            await asyncio.sleep(0 if first and not self._unreadable else CHECK_PERIOD)  # commits go first

    async def _watch_disk(self) -> None:
        """Make test writes on a disk that fails, or looks as if it would, until it accepts them."""
        while True:
            await asyncio.sleep(PERIOD)
            if self.damage:
                continue
            free, doubtful = await self._call(self._reads, lambda storage: _disk(storage.path.parent), None)
            if doubtful or not self.health.ok:
                await self.probe()
            elif abs(free - self.health.free) > _SIGNIFICANT * self.health.free:
                await self._report(replace(self.health, free=free))

    async def _report_damage(self, error: DamagedStoreError) -> None:
        """Report damage once: it is permanent, and nothing may be written over it."""
        if not self.damage:
            self.damage = str(error)
            await self._report(self.health)

    async def _report(self, health: Health) -> None:
        if self.damage or self._unreadable:
            health = replace(health, ok=False, message=self.damage or self._unreadable)
        self.health = health
        for listener in self._listeners:
            await listener(health)

    def _free(self) -> float:
        return _disk(self._storage.path.parent)[0]


def _disk(directory: Path) -> tuple[float, bool]:
    """Return the free bytes of a directory's disk, and whether it looks as if it accepted no writes."""
    try:
        disk = os.statvfs(directory)
    except OSError:
        return 0.0, True
    free = float(disk.f_bavail * disk.f_frsize)
    return free, free < _SCARCE or bool(disk.f_flag & os.ST_RDONLY)
