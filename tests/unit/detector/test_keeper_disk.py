"""Links that move while the disk does not answer or refuses writes; real store, time injected."""

import asyncio
import threading

import pytest

from keeper_bench import BY, FAR, NEAR, SETTLE, run
from ponikeeper.detector.follower import Follower
from ponikeeper.errors import StoreError, UncertainStoreError
from ponikeeper.protocol import Follow, Retract
from ponikeeper.store.sqlite_storage import SQLiteStorage


def test_failed_follow_is_reported_and_done_when_the_disk_can_be_written(path, monkeypatch):
    real, failures = SQLiteStorage.activate, iter([True, True])

    def failing(self, *values, **named):
        if next(failures, False):
            raise StoreError("disk full")
        return real(self, *values, **named)

    async def work(bench):
        await bench.near_and_far()
        monkeypatch.setattr(SQLiteStorage, "activate", failing)
        await bench.move_to(NEAR)
        refused = bench.revision, bench.shown, bench.keeper.state.message
        await bench.until(revision=1)
        return refused, bench.shown

    refused, status = run(path, work)
    assert refused == (
        2,
        ("MOVED", "z (Z.RBV) is at 1000 mm, calibrated at 1500 mm, tolerance 0.05 mm"),
        "following failed: disk full",
    )  # fmt: skip
    assert status == ("VALID", "")


def test_links_are_reported_while_the_disk_does_not_respond(path, monkeypatch):
    real, answers = SQLiteStorage.activate, threading.Event()

    def hanging(self, *values, **named):
        assert answers.wait(20)
        return real(self, *values, **named)

    async def work(bench):
        await bench.near_and_far()
        monkeypatch.setattr(SQLiteStorage, "activate", hanging)
        bench.set_motor(NEAR, 1.0)
        await bench.keeper.check_links()
        bench.set_motor(NEAR)
        await bench.keeper.check_links()
        bench.now += SETTLE
        await bench.links.wait_for_change(None)
        await bench.keeper.check_links()
        held = bench.shown[0]
        await asyncio.wait_for(bench.links.wait_for_change(None), 20)  # the store reports that the disk does not answer
        await bench.keeper.check_links()
        hangs = bench.shown[0]
        answers.set()
        await bench.until(revision=1)
        return held, hangs, bench.shown[0]

    assert run(path, work) == ("MOVING", "MOVED", "VALID")


def test_link_that_disconnects_and_reconnects_while_the_disk_is_slow_is_not_followed(path, monkeypatch):
    real, once = Follower._follow, iter([True])

    async def work(bench):
        await bench.near_and_far()

        async def slow(self, *values):
            await real(self, *values)
            if next(once, False):
                for value in (None, FAR):
                    bench.set_motor(value)
                    await bench.keeper.check_links()

        monkeypatch.setattr(Follower, "_follow", slow)
        await bench.move_to(NEAR)
        bench.now += SETTLE
        await bench.settled()
        return bench.revision, bench.shown

    assert run(path, work) == (1, ("MOVED", "z (Z.RBV) is at 1500 mm, calibrated at 1000 mm, tolerance 0.05 mm"))


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("what", ["activate", "add", "set_follow_state"])
def test_outcome_of_a_failure_in_the_last_step_is_read_from_the_disk(path, monkeypatch, what, stored):
    real = getattr(SQLiteStorage, what)
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
        monkeypatch.setattr(SQLiteStorage, what, failing)
        if what == "activate":
            await bench.move_to(NEAR)
            if not stored:
                await bench.until(revision=1)
            return bench.revision, bench.shown[0]
        request = Retract(2, "wrong") if what == "add" else Follow(False)
        result = await bench.keeper.execute(request, BY)
        return result.outcome, len(bench.keeper.state.corrections), bench.keeper.state.follow, bench.shown[0]

    found = run(path, work)
    if what == "activate":
        assert found == (1, "VALID")
    elif what == "add":
        assert found == (("accepted", 1, True, "RETRACTED") if stored else ("refused", 0, True, "VALID"))
    else:
        assert found == (("accepted", 0, False, "VALID") if stored else ("refused", 0, True, "VALID"))
