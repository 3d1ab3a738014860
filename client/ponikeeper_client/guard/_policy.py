"""Policy of the guard: which changes and statuses fail a run, and which are logged as a warning."""

import logging
import shlex
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ponikeeper.errors import NotConnectedError, RecordError
from ponikeeper.protocol import LinkState, Status, applies
from ponikeeper.protocol.status import BY_LINKS
from ponikeeper_client._fresh_gets import Proof
from ponikeeper_client._guarded_signals import wait_for
from ponikeeper_client._motion import LinkWatch, is_unsettled, moves
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.guard._run_parts import RenewBy
from ponikeeper_client.guard._run_record import DocumentRecord, Run
from ponikeeper_client.guard._state import CalibrationState

OnChange = Literal["new_descriptor", "fail", "warn"]
OnStatus = Literal["warn", "fail"]

_LINK_DELAY = 0.1
"""Time by which the links may be published after the status (s)."""

log = logging.getLogger("ponikeeper_client.guard")


def displaced_links(links: Sequence[LinkState]) -> set[str]:
    """Return the names of the links that move, or are not where the active geometry was calibrated."""
    return {link.name for link in links if link.moving or not link.within}


def status_problem(status: str, reason: str, links: Sequence[LinkState], moving: Collection[str]) -> str | None:
    """Format the reason against a status that does not permit the use of the geometry.

    Parameters
    ----------
    status, reason
        As published by the IOC.
    links
        The states of the linked PVs.
    moving
        Names of links that are moved on purpose.

    Returns
    -------
    str or None
        None if the geometry applies, or only links in `moving` explain why it does not.
    """
    displaced = displaced_links(links)
    if applies(status) or (status in BY_LINKS and displaced and displaced <= set(moving)):
        return None
    return f"the status is {status}, {reason}" if reason else f"the status is {status}"


def unknown_links_problem(moving: Collection[str], links: Sequence[LinkState]) -> str | None:
    """Format which of the names in `moving` are not names of links; None if all are."""
    known = {link.name for link in links}
    missing = [name for name in moving if name not in known]
    if not missing:
        return None
    names = ", ".join(sorted(known)) or "none"
    return f"moving={list(moving)!r}: {', '.join(missing)} is not a link of the detectors; the links are {names}"


def out_of_service_warning(prefix: str, link: LinkState) -> str:
    """Format that a link is moved on purpose although it is out of service; `prefix` is that of the detector."""
    return (
        f"{link.name} is in moving, but {link} is {link.out_of_service}: the status does not depend on "
        "where it is. If it moves again, return it to service before the run: "
        f"ponikeeper in-service {shlex.quote(prefix)} {link.name}"
    )


