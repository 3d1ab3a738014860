"""Work that a plan waits for while the RunEngine goes on: in a thread of its own, with progress."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar, cast

from bluesky import plan_stubs as bps
from bluesky.utils import Msg
from ophyd.status import Status

T = TypeVar("T")

Told = Callable[[float, str], None]
"""Is told how much is done (0 to 1), and what comes next."""


class Progress(Status):
    """A status whose progress bluesky's bar can show (`RE.waiting_hook`)."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self._watchers: list[Callable[..., Any]] = []
        self._last: tuple[float, str] = (0.0, "begins")

    def watch(self, watcher: Callable[..., Any]) -> None:
        """Tell a watcher from now on, as bluesky's progress bars want it."""
        self._watchers.append(watcher)
        self.tell(*self._last)

    def tell(self, done: float, what: str) -> None:
        """Tell every watcher how much is done (0 to 1), and what comes next."""
        self._last = (done, what)
        for watcher in tuple(self._watchers):
            watcher(
                name=f"{self.name}: {what}", current=round(100 * done), initial=0, target=100, unit="%", precision=0,
                fraction=1 - done, time_elapsed=None, time_remaining=None,
            )  # fmt: skip


class Work(Generic[T]):
    """One piece of work, done once however often it is triggered.

    Parameters
    ----------
    name
        For the progress bar.
    function
        Does it; is given where to tell its progress, and an event that is set when the plan has
        ended and nothing may be put in force any more.
    thread
        Class of the thread, such as one that has a Channel Access context.
    """

    parent = None

    def __init__(
        self, name: str, function: Callable[[Told, threading.Event], T], thread: Callable[..., Any] = threading.Thread
    ) -> None:
        self.name, self._function, self._thread = name, function, thread
        self._cancelled = threading.Event()
        self._status: Progress | None = None
        self._result: T | None = None
        self._error: BaseException | None = None

    def trigger(self) -> Status:
        """Begin, or give the status of what has begun: a resumed plan triggers again."""
        if self._status is None:
            self._status = Progress(self.name)
            self._thread(target=self._run, args=(self._status,), daemon=True, name=self.name).start()
        return self._status

    def cancel(self) -> None:
        """Say that the plan has ended."""
        self._cancelled.set()

    def result(self) -> T:
        """Give what came out of it, or raise what it failed with."""
        if self._error is not None:
            raise self._error
        return cast("T", self._result)

    def finish(self) -> Iterator[Msg]:
        """Do it as part of a plan; what came out of it is told by `result`.

        A checkpoint stands before the waiting, so a pause is possible at any time, and a resumed
        plan waits again and repeats nothing that was before.
        """
        try:
            while self._status is None or not self._status.done:
                yield from bps.checkpoint()
                yield from bps.trigger(cast("Any", self), group=self.name)
                yield from bps.wait(self.name)
        finally:
            self.cancel()

    def _run(self, status: Progress) -> None:
        try:
            self._result = self._function(status.tell, self._cancelled)
        except BaseException as error:  # noqa: BLE001  # the plan raises it, whatever it is
            self._error = error
        status.set_finished()
