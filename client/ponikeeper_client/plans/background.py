"""Background tasks of plans: work in a thread, with a progress bar, while the RunEngine keeps running."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar, cast

from bluesky import plan_stubs as bps
from bluesky.utils import Msg
from ophyd.status import Status

T = TypeVar("T")

ReportProgress = Callable[[float, str], None]
"""Called with the finished part (0 to 1) and the next step."""


class ProgressStatus(Status):
    """A status whose progress bluesky's progress bar can show (`RE.waiting_hook`)."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self._watchers: list[Callable[..., Any]] = []
        self._last: tuple[float, str] = (0.0, "begins")

    def watch(self, watcher: Callable[..., Any]) -> None:
        """Call a watcher at each change from now on, with the arguments that bluesky's progress bars expect."""
        self._watchers.append(watcher)
        self.report(*self._last)

    def report(self, done: float, step: str) -> None:
        """Report the finished part (0 to 1) and the next step to every watcher."""
        self._last = (done, step)
        for watcher in tuple(self._watchers):
            watcher(
                name=f"{self.name}: {step}", current=round(100 * done), initial=0, target=100, unit="%", precision=0,
                fraction=1 - done, time_elapsed=None, time_remaining=None,
            )  # fmt: skip


class BackgroundTask(Generic[T]):
    """A function that runs once in a thread, however often it is triggered.

    Parameters
    ----------
    name
        For the progress bar and the thread.
    function
        Called with a function that reports its progress, and an event that is set when the plan has ended:
        after that it must not activate a geometry any more.
    thread
        Class of the thread, for example one with the session's Channel Access context.
    """

    parent = None

    def __init__(
        self,
        name: str,
        function: Callable[[ReportProgress, threading.Event], T],
        thread: Callable[..., Any] = threading.Thread,
    ) -> None:
        self.name, self._function, self._thread = name, function, thread
        self._cancelled = threading.Event()
        self._status: ProgressStatus | None = None
        self._result: T | None = None
        self._error: BaseException | None = None

    def trigger(self) -> Status:
        """Start the thread and return its status; when triggered again by a resumed plan, only return the status."""
        if self._status is None:
            self._status = ProgressStatus(self.name)
            self._thread(target=self._run, args=(self._status,), daemon=True, name=self.name).start()
        return self._status

    def cancel(self) -> None:
        """Set the event that tells the function that the plan has ended."""
        self._cancelled.set()

    def result(self) -> T:
        """Return the result of the function, or raise its error."""
        if self._error is not None:
            raise self._error
        return cast("T", self._result)

    def finish(self) -> Iterator[Msg]:
        """Run the task as part of a plan; its result is in `result`.

        There is a checkpoint before the wait, so that a pause is possible at any time, and a resumed plan waits
        again without repeating earlier messages.
        """
        try:
            while self._status is None or not self._status.done:
                yield from bps.checkpoint()
                yield from bps.trigger(cast("Any", self), group=self.name)
                yield from bps.wait(self.name)
        finally:
            self.cancel()

    def _run(self, status: ProgressStatus) -> None:
        try:
            self._result = self._function(status.report, self._cancelled)
        except BaseException as error:  # noqa: BLE001  # the plan raises every error
            self._error = error
        status.set_finished()
