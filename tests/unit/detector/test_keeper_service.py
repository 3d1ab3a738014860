"""A link that is out of service: status, position and following; real store, time injected."""

import pytest

from keeper_bench import BY, FAR, NEAR, NOWHERE, run
from ponikeeper.protocol import InService, OutOfService, RecordPosition

WHY = "controller is being repaired"


async def execute(bench, request):
    result = await bench.keeper.execute(request, BY)
    await bench.check_when_due()
    return result


async def out(bench):
    result = await execute(bench, OutOfService("z", WHY))
    assert result.outcome == "accepted"


async def back(bench):
    result = await execute(bench, InService("z", "repaired"))
    assert result.outcome == "accepted"


def test_link_out_of_service_gives_no_reason_against_the_geometry_and_the_reason_says_why(path):
    async def work(bench):
        await bench.near_and_far()
        await bench.move_to(NOWHERE)
        moved = bench.shown
        await out(bench)
        without, state = bench.shown, bench.keeper.state
        await bench.rest_at(None)
        gone = bench.shown
        await bench.rest_at(NOWHERE)
        await back(bench)
        return moved, without, gone, bench.shown, state

    moved, without, gone, after, state = run(path, work)
    assert moved[0] == after[0] == "MOVED"
    assert without == gone
    assert without[0] == "UNWATCHED"
    assert without[1].startswith(
        "every link is out of service: nothing checks this geometry; z (Z.RBV) is out of service"
    )
    assert without[1].endswith(f"Z by {BY}: {WHY}")
    assert state.findings == (("UNWATCHED", ""), ("VALID", "z"))
    assert state.link_states[0].out_of_service.endswith(f"by {BY}: {WHY}")
    assert state.message == f"link z taken out of service by {BY}: {WHY}"


def test_link_stays_out_of_service_after_a_restart(path):
    async def first(bench):
        await bench.near_and_far()
        await out(bench)

    async def second(bench):
        await bench.rest_at(NOWHERE)
        return bench.shown, bench.keeper.state.stored.service

    run(path, first)
    shown, service = run(path, second)
    assert shown[0] == "UNWATCHED"
    assert [(change.number, change.kind, change.link, change.reason, change.author) for change in service] == [
        (1, "out_of_service", "z", WHY, BY)
    ]


def test_link_out_of_service_is_not_followed_and_its_return_is_no_move(path):
    async def work(bench):
        await bench.near_and_far()
        active = bench.revision
        await out(bench)
        await bench.move_to(NEAR if active == 2 else FAR)
        elsewhere = bench.revision
        await back(bench)
        returned = (bench.revision, bench.shown[0])
        await bench.move_to(NOWHERE)
        await bench.move_to(NEAR if active == 2 else FAR)
        return active, elsewhere, returned, (bench.revision, bench.shown[0])

    active, elsewhere, returned, moved = run(path, work)
    assert elsewhere == active
    assert returned == (active, "MOVED")
    assert moved == (3 - active, "VALID")


def test_position_recorded_now_needs_a_link_in_service(path):
    async def work(bench):
        await bench.near_and_far()
        await out(bench)
        return await execute(bench, RecordPosition())

    result = run(path, work)
    assert result.errors == ("every link is out of service: return one to service, then record the position",)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (OutOfService("y", WHY), 'there is no link "y": expected one of z'),
        (InService("z"), "link z is in service: nothing to change"),
    ],
)
def test_change_of_no_link_is_refused(path, request_, message):
    async def work(bench):
        await bench.near_and_far()
        return await execute(bench, request_)

    result = run(path, work)
    assert (result.outcome, result.op, result.errors) == ("refused", request_.op, (message,))
