"""The keeper and its links: judged with each transaction, followed from place to place; real store, time injected."""

import asyncio
import threading
from dataclasses import replace

import pytest

from campaigns.stores import NAME
from campaigns.wire import new_request
from ponikeeper.config import Link
from ponikeeper.contract import Status
from ponikeeper.errors import StoreError, UncertainStoreError
from ponikeeper.follower import Follower
from ponikeeper.history import History
from ponikeeper.keeper import Keeper
from ponikeeper.linked import Linked
from ponikeeper.links import Sample
from ponikeeper.messages import Activate, Commit, Follow, Here, Retract, Supersede
from ponikeeper.state import Change
from ponikeeper.store import Store
from strategies import VALUES

PREFIX = "XF:1{Det:1}Calib:"
Z = Link(name="z", pv="Z.RBV", kind="motor", units="mm", tolerance=0.05, moving="Z.MOVN")
SETTLE = 1.0
NEAR, FAR, NOWHERE = 1000.0, 1500.0, 1200.0
BY = "alice@here"


class Bench:
    """One keeper with one motor, whose clock and whose motor a test moves."""

    def __init__(self, store, **options):
        self.now = 100.0
        self.tick = 0.0
        """What passes between two looks at the clock."""
        self.store = store
        self.links = Linked([Z], SETTLE, self._clock)
        self.keeper = Keeper(PREFIX, store, {}, self.links, **options)
        self.published = []
        self.keeper.on_publish(self._publish)
        self._tasks = []

    def _clock(self):
        self.now += self.tick
        return self.now

    async def _publish(self, state, change):
        self.published.append((state, change))

    async def start(self):
        await self.keeper.load()
        self._tasks.append(asyncio.create_task(self.keeper.follow()))

    async def stop(self):
        for task in self._tasks:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def tell(self, value, moving=0.0):
        self.links.take("Z.RBV", Sample(True, value) if value is not None else Sample())
        self.links.take("Z.MOVN", Sample(True, moving) if value is not None else Sample())

    async def stand(self, value, after=SETTLE):
        """Let the motor say where it is, and some time pass; all that follows from it has happened then."""
        self.tell(value)
        await self.keeper.look()
        self.now += after
        await self.settled()

    async def go(self, value):
        """Move to a place as a motor does."""
        self.tell(self.links.states()[0].value, 1.0)
        await self.keeper.look()
        self.tell(value, 1.0)
        await self.keeper.look()
        await self.stand(value)

    async def settled(self):
        """Let the keeper see how the links stand, and wait until it has found what belongs there."""
        await self.keeper.look()
        async with asyncio.timeout(20):
            while self.keeper._board._seeking:  # noqa: ASYNC110  # it has no event of its own
                await asyncio.sleep(0.001)
        await self.keeper.look()

    async def look_as_told(self):
        """Look as often as the keeper wants it, and no more."""
        while (again := await self.keeper.look()) is not None:
            self.now = max(self.now, again)

    async def until(self, revision):
        """Wait until a revision is in force."""
        async with asyncio.timeout(20):
            while self.revision != revision:
                await asyncio.sleep(0.01)
                await self.settled()

    async def commit(self, dist, **more):
        request = new_request({**VALUES, "dist": dist}, **({"position": "now"} | more))
        return await self.keeper.execute(request, BY)

    async def near_and_far(self):
        """Commit revision 1 at near, and revision 2 at far."""
        await self.stand(NEAR)
        await self.commit(0.3, label="near")
        await self.go(FAR)
        await self.commit(0.5, label="far")

    @property
    def status(self):
        return self.keeper.state.status.name

    @property
    def told(self):
        """What was published last, of what every PV shows: a status that nobody was told is none."""
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
        store = Store(await asyncio.to_thread(History, path))
        bench = Bench(store, **options)
        try:
            await bench.start()
            return await work(bench)
        finally:
            await bench.stop()
            store.close()

    return [asyncio.run(whole(work)) for work in works][-1]


@pytest.fixture
def path(tmp_path):
    return tmp_path / NAME


