"""The owner of a detector's state: every change of it and every publication goes through here."""

import logging
import math
from collections.abc import Callable
from dataclasses import replace

from ponikeeper.detector.link_states import LinkStates
from ponikeeper.detector.state import Change, DetectorState
from ponikeeper.detector.status_rules import Finding, findings_about, reason_of, status_of
from ponikeeper.protocol import Result
from ponikeeper.protocol.pvs import Status
from ponikeeper.store import StoredState
from ponikeeper.text import timestamps

log = logging.getLogger(__name__)

Publish = Callable[[DetectorState, Change], None]
"""Receives each published state and what is new in it."""

_AT_REST = (Status.VALID, Status.MOVED, Status.MISMATCH)

_REFRESH = 1.0
"""Seconds between two updates of the same reason: its numbers change with every step of a motor."""


class Publisher:
    """Owns the state of one detector: every change of it and every publication goes through this object.

    Parameters
    ----------
    prefix
        The detector's PV prefix.
    links
        The detector's links, by which the status of the active revision is decided.
    follow
        Whether the geometry follows the linked PVs, until the store has an answer to that.
    """

    def __init__(self, prefix: str, links: LinkStates, follow: bool) -> None:
        self._links = links
        self._default_follow = follow
        self._listener: Publish | None = None
        self._findings: tuple[Finding, ...] = ()
        self._published: tuple[Finding, ...] = ()
        self._published_at = -math.inf
        self._searching = False
        self.state = DetectorState(prefix, StoredState(), follow)
        self.update_stored(StoredState())

    def on_publish(self, listener: Publish) -> None:
        """Register the function that is called with each published state and with what is new in it."""
        self._listener = listener

    def update_stored(self, stored: StoredState) -> None:
        """Update the state from what the store has now and decide the status again; publish nothing."""
        follow = self._default_follow if stored.follow_state is None else stored.follow_state.follow
        self.state = replace(self.state, stored=stored, follow=follow)
        self._links.set_reference(stored.revision)
        self._decide(self._current_findings())

    def publish(
        self,
        change: Change,
        *,
        stored: StoredState | None = None,
        result: Result | None = None,
        message: str = "",
        counted: bool = False,
    ) -> None:
        """Update the state and publish it.

        Parameters
        ----------
        change
            What is new.
        stored
            What the store has now; None if that has not changed.
        result
            How a request ended; None if there was no request. It replaces an undetermined result.
        message
            The message to a person; if empty, the last one stays.
        counted
            Whether the result counts as a request that was accepted or rejected. The answer to a repeated
            request and an undetermined result do not.
        """
        if stored is not None:
            self.update_stored(stored)
        self.state = self.state.after(result, message, counted=counted)
        if change & (Change.STATUS | Change.ACTIVATION):
            self._published, self._published_at = self._findings, self._links.clock()
        if self._listener is not None:
            try:
                self._listener(self.state, change)
            except Exception:  # what is stored stays stored, whatever becomes of its publication
                log.exception("%s: a state cannot be published", self.state.prefix)

    def update_status(self) -> float | None:
        """Decide the status by the links as they are now, and publish it if it has changed.

        Returns
        -------
        float or None
            When to call this again even if no link changes (s, the links' clock).
        """
        findings = self._current_findings()
        if findings == self._published or self._is_held(findings):
            return None
        same_kinds = _kinds(findings) == _kinds(self._published)
        due = self._published_at + _REFRESH if same_kinds else -math.inf
        if self._links.clock() < due:
            return due
        self._decide(findings)
        self.publish(Change.STATUS)
        return None

    def begin_search(self) -> None:
        """Keep the status MOVING while the revision is searched for that belongs to the position of the links."""
        self._searching = True

    def end_search(self) -> None:
        """Return to the status that the links have; `update_status` publishes it."""
        self._searching = False
        self._links.wake()

    def timestamp(self) -> str:
        """Format the time of the next record, UTC ISO-8601."""
        return self.state.timestamp(timestamps.now())

    def _current_findings(self) -> tuple[Finding, ...]:
        return findings_about(self.state.stored.revision, self.state.stored.corrections, self._links.states())

    def _decide(self, findings: tuple[Finding, ...]) -> None:
        self._findings = findings
        reason = reason_of(findings, watched=bool(self._links.units))
        self.state = replace(self.state, status=status_of(findings), reason=reason)

    def _is_held(self, findings: tuple[Finding, ...]) -> bool:
        """Return whether the status stays MOVING until the search has ended."""
        return self._searching and self.state.status is Status.MOVING and status_of(findings) in _AT_REST


def _kinds(findings: tuple[Finding, ...]) -> set[tuple[Status, str]]:
    """Return the findings without their numbers."""
    return {(finding.status, finding.link) for finding in findings}
