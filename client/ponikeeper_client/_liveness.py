"""Watch whether an IOC is alive, for the subscribers of its status: one that hangs sends no update."""

import threading
from collections.abc import Callable
from typing import Any

_PERIOD = 0.5
"""How often it is looked whether the IOC is silent (s)."""


class LivenessWatch:
    """Calls a function when an IOC becomes silent, and when it is no longer, in a thread of its own.

    Behind a gateway the PVs of an IOC that hangs stay connected.

    Parameters
    ----------
    silence
        Returns for how long the IOC has been silent (s); 0 where that is usual.
    changed
        Called in the thread; it has to find out what is true then, since the last update may just be late.
    """

    def __init__(self, silence: Callable[[], float], changed: Callable[[], object]) -> None:
        self._silence, self._changed = silence, changed
        self._ended = threading.Event()

    def start(self, thread: Callable[..., Any], name: str) -> None:
        """Start the thread; `thread` is a class such as `threading.Thread`."""
        thread(target=self._run, daemon=True, name=name).start()

    def end(self) -> None:
        """End the thread at its next step."""
        self._ended.set()

    def _run(self) -> None:
        was_silent = False
        while not self._ended.wait(_PERIOD):
            is_silent = self._silence() > 0
            if is_silent != was_silent:
                was_silent = is_silent
                self._changed()
