"""A model is active: its geometry is computed where the links rest, stored, and never stale while it looks valid."""

import asyncio
from dataclasses import replace

import pytest

from keeper_bench import BY, Z, run
from ponikeeper.errors import StoreError
from ponikeeper.protocol import Activate, Follow, OutOfService, RecordPosition, Retract, Undo
from ponikeeper.store.sqlite_storage import SQLiteStorage
from rails import FAR, MIDDLE, NEAR, at, calibration, commit_of, rail
from wire import new_request

OTHER = 1300.0
"""A place in the range where nothing was calibrated."""

OUTSIDE = 1500.0


@pytest.fixture
def path(quick_path):
    return quick_path / "ponikeeper.sqlite"


async def calibrated(bench, *places):
    """Commit a calibration at each place, and return number and uid of each."""
    model, members = rail(), []
    for place in places:
        await bench.move_to(place)
        result = await bench.keeper.execute(
            _commit(calibration(model, place), label={NEAR: "near", FAR: "far"}.get(place)), BY
        )
        assert result.outcome == "accepted", result.errors
        members.append((bench.revision, bench.keeper.state.revision.uid))
    return members


def _commit(values, **more):
    return new_request(values, position="now", **more)


async def with_model(bench, *places, **more):
    """Calibrate, commit the model, and return it."""
    model = rail(members=tuple(await calibrated(bench, *places)))
    result = await bench.keeper.execute(commit_of(model, **more), BY)
    assert result.outcome == "accepted", result.errors
    return model


def here(bench):
    """Return the active geometry, its status and the cause of its activation."""
    state = bench.keeper.state
    return state.revision.geometry, state.status.name, state.activation.cause


def test_committed_model_has_the_geometry_of_the_place_at_once(path):
    async def work(bench):
        model = await with_model(bench, NEAR, FAR)
        assert here(bench) == (at(model, FAR), "VALID", "commit")
        assert bench.statuses[-1] == "VALID"
        return bench.keeper.state.stored

    async def again(bench):
        return bench.keeper.state.stored

    assert run(path, work) == run(path, again)


def test_geometry_of_each_rest_is_activated_with_its_uncertainty_and_position(path):
    async def work(bench):
        model = await with_model(bench, NEAR, FAR)
        serial, number = bench.keeper.state.stored.serial, bench.revision
        bench.published.clear()
        for place in (OTHER, NEAR, 1111.1, FAR + 30):
            await bench.move_to(place)
            assert here(bench) == (at(model, place), "VALID", "model")
            revision = bench.keeper.state.revision
            assert revision.position["z"] == {"value": place, "units": "mm"}
            assert revision.provenance["sigma"] == model.evaluate({"z": place}).sigma
        assert (bench.revision, bench.keeper.state.stored.serial) == (number, serial + 4)
        assert bench.keeper.state.count == number
        assert {"MOVED", "OUT_OF_RANGE"}.isdisjoint(bench.statuses)

    run(path, work)


def test_outside_the_range_it_is_out_of_range_and_the_last_geometry_stays(path):
    async def work(bench):
        model = await with_model(bench, NEAR, FAR)
        await bench.move_to(OUTSIDE)
        outside = here(bench), bench.shown
        await bench.move_to(OTHER)
        return model, outside, here(bench)

    model, ((geometry, _, _), (status, reason)), inside = run(path, work)
    assert (geometry, status) == (at(model, FAR), "OUT_OF_RANGE")
    assert "z is at 1500 mm, the model holds for z 960 to 1440 mm (calibrated 1000 to 1400)" in reason
    assert inside == (at(model, OTHER), "VALID", "model")


def test_configuration_allows_to_extrapolate(path):
    async def work(bench):
        model = await with_model(bench, NEAR, FAR)
        await bench.move_to(FAR + 150)
        farther = here(bench)
        await bench.move_to(FAR + 250)
        return model, farther, bench.status

    model, farther, beyond = run(path, work, extrapolate=True)
    assert farther == (at(model, FAR + 150), "VALID", "model")
    assert beyond == "OUT_OF_RANGE"


