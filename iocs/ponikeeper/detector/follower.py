"""The geometry follows the links: where they have come to rest, what was put in force there last is so again."""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial

from ponikeeper.detector.board import Board
from ponikeeper.detector.follow import (
    Travel,
    arrived,
    begun,
    gone_on,
    has_arrived,
    is_still_there,
    is_there,
    rested_position,
)
from ponikeeper.detector.link_rules import quantity
from ponikeeper.detector.link_states import Linked, earliest
from ponikeeper.detector.state import Change
from ponikeeper.detector.store import Ledger
from ponikeeper.errors import StoreError, UncertainStoreError
from ponikeeper.history.corrections import unsound
from ponikeeper.protocol import LinkState
from ponikeeper.store import FOLLOWED, History, Put, Standing
from ponikeeper.store.writer import PERIOD

_AT_ONCE = 500
"""Rows of the history that are read between two moments at which others may use the store."""

_AUTHOR = "links"


class Follower:
    """Puts the geometry of the place in force at which the links of one detector have arrived.

    Parameters
    ----------
    lock
        Held by every transaction of the detector.
    """

    def __init__(self, ledger: Ledger, board: Board, links: Linked, lock: asyncio.Lock) -> None:
        self._ledger = ledger
        self._board = board
        self._links = links
        self._lock = lock
        self._travel = Travel()
        self._arrival = asyncio.Event()
        self._trouble = ""

    def begin(self) -> None:
        """Take up where the links rested before a restart."""
        standing = self._board.state.kept.standing
        self._travel = begun(self._links.states(), standing.rested if standing else {})

    async def look(self) -> float | None:
        """Take up how the links stand, and tell it; gives the time at which to look again at the latest."""
        times = [self._links.next_change()]  # asked first: what changes while they are looked at is looked at again
        links = self._links.states()
        self._travel = gone_on(self._travel, links)
        if has_arrived(self._travel, links) and not self._arrival.is_set():
            self._board.begin_search()
            self._arrival.set()
        times.append(await self._board.look())
        return earliest(times)

    async def run(self) -> None:
        """Follow the links, for ever."""
        while True:
            await self._arrival.wait()
            failed = False
            try:
                kept, links = self._board.state.kept, self._links.states()
                put = await self._belonging(links)  # commits go on: it takes its time
                async with self._lock:
                    if self._board.state.kept is kept:
                        await self._arrive(put, links)
                self._trouble = ""
            except StoreError as error:  # it is tried again, and told by the storage's own PVs too
                failed = True
                await self._complain(f"not followed: {error}")
            self._board.end_search()
            if failed:
                await asyncio.sleep(PERIOD)
            self._arrival.clear()
            self._links.wake()

    async def switch(self, follow: bool, store: Callable[[Standing], Awaitable[None]]) -> Standing:
        """Switch following on or off; what the links did while it was off counts no more.

        Parameters
        ----------
        store
            Stores what has to be kept of it.
        """
        begins = follow and not self._board.state.follow
        with self.setting_out() if begins else nullcontext():
            standing = replace(self._standing(), follow=follow)
            await store(standing)
        return standing

    @contextmanager
    def setting_out(self) -> Generator[Standing | None]:
        """Let the links set out from where they are: what they did before counts no more, unless the store fails.

        Gives what has to be stored with whatever is put in force; None where it is stored already.
        """
        before = self._travel
        self.set_out()
        standing = self._standing()
        try:
            yield None if not self._links.units or standing == self._board.state.kept.standing else standing
        except BaseException:
            now = self._travel
            self._travel = replace(now, away=now.away | before.away, back=now.back | before.back)
            raise

    def set_out(self) -> None:
        """Let the links set out from where they are."""
        self._travel = arrived(self._travel, self._links.states())

    async def _arrive(self, put: Put | None, asked: Sequence[LinkState]) -> None:
        """Put in force what belongs to where the links have come to rest.

        Parameters
        ----------
        put
            What belongs to where they were when it was asked; they may have moved on meanwhile.
        """
        links = self._links.states()
        state, moved = self._board.state, bool(self._travel.away)
        if not has_arrived(self._travel, links) or not is_still_there(links, asked):
            return
        if state.revision is None:
            self.set_out()
            return
        with self.setting_out() as standing:
            if put is not None and put.revision != state.revision.number and state.follow and moved:
                await self._follow(put.revision, standing, links)
            elif standing is not None:
                time = self._board.now()
                await self._ledger.write(lambda history, prefix: history.stand(prefix, standing, time, _AUTHOR))
                self._board.take_up(replace(state.kept, standing=standing))

    async def _belonging(self, links: Sequence[LinkState]) -> Put | None:
        """Find what a commit or a person put in force last where the links are, of all that is sound."""
        wrong = unsound(self._board.state.corrections)
        before: int | None = None
        while True:
            puts = await self._ledger.read(partial(History.puts, before=before, limit=_AT_ONCE))
            for put in puts:
                if put.revision not in wrong and is_there(links, put.position):
                    return put
            if len(puts) < _AT_ONCE:
                return None
            before = puts[-1].serial

    async def _follow(self, number: int, standing: Standing | None, links: Sequence[LinkState]) -> None:
        """Put a revision in force, because the links are where it holds."""
        time = self._board.now()
        revision = await self._ledger.read(lambda history, prefix: history.revision(prefix, number))
        assert revision is not None  # nothing is ever deleted
        try:
            activation = await self._ledger.write(
                lambda history, prefix: history.activate(prefix, number, time, FOLLOWED, _AUTHOR, standing=standing)
            )
            self._board.put_in_force(revision, activation, standing)
        except UncertainStoreError:
            if not await self._ledger.settle(None):
                raise
        stands = ", ".join(
            f"{link.name} {quantity(link.value, link.units)}" for link in links if link.value is not None
        )
        message = f"revision {number} followed the links: {stands}"
        await self._board.post(None, message, Change.RESULT | Change.ACTIVATION)

    async def _complain(self, trouble: str) -> None:
        """Tell a person once of what goes on to fail, where something would follow."""
        if self._board.state.follow and self._travel.away and trouble != self._trouble:
            self._trouble = trouble
            await self._board.post(None, trouble)

    def _standing(self) -> Standing:
        return Standing(self._board.state.follow, rested_position(self._travel, self._links.states()))
