"""Links that were disconnected, or moved while the keeper was down; real store, time injected."""

import pytest

from keeper_bench import BY, FAR, NEAR, NOWHERE, SETTLE, run, started_at
from ponikeeper.protocol import Activate, Retract


def test_link_that_was_gone_makes_nothing_follow(path):
    async def work(bench):
        await bench.near_and_far()
        await bench.rest_at(None)
        gone = bench.shown
        await bench.rest_at(NEAR)
        back = bench.revision, bench.status
        await bench.move_to(FAR)
        await bench.move_to(NEAR)
        return gone, back, (bench.revision, bench.status)

    assert run(path, work) == (("UNKNOWN", "z (Z.RBV) is not connected"), (2, "MOVED"), (1, "VALID"))


@pytest.mark.parametrize("before", [True, False])
def test_start_values_of_a_server_are_not_a_move(path, before):
    """The server of a motor reports its start value first, and then where the motor is."""

    async def leave(bench):
        await bench.near_and_far()
        await bench.keeper.execute(Activate(1), BY)  # a user wants this revision here

    async def begins(bench):
        if before:
            await bench.rest_at(FAR)
            await bench.rest_at(None)
        bench.set_motor(0.0)
        await bench.keeper.check_links()
        bench.now += SETTLE / 10
        await bench.rest_at(FAR)
        return bench.revision, bench.status

    assert run(path, leave, begins) == (1, "MOVED")


def test_only_moves_during_the_downtime_count(path):
    async def leave(bench):
        await bench.near_and_far()

    async def moved(bench):
        unseen = bench.status
        await bench.rest_at(NEAR)
        return unseen, bench.revision, bench.status

    async def contrary(bench):
        await bench.rest_at(NEAR)
        await bench.keeper.execute(Activate(2), BY)  # a user wants this revision here
        return bench.revision, bench.status

    assert run(path, leave, moved) == ("UNKNOWN", 1, "VALID")
    assert run(path, contrary) == (2, "MOVED")
    assert run(path, started_at(NEAR), started_at(NEAR)) == (2, "MOVED")


def test_kill_on_the_way_is_followed_when_it_is_over(path):
    async def on_the_way(bench):
        await bench.near_and_far()
        bench.set_motor(NOWHERE, 1.0)
        await bench.keeper.check_links()
        await bench.keeper.execute(Activate(2), BY)

    async def after(bench):
        await bench.rest_at(NEAR)
        return bench.revision, bench.status

    assert run(path, on_the_way, after) == (1, "VALID")


def test_arrival_where_the_right_one_is_in_force_already_is_remembered(path):
    async def arrive(bench):
        await bench.near_and_far()
        await bench.keeper.execute(Activate(1), BY)
        await bench.move_to(NEAR)

    async def retracted(bench):
        await bench.rest_at(FAR)
        await bench.keeper.execute(Retract(2, "wrong"), BY)
        return bench.revision, bench.status

    assert run(path, arrive, started_at(FAR)) == (2, "VALID")
    assert run(path, retracted, started_at(FAR)) == (2, "RETRACTED")


def test_reconnection_elsewhere_is_not_a_move_after_a_restart_either(path):
    async def back_elsewhere(bench):
        await bench.near_and_far()
        await bench.rest_at(None)
        await bench.rest_at(NEAR)

    assert run(path, back_elsewhere, started_at(NEAR)) == (2, "MOVED")
