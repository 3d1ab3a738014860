"""The links of one detector as time goes by: what their PVs said last, and when that may be told anew."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from ponikeeper.config import Link
from ponikeeper.links import Reading, Sample, state_of, time_to_rest, updated
from ponikeeper.messages import LinkState, Position


class Linked:
    """The links of one detector.

    Parameters
    ----------
    settle
        How long a link without a moving PV must have stood still to be at rest (s).
    clock
        Gives seconds that never go back.
    """

    def __init__(self, links: Sequence[Link], settle: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._links = links
        self._settle = settle
        self._clock = clock
        self._samples: dict[str, Sample] = {}
        self._readings = {link.name: Reading() for link in links}
        self._changed = asyncio.Event()

    @property
    def pvs(self) -> set[str]:
        """The PVs that have to be watched."""
        return {pv for link in self._links for pv in (link.pv, link.moving) if pv is not None}

    def take(self, pv: str, sample: Sample) -> None:
        """Take up what one PV says; what concerns no link here is ignored."""
        self._samples[pv] = sample
        for link in self._links:
            if pv in (link.pv, link.moving):
                value, moving = (self._samples.get(name or "", Sample()) for name in (link.pv, link.moving))
                before = self._readings[link.name]
                self._readings[link.name] = updated(link, before, value, moving, self._clock())
                self._changed.set()

    def states(self, position: Position | None) -> tuple[LinkState, ...]:
        """Tell how the links stand now, in the order of the configuration.

        Parameters
        ----------
        position
            Of the revision in force.
        """
        now = self._clock()
        return tuple(state_of(link, self._readings[link.name], position, self._settle, now) for link in self._links)

    def next_rest(self) -> float | None:
        """Give when the next link comes to rest if nothing more is said; None where none moves, or its PV tells."""
        now = self._clock()
        times = (time_to_rest(link, self._readings[link.name], self._settle, now) for link in self._links)
        return min((now + seconds for seconds in times if seconds is not None), default=None)

    async def change(self, rest: float | None) -> None:
        """Wait until a link says something, or until it has come to rest by saying nothing.

        Parameters
        ----------
        rest
            What `next_rest` gave before the links were told the last time; it may be over already.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(None if rest is None else rest - self._clock()):
                await self._changed.wait()
        self._changed.clear()