def test_commit_stores_where_the_links_stand_when_its_turn_comes(path):
    async def work(bench):
        await bench.commit(0.3)
        absent = bench.keeper.state
        await bench.stand(NEAR)
        await bench.commit(0.4)
        known = bench.keeper.state
        bench.tell(NEAR, 1.0)
        await bench.commit(0.5)
        return absent, known, bench.keeper.state

    absent, known, moving = run(path, work)
    assert (absent.revision.position, absent.status) == (None, Status.UNKNOWN)
    assert absent.message == f"revision 1 committed by {BY}, position unknown: z is not connected"
    assert (known.revision.position, known.status) == ({"z": {"value": NEAR, "units": "mm"}}, Status.VALID)
    assert (moving.revision.position, moving.status) == (None, Status.UNKNOWN)
    assert moving.message == f"revision 3 committed by {BY}, position unknown: z is in motion"


def test_commit_of_where_the_detector_no_longer_is_was_never_valid(path):
    async def work(bench):
        await bench.stand(NEAR)
        await bench.commit(0.3)
        await bench.go(FAR)
        before = len(bench.published)
        await bench.commit(0.31, position={"z": NEAR})
        return [state.status for state, _ in bench.published[before:]], bench.told

    statuses, told = run(path, work)
    assert statuses == [Status.MOVED]
    assert told == ("MOVED", "z is at 1500 mm, calibrated at 1000 mm, tolerance 0.05 mm")


def test_slow_drift_is_told_once_when_it_is_beyond_and_its_numbers_now_and_then(path):
    async def work(bench):
        await bench.stand(NEAR)
        await bench.commit(0.3)
        before = len(bench.published)
        for step in range(1, 101):  # a tenth of the tolerance at a time, which takes ten times the settle time
            bench.tell(NEAR + 0.005 * step)
            bench.now += SETTLE
            await bench.keeper.look()
            beyond = step > 10
            assert bench.told[0] == ("MOVED" if beyond else "VALID"), step
        return bench.published[before:]

    published = run(path, work)
    statuses = [state.status.name for state, _ in published]
    assert statuses == ["MOVED"] * len(statuses)
    assert published[-1][0].reason.startswith("z is at 1000.5 mm")


def test_reason_of_a_detector_that_goes_on_moving_is_not_told_at_every_step(path):
    async def work(bench):
        await bench.stand(NEAR)
        await bench.commit(0.3)
        await bench.go(NOWHERE)
        before = len(bench.published)
        for step in range(200):  # 2 s of a drift, at 100 Hz
            bench.tell(NOWHERE + 0.0004 * step)
            bench.now += 0.01
            await bench.keeper.look()
        return bench.published[before:]

    assert 1 <= len(run(path, work)) <= 3


def test_geometry_follows_from_place_to_place_and_is_valid_only_there(path):
    async def work(bench):
        await bench.near_and_far()
        before = len(bench.published)
        seen = []
        for place in (NEAR, NOWHERE, FAR, NEAR):
            await bench.go(place)
            seen.append((bench.revision, *bench.told))
        return seen, bench.statuses, [state.results for state, _ in bench.published[before:]], bench.keeper.state

    seen, statuses, results, state = run(path, work)
    assert seen == [
        (1, "VALID", ""),
        (1, "MOVED", "z is at 1200 mm, calibrated at 1000 mm, tolerance 0.05 mm"),
        (2, "VALID", ""),
        (1, "VALID", ""),
    ]
    # never MOVED between MOVING and the geometry of the new place
    assert "".join(name[0] if name != "MOVING" else "m" for name in statuses).endswith("mVmMmVmV")
    assert len({*map(len, results)}) == 1  # nobody asked for it
    assert (state.activation.cause, state.activation.author, state.activation.serial) == ("follow", "links", 5)
    assert state.message == "revision 1 followed the links: z 1000 mm"


