"""The links of one detector as time goes by: what their PVs said last, and when that may be told anew."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from ponikeeper.config import Link
from ponikeeper.detector.link_rules import Reading, Sample, calibrated_value, rests_from, returns_at, state_of, updated
from ponikeeper.history import Revision
from ponikeeper.protocol import LinkState, nominal_value


def earliest(times: Iterable[float | None]) -> float | None:
    """Give the first of several times, of which there may be none."""
    return min((moment for moment in times if moment is not None), default=None)


class LinkStates:
    """The links of one detector.

    Parameters
    ----------
    settle
        How long a link must have stood still to be at rest (s).
    clock
        Gives seconds that never go back.
    """

    def __init__(
        self, links: Sequence[Link] = (), settle: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._links = links
        self._settle = settle
        self.clock = clock
        self._samples: dict[str, Sample] = {}
        self._readings = {link.name: Reading() for link in links}
        self._calibrated: dict[str, float | None] = {}
        self._references: dict[str, float | None] = {}
        self._changed = asyncio.Event()
        self.units: Mapping[str, str] = {link.name: link.units for link in links}
        """Units of each link by its name."""

    @property
    def pvs(self) -> set[str]:
        """The PVs that have to be watched."""
        return {pv for link in self._links for pv in (link.pv, link.moving) if pv is not None}

    def set_reference(self, revision: Revision | None) -> None:
        """Judge from now on where the links stand by where they stood for a revision.

        An energy or a wavelength that its position lacks is judged by the wavelength of its geometry.
        """
        for link in self._links:
            calibrated = nominal = None
            if revision is not None:
                calibrated = calibrated_value(link, revision.position)
                nominal = nominal_value(link, revision.geometry.wavelength)
            self._calibrated[link.name] = calibrated
            reference = nominal if calibrated is None else calibrated
            if reference != self._references.get(link.name):
                self._references[link.name] = reference
                self._readings[link.name] = replace(self._readings[link.name], left=None)

    def update(self, pv: str, sample: Sample) -> None:
        """Take up what one PV says; what concerns no link here is ignored."""
        self._samples[pv] = sample
        for link in self._links:
            if pv in (link.pv, link.moving):
                value, moving = (self._samples.get(name or "", Sample()) for name in (link.pv, link.moving))
                before, reference = self._readings[link.name], self._references.get(link.name)
                self._readings[link.name] = updated(link, before, value, moving, reference, self._settle, self.clock())
                self._changed.set()

    def states(self) -> tuple[LinkState, ...]:
        """Tell how the links stand now, in the order of the configuration."""
        now = self.clock()
        return tuple(
            state_of(
                link,
                self._readings[link.name],
                self._calibrated.get(link.name),
                self._references.get(link.name),
                self._settle,
                now,
            )
            for link in self._links
        )

    def next_change(self) -> float | None:
        """Give when the next link comes to rest, or is believed to be back, if nothing more is said."""
        times: list[float] = []
        for link in self._links:
            reading = self._readings[link.name]
            times += [rests_from(link, reading, self._settle), returns_at(reading, self._settle)]
        now = self.clock()
        return earliest(moment for moment in times if moment > now)

    def wake(self) -> None:
        """Let whoever waits for a change look again."""
        self._changed.set()

    async def wait_for_change(self, until: float | None) -> None:
        """Wait until a link says something, at the longest to a time; it may be over already."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if until is None else until - self.clock()):
                await self._changed.wait()
        self._changed.clear()
