"""How many puts may be open at once: each one that waits for the disk costs memory. Several threads use it."""

import threading
from collections import Counter

PER_HOST = 1024
"""Puts of one host."""

ALL = 4096
"""Puts of all hosts."""


class OpenPuts:
    """Counts the puts that are not answered yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()

    def begin(self, host: str) -> str | None:
        """Count a put; return why there are too many, and do not count it then.

        Parameters
        ----------
        host
            Address of its client.

        Returns
        -------
        str or None
            The reason, for the client.
        """
        with self._lock:
            if self._open[host] >= PER_HOST:
                return f"{self._open[host]} puts of {host} are not finished: wait for their answers, then put again"
            if self._open.total() >= ALL:
                return f"{self._open.total()} puts are not finished: wait for their answers, then put again"
            self._open[host] += 1
            return None

    def end(self, host: str) -> None:
        """Count a put as answered."""
        with self._lock:
            self._open[host] -= 1
            if not self._open[host]:
                del self._open[host]