def test_step_within_the_tolerance_of_the_link_is_computed_too(path):
    async def work(bench):
        model = await with_model(bench, NEAR, MIDDLE)
        bench.published.clear()
        place = MIDDLE
        for _ in range(3):
            bench.now += 2.0
            place += Z.tolerance * 0.9
            await bench.rest_at(place, after=0.0)
            assert here(bench) == (at(model, place), "VALID", "model")
        return bench.statuses

    assert run(path, work) == ["MOVING", "VALID"] * 3


def test_steps_within_the_tolerance_are_computed_once_a_second(path):
    async def work(bench):
        model = await with_model(bench, NEAR, MIDDLE)
        await bench.rest_at(MIDDLE + 0.04, after=0.0)
        serial = bench.keeper.state.stored.serial
        await bench.rest_at(MIDDLE, after=0.0)
        waiting = bench.status, bench.keeper.state.stored.serial - serial
        due = await bench.keeper.check_links()
        bench.now = due
        await bench.settled()
        return waiting, here(bench) == (at(model, MIDDLE), "VALID", "model")

    assert run(path, work) == (("MOVING", 0), True)


def test_it_is_evaluated_with_following_switched_off(path):
    async def work(bench):
        model = await with_model(bench, NEAR, FAR)
        await bench.keeper.execute(Follow(False), BY)
        await bench.move_to(OTHER)
        return here(bench) == (at(model, OTHER), "VALID", "model")

    assert run(path, work)


def test_restart_at_another_place_is_evaluated_there(path):
    models = []

    async def first(bench):
        models.append(await with_model(bench, NEAR, FAR))

    async def second(bench):
        loaded = bench.status, bench.keeper.state.revision.geometry == at(models[0], FAR)
        await bench.rest_at(OTHER)
        return loaded, here(bench) == (at(models[0], OTHER), "VALID", "model"), set(bench.statuses)

    loaded, right, statuses = run(path, first, second)
    assert loaded == ("UNKNOWN", True)
    assert right
    assert statuses <= {"UNKNOWN", "MOVING", "VALID"}


@pytest.mark.parametrize(("prefer", "revision"), [("model", 3), ("calibrated", 1)])
def test_calibrated_revision_is_preferred_where_the_configuration_says_so(path, prefer, revision):
    async def work(bench):
        model = await with_model(bench, NEAR, FAR)
        await bench.move_to(NEAR)
        there = bench.revision, bench.status
        await bench.move_to(OTHER)
        return model, there, (bench.revision, *here(bench))

    model, there, elsewhere = run(path, work, prefer=prefer)
    assert there == (revision, "VALID")
    assert elsewhere[:3] == (3, at(model, OTHER), "VALID")


def test_what_was_calibrated_after_the_model_is_activated_where_it_was_calibrated(path):
    async def work(bench):
        model = await with_model(bench, NEAR, FAR)
        await bench.move_to(OTHER)
        await bench.keeper.execute(_commit(calibration(model, OTHER)), BY)
        newest = bench.revision
        await bench.move_to(NEAR)
        away = bench.revision
        await bench.move_to(OTHER)
        return newest, away, bench.revision

    assert run(path, work) == (4, 3, 4)


def test_correction_of_a_member_makes_the_model_stale(path):
    async def work(bench):
        await with_model(bench, NEAR, FAR)
        await bench.keeper.execute(Retract(1, "the wrong standard"), BY)
        stale = bench.shown
        await bench.move_to(OTHER)
        return stale, bench.shown[0]

    (status, reason), later = run(path, work)
    assert (status, later) == ("RETRACTED", "RETRACTED")
    assert "revision 1, to which the model of revision 3 was fitted, was retracted: the wrong standard" in reason


def test_joint_out_of_service_or_lost_is_unknown(path):
    async def work(bench):
        await with_model(bench, NEAR, FAR)
        bench.set_motor(None)
        await bench.settled()
        lost = bench.shown[0]
        bench.set_motor(OTHER)
        await bench.rest_at(OTHER)
        back = bench.shown[0]
        await bench.keeper.execute(OutOfService("z", "repaired"), BY)
        return lost, back, bench.shown

    lost, back, (status, reason) = run(path, work)
    assert (lost, back, status) == ("UNKNOWN", "VALID", "UNKNOWN")
    assert "the model needs z (Z.RBV), which is out of service" in reason


