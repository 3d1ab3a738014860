"""Following: when the links come to rest at a known position, the revision that belongs there is activated."""

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace

from ponikeeper.detector import messages
from ponikeeper.detector.detector_store import DetectorStore
from ponikeeper.detector.follow_rules import (
    LinkMotion,
    baseline_position,
    has_arrived,
    is_at,
    is_unmoved,
    motion_after_restart,
    rebased,
    updated_motion,
)
from ponikeeper.detector.link_states import LinkStates, earliest
from ponikeeper.detector.publisher import Publisher
from ponikeeper.detector.state import Change
from ponikeeper.errors import StoreError, UncertainStoreError
from ponikeeper.history.corrections import corrected_revisions
from ponikeeper.protocol import LinkState
from ponikeeper.protocol.links import in_service
from ponikeeper.store import FollowCandidate, FollowState
from ponikeeper.store.store_thread import PERIOD

_PAGE = 500
"""Rows of the history that are read at once; between two pages others may use the store."""


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
    """

    def __init__(self, store: DetectorStore, publisher: Publisher, links: LinkStates, lock: asyncio.Lock) -> None:
        self._store = store
        self._publisher = publisher
        self._links = links
        self._lock = lock
        self._motion = LinkMotion()
        self._arrival = asyncio.Event()
        self._reported = ""

    def begin(self) -> None:
        """Start from where the links rested before a restart."""
        follow_state = self._publisher.state.stored.follow_state
        self._motion = motion_after_restart(self._links.states(), follow_state.rested if follow_state else {})

    async def check_links(self) -> float | None:
        """Update motion and status from the links; return when to call this again at the latest, if ever."""
        times = [self._links.next_change()]  # first: a link that changes during the rest is checked again
        links = self._states()
        self._motion = updated_motion(self._motion, links)
        if has_arrived(self._motion, links) and not self._arrival.is_set():
            self._publisher.begin_search()
            self._arrival.set()
        times.append(self._publisher.update_status())
        return earliest(times)

    async def run(self) -> None:
        """Follow the links; runs for ever."""
        while True:
            await self._arrival.wait()
            failed = False
            try:
                stored, links = self._publisher.state.stored, self._states()
                candidate = await self._find_candidate(links)  # takes its time: requests are executed meanwhile
                async with self._lock:
                    if self._publisher.state.stored is stored:
                        await self._arrive(candidate, links)
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

    async def _arrive(self, candidate: FollowCandidate | None, before: Sequence[LinkState]) -> None:
        """Activate the revision that belongs to where the links have come to rest.

        Parameters
        ----------
        candidate
            The result of the lookup for the links as they were `before`; they may have moved on meanwhile.
        """
        links = self._states()
        state, moved = self._publisher.state, bool(self._motion.moved)
        if not has_arrived(self._motion, links) or not is_unmoved(links, before):
            return
        if state.revision is None:
            self.set_baseline(links)
            return
        with self.new_baseline(links) as follow_state:
            if candidate is not None and candidate.revision != state.revision.number and state.follow and moved:
                await self._follow(candidate.revision, follow_state, links)
            elif follow_state is not None:
                stored = await self._store.set_rested(follow_state, self._publisher.timestamp())
                self._publisher.update_stored(stored)

    async def _find_candidate(self, links: Sequence[LinkState]) -> FollowCandidate | None:
        """Find what a commit or a user activated last at the links' position, and was not corrected since."""
        wrong = corrected_revisions(self._publisher.state.corrections)
        before: int | None = None
        while True:
            candidates = await self._store.follow_candidates(before, _PAGE)
            for candidate in candidates:
                if candidate.revision not in wrong and is_at(links, candidate.position):
                    return candidate
            if len(candidates) < _PAGE:
                return None
            before = candidates[-1].serial

    async def _follow(self, number: int, follow_state: FollowState | None, links: Sequence[LinkState]) -> None:
        """Activate a revision because the links are at its position."""
        try:
            stored = await self._store.follow(number, self._publisher.timestamp(), follow_state)
        except UncertainStoreError:
            stored = await self._store.settle(None)
            if stored is None:
                raise
        self._publisher.publish(
            Change.RESULT | Change.ACTIVATION, stored=stored, message=messages.followed(number, links)
        )

    async def _report(self, problem: str) -> None:
        """Publish once why following goes on to fail, if something would follow."""
        if self._publisher.state.follow and self._motion.moved and problem != self._reported:
            self._reported = problem
            self._publisher.publish(Change.RESULT, message=problem)

    def _states(self) -> tuple[LinkState, ...]:
        """Return the links in service as they are now: the others are not followed."""
        return in_service(self._links.states())

    def _follow_state(self, links: Sequence[LinkState]) -> FollowState:
        return FollowState(self._publisher.state.follow, baseline_position(self._motion, links))
