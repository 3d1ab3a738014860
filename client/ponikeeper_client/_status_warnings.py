"""Warnings at the prompt that a run records a geometry that does not apply, where no guard does that."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from ponikeeper.protocol import Snapshot, applies

log = logging.getLogger("ponikeeper_client.device")


class StatusWarnings:
    """Logs once in a run, and at each change, that the geometry of a device does not apply."""

    def __init__(self) -> None:
        self._silenced = 0
        self._last: tuple[int, str] | None = None

    def begin(self) -> None:
        """Forget what was logged: another run begins."""
        self._last = None

    def check(self, name: str, snapshot: Snapshot) -> None:
        """Log a warning if the geometry that a run records does not apply.

        Parameters
        ----------
        name
            Name of the device.
        snapshot
            What is recorded.
        """
        if applies(snapshot.status):
            self._last = None
        elif not self._silenced and (snapshot.serial, snapshot.status) != self._last:
            self._last = snapshot.serial, snapshot.status
            reason = f", {snapshot.reason}" if snapshot.reason else ""
            log.warning("%s: the status is %s%s: the run records this", name, snapshot.status, reason)

    @contextmanager
    def silenced(self) -> Iterator[None]:
        """Return a context without warnings: a guard warns instead, or it is known that the geometry does not apply."""
        self._silenced += 1
        try:
            yield
        finally:
            self._silenced -= 1
