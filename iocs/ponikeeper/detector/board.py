"""What is told of one detector: its state, judged whenever something changes, and published."""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

from ponikeeper.detector.link_states import Linked
from ponikeeper.detector.state import Change, State
from ponikeeper.detector.status import Finding, findings, reason_of, status_of
from ponikeeper.history import Activation, Revision
from ponikeeper.protocol import MAX_RESULTS, Result
from ponikeeper.protocol.pvs import Status
from ponikeeper.store import Kept, Standing
from ponikeeper.text import timestamps

Publish = Callable[[State, Change], Awaitable[None]]

_AT_REST = (Status.VALID, Status.MOVED, Status.MISMATCH)

_REFRESH = 1.0
"""Seconds between two texts of one reason: the numbers in it change with every step of a motor."""


class Board:
    """The state of one detector, told to whoever publishes it.

    Parameters
    ----------
    prefix
        The detector's PV prefix.
    links
        Its links.
    follow
        Whether its geometry follows them, as long as the store says nothing of it.
    """

    def __init__(self, prefix: str, links: Linked, follow: bool) -> None:
        self._links = links
        self._follow = follow
        self._publish: Publish | None = None
        self._publishing = asyncio.Lock()
        self._results: deque[Result] = deque(maxlen=MAX_RESULTS)
        self._found: tuple[Finding, ...] = ()
        self._told: tuple[Finding, ...] = ()
        self._told_at = -math.inf
        self._seeking = False
        self.state = State(prefix, Kept(), follow)
        self.take_up(Kept())

    def on_publish(self, publish: Publish) -> None:
        """Call a coroutine with each new state, and what is new of it."""
        self._publish = publish

    def take_up(self, kept: Kept) -> None:
        """Hold what the store says, and judge it."""
        follow = self._follow if kept.standing is None else kept.standing.follow
        self.state = replace(self.state, kept=kept, follow=follow)
        self._links.refer_to(kept.revision)
        self._judge(self._findings())

    def put_in_force(self, revision: Revision, activation: Activation, standing: Standing | None) -> None:
        """Hold that a revision is in force.

        Parameters
        ----------
        standing
            What is kept of the links from now on; None where that is what was kept before.
        """
        kept = self.state.kept
        count, standing = max(kept.count, revision.number), standing or kept.standing
        self.take_up(replace(kept, revision=revision, activation=activation, count=count, standing=standing))

    async def look(self) -> float | None:
        """Judge again, and tell what has changed; gives the time at which to do so again though no link changes."""
        found = self._findings()
        if found != self._told and not self._is_held(found):
            due = self._told_at if _kinds(found) != _kinds(self._told) else self._told_at + _REFRESH
            if self._links.clock() >= due:
                self._judge(found)
                await self.tell(Change.STATUS)
            else:
                return due
        return None

    def begin_search(self) -> None:
        """Say that a geometry is looked for that belongs to where the links have come to rest."""
        self._seeking = True

    def end_search(self) -> None:
        """Say that none is looked for any more: the links are told as they stand, as soon as somebody looks."""
        self._seeking = False
        self._links.wake()

    async def post(self, result: Result | None, message: str, change: Change = Change.RESULT) -> None:
        """Tell how a transaction ended, and whatever changed with it.

        Parameters
        ----------
        result
            None where nobody asked for it.
        message
            The last word to a person; an empty one leaves the last one there.
        """
        if result is not None:
            if self._results and self._results[0].outcome == "undetermined":
                self._results.popleft()
            self._results.appendleft(result)
        self.state = replace(self.state, message=message or self.state.message, results=tuple(self._results))
        await self.tell(change)

    def count(self, *, accepted: bool) -> None:
        """Count a transaction."""
        accepts, rejects = self.state.accepted + accepted, self.state.rejected + (not accepted)
        self.state = replace(self.state, accepted=accepts, rejected=rejects)

    async def tell(self, change: Change) -> None:
        """Publish the state as it is when its turn has come."""
        if change & (Change.STATUS | Change.ACTIVATION):
            self._told, self._told_at = self._found, self._links.clock()
        async with self._publishing:
            if self._publish is not None:
                await self._publish(self.state, change)

    def now(self) -> str:
        """Give the time, later than the last activation's even where the clock was set back."""
        now = timestamps.now()
        if self.state.activation is not None:
            now = max(now, timestamps.to_datetime(self.state.activation.time) + timedelta(microseconds=1))
        return timestamps.from_datetime(now)

    def _findings(self) -> tuple[Finding, ...]:
        return findings(self.state.revision, self.state.corrections, self._links.states())

    def _judge(self, found: tuple[Finding, ...]) -> None:
        self._found = found
        reason = reason_of(found, watched=bool(self._links.units))
        self.state = replace(self.state, status=status_of(found), reason=reason)

    def _is_held(self, found: tuple[Finding, ...]) -> bool:
        """Tell whether a detector is still told to move, as long as the geometry of its new place is looked for."""
        return self._seeking and self.state.status is Status.MOVING and status_of(found) in _AT_REST


def _kinds(found: tuple[Finding, ...]) -> set[tuple[Status, str]]:
    """Give what was found without its numbers."""
    return {(finding.status, finding.about) for finding in found}
