"""The geometry follows the links from place to place; real store, time injected."""

import asyncio

import pytest

from keeper_bench import BY, FAR, NEAR, NOWHERE, SETTLE, run, started_at
from ponikeeper.detector.follower import Follower
from ponikeeper.protocol import Activate, Follow


def test_geometry_follows_from_place_to_place_and_is_valid_only_there(path):
    async def work(bench):
        await bench.near_and_far()
        before = len(bench.published)
        seen = []
        for place in (NEAR, NOWHERE, FAR, NEAR):
            await bench.move_to(place)
            seen.append((bench.revision, *bench.shown))
        return seen, bench.statuses, [state.results for state, _ in bench.published[before:]], bench.keeper.state

    seen, statuses, results, state = run(path, work)
    assert seen == [
        (1, "VALID", ""),
        (1, "MOVED", "z (Z.RBV) is at 1200 mm, calibrated at 1000 mm, tolerance 0.05 mm"),
        (2, "VALID", ""),
        (1, "VALID", ""),
    ]
    # never MOVED between MOVING and the geometry of the new place
    assert "".join(name[0] if name != "MOVING" else "m" for name in statuses).endswith("mVmMmVmV")
    assert len({*map(len, results)}) == 1  # there was no request
    assert (state.activation.cause, state.activation.author, state.activation.serial) == ("follow", "links", 5)
    assert state.message == "revision 1 activated, the links are at z 1000 mm"


@pytest.mark.parametrize("early", [0.0, 1e-4, 2e-4, 3e-4, 4e-4, 5e-4, 6e-4, 1e-3])
def test_rest_that_begins_while_it_is_looked_is_not_overlooked(path, early):
    async def work(bench):
        await bench.near_and_far()
        bench.set_motor(FAR, 1.0)
        await bench.keeper.check_links()
        bench.set_motor(NEAR, 0.0)
        again = await bench.keeper.check_links()
        bench.tick = 1e-4
        bench.now = again - early  # timers are early, and reading the clock takes time
        await bench.links.wait_for_change(None)
        await bench.check_when_due()
        await asyncio.wait_for(bench.links.wait_for_change(None), 5)  # its revision is searched for
        await bench.check_when_due()
        return bench.revision, *bench.shown, bench.statuses[-2:]

    assert run(path, work) == (1, "VALID", "", ["MOVING", "VALID"])  # never MOVED in between


def test_rollback_stays_the_geometry_of_its_place(path):
    async def work(bench):
        await bench.near_and_far()
        await bench.commit(0.51, label="far")
        await bench.keeper.execute(Activate(2), BY)
        await bench.move_to(NEAR)
        first = bench.revision
        await bench.move_to(FAR)
        return first, bench.revision, bench.status

    assert run(path, work) == (1, 2, "VALID")


@pytest.mark.parametrize("put", ["commit", "activate"])
@pytest.mark.parametrize("waits", [False, True])
def test_activated_revision_stays_active_until_the_links_move_afterwards(path, put, waits):
    """The links moved before the activation, which must not prevent following later moves."""

    async def work(bench):
        await bench.near_and_far()
        await bench.commit(0.7, position="unknown", label="mine")
        bench.set_motor(NEAR, 1.0)
        await bench.keeper.check_links()
        bench.set_motor(NEAR)
        if waits:  # no later than the arrival itself
            bench.now += SETTLE
        asked = bench.commit(0.71, position="unknown") if put == "commit" else bench.keeper.execute(Activate(3), BY)
        result = await asked
        await bench.rest_at(NEAR)
        kept = bench.revision
        await bench.move_to(FAR)
        return result.revision == kept, (bench.revision, bench.status)

    assert run(path, work) == (True, (2, "VALID"))


