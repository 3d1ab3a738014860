"""Whether an IOC is alive, by the values of ``Alive_RBV``. Pure.

A gateway with a cache answers for an IOC that hangs, until it has noticed that (35 s). So an answer is no proof; a
value of ``Alive_RBV`` that follows another one is. Only that it changed counts, not the time that it says: the clocks
of two hosts differ. A get that reaches the IOC returns the present time, so two gets prove at once that the IOC is
alive; behind a gateway with a cache it takes the next update of the monitor.
"""

import math
from collections import deque

PERIOD = 1.0
"""Seconds between two updates of the monitor."""

MAX_AGE = 1.5 * PERIOD
"""For how long an advance counts (s)."""

_MAX_GAP = 2.5 * PERIOD
"""An advance since a value that was seen longer ago than this does not prove that the IOC is alive now (s)."""


class Heartbeat:
    """Receives each value of ``Alive_RBV``, from a monitor or a get, of one IOC."""

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=8)  # a late reply to a get can be older than the newest update
        self._seen_at = self._advanced_at = self._changed_at = -math.inf

    @property
    def value(self) -> float:
        """The newest value (s since 1970); NaN if there is none."""
        return self._values[-1] if self._values else math.nan

    def see(self, value: float, now: float) -> bool:
        """Receive a value.

        Parameters
        ----------
        value
            Of ``Alive_RBV`` (s since 1970).
        now
            When it arrived, by a monotonic clock of this host (s).

        Returns
        -------
        bool
            Whether it proves that the IOC was alive just now.
        """
        if value == self.value:
            self._seen_at = now
            return False
        if value in self._values:
            return False
        self._values.append(value)
        self._changed_at = now
        is_proof = now - self._seen_at <= _MAX_GAP
        self._seen_at = now
        if is_proof:
            self._advanced_at = now
        return is_proof

    def silence(self, now: float) -> float:
        """Return for how long no new value has arrived at a time of the monotonic clock (s); 0 where that is usual."""
        silence = now - self._changed_at
        return silence if _MAX_GAP < silence < math.inf else 0.0

    def is_fresh(self, now: float) -> bool:
        """Return whether the IOC was alive within the last moments before a time of the monotonic clock (s)."""
        return now - self._advanced_at <= MAX_AGE


def hung_text(pv: str, value: float, waited: float) -> str:
    """Return the message that an IOC hangs, although its PVs answer.

    Parameters
    ----------
    pv
        Name of its ``Alive_RBV``.
    value
        The value that does not change (s since 1970).
    waited
        For how long (s).
    """
    return (
        f"{pv} stays at {value:.3f} for {waited:.3g} s, so what is shown may be old: the IOC hangs or is not reached, "
        "and a gateway in between answers from its cache"
    )
