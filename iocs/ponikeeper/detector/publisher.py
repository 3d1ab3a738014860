"""The owner of a detector's state: every change of it and every publication goes through here."""

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from ponikeeper.detector.link_rules import SHORTEST
from ponikeeper.detector.link_states import LinkStates
from ponikeeper.detector.state import Change, DetectorState
from ponikeeper.protocol import DEFAULT_ERRORS, MAX_BYTES, AssumedErrors, LinkState, Result, Status, applies, is_within
from ponikeeper.protocol.finding import Finding
from ponikeeper.protocol.findings import advice_of, findings_about, reason_of, status_of
from ponikeeper.store import StoredState
from ponikeeper.system.log_limit import NOT_LIMITED
from ponikeeper.text import timestamps
from ponikeeper.text.ascii import to_ascii

log = logging.getLogger(__name__)

Publish = Callable[[DetectorState, Change], None]
"""Receives each published state and what is new in it."""

_ELSEWHERE = (Status.MOVED, Status.MISMATCH, Status.OUT_OF_RANGE)
"""What a detector shows whose links are at rest where the active geometry does not apply."""

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
    now
        Reads the clock of the host.
    assumed
        The errors that a fit of this detector assumes.
    """

    def __init__(
        self,
        prefix: str,
        links: LinkStates,
        follow: bool,
        now: Callable[[], datetime],
        assumed: AssumedErrors = DEFAULT_ERRORS,
    ) -> None:
        self._links = links
        self._now = now
        self._default_follow = follow
        self._listener: Publish | None = None
        self._findings: tuple[Finding, ...] = ()
        self._published: tuple[Finding, ...] = ()
        self._published_links: tuple[LinkState, ...] = ()
        self._published_at = -math.inf
        self._outside_at = -math.inf
        self._searching = False
        self._notice = (0, "")
        self._logged = 0
        self.state = DetectorState(prefix, StoredState(), follow, assumed=assumed)
        self.update_stored(StoredState())

    def on_publish(self, listener: Publish) -> None:
        """Register the function that is called with each published state and with what is new in it."""
        self._listener = listener

    def update_stored(self, stored: StoredState) -> None:
        """Update the state from what the store has now and decide the status again; publish nothing."""
        follow = self._default_follow if stored.follow_state is None else stored.follow_state.follow
        self.state = replace(self.state, stored=stored, follow=follow)
        self._links.set_reference(stored.revision)
        self._links.set_service(stored.service)
        links = self._links.states()
        self._decide(self._findings_for(links), links)

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
            self._published_links = self.state.link_states
        self._log_activation()
        if self._listener is not None:
            try:
                self._listener(self.state, change)
            except Exception:  # what is stored stays stored, whatever becomes of its publication
                log.exception("%s: a state cannot be published", self.state.prefix)

    def begin_log(self) -> None:
        """Log the activations from now on; what the store had at the start is not logged again."""
        self._logged = self.state.stored.serial

    def _log_activation(self) -> None:
        """Log the active revision once: each activation is in the journal, also those that followed the links."""
        stored, activation = self.state.stored, self.state.stored.activation
        if activation is None or activation.serial <= self._logged:
            return
        self._logged = activation.serial
        label = f" ({stored.label})" if stored.label else ""
        log.info(
            "%s: revision %d%s is active, serial %d: %s by %s",
            self.state.prefix, activation.revision, label, activation.serial, activation.cause, activation.author,
            extra={NOT_LIMITED: True},
        )  # fmt: skip

    def update_status(self, links: tuple[LinkState, ...]) -> float | None:
        """Decide the status by the links, and publish it if it has changed.

        Parameters
        ----------
        links
            All of them, as they are now.

        Returns
        -------
        float or None
            When to call this again even if no link changes (s, the links' clock).
        """
        findings = self._findings_for(links)
        returns_at = self._returns_at(status_of(findings))
        if self._links.clock() < returns_at:
            return returns_at
        is_published = findings == self._published and _is_same_position(links, self._published_links)
        if is_published or self._is_held(findings):
            return None
        same_kinds = _kinds(findings) == _kinds(self._published)
        due = self._published_at + _REFRESH if same_kinds else -math.inf
        if self._links.clock() < due:
            return due
        self._decide(findings, links)
        self.publish(Change.STATUS)
        return None

    def set_notice(self, revision: int, text: str) -> bool:
        """Show a text in the advice while a revision is active, before what its findings advise; publish nothing.

        Parameters
        ----------
        revision
            Number of the revision.
        text
            Empty for none.

        Returns
        -------
        bool
            Whether the advice is another one now.
        """
        self._notice = (revision, text)
        before, advice = self.state.advice, self._advice(self._findings)
        self.state = replace(self.state, advice=advice)
        return advice != before

    def begin_search(self) -> None:
        """Keep the status MOVING while the revision is searched for that belongs to the position of the links."""
        self._searching = True

    def end_search(self) -> None:
        """Return to the status that the links have; `update_status` publishes it."""
        self._searching = False
        self._links.wake()

    def timestamp(self) -> str:
        """Format the time of the next record, UTC ISO-8601: that of the clock, also where it was set back."""
        return timestamps.from_datetime(self._now())

    def _findings_for(self, links: tuple[LinkState, ...]) -> tuple[Finding, ...]:
        stored = self.state.stored
        return findings_about(stored.revision, stored.corrections, links, extrapolate=self._links.extrapolate)

    def _decide(self, findings: tuple[Finding, ...], links: tuple[LinkState, ...]) -> None:
        self._findings = findings
        self.state = replace(
            self.state,
            status=status_of(findings),
            reason=reason_of(findings),
            advice=self._advice(findings),
            findings=tuple((finding.status.name, finding.link) for finding in findings),
            link_states=links,
        )

    def _advice(self, findings: tuple[Finding, ...]) -> str:
        revision, notice = self._notice
        shown = to_ascii(notice) if revision == self.state.stored.number else ""
        return "; ".join(filter(None, [shown, advice_of(findings)]))[: MAX_BYTES - 1]

    def _returns_at(self, status: Status) -> float:
        """Return from when on a status may be shown: a readback that jitters about the edge of a range is outside."""
        if status is Status.OUT_OF_RANGE:
            self._outside_at = self._links.clock()
        elif self.state.status is Status.OUT_OF_RANGE and applies(status):
            return self._outside_at + max(self._links.settle, SHORTEST)
        return -math.inf

    def _is_held(self, findings: tuple[Finding, ...]) -> bool:
        """Return whether the status stays MOVING until the search has ended."""
        status = status_of(findings)
        return self._searching and self.state.status is Status.MOVING and (applies(status) or status in _ELSEWHERE)


def _kinds(findings: tuple[Finding, ...]) -> set[tuple[Status, str]]:
    """Return the findings without their numbers."""
    return {(finding.status, finding.link) for finding in findings}


def _is_same_position(links: tuple[LinkState, ...], published: tuple[LinkState, ...]) -> bool:
    """Return whether the published links still tell where the links are, within their tolerances."""
    return len(links) == len(published) and all(map(_is_same_value, links, published))


def _is_same_value(link: LinkState, published: LinkState) -> bool:
    if link.value is None or published.value is None:
        return link.value is published.value
    return is_within(link, link.value, published.value)