@pytest.mark.parametrize("early", [0.0, 1e-4, 2e-4, 3e-4, 4e-4, 5e-4, 6e-4, 1e-3])
def test_rest_that_begins_while_it_is_looked_is_not_overlooked(path, early):
    async def work(bench):
        await bench.near_and_far()
        bench.tell(FAR, 1.0)
        await bench.keeper.look()
        bench.tell(NEAR, 0.0)
        again = await bench.keeper.look()
        bench.tick = 1e-4
        bench.now = again - early  # timers are early, and each look at the clock takes a while
        await bench.links.change(None)
        await bench.look_as_told()
        await asyncio.wait_for(bench.links.change(None), 5)  # its geometry was looked for
        await bench.look_as_told()
        return bench.revision, *bench.told

    assert run(path, work) == (1, "VALID", "")


def test_rollback_stays_the_geometry_of_its_place(path):
    async def work(bench):
        await bench.near_and_far()
        await bench.commit(0.51, label="far")
        await bench.keeper.execute(Activate(2), BY)
        await bench.go(NEAR)
        first = bench.revision
        await bench.go(FAR)
        return first, bench.revision, bench.status

    assert run(path, work) == (1, 2, "VALID")


def test_revision_that_was_found_wrong_is_not_followed(path):
    async def work(bench):
        await bench.near_and_far()
        await bench.commit(0.51, label="far")
        await bench.go(NEAR)
        await bench.keeper.execute(Retract(3, "beam stop"), BY)
        await bench.go(FAR)
        one = bench.revision, bench.status
        await bench.keeper.execute(Supersede(2, 1, "wrong"), BY)
        condemned = bench.told
        await bench.go(NEAR)
        await bench.go(FAR)
        return one, condemned, (bench.revision, bench.status)

    assert run(path, work) == (
        (2, "VALID"),
        ("CONDEMNED", "revision 2 was superseded by revision 1: wrong"),
        (1, "MOVED"),
    )


@pytest.mark.parametrize("put", ["commit", "activate"])
@pytest.mark.parametrize("waits", [False, True])
def test_what_is_put_in_force_holds_until_the_links_move_after_it(path, put, waits):
    """Whatever made the geometry of the place not follow yet: it was the links' way before."""

    async def work(bench):
        await bench.near_and_far()
        await bench.commit(0.7, position="unknown", label="mine")
        bench.tell(NEAR, 1.0)
        await bench.keeper.look()
        bench.tell(NEAR)
        if waits:  # no later than the arrival itself
            bench.now += SETTLE
        asked = bench.commit(0.71, position="unknown") if put == "commit" else bench.keeper.execute(Activate(3), BY)
        result = await asked
        await bench.stand(NEAR)
        kept = bench.revision
        await bench.go(FAR)
        return result.revision == kept, (bench.revision, bench.status)

    assert run(path, work) == (True, (2, "VALID"))


def test_commit_at_the_moment_of_rest_is_where_the_links_rested(path):
    async def work(bench):
        await bench.near_and_far()
        bench.tell(NEAR, 1.0)
        await bench.keeper.look()
        bench.tell(NEAR)
        bench.now += SETTLE  # at rest, and nobody has looked yet
        await bench.commit(0.31, label="near")

    async def moved(bench):
        await bench.stand(FAR)
        return bench.revision, bench.status

    assert run(path, work, moved) == (2, "VALID")


def test_arrival_where_the_right_one_is_in_force_already_is_remembered(path):
    async def arrive(bench):
        await bench.near_and_far()
        await bench.keeper.execute(Activate(1), BY)
        await bench.go(NEAR)

    async def moved(bench):
        await bench.stand(FAR)
        return bench.revision, bench.status

    async def retracted(bench):
        await bench.stand(FAR)
        await bench.keeper.execute(Retract(2, "wrong"), BY)
        return bench.revision, bench.status

    async def unmoved(bench):
        await bench.stand(FAR)
        return bench.revision, bench.status

    assert run(path, arrive, moved) == (2, "VALID")
    assert run(path, retracted, unmoved) == (2, "CONDEMNED")


