"""A keeper with one motor on a real store; the test controls the clock and the motor."""

import asyncio

from ponikeeper.config import Link
from ponikeeper.detector.keeper import Keeper
from ponikeeper.detector.link_rules import Sample
from ponikeeper.detector.link_states import LinkStates
from ponikeeper.detector.state import Change
from ponikeeper.protocol.link_units import Egu
from ponikeeper.store.sqlite_storage import SQLiteStorage
from ponikeeper.store.store_thread import StoreThread
from strategies import VALUES
from wire import new_request

PREFIX = "XF:1{Det:1}Calib:"
Z = Link(name="z", pv="Z.RBV", kind="motor", units="mm", tolerance=0.05, moving="Z.MOVN")
SETTLE = 1.0
NEAR, FAR, NOWHERE = 1000.0, 1500.0, 1200.0
BY = "alice@here"


class Bench:
    """One keeper with one motor; the test controls the clock and the motor."""

    def __init__(self, store, extrapolate=False, **options):
        self.now = 100.0
        self.tick = 0.0
        """Seconds that pass between two readings of the clock."""
        self.store = store
        self.links = LinkStates([Z], SETTLE, self._clock, extrapolate=extrapolate)
        self.keeper = Keeper(PREFIX, store, {}, self.links, **options)
        self.published = []
        self.keeper.on_publish(self._publish)
        self._tasks = []

    def _clock(self):
        self.now += self.tick
        return self.now

    def _publish(self, state, change):
        self.published.append((state, change))

    async def start(self):
        await self.keeper.load()
        self._tasks.append(asyncio.create_task(self.keeper.follow_links()))

    async def stop(self):
        for task in self._tasks:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def set_motor(self, value, moving=0.0):
        self.links.update("Z.RBV", Sample(True, value, egu=Egu("mm")) if value is not None else Sample())
        self.links.update("Z.MOVN", Sample(True, moving) if value is not None else Sample())

    async def rest_at(self, value, after=SETTLE):
        """Update the motor's value and advance the clock; return when everything that follows from it has happened."""
        self.set_motor(value)
        await self.keeper.check_links()
        self.now += after
        await self.settled()

    async def move_to(self, value):
        """Move to a place as a motor does."""
        self.set_motor(self.links.states()[0].value, 1.0)
        await self.keeper.check_links()
        self.set_motor(value, 1.0)
        await self.keeper.check_links()
        await self.rest_at(value)

    async def settled(self):
        """Check the links, and wait until the keeper has found the revision that belongs to the position."""
        await self.keeper.check_links()
        async with asyncio.timeout(20):
            while self.keeper._publisher._searching:  # noqa: ASYNC110  # it has no event of its own
                await asyncio.sleep(0.001)
        await self.keeper.check_links()

    async def check_when_due(self):
        """Check the links exactly as often as the keeper asks for it."""
        while (again := await self.keeper.check_links()) is not None:
            self.now = max(self.now, again)

    async def until(self, revision):
        """Wait until a revision is active."""
        async with asyncio.timeout(20):
            while self.revision != revision:
                await asyncio.sleep(0.01)
                await self.settled()

    async def commit(self, dist, **more):
        request = new_request({**VALUES, "dist": dist}, **({"position": "now"} | more))
        return await self.keeper.execute(request, BY)

    async def near_and_far(self):
        """Commit revision 1 at near, and revision 2 at far."""
        await self.rest_at(NEAR)
        await self.commit(0.3, label="near")
        await self.move_to(FAR)
        await self.commit(0.5, label="far")

    @property
    def status(self):
        return self.keeper.state.status.name

    @property
    def shown(self):
        """The status and the reason that were published last."""
        states = [state for state, change in self.published if change & (Change.STATUS | Change.ACTIVATION)]
        return states[-1].status.name, states[-1].reason

    @property
    def revision(self):
        return self.keeper.state.revision.number

    @property
    def statuses(self):
        states = [state for state, change in self.published if change & (Change.STATUS | Change.ACTIVATION)]
        return [state.status.name for state in states]


def run(path, *works, **options):
    """Run coroutine functions, one after another, each with a keeper of its own on the same store."""

    async def whole(work):
        store = StoreThread(await asyncio.to_thread(SQLiteStorage, path))
        bench = Bench(store, **options)
        try:
            await bench.start()
            return await work(bench)
        finally:
            await bench.stop()
            store.close()

    return [asyncio.run(whole(work)) for work in works][-1]


def started_at(place):
    """Return a function that puts the motor at a place and returns the active revision and the status."""

    async def work(bench):
        await bench.rest_at(place)
        return bench.revision, bench.status

    return work
