"""Following: when the links come to rest at a known position, the revision that belongs there is activated.

Where the active revision is a model, its geometry is computed for the position: also with following switched off.
"""

import asyncio
import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace

from ponikeeper.detector import messages
from ponikeeper.detector.detector_store import DetectorStore
from ponikeeper.detector.follow_rules import (
    LinkMotion,
    Prefer,
    baseline_position,
    has_arrived,
    is_at,
    is_unmoved,
    motion_after_restart,
    rebased,
    updated_motion,
)
from ponikeeper.detector.link_states import LinkStates, earliest
from ponikeeper.detector.model_rules import holds_at, is_to_compute, result_of
from ponikeeper.detector.publisher import Publisher
from ponikeeper.detector.state import Change
from ponikeeper.errors import StoreError, UncertainStoreError
from ponikeeper.history import Revision
from ponikeeper.history.corrections import corrected_revisions
from ponikeeper.protocol import LinkState
from ponikeeper.protocol.links import in_service
from ponikeeper.store import FollowState
from ponikeeper.store.store_thread import PERIOD

_PAGE = 500
"""Rows of the history that are read at once; between two pages others may use the store."""

_PAUSE = 1.0
"""Shortest time between two computations of one position, within the tolerance of the links (s)."""


class Follower:
    """Activates the revision that belongs to the position at which the links of one detector have arrived.

    Parameters
    ----------
    store
        What the store has of the detector.
    publisher
        Owner of the detector's state.
    links
        The detector's links.
    lock
        Held during every request of the detector.
    prefer
        What is activated where a model holds and a revision was calibrated exactly there.
    """

    def __init__(
        self,
        store: DetectorStore,
        publisher: Publisher,
        links: LinkStates,
        lock: asyncio.Lock,
        prefer: Prefer = "model",
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._links = links
        self._lock = lock
        self._motion = LinkMotion()
        self._arrival = asyncio.Event()
        self._reported = ""
        self._prefer: Prefer = prefer
        self._computed_at = -math.inf

    def begin(self) -> None:
        """Start from where the links rested before a restart."""
        follow_state = self._publisher.state.stored.follow_state
        self._motion = motion_after_restart(self._links.states(), follow_state.rested if follow_state else {})

    async def check_links(self) -> float | None:
        """Update motion and status from the links; return when to call this again at the latest, if ever."""
        times = [self._links.next_change()]  # first: a link that changes during the rest is checked again
        states = self._links.states()  # once: a rest that begins in between would be shown before it is followed
        links = in_service(states)
        self._motion = updated_motion(self._motion, links)
        if not self._arrival.is_set():
            due = -math.inf if has_arrived(self._motion, links) else self._compute_at(links)
            if due is not None and due > self._links.clock():
                times.append(due)
            elif due is not None:
                self._publisher.begin_search()
                self._arrival.set()
        times.append(self._publisher.update_status(states))
        return earliest(times)

    async def run(self) -> None:
        """Follow the links; runs for ever."""
        while True:
            await self._arrival.wait()
            failed = False
            try:
                stored, links = self._publisher.state.stored, self._states()
                # the search takes its time: requests are executed meanwhile
                found = await self._find_candidate(links) if has_arrived(self._motion, links) else None
                async with self._lock:
                    if self._publisher.state.stored is stored:
                        await self._arrive(found, links)
                self._reported = ""
            except StoreError as error:  # tried again, and shown by the Storage: PVs too
                failed = True
                await self._report(f"following failed: {error}")
            self._publisher.end_search()
            if failed:
                await asyncio.sleep(PERIOD)
            self._arrival.clear()
            self._links.wake()

    @contextmanager
    def new_baseline(self, links: Sequence[LinkState]) -> Generator[FollowState | None]:
        """Make the links as they are now the baseline while something is stored; undo it if that fails.

        Yields
        ------
        FollowState or None
            What to store with the activation; None if that is stored already.
        """
        before, links = self._motion, in_service(links)
        self.set_baseline(links)
        follow_state = self._follow_state(links)
        unchanged = not links or follow_state == self._publisher.state.stored.follow_state
        try:
            yield None if unchanged else follow_state
        except BaseException:
            now = self._motion
            self._motion = replace(now, moved=now.moved | before.moved, returned=now.returned | before.returned)
            raise

    def set_baseline(self, links: Sequence[LinkState]) -> None:
        """Make the links as they are now the baseline: what they did before does not count."""
        self._motion = rebased(self._motion, in_service(links))

    @contextmanager
    def switched(self, follow: bool) -> Generator[FollowState]:
        """Switch following on or off while that is stored; yield what to store.

        What the links did while it was off does not count after it is switched on.
        """
        links = self._states()
        switched_on = follow and not self._publisher.state.follow
        with self.new_baseline(links) if switched_on else nullcontext():
            yield replace(self._follow_state(links), follow=follow)

    def _compute_at(self, links: Sequence[LinkState]) -> float | None:
        """Return when the geometry of the active model is to be computed again (s); None if it need not be."""
        if not is_to_compute(self._publisher.state.revision, links, extrapolate=self._links.extrapolate):
            return None
        return self._computed_at + _PAUSE

    async def _arrive(self, found: Revision | None, before: Sequence[LinkState]) -> None:
        """Activate what belongs to where the links have come to rest.

        Parameters
        ----------
        found
            The result of the search for the links as they were `before`; they may have moved on meanwhile.
        """
        links, active = self._states(), self._publisher.state.revision
        arrived = has_arrived(self._motion, links)
        if not is_unmoved(links, before) or not (arrived or self._compute_at(links) is not None):
            return
        if active is None:
            self.set_baseline(links)
            return
        follows = arrived and self._publisher.state.follow and bool(self._motion.moved)
        with self.new_baseline(links) if arrived else nullcontext() as follow_state:
            if found is not None and found.number != active.number and follows:
                await self._follow(found, follow_state, links)
            elif is_to_compute(active, links, extrapolate=self._links.extrapolate):
                await self._follow(active, follow_state, links)
            elif follow_state is not None:
                stored = await self._store.set_rested(follow_state, self._publisher.timestamp())
                self._publisher.update_stored(stored)

    async def _find_candidate(self, links: Sequence[LinkState]) -> Revision | None:
        """Find what a commit or a user activated last and what holds at the links' position."""
        wrong = {*corrected_revisions(self._publisher.state.corrections)}
        before: int | None = None
        fallback: Revision | None = None
        while True:
            candidates = await self._store.follow_candidates(before, _PAGE)
            for candidate in candidates:
                if candidate.revision in wrong:
                    continue
                if candidate.is_model:
                    wrong.add(candidate.revision)  # decided once
                    fallback = fallback or await self._model_there(candidate.revision, links)
                    if fallback is not None and self._prefer == "model":
                        return fallback
                elif is_at(links, candidate.position):
                    return await self._store.revision(candidate.revision)
            if len(candidates) < _PAGE:
                return fallback
            before = candidates[-1].serial

    async def _model_there(self, number: int, links: Sequence[LinkState]) -> Revision | None:
        """Read a model; None if it does not hold where the links are."""
        revision = await self._store.revision(number)
        holds = holds_at(revision, self._publisher.state.corrections, links, extrapolate=self._links.extrapolate)
        return revision if holds else None

    async def _follow(self, revision: Revision, follow_state: FollowState | None, links: Sequence[LinkState]) -> None:
        """Activate a revision because of where the links are, a model with what it gives there."""
        is_other, is_news = revision.number != self._publisher.state.stored.number, self._motion.moved or self._reported
        derived = result_of(revision, links, extrapolate=self._links.extrapolate)
        try:
            stored = await self._store.follow(revision, self._publisher.timestamp(), follow_state, derived)
        except UncertainStoreError:
            stored = await self._store.settle(None)
            if stored is None:
                raise
        self._computed_at = self._links.clock()
        words = messages.followed if is_other else messages.computed
        message = words(revision.number, links) if is_other or is_news else ""
        self._publisher.publish(Change.RESULT | Change.ACTIVATION, stored=stored, message=message)

    async def _report(self, problem: str) -> None:
        """Publish once why following goes on to fail, if something would follow or is to be computed."""
        links, active = self._states(), self._publisher.state.revision
        follows = self._publisher.state.follow and self._motion.moved
        if problem != self._reported and (follows or is_to_compute(active, links, extrapolate=self._links.extrapolate)):
            self._reported = problem
            self._publisher.publish(Change.RESULT, message=problem)

    def _states(self) -> tuple[LinkState, ...]:
        """Return the links in service as they are now: the others are not followed."""
        return in_service(self._links.states())

    def _follow_state(self, links: Sequence[LinkState]) -> FollowState:
        return FollowState(self._publisher.state.follow, baseline_position(self._motion, links))