@pytest.mark.parametrize("before", [True, False])
def test_values_with_which_a_server_begins_are_no_move(path, before):
    """The server of a motor says what it begins with, and then where the motor is."""

    async def leave(bench):
        await bench.near_and_far()
        await bench.keeper.execute(Activate(1), BY)  # a person wants this one, here

    async def begins(bench):
        if before:
            await bench.stand(FAR)
            await bench.stand(None)
        bench.tell(0.0)
        await bench.keeper.look()
        bench.now += SETTLE / 10
        await bench.stand(FAR)
        return bench.revision, bench.status

    assert run(path, leave, begins) == (1, "MOVED")


def test_place_that_is_left_while_it_is_looked_for_is_not_taken_for_the_next_one(path, monkeypatch):
    real, once = Follower._belonging, iter([True])

    async def work(bench):
        await bench.near_and_far()

        async def slow(self, links):
            found = await real(self, links)
            if next(once, False):  # they go on to near, and rest there, before nothing is found at nowhere
                bench.tell(NEAR, 1.0)
                await bench.keeper.look()
                bench.tell(NEAR)
                bench.now += SETTLE
                await bench.keeper.look()
            return found

        monkeypatch.setattr(Follower, "_belonging", slow)
        await bench.go(NOWHERE)
        await bench.settled()
        return bench.revision, bench.status

    assert run(path, work) == (1, "VALID")


def test_wrong_geometry_does_not_come_back_by_an_edit_that_changes_nothing(path):
    edit = Commit({"dist": 0.3}, {"method": "manual", "comment": "as it was"}, position="now", derived=True)

    async def work(bench):
        await bench.stand(NEAR)
        await bench.commit(0.3, label="near")
        await bench.keeper.execute(Retract(1, "wrong"), BY)
        refused = await bench.keeper.execute(edit, BY)
        right = await bench.keeper.execute(replace(edit, geometry={"dist": 0.31}), BY)
        return refused.errors, (right.outcome, right.revision), bench.status

    errors, right, status = run(path, work)
    assert errors[0].startswith("revision 1 was retracted: wrong, and this changes nothing of it: put in force one")
    assert (right, status) == (("accepted", 2), "VALID")


def test_judgement_about_another_revision_does_not_calm_a_jitter(path):
    async def work(bench):
        await bench.stand(NEAR)
        for dist in (0.3, 0.31):
            await bench.commit(dist)
        for step in range(20):
            bench.tell(NEAR + (0.0501 if step % 2 else 0.0499))
            bench.now += 0.1
            await bench.keeper.look()
            if step == 12:
                await bench.keeper.execute(Retract(1, "wrong"), BY)
        return bench.statuses

    statuses = run(path, work)
    assert statuses[statuses.index("MOVED") :] == ["MOVED"] * (len(statuses) - statuses.index("MOVED"))


def test_link_that_was_gone_makes_nothing_follow(path):
    async def work(bench):
        await bench.near_and_far()
        await bench.stand(None)
        gone = bench.told
        await bench.stand(NEAR)
        back = bench.revision, bench.status
        await bench.go(FAR)
        await bench.go(NEAR)
        return gone, back, (bench.revision, bench.status)

    assert run(path, work) == (("UNKNOWN", "z is not connected"), (2, "MOVED"), (1, "VALID"))


def test_moves_while_it_was_down_count_and_nothing_else_does(path):
    async def leave(bench):
        await bench.near_and_far()

    async def moved(bench):
        unseen = bench.status
        await bench.stand(NEAR)
        return unseen, bench.revision, bench.status

    async def contrary(bench):
        await bench.stand(NEAR)
        await bench.keeper.execute(Activate(2), BY)  # a person wants this one, here
        return bench.revision, bench.status

    async def unmoved(bench):
        await bench.stand(NEAR)
        return bench.revision, bench.status

    assert run(path, leave, moved) == ("UNKNOWN", 1, "VALID")
    assert run(path, contrary) == (2, "MOVED")
    assert run(path, unmoved, unmoved) == (2, "MOVED")


