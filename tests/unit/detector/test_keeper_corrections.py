"""Corrected revisions are not followed, and only activated with force; real store, time injected."""

from dataclasses import replace

import pytest

from keeper_bench import BY, FAR, NEAR, run
from ponikeeper.detector.follower import Follower
from ponikeeper.protocol import Activate, Commit, Retract, Supersede
from strategies import VALUES


def test_revision_that_was_found_wrong_is_not_followed(path):
    async def work(bench):
        await bench.near_and_far()
        await bench.commit(0.51, label="far")
        await bench.move_to(NEAR)
        await bench.keeper.execute(Retract(3, "beam stop"), BY)
        await bench.move_to(FAR)
        one = bench.revision, bench.status
        await bench.keeper.execute(Supersede(2, 1, "wrong"), BY)
        condemned = bench.shown
        await bench.move_to(NEAR)
        await bench.move_to(FAR)
        return one, condemned, (bench.revision, bench.status)

    assert run(path, work) == (
        (2, "VALID"),
        ("SUPERSEDED", "revision 2 was superseded by revision 1: wrong"),
        (1, "MOVED"),
    )


def test_revision_that_is_corrected_during_the_lookup_is_not_followed(path, monkeypatch):
    real, once = Follower._find_candidate, iter([True])

    async def work(bench):
        await bench.near_and_far()

        async def slow(self, links):
            found = await real(self, links)
            if next(once, False):
                await bench.keeper.execute(Retract(1, "wrong"), BY)
            return found

        monkeypatch.setattr(Follower, "_find_candidate", slow)
        await bench.move_to(NEAR)
        return bench.revision, bench.status, bench.keeper.state.activation.serial

    assert run(path, work) == (2, "MOVED", 2)


def test_wrong_geometry_does_not_come_back_by_an_edit_that_changes_nothing(path):
    edit = Commit({"dist": 0.3}, {"method": "manual"}, edit=True)

    async def work(bench):
        await bench.rest_at(NEAR)
        await bench.commit(0.3, label="near")
        await bench.keeper.execute(Retract(1, "wrong"), BY)
        same = await bench.keeper.execute(edit, BY)
        assert (same.outcome, same.revision, bench.status) == ("accepted", 1, "RETRACTED")
        right = await bench.keeper.execute(replace(edit, geometry={"dist": 0.31}), BY)
        return (right.outcome, right.revision), bench.status

    assert run(path, work) == (("accepted", 2), "VALID")


@pytest.mark.parametrize(
    "values", [{}, {"dist": 0.3}, {"wavelength": VALUES["wavelength"], "detector": VALUES["detector"]}]
)
@pytest.mark.parametrize("more", [{"position": "now"}, {"position": {"z": NEAR}}, {"label": "far"}])
def test_wrong_geometry_does_not_come_back_by_a_commit_that_does_not_give_it(path, values, more):
    """As RecordPosition is refused; a person who gives all values states that they are right."""

    async def work(bench):
        await bench.rest_at(NEAR)
        await bench.commit(0.3, label="near")
        await bench.keeper.execute(Retract(1, "wrong"), BY)
        result = await bench.keeper.execute(Commit(values, {}, **more), BY)
        return result.outcome, *result.errors, bench.status

    assert run(path, work) == (
        "refused",
        "revision 1 was retracted: wrong, and this commit has the same geometry: activate a revision that is right; if "
        "this one is, give all its values",
        "RETRACTED",
    )


def test_commit_of_the_same_geometry_makes_a_revision_where_the_old_one_was_found_wrong(path):
    async def work(bench):
        await bench.rest_at(NEAR)
        first = await bench.commit(0.3)
        same = await bench.commit(0.3)
        await bench.keeper.execute(Retract(1, "wrong"), BY)
        return first.revision, same.revision, (await bench.commit(0.3)).revision, bench.status

    assert run(path, work) == (1, 1, 2, "VALID")


def test_corrected_revision_is_activated_only_with_force_and_its_label_means_the_right_one(path):
    async def work(bench):
        await bench.rest_at(NEAR)
        for dist in (0.3, 0.31, 0.32):
            await bench.commit(dist, label="near")
        await bench.commit(0.5, label="far")
        await bench.keeper.execute(Retract(3, "wrong"), BY)
        refused = await bench.keeper.execute(Activate(3), BY)
        label = await bench.keeper.execute(Activate("near"), BY)
        forced = await bench.keeper.execute(Activate(3, force=True), BY)
        status = bench.shown
        for number in (1, 2):
            await bench.keeper.execute(Supersede(number, 4, "wrong"), BY)
        none = await bench.keeper.execute(Activate("near"), BY)
        return refused.errors, label.revision, (forced.outcome, forced.revision), status, none.errors

    refused, label, forced, status, none = run(path, work)
    assert refused[0].startswith("revision 3 was retracted: wrong; activate one that is right")
    assert (label, forced) == (2, ("accepted", 3))
    assert status == ("RETRACTED", "revision 3 was retracted: wrong")
    assert none == (
        "every revision labelled near was superseded, retracted or undone, the last one is 3: to activate it, give its "
        "number",
    )


def test_correction_survives_a_restart_and_can_be_repeated_safely(path):
    asked = Supersede(1, 2, "wrong", since="2026-11-20T00:00:00.000000Z", request="s", digest="d")

    async def judge(bench):
        await bench.near_and_far()
        return await bench.keeper.execute(asked, BY), bench.keeper.state.corrections

    async def again(bench):
        result = await bench.keeper.execute(asked, BY)
        other = await bench.keeper.execute(replace(asked, digest="e"), BY)
        return result, other.outcome, bench.keeper.state.corrections

    result, corrections = run(path, judge)
    assert (result.outcome, result.op, result.revision, result.serial) == ("accepted", "supersede", 1, 2)
    (correction,) = corrections
    assert (correction.revision, correction.by, correction.since, correction.author) == (1, 2, asked.since, BY)
    assert run(path, again) == (result, "refused", corrections)
