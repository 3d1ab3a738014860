"""What the guard says about what it sees: the run fails, or somebody is warned."""

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from ponikeeper.errors import NotConnectedError, RecordError
from ponikeeper.protocol import LinkState
from ponikeeper_client._fresh_gets import wait_for
from ponikeeper_client._motion import LinkWatch, moves
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.guard._run_record import Run, State

OF_LINKS = ("MOVING", "MOVED", "MISMATCH")
"""The statuses that a link which is scanned on purpose explains."""


def off_links(links: Sequence[LinkState]) -> set[str]:
    """Name the links that move, or are not where the geometry in force holds."""
    return {link.name for link in links if link.moving or not link.within}


def concern(status: str, reason: str, links: Sequence[LinkState], moving: Collection[str]) -> str | None:
    """Say why the geometry does not hold; None where it does, or where a declared scan alone is the cause.

    Parameters
    ----------
    status, reason
        As the IOC tells them.
    links
        Where the linked PVs stand.
    moving
        Names of links that are scanned on purpose.
    """
    off = off_links(links)
    if status == "VALID" or (status in OF_LINKS and off and off <= set(moving)):
        return None
    return f"the status is {status}, {reason}" if reason else f"the status is {status}"


def unknown_links(moving: Collection[str], links: Sequence[LinkState]) -> str | None:
    """Say which names are no link; None where each is one."""
    known = {link.name for link in links}
    missing = [name for name in moving if name not in known]
    if not missing:
        return None
    names = ", ".join(sorted(known)) or "none"
    return f"moving={list(moving)!r}: {', '.join(missing)} is no link of what is read; the links are {names}"


OnChange = Literal["new_descriptor", "fail", "warn"]
OnStatus = Literal["warn", "fail"]

_AGREEMENT = 0.1
"""Seconds for which the links may lag behind the status."""

log = logging.getLogger("ponikeeper_client.guard")


@dataclass(frozen=True, slots=True)
class Judge:
    """Fails a run, or warns, as it is told; parameters as `calibration_guard`. Each method raises `RecordError`."""

    on_change: OnChange
    on_status: OnStatus
    moving: tuple[str, ...]

    def look(self, run: Run, calib: CalibrationData, now: State) -> None:
        """Judge what is in force: whether it has changed, and whether it holds."""
        self.change(run, calib, now)
        if now.status == "VALID":
            run.told.pop(calib, None)
        elif self.on_status == "fail" or run.told.get(calib) != now.status:
            run.told[calib] = now.status
            self._complain(calib, self._concern(calib, now.status))

    def change(self, run: Run, calib: CalibrationData, now: State) -> None:
        """Judge whether the geometry has changed."""
        before = run.before.setdefault(calib, now)
        if now.has_geometry_of(before):
            return
        run.before[calib] = now
        change = f"{calib.name}: the geometry changed during the run, from serial {before.serial} to {now.serial}"
        if self.on_change == "fail":
            raise RecordError(f"{change}: on_change is fail; take the run again")
        log.log(logging.WARNING if self.on_change == "warn" else logging.INFO, "%s", change)

    def motion(self, calib: CalibrationData, watch: LinkWatch) -> None:
        """Judge what the links did during an exposure."""
        moved = [text for name, text in moves(watch.seen).items() if name not in self.moving]
        self._complain(calib, "; ".join(moved))

    def flight(self, run: Run, calib: CalibrationData, now: State) -> None:
        """Judge whether what flies has met one geometry: else which frame belongs to which is not known."""
        flight = run.flights.get(calib)
        if flight is not None and not now.has_geometry_of(flight.state):
            self.unrecordable(
                RecordError(
                    f"{calib.name}: the geometry changed from serial {flight.state.serial} to {now.serial} during a "
                    "fly scan: which frames belong to which is not known; take the run again"
                )
            )

    def recorded(self, run: Run, calib: CalibrationData, stream: str, found: State | None) -> None:
        """Judge with what an event was recorded."""
        seen = run.seen.get(calib)
        if found is None or not seen:
            return
        if not any(found.has_geometry_of(state) for state in seen):
            told = f"with serial {found.serial}, while serial {seen[-1].serial} was in force"
        elif found.status == "VALID" and all(state.status != "VALID" for state in seen):
            told = f"as VALID, while the status was {seen[-1].status}"
        else:
            return
        self.unrecordable(
            RecordError(
                f"{calib.name}: an event of the stream {stream} was recorded {told}: what was exposed before a pause "
                "is not to be used; take the run again"
            )
        )

    def links(self, run: Run) -> None:
        """See that what is declared to move can move; raises `ValueError`."""
        if self.moving and run.devices:
            problem = unknown_links(self.moving, [link for calib in run.devices for link in calib.read_links()])
            if problem is not None:
                raise ValueError(problem)

    def unrecordable(self, error: RecordError) -> None:
        """Fail the run over what cannot be recorded, or warn where nothing else is wanted."""
        if self.on_change != "warn":
            raise error
        log.warning("%s", error)

    def _concern(self, calib: CalibrationData, status: str) -> str | None:
        try:
            reason, links = calib.read_snapshot().reason, calib.read_links()
        except NotConnectedError as error:
            return concern(status, str(error), (), self.moving)
        if self.moving and status in OF_LINKS:
            wait_for(lambda: off_links(calib.read_links()), time.monotonic() + _AGREEMENT)
            links = calib.read_links()
        return concern(status, reason, links, self.moving)

    def _complain(self, calib: CalibrationData, problem: str | None) -> None:
        if not problem:
            return
        if self.on_status == "fail":
            raise RecordError(f"{calib.name}: {problem}; on_status is fail")
        log.warning("%s: %s", calib.name, problem)