@dataclass(frozen=True, slots=True)
class Policy:
    """Fails a run or logs a warning; parameters as `calibration_guard`. Each method may raise `RecordError`."""

    on_change: OnChange
    on_status: OnStatus
    moving: tuple[str, ...]
    each_rest: bool = False
    renew_by: RenewBy = "configure"

    @property
    def renews_by_new_run(self) -> bool:
        """Whether a new geometry begins a new run, not a new descriptor."""
        return self.renew_by == "new_run"

    def mark(self, calibs: Sequence[CalibrationData] | None) -> dict[str, Any]:
        """Return what the start document of a guarded run records; `calibs` are omitted where all are guarded."""
        names = {} if calibs is None else {"calibs": [calib.name for calib in calibs]}
        mark = {"on_change": self.on_change, "on_status": self.on_status, "moving": list(self.moving)}
        rare = {"each_rest": True} if self.each_rest else {}
        return {**mark, **rare, **({"renew_by": self.renew_by} if self.renews_by_new_run else {}), **names}

    @property
    def travelling(self) -> frozenset[str]:
        """Names of the links whose motion a model covers; none where each rest gets a descriptor."""
        return frozenset() if self.each_rest else frozenset(self.moving)

    def read_links_of(self, run: Run, record: DocumentRecord) -> None:
        """Find which links the events of a run tell: of these a model needs no descriptor for each rest."""
        if self.each_rest:
            return
        for calib in run.devices:
            state = run.last_checked.get(calib)
            if state is not None and state.joints:
                run.told[calib] = record.links_told(run.uid, calib.name)
                self._warn_of_untold(run, calib, [link for link, _ in state.joints])

    def _warn_of_untold(self, run: Run, calib: CalibrationData, joints: Sequence[str]) -> None:
        """Warn once in a run of links that are moved on purpose, and of which no event tells where they are."""
        untold = [link for link in joints if link in self.moving and link not in run.told[calib]]
        if untold and calib not in run.warned_untold:
            run.warned_untold.add(calib)
            names = ", ".join(untold)
            log.warning(
                "%s: %s is in moving, and no stream reads its PV: read the motor in the run, or the geometry of each "
                "event is not known; of a simulated motor, geometries(run, position_keys=...) needs the name",
                calib.name,
                names,
            )

    def check(self, run: Run, calib: CalibrationData, now: CalibrationState) -> None:
        """Check the active geometry: whether it has changed, and whether it applies."""
        self.check_change(run, calib, now)
        if applies(now.status):
            run.warned_status.pop(calib, None)
        elif self.on_status == "fail" or run.warned_status.get(calib) != now.status:
            run.warned_status[calib] = now.status
            self._fail_or_warn(calib, self._status_problem(calib, now.status))

    def check_change(self, run: Run, calib: CalibrationData, now: CalibrationState) -> None:
        """Check whether the geometry has changed since the last check."""
        before = run.last_checked.setdefault(calib, now)
        if run.has_same_geometry(calib, now, before):
            return
        run.last_checked[calib] = now
        change = f"{calib.name}: the geometry changed during the run, from serial {before.serial} to {now.serial}"
        if self.on_change == "fail":
            raise RecordError(f'{change}: on_change is "fail"; take the run again')
        log.log(logging.WARNING if self.on_change == "warn" else logging.INFO, "%s", change)
        if calib in run.monitored:
            self.fail_or_warn_unrecordable(
                RecordError(
                    f"{change}, while {run.monitored[calib].name} is monitored, whose events cannot get another "
                    "descriptor: make the calibration with per_event=True, or take the run again"
                )
            )

    def is_unsettled(self, calib: CalibrationData, proof: Proof | None = None) -> bool:
        """Return whether a link that is not in `moving` moves or settles; `proof` as for `read_state`."""
        return is_unsettled(calib, self.moving, proof)

    def check_motion(self, run: Run, calib: CalibrationData, watch: LinkWatch) -> None:
        """Check whether a link moved during an exposure; the event is recorded as MOVING then."""
        moved = {name: text for name, text in moves(watch.seen).items() if name not in self.moving}
        calib.exposure_motion.set(moved)
        if moved:
            run.warned_status[calib] = Status.MOVING.name  # the warning of the motion says more
        self._fail_or_warn(calib, "; ".join(moved.values()))

    def check_fly_scan(self, run: Run, calib: CalibrationData, now: CalibrationState) -> None:
        """Check that one geometry was active during the whole fly scan; else its frames cannot be assigned."""
        scan = run.fly_scans.get(calib)
        if scan is not None and not run.has_same_geometry(calib, now, scan.state):
            self.fail_or_warn_unrecordable(
                RecordError(
                    f"{calib.name}: the geometry changed from serial {scan.state.serial} to {now.serial} during a "
                    "fly scan, so its frames cannot be assigned to a geometry; take the run again"
                )
            )

    def check_recorded(self, run: Run, calib: CalibrationData, stream: str, recorded: CalibrationState | None) -> None:
        """Check that an event was recorded with a state that was active while it was taken."""
        states = run.states.get(calib)
        if recorded is None or not states:
            return
        if not any(run.has_same_geometry(calib, recorded, state) for state in states):
            mistake = f"with serial {recorded.serial}, while serial {states[-1].serial} was active"
        elif applies(recorded.status) and not any(recorded.may_stand_for(state, run.moving) for state in states):
            mistake = f"as {recorded.status}, while the status was {states[-1].status}"
        else:
            return
        self.fail_or_warn_unrecordable(
            RecordError(
                f"{calib.name}: an event of the stream {stream} was recorded {mistake}: do not use what was exposed "
                "before a pause; take the run again"
            )
        )

    def check_moving_names(self, run: Run) -> None:
        """Check that the names in `moving` are links of the run's detectors; raises `ValueError`.

        One that is out of service causes one warning in a run: the person who took it out of service has accepted that.
        """
        if not (self.moving and run.devices):
            return
        links = {calib: calib.read_links(all_links=True) for calib in run.devices}
        problem = unknown_links_problem(self.moving, [link for of_calib in links.values() for link in of_calib])
        if problem is not None:
            raise ValueError(problem)
        for calib in links.keys() - run.checked_names:
            run.checked_names.add(calib)
            for link in links[calib]:
                if link.name in self.moving and link.out_of_service is not None:
                    log.warning("%s: %s", calib.name, out_of_service_warning(calib.prefix, link))

    def fail_or_warn_unrecordable(self, error: RecordError) -> None:
        """Raise the error of an event that cannot be recorded correctly, or log it if `on_change` is ``"warn"``."""
        if self.on_change != "warn":
            raise error
        log.warning("%s", error)

    def _status_problem(self, calib: CalibrationData, status: str) -> str | None:
        try:
            reason, links = calib.read_snapshot().reason, calib.read_links()
        except NotConnectedError as error:
            return status_problem(status, str(error), (), self.moving)
        if self.moving and status in BY_LINKS:
            wait_for(lambda: displaced_links(calib.read_links()), time.monotonic() + _LINK_DELAY)
            links = calib.read_links()
        return status_problem(status, reason, links, self.moving)

    def _fail_or_warn(self, calib: CalibrationData, problem: str | None) -> None:
        if not problem:
            return
        if self.on_status == "fail":
            raise RecordError(f'{calib.name}: {problem}; on_status is "fail"')
        log.warning("%s: %s", calib.name, problem)