def test_undo_of_a_model_returns_to_what_was_active_before_it_and_undo_of_a_commit_to_the_model(path):
    async def work(bench):
        model = await with_model(bench, NEAR, FAR)
        undone = await bench.keeper.execute(Undo(), BY)
        first = undone.outcome, bench.revision, bench.status
        await bench.keeper.execute(Activate(3), BY)
        await bench.keeper.execute(_commit({**calibration(model, FAR), "dist": 0.8}), BY)
        undone = await bench.keeper.execute(Undo(), BY)
        return model, first, (undone.outcome, bench.revision, here(bench))

    model, first, (outcome, revision, state) = run(path, work)
    assert first == ("accepted", 2, "VALID")
    assert (outcome, revision, state) == ("accepted", 3, (at(model, FAR), "VALID", "undo"))


def test_model_is_undone_wherever_the_links_are_and_not_followed_again(path):
    async def work(bench):
        await with_model(bench, NEAR, FAR)
        await bench.move_to(OTHER)
        result = await bench.keeper.execute(Undo(), BY)
        undone = bench.revision, bench.status
        await bench.move_to(MIDDLE)
        return result, undone, (bench.revision, bench.status)

    result, undone, later = run(path, work)
    assert (result.outcome, undone, later) == ("accepted", (2, "MOVED"), (2, "MOVED"))


def test_position_of_a_model_is_not_recorded(path):
    async def work(bench):
        await with_model(bench, NEAR, FAR)
        return await bench.keeper.execute(RecordPosition(), BY), bench.keeper.state.count

    result, count = run(path, work)
    assert (result.outcome, count) == ("refused", 3)
    assert "revision 3 is a model, whose geometry is computed for the position of the links" in result.errors[0]


def test_model_with_a_corrected_member_is_activated_only_by_force(path):
    async def work(bench):
        await with_model(bench, NEAR, FAR)
        await bench.keeper.execute(Activate(1), BY)
        await bench.keeper.execute(Retract(2, "the wrong standard"), BY)
        refused = await bench.keeper.execute(Activate(3), BY)
        forced = await bench.keeper.execute(Activate(3, force=True), BY)
        return refused, forced.outcome, bench.status

    refused, forced, status = run(path, work)
    assert (refused.outcome, forced, status) == ("refused", "accepted", "RETRACTED")
    assert "revision 2, to which the model of revision 3 was fitted, was retracted" in refused.errors[0]


def test_without_the_configuration_what_was_extrapolated_is_out_of_range(path):
    models = []

    async def first(bench):
        models.append(await with_model(bench, NEAR, FAR))
        await bench.move_to(FAR + 150)
        assert here(bench) == (at(models[0], FAR + 150), "VALID", "model")

    async def second(bench):
        await bench.rest_at(FAR + 150)
        there = bench.status
        await bench.move_to(FAR + 180)
        farther = bench.status
        await bench.move_to(OTHER)
        return there, farther, bench.status

    assert run(path, first, extrapolate=True) is None
    assert run(path, second) == ("OUT_OF_RANGE", "OUT_OF_RANGE", "VALID")


@pytest.mark.parametrize("change", ["negative", "too large"])
def test_model_whose_numbers_lead_nowhere_elsewhere_never_ends_the_service(path, change):
    async def work(bench):
        model = rail(members=tuple(await calibrated(bench, NEAR, FAR)))
        request = commit_of(model)
        values = dict(request.model)
        if change == "negative":
            lower = list(values["covariance"])
            lower[-1] = -1e-3
            values["covariance"] = lower
        else:
            values["by_wavelength"] = [*[0.0] * 7, 1e200]
        result = await bench.keeper.execute(replace(request, model=values), BY)
        await bench.move_to(OTHER)
        return result, bench.status

    result, status = run(path, work)
    if change == "negative":
        assert (result.outcome, "variances that are not negative" in result.errors[0]) == ("refused", True)
    else:
        assert (result.outcome, status) in (("refused", "MOVED"), ("accepted", "OUT_OF_RANGE"))


