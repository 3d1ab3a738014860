"""The links of one detector: their last values, and when their state next changes."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from ponikeeper.config import MISMATCH, Link
from ponikeeper.detector.link_rules import Reading, Sample, rests_from, returns_at, state_of, updated
from ponikeeper.history import Revision, ServiceChange
from ponikeeper.history.service import describe_service, links_out_of_service
from ponikeeper.protocol import LinkState, calibrated_value, measures_beam, nominal_value
from ponikeeper.protocol.link_values import kind_of
from ponikeeper.protocol.links import MAX_ERROR
from ponikeeper.text.ascii import cut


def earliest(times: Iterable[float | None]) -> float | None:
    """Return the earliest of several times; None stands for never."""
    return min((moment for moment in times if moment is not None), default=None)


class LinkStates:
    """Tracks the links of one detector.

    Parameters
    ----------
    links
        Their configuration.
    settle
        For how long a link must not have moved to be at rest (s).
    clock
        Returns the time of a monotonic clock (s).
    mismatch
        Largest relative difference of an energy or a wavelength from the wavelength of the geometry.
    extrapolate
        Whether a model may be used farther outside of its range than usual.
    """

    def __init__(
        self,
        links: Sequence[Link] = (),
        settle: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        mismatch: float = MISMATCH,
        extrapolate: bool = False,
    ) -> None:
        self._links = links
        self.settle = settle
        """For how long a link must not have moved to be at rest (s)."""
        self._mismatch = mismatch
        self.extrapolate = extrapolate
        """Whether a model may be used farther outside of its range than usual."""
        self.clock = clock
        self._samples: dict[str, Sample] = {}
        self._readings = {link.name: Reading() for link in links}
        self._calibrated: dict[str, float | None] = {}
        self._references: dict[str, float | None] = {}
        self._out_of_service: Mapping[str, str] = {}
        self._changed = asyncio.Event()
        self.units: Mapping[str, str] = {link.name: link.units for link in links}
        """Units of each link by its name."""

    @property
    def pvs(self) -> set[str]:
        """The PVs that have to be monitored."""
        return {pv for link in self._links for pv in (link.pv, link.moving) if pv is not None}

    @property
    def pvs_with_units(self) -> set[str]:
        """The PVs among them whose units are compared with the configuration."""
        return {link.pv for link in self._links if kind_of(link).has_tolerance}

    def set_reference(self, revision: Revision | None) -> None:
        """Compare the links with the position of a revision from now on.

        An energy or a wavelength that the position lacks is compared with the wavelength of its geometry.
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
                self._readings[link.name] = replace(self._readings[link.name], outside_at=None)

    def set_service(self, changes: Iterable[ServiceChange]) -> None:
        """Set which links are out of service, from all service changes of the detector."""
        changed = links_out_of_service(changes)
        self._out_of_service = {link: cut(describe_service(change), MAX_ERROR) for link, change in changed.items()}
        self._changed.set()

    def update(self, pv: str, sample: Sample) -> None:
        """Update the links from one PV; a PV of no link is ignored."""
        self._samples[pv] = sample
        for link in self._links:
            if pv in (link.pv, link.moving):
                value, moving = (self._samples.get(name or "", Sample()) for name in (link.pv, link.moving))
                before, reference = self._readings[link.name], self._references.get(link.name)
                self._readings[link.name] = updated(link, before, value, moving, reference, self.settle, self.clock())
                self._changed.set()

    def states(self) -> tuple[LinkState, ...]:
        """Return the links as they are now, in the order of the configuration."""
        now = self.clock()
        return tuple(
            state_of(
                link,
                self._readings[link.name],
                self._calibrated.get(link.name),
                self._references.get(link.name),
                self.settle,
                now,
                self._mismatch if measures_beam(link) else None,
                self._out_of_service.get(link.name),
            )
            for link in self._links
        )

    def next_change(self) -> float | None:
        """Return when the next link comes to rest or counts as returned if there is no further update (s)."""
        times: list[float] = []
        for link in self._links:
            reading = self._readings[link.name]
            times += [rests_from(link, reading, self.settle), returns_at(reading, self.settle)]
        now = self.clock()
        return earliest(moment for moment in times if moment > now)

    def wake(self) -> None:
        """End the current `wait_for_change`."""
        self._changed.set()

    async def wait_for_change(self, until: float | None) -> None:
        """Wait for an update of a link, at most until a time (s), which may be over already."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if until is None else until - self.clock()):
                await self._changed.wait()
        self._changed.clear()