def test_reconnection_elsewhere_is_no_move_for_a_restart_either(path):
    async def back_elsewhere(bench):
        await bench.near_and_far()
        await bench.stand(None)
        await bench.stand(NEAR)

    async def unmoved(bench):
        await bench.stand(NEAR)
        return bench.revision, bench.status

    assert run(path, back_elsewhere, unmoved) == (2, "MOVED")


def test_kill_on_the_way_is_followed_when_it_is_over(path):
    async def on_the_way(bench):
        await bench.near_and_far()
        bench.tell(NOWHERE, 1.0)
        await bench.keeper.look()
        await bench.keeper.execute(Activate(2), BY)

    async def after(bench):
        await bench.stand(NEAR)
        return bench.revision, bench.status

    assert run(path, on_the_way, after) == (1, "VALID")


def test_following_is_switched_off_and_on_and_kept(path):
    async def off(bench):
        await bench.near_and_far()
        result = await bench.keeper.execute(Follow(False, request="off", digest="d"), BY)
        await bench.go(NEAR)
        return result, bench.revision, bench.told, bench.keeper.state.follow

    async def on(bench):
        await bench.stand(NEAR)
        still = bench.keeper.state.follow, bench.revision
        again = await bench.keeper.execute(Follow(False, request="off", digest="d"), BY)
        await bench.keeper.execute(Follow(True), BY)
        await bench.settled()
        unmoved = bench.revision, bench.status
        await bench.go(FAR)
        await bench.go(NEAR)
        return still, again.time, unmoved, (bench.revision, bench.status)

    result, number, told, follow = run(path, off)
    assert (result.outcome, result.revision, result.serial) == ("accepted", 2, 2)
    assert (number, told[0], follow) == (2, "MOVED", False)
    assert run(path, on, follow=True) == ((False, 2), result.time, (2, "MOVED"), (1, "VALID"))


def test_what_moved_before_following_was_switched_on_counts_no_more(path):
    async def work(bench):
        await bench.near_and_far()
        await bench.keeper.execute(Follow(False), BY)
        bench.tell(NEAR, 1.0)
        await bench.keeper.look()
        await bench.keeper.execute(Follow(True), BY)
        await bench.stand(NEAR)
        stopped = bench.revision, bench.status
        await bench.go(FAR)
        await bench.keeper.execute(Follow(True), BY)  # it is on: nothing changes
        bench.tell(NEAR, 1.0)
        await bench.keeper.look()
        await bench.keeper.execute(Follow(True), BY)
        await bench.stand(NEAR)
        return stopped, (bench.revision, bench.status)

    assert run(path, work) == ((2, "MOVED"), (1, "VALID"))


def test_link_that_is_gone_and_back_while_the_disk_takes_its_time_makes_nothing_follow(path, monkeypatch):
    real, once = Follower._follow, iter([True])

    async def work(bench):
        await bench.near_and_far()

        async def slow(self, *values):
            await real(self, *values)
            if next(once, False):
                for value in (None, FAR):
                    bench.tell(value)
                    await bench.keeper.look()

        monkeypatch.setattr(Follower, "_follow", slow)
        await bench.go(NEAR)
        bench.now += SETTLE
        await bench.settled()
        return bench.revision, bench.told

    assert run(path, work) == (1, ("MOVED", "z is at 1500 mm, calibrated at 1000 mm, tolerance 0.05 mm"))


@pytest.mark.parametrize("follow", [True, False])
def test_following_begins_as_the_configuration_says(path, follow):
    async def work(bench):
        await bench.near_and_far()
        await bench.go(NEAR)
        return bench.revision, bench.keeper.state.follow

    async def later(bench):
        return bench.keeper.state.follow

    assert run(path, work, follow=follow) == (1 if follow else 2, follow)
    assert run(path, later, follow=not follow) is follow


