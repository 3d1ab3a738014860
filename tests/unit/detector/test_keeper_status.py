"""The status is decided with each request and each update of the links; real store, time injected."""

from keeper_bench import BY, FAR, NEAR, NOWHERE, SETTLE, run
from ponikeeper.protocol import RecordPosition, Retract
from ponikeeper.protocol.status import Status


def test_commit_stores_where_the_links_stand_when_its_turn_comes(path):
    async def work(bench):
        await bench.commit(0.3)
        absent = bench.keeper.state
        await bench.rest_at(NEAR)
        await bench.commit(0.4)
        known = bench.keeper.state
        bench.set_motor(NEAR, 1.0)
        await bench.commit(0.5)
        return absent, known, bench.keeper.state

    absent, known, moving = run(path, work)
    assert (absent.revision.position, absent.status) == (None, Status.UNKNOWN)
    assert absent.message == f"revision 1 committed by {BY}, position unknown: z (Z.RBV) is not connected"
    assert (known.revision.position, known.status) == ({"z": {"value": NEAR, "units": "mm"}}, Status.VALID)
    assert (moving.revision.position, moving.status) == (None, Status.UNKNOWN)
    assert moving.message == f"revision 3 committed by {BY}, position unknown: z (Z.RBV) is moving"


def test_commit_of_where_the_detector_no_longer_is_was_never_valid(path):
    async def work(bench):
        await bench.rest_at(NEAR)
        await bench.commit(0.3)
        await bench.move_to(FAR)
        before = len(bench.published)
        await bench.commit(0.31, position={"z": NEAR})
        return [state.status for state, _ in bench.published[before:]], bench.shown

    statuses, status = run(path, work)
    assert statuses == [Status.MOVED]
    assert status == ("MOVED", "z (Z.RBV) is at 1500 mm, calibrated at 1000 mm, tolerance 0.05 mm")


def test_slow_drift_out_of_tolerance_is_reported_once_and_its_numbers_at_intervals(path):
    async def work(bench):
        await bench.rest_at(NEAR)
        await bench.commit(0.3)
        before = len(bench.published)
        for step in range(1, 101):  # a tenth of the tolerance at a time, which takes ten times the settle time
            bench.set_motor(NEAR + 0.005 * step)
            bench.now += SETTLE
            await bench.keeper.check_links()
            beyond = step > 10
            assert bench.shown[0] == ("MOVED" if beyond else "VALID"), step
        return bench.published[before:]

    published = run(path, work)
    statuses = [state.status.name for state, _ in published]
    assert statuses == ["MOVED"] * len(statuses)
    assert published[-1][0].reason.startswith("z (Z.RBV) is at 1000.5 mm")


def test_reason_during_a_long_move_is_not_reported_at_every_step(path):
    async def work(bench):
        await bench.rest_at(NEAR)
        await bench.commit(0.3)
        await bench.move_to(NOWHERE)
        before = len(bench.published)
        for step in range(200):  # 2 s of a drift, at 100 Hz
            bench.set_motor(NOWHERE + 0.0004 * step)
            bench.now += 0.01
            await bench.keeper.check_links()
        return bench.published[before:]

    assert 1 <= len(run(path, work)) <= 3


def test_correction_of_another_revision_does_not_end_a_jitter(path):
    async def work(bench):
        await bench.rest_at(NEAR)
        for dist in (0.3, 0.31):
            await bench.commit(dist)
        for step in range(20):
            bench.set_motor(NEAR + (0.0501 if step % 2 else 0.0499))
            bench.now += 0.1
            await bench.keeper.check_links()
            if step == 12:
                await bench.keeper.execute(Retract(1, "wrong"), BY)
        return bench.statuses

    statuses = run(path, work)
    assert statuses[statuses.index("MOVED") :] == ["MOVED"] * (len(statuses) - statuses.index("MOVED"))


def test_here_makes_the_geometry_valid_at_the_present_position(path):
    async def work(bench):
        refused = [await bench.keeper.execute(RecordPosition(), BY)]
        await bench.rest_at(NEAR)
        first = await bench.commit(0.3, label="near", position="unknown")
        unknown = bench.shown
        recorded = await bench.keeper.execute(RecordPosition(request="h", digest="d"), BY)
        state = bench.keeper.state
        again = await bench.keeper.execute(RecordPosition(), BY)
        bench.set_motor(NEAR, 1.0)
        refused.append(await bench.keeper.execute(RecordPosition(), BY))
        await bench.move_to(NEAR)
        await bench.keeper.execute(Retract(2, "wrong"), BY)
        refused.append(await bench.keeper.execute(RecordPosition(), BY))
        return first, unknown, recorded, state, again, refused

    first, unknown, recorded, state, again, refused = run(path, work)
    assert unknown == (
        "UNKNOWN",
        "the position of revision 1 was never recorded",
    )  # fmt: skip
    assert (first.revision, recorded.revision, recorded.op, recorded.outcome) == (1, 2, "record_position", "accepted")
    assert (state.status, state.revision.label) == (Status.VALID, "near")
    assert state.revision.position == {"z": {"value": NEAR, "units": "mm"}}
    assert state.revision.provenance == {"method": "manual", "author": BY, "derived_from": 1}
    assert (again.revision, again.outcome) == (2, "accepted")  # nothing changed
    assert [result.errors[0].partition(":")[0] for result in refused] == [
        "no revision is active yet, so RecordPosition has no geometry to record",
        "the position of the links is unknown",
        "revision 2 was retracted",
    ]