def test_same_model_again_is_no_new_revision(path):
    async def work(bench):
        model = await with_model(bench, NEAR, FAR)
        await bench.move_to(OTHER)
        await bench.keeper.execute(commit_of(model), BY)
        return bench.keeper.state.count

    assert run(path, work) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"members": ((1, "other"),)}, "fitted to revision 1 with uid other, which this history does not have"),
        ({"members": ((9, "other"),)}, "fitted to revision 9 with uid other, which this history does not have"),
        ({"link": "y"}, "the model needs the link y in mm: it is not configured"),
    ],
)
def test_model_that_does_not_fit_the_history_or_the_links_is_refused(path, change, message):
    async def work(bench):
        await calibrated(bench, NEAR, FAR)
        return await bench.keeper.execute(commit_of(rail(**change)), BY), bench.keeper.state.count

    result, count = run(path, work)
    assert (result.outcome, count) == ("refused", 2)
    assert message in "; ".join(result.errors)


def test_model_with_another_reference_or_unreadable_parts_or_corrected_members_is_refused(path):
    async def work(bench):
        members = tuple(await calibrated(bench, NEAR, FAR))
        model = rail(members=members)
        elsewhere = await bench.keeper.execute(commit_of(model, {"z": NEAR}), BY)
        broken = commit_of(model)
        broken = await bench.keeper.execute(type(broken)({}, model={**broken.model, "free": ["dist", "speed"]}), BY)
        await bench.keeper.execute(Retract(1, "wrong"), BY)
        corrected = await bench.keeper.execute(commit_of(model), BY)
        return [elsewhere, broken, corrected], bench.keeper.state.count

    results, count = run(path, work)
    assert [result.outcome for result in results] == ["refused"] * 3
    messages = ["; ".join(result.errors) for result in results]
    assert 'the position of a model is its reference: expected "z": 1200.0' in messages[0]
    assert 'model: "free" does not fit the model' in messages[1]
    assert "revision 1, a member, was retracted: wrong: fit without it" in messages[2]
    assert count == 2


def test_geometry_that_cannot_be_stored_is_not_shown_and_the_reason_is(path, monkeypatch):
    real, failures = SQLiteStorage.activate, iter([True, True])

    def failing(self, *values, **named):
        if next(failures, False):
            raise StoreError("disk full")
        return real(self, *values, **named)

    async def work(bench):
        model = await with_model(bench, NEAR, FAR)
        await bench.keeper.execute(Follow(False), BY)
        monkeypatch.setattr(SQLiteStorage, "activate", failing)
        await bench.move_to(OTHER)
        before = bench.status, bench.keeper.state.revision.geometry == at(model, FAR), bench.keeper.state.message
        async with asyncio.timeout(20):
            while bench.status != "VALID":
                await asyncio.sleep(0.01)
                await bench.settled()
        return before, here(bench) == (at(model, OTHER), "VALID", "model"), bench.keeper.state.message

    before, right, message = run(path, work)
    assert before == ("MOVING", True, "following failed: disk full")
    assert right
    assert message == "revision 3: geometry computed for z 1300 mm"


def test_model_that_is_too_long_for_a_snapshot_is_refused_with_what_to_do(path):
    async def work(bench):
        model = rail(members=tuple(await calibrated(bench, NEAR, FAR)))
        long = replace(model, fit={**model.fit, "notes": ["x" * 100] * 120})
        return await bench.keeper.execute(commit_of(long), BY), bench.keeper.state.count

    result, count = run(path, work)
    assert (result.outcome, count) == ("refused", 2)
    assert "fit the model to fewer revisions, or shorten detector_config or the comment by" in result.errors[0]


def test_readback_that_jitters_about_the_edge_of_the_range_is_outside_until_it_has_settled(path):
    async def work(bench):
        await with_model(bench, NEAR, FAR)
        await bench.move_to(FAR + 39.98)
        bench.published.clear()
        for place in (40.02, 39.98) * 5:
            await bench.rest_at(FAR + place, after=0.1)
        jittering = bench.statuses
        bench.now += 2.0
        await bench.settled()
        return jittering, bench.status

    jittering, later = run(path, work)
    assert (jittering, later) == (["OUT_OF_RANGE"], "VALID")