def test_here_makes_the_place_one_where_the_geometry_holds(path):
    async def work(bench):
        refused = [await bench.keeper.execute(Here(), BY)]
        await bench.stand(NEAR)
        first = await bench.commit(0.3, label="near", position="unknown")
        unknown = bench.told
        here = await bench.keeper.execute(Here(request="h", digest="d"), BY)
        state = bench.keeper.state
        again = await bench.keeper.execute(Here(), BY)
        bench.tell(NEAR, 1.0)
        refused.append(await bench.keeper.execute(Here(), BY))
        await bench.go(NEAR)
        await bench.keeper.execute(Retract(2, "wrong"), BY)
        refused.append(await bench.keeper.execute(Here(), BY))
        return first, unknown, here, state, again, refused

    first, unknown, here, state, again, refused = run(path, work)
    assert unknown == (
        "UNKNOWN", "where the links stood for revision 1 was never recorded: put Here where it holds",
    )  # fmt: skip
    assert (first.revision, here.revision, here.op, here.outcome) == (1, 2, "here", "accepted")
    assert (state.status, state.revision.label) == (Status.VALID, "near")
    assert state.revision.position == {"z": {"value": NEAR, "units": "mm"}}
    assert state.revision.provenance == {"method": "manual", "author": BY, "derived_from": 1}
    assert (again.revision, again.outcome) == (2, "accepted")  # nothing changed
    assert [result.errors[0].partition(":")[0] for result in refused] == [
        "nothing is in force yet, so nothing can hold here",
        "where the links stand is not known",
        "revision 2 was retracted",
    ]


def test_commit_of_the_same_geometry_makes_a_revision_where_the_old_one_was_found_wrong(path):
    async def work(bench):
        await bench.stand(NEAR)
        first = await bench.commit(0.3)
        same = await bench.commit(0.3)
        await bench.keeper.execute(Retract(1, "wrong"), BY)
        return first.revision, same.revision, (await bench.commit(0.3)).revision, bench.status

    assert run(path, work) == (1, 1, 2, "VALID")


def test_judged_revision_is_activated_by_force_only_and_its_label_means_the_sound_one(path):
    async def work(bench):
        await bench.stand(NEAR)
        for dist in (0.3, 0.31, 0.32):
            await bench.commit(dist, label="near")
        await bench.commit(0.5, label="far")
        await bench.keeper.execute(Retract(3, "wrong"), BY)
        refused = await bench.keeper.execute(Activate(3), BY)
        label = await bench.keeper.execute(Activate("near"), BY)
        forced = await bench.keeper.execute(Activate(3, force=True), BY)
        status = bench.told
        for number in (1, 2):
            await bench.keeper.execute(Supersede(number, 4, "wrong"), BY)
        none = await bench.keeper.execute(Activate("near"), BY)
        return refused.errors, label.revision, (forced.outcome, forced.revision), status, none.errors

    refused, label, forced, status, none = run(path, work)
    assert refused[0].startswith("revision 3 was retracted: wrong; activate one that is right")
    assert (label, forced) == (2, ("accepted", 3))
    assert status == ("CONDEMNED", "revision 3 was retracted: wrong")
    assert none == ("every revision labelled near was superseded or retracted, the last one is 3",)


def test_judgement_survives_a_restart_and_its_repetition_is_safe(path):
    asked = Supersede(1, 2, "wrong", since="2026-11-20T00:00:00.000000Z", request="s", digest="d")

    async def judge(bench):
        await bench.near_and_far()
        return await bench.keeper.execute(asked, BY), bench.keeper.state.judgements

    async def again(bench):
        result = await bench.keeper.execute(asked, BY)
        other = await bench.keeper.execute(replace(asked, digest="e"), BY)
        return result, other.outcome, bench.keeper.state.judgements

    result, judgements = run(path, judge)
    assert (result.outcome, result.op, result.revision, result.serial) == ("accepted", "supersede", 1, 2)
    (judgement,) = judgements
    assert (judgement.revision, judgement.by, judgement.since, judgement.author) == (1, 2, asked.since, BY)
    assert run(path, again) == (result, "refused", judgements)