def test_commit_at_the_moment_of_rest_is_where_the_links_rested(path):
    async def work(bench):
        await bench.near_and_far()
        bench.set_motor(NEAR, 1.0)
        await bench.keeper.check_links()
        bench.set_motor(NEAR)
        bench.now += SETTLE  # at rest, but the status is not updated yet
        await bench.commit(0.31, label="near")

    assert run(path, work, started_at(FAR)) == (2, "VALID")


def test_place_that_is_left_while_it_is_looked_for_is_not_taken_for_the_next_one(path, monkeypatch):
    real, once = Follower._find_candidate, iter([True])

    async def work(bench):
        await bench.near_and_far()

        async def slow(self, links):
            found = await real(self, links)
            if next(once, False):  # they move on to near and rest there before the search ends without a result
                bench.set_motor(NEAR, 1.0)
                await bench.keeper.check_links()
                bench.set_motor(NEAR)
                bench.now += SETTLE
                await bench.keeper.check_links()
            return found

        monkeypatch.setattr(Follower, "_find_candidate", slow)
        await bench.move_to(NOWHERE)
        await bench.settled()
        return bench.revision, bench.status

    assert run(path, work) == (1, "VALID")


def test_place_is_found_beyond_the_first_rows_of_a_long_history(path, monkeypatch):
    monkeypatch.setattr("ponikeeper.detector.follower._PAGE", 3)

    async def work(bench):
        await bench.near_and_far()
        for number in range(10):
            await bench.commit(0.6 + number / 100, position={"z": 2000.0 + number})
        await bench.move_to(NEAR)
        near = bench.revision, bench.status
        await bench.move_to(NOWHERE)
        return near, (bench.revision, bench.status)

    assert run(path, work) == ((1, "VALID"), (1, "MOVED"))


@pytest.mark.parametrize("follow", [True, False])
def test_follow_starts_as_configured(path, follow):
    async def work(bench):
        await bench.near_and_far()
        await bench.move_to(NEAR)
        return bench.revision, bench.keeper.state.follow

    async def later(bench):
        return bench.keeper.state.follow

    assert run(path, work, follow=follow) == (1 if follow else 2, follow)
    assert run(path, later, follow=not follow) is follow


def test_following_is_switched_off_and_on_and_kept(path):
    async def off(bench):
        await bench.near_and_far()
        result = await bench.keeper.execute(Follow(False, request="off", digest="d"), BY)
        await bench.move_to(NEAR)
        return result, bench.revision, bench.shown, bench.keeper.state.follow

    async def on(bench):
        await bench.rest_at(NEAR)
        still = bench.keeper.state.follow, bench.revision
        again = await bench.keeper.execute(Follow(False, request="off", digest="d"), BY)
        await bench.keeper.execute(Follow(True), BY)
        await bench.settled()
        unmoved = bench.revision, bench.status
        await bench.move_to(FAR)
        await bench.move_to(NEAR)
        return still, again.time, unmoved, (bench.revision, bench.status)

    result, number, status, follow = run(path, off)
    assert (result.outcome, result.revision, result.serial) == ("accepted", 2, 2)
    assert (number, status[0], follow) == (2, "MOVED", False)
    assert run(path, on, follow=True) == ((False, 2), result.time, (2, "MOVED"), (1, "VALID"))


def test_moves_before_follow_was_switched_on_do_not_count(path):
    async def work(bench):
        await bench.near_and_far()
        await bench.keeper.execute(Follow(False), BY)
        bench.set_motor(NEAR, 1.0)
        await bench.keeper.check_links()
        await bench.keeper.execute(Follow(True), BY)
        await bench.rest_at(NEAR)
        stopped = bench.revision, bench.status
        await bench.move_to(FAR)
        await bench.keeper.execute(Follow(True), BY)  # it is on: nothing changes
        bench.set_motor(NEAR, 1.0)
        await bench.keeper.check_links()
        await bench.keeper.execute(Follow(True), BY)
        await bench.rest_at(NEAR)
        return stopped, (bench.revision, bench.status)

    assert run(path, work) == ((2, "MOVED"), (1, "VALID"))
