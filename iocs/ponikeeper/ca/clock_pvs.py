"""The PVs ``Clock:Status_RBV`` and ``Clock:Message_RBV``: an alarm while the clock of the host cannot be right."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from caproto import AlarmStatus

from ponikeeper.ca.health_pvs import HealthPVs
from ponikeeper.detector.clock_rules import ClockReading, clock_problem, clock_step, step_text
from ponikeeper.detector.keeper import Keeper
from ponikeeper.text import timestamps

log = logging.getLogger(__name__)

_PERIOD = 1.0
"""Seconds between two looks at the clock."""


class ClockPVs:
    """Compares the clock with the newest records of all detectors, and notices when it is set.

    Parameters
    ----------
    channels
        The IOC's own channels, by suffix.
    keepers
        The detectors.
    begin
        The clock at the start.
    """

    def __init__(self, channels: Mapping[str, Any], keepers: Sequence[Keeper], begin: ClockReading) -> None:
        self._health = HealthPVs(channels, "Clock", AlarmStatus.TIMEOUT)
        self._keepers = keepers
        self._last, self._since = begin, begin.time
        self._serials = self._serials_now()
        self._shown: tuple[bool, str] | None = None
        self._problem, self._step = "", ""
        self.check(begin)

    async def run(self) -> None:
        """Check the clock each second, until cancelled."""
        while True:
            await asyncio.sleep(_PERIOD)
            self.check(read_clock())

    def check(self, now: ClockReading) -> None:
        """Publish and log whether the clock can be right, and whether it was set since the last check.

        Parameters
        ----------
        now
            The clock.
        """
        step = clock_step(self._last, now)
        self._last = now
        if step:
            serials = {prefix: (self._serials[prefix], serial) for prefix, serial in self._serials_now().items()}
            self._step = step_text(step, self._since, now, serials)
            self._since, self._serials = now.time, self._serials_now()
            log.warning("%s", self._step)
        problem = clock_problem(now.time, {keeper.state.prefix: keeper.state.stored for keeper in self._keepers})
        if problem and not self._problem:
            log.error("%s", problem)
        elif self._problem and not problem:
            log.info("no record lies ahead of the clock of this host any longer")
        self._problem = problem
        shown = (not problem, "; ".join(filter(None, (problem, self._step))))
        if shown != self._shown:
            self._shown = shown
            self._health.publish(*shown)

    def _serials_now(self) -> dict[str, int]:
        return {keeper.state.prefix: keeper.state.stored.serial for keeper in self._keepers}


def read_clock() -> ClockReading:
    """Read the clock, and one that counts on while the host is suspended."""
    return ClockReading(timestamps.now(), time.clock_gettime(time.CLOCK_BOOTTIME))