def test_follow_that_the_disk_refuses_is_told_and_done_when_the_disk_takes_it(path, monkeypatch):
    real, failures = History.activate, iter([True, True])

    def failing(self, *values, **named):
        if next(failures, False):
            raise StoreError("disk full")
        return real(self, *values, **named)

    async def work(bench):
        await bench.near_and_far()
        monkeypatch.setattr(History, "activate", failing)
        await bench.go(NEAR)
        refused = bench.revision, bench.told, bench.keeper.state.message
        await bench.until(revision=1)
        return refused, bench.told

    refused, told = run(path, work)
    assert refused == (
        2, ("MOVED", "z is at 1000 mm, calibrated at 1500 mm, tolerance 0.05 mm"), "not followed: disk full",
    )  # fmt: skip
    assert told == ("VALID", "")


def test_links_are_told_as_they_stand_while_the_disk_hangs(path, monkeypatch):
    real, answers = History.activate, threading.Event()

    def hanging(self, *values, **named):
        assert answers.wait(20)
        return real(self, *values, **named)

    async def work(bench):
        await bench.near_and_far()
        monkeypatch.setattr(History, "activate", hanging)
        bench.tell(NEAR, 1.0)
        await bench.keeper.look()
        bench.tell(NEAR)
        await bench.keeper.look()
        bench.now += SETTLE
        await bench.links.change(None)
        await bench.keeper.look()
        held = bench.told[0]
        await asyncio.wait_for(bench.links.change(None), 20)  # it was told that the disk hangs
        await bench.keeper.look()
        hangs = bench.told[0]
        answers.set()
        await bench.until(revision=1)
        return held, hangs, bench.told[0]

    assert run(path, work) == ("MOVING", "MOVED", "VALID")


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("what", ["activate", "judge", "stand"])
def test_failure_in_the_last_step_is_settled_by_what_the_disk_has(path, monkeypatch, what, stored):
    real = getattr(History, what)
    failures = iter([True])

    def failing(self, *values, **named):
        failed = next(failures, False)
        if stored or not failed:
            result = real(self, *values, **named)
        if failed:
            raise UncertainStoreError("disk I/O error")
        return result

    async def work(bench):
        await bench.near_and_far()
        monkeypatch.setattr(History, what, failing)
        if what == "activate":
            await bench.go(NEAR)
            if not stored:
                await bench.until(revision=1)
            return bench.revision, bench.told[0]
        request = Retract(2, "wrong") if what == "judge" else Follow(False)
        result = await bench.keeper.execute(request, BY)
        return result.outcome, len(bench.keeper.state.judgements), bench.keeper.state.follow, bench.told[0]

    found = run(path, work)
    if what == "activate":
        assert found == (1, "VALID")
    elif what == "judge":
        assert found == (("accepted", 1, True, "CONDEMNED") if stored else ("refused", 0, True, "VALID"))
    else:
        assert found == (("accepted", 0, False, "VALID") if stored else ("refused", 0, True, "VALID"))


def test_what_is_found_wrong_while_its_place_is_looked_for_does_not_follow(path, monkeypatch):
    real, once = Follower._belonging, iter([True])

    async def work(bench):
        await bench.near_and_far()

        async def slow(self, links):
            found = await real(self, links)
            if next(once, False):
                await bench.keeper.execute(Retract(1, "wrong"), BY)
            return found

        monkeypatch.setattr(Follower, "_belonging", slow)
        await bench.go(NEAR)
        return bench.revision, bench.status, bench.keeper.state.activation.serial

    assert run(path, work) == (2, "MOVED", 2)


def test_place_is_found_beyond_the_first_rows_of_a_long_history(path, monkeypatch):
    monkeypatch.setattr("ponikeeper.follower._AT_ONCE", 3)

    async def work(bench):
        await bench.near_and_far()
        for number in range(10):
            await bench.commit(0.6 + number / 100, position={"z": 2000.0 + number})
        await bench.go(NEAR)
        near = bench.revision, bench.status
        await bench.go(NOWHERE)
        return near, (bench.revision, bench.status)

    assert run(path, work) == ((1, "VALID"), (1, "MOVED"))
