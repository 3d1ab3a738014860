"""Undo and labels: what they change, what they do not, and that a restart does not change it."""

from keeper_bench import BY, FAR, NEAR, NOWHERE, run
from ponikeeper.protocol import Activate, Commit, Label, RecordPosition, Retract, Undo


def edit(**values):
    return Commit(values, {"method": "manual"}, edit=True)


async def undo(bench, **more):
    return await bench.keeper.execute(Undo(**more), BY)


def test_undo_goes_back_step_by_step_and_survives_a_restart(path):
    async def begin(bench):
        await bench.rest_at(NEAR)
        await bench.commit(0.3, label="near")
        await bench.keeper.execute(edit(dist=0.31), BY)
        await bench.keeper.execute(edit(dist=0.32), BY)
        assert bench.revision == 3
        assert (await undo(bench)).revision == 2
        return bench.keeper.state.stored

    async def again(bench):
        await bench.rest_at(NEAR)
        assert bench.revision == 2
        assert (await undo(bench)).revision == 1
        state = bench.keeper.state
        assert (state.revision.label, bench.status, state.activation.cause) == ("near", "VALID", "undo")
        last = await undo(bench)
        assert last.errors[0].startswith("nothing was active before revision 1")
        return bench.revision

    assert run(path, begin, again) == 1


def test_undone_revision_is_ignored_by_following_and_labels_until_it_is_activated_by_its_number(path):
    async def work(bench):
        await bench.near_and_far()
        await bench.move_to(NEAR)
        await bench.commit(0.31, label="near")  # revision 3, a mistake
        assert (await undo(bench)).revision == 1
        await bench.move_to(FAR)
        assert bench.revision == 2
        await bench.move_to(NEAR)
        assert (bench.revision, bench.status) == (1, "VALID")
        assert (await bench.keeper.execute(Activate("near"), BY)).revision == 1
        await bench.keeper.execute(Activate(3), BY)
        await bench.move_to(FAR)
        await bench.move_to(NEAR)
        assert bench.revision == 3
        return (await bench.keeper.execute(Activate("near"), BY)).revision

    assert run(path, work) == 3


def test_old_revision_that_was_activated_by_mistake_is_followed_all_the_same(path):
    async def work(bench):
        await bench.near_and_far()
        await bench.move_to(NEAR)
        await bench.keeper.execute(Activate("far"), BY)
        assert bench.status == "MOVED"
        assert (await undo(bench)).revision == 1
        await bench.move_to(FAR)
        return bench.revision, bench.status

    assert run(path, work) == (2, "VALID")


def test_label_of_which_every_revision_was_undone_is_refused_with_what_to_type(path):
    async def work(bench):
        await bench.rest_at(NEAR)
        await bench.commit(0.3)
        await bench.commit(0.31, label="near")
        await undo(bench)
        return (await bench.keeper.execute(Activate("near"), BY)).errors

    (error,) = run(path, work)
    assert error.startswith("every revision labelled near was superseded, retracted or undone, the last one is 2: to ")


def test_undo_is_refused_after_following_and_for_an_outdated_serial_and_a_corrected_revision(path):
    async def work(bench):
        await bench.near_and_far()
        outdated = await undo(bench, expect_serial=1)
        await bench.move_to(NEAR)
        followed = await undo(bench)
        await bench.commit(0.31)
        await bench.keeper.execute(Retract(1, "beam stop"), BY)
        corrected = await undo(bench)
        assert bench.revision == 3
        return outdated.errors[0], followed.errors[0], corrected.errors[0]

    outdated, followed, corrected = run(path, work)
    assert outdated.startswith("expect_serial 1 is outdated: activation 2 is the newest one")
    assert "because the links came to its position" in followed
    assert corrected.startswith("revision 1, which was active before, was retracted: beam stop")


def test_undo_of_a_recorded_position_shows_again_that_the_links_moved(path):
    async def work(bench):
        await bench.rest_at(NEAR)
        await bench.commit(0.3, label="near")
        await bench.move_to(NOWHERE)
        assert bench.status == "MOVED"
        await bench.keeper.execute(RecordPosition(), BY)
        assert (bench.status, bench.keeper.state.revision.label) == ("VALID", "near")
        await undo(bench)
        return bench.status, bench.revision

    assert run(path, work) == ("MOVED", 1)


def test_undo_is_refused_where_the_links_went_elsewhere(path):
    async def work(bench):
        await bench.rest_at(NEAR)
        await bench.commit(0.3)
        await bench.move_to(FAR)
        await bench.commit(0.5)
        await bench.move_to(NOWHERE)
        refused = await undo(bench)
        assert bench.revision == 2
        return refused.errors[0]

    assert run(path, work).startswith("the links have moved since: z (Z.RBV) is at 1200 mm, not 1000 mm")


def test_edit_keeps_position_and_status_and_an_unchanged_one_keeps_everything(path):
    async def work(bench):
        await bench.rest_at(NEAR)
        await bench.commit(0.3, label="near")
        await bench.move_to(NOWHERE)
        before = bench.keeper.state.stored
        result = await bench.keeper.execute(edit(dist=0.3), BY)
        assert (result.outcome, result.revision, bench.status) == ("accepted", 1, "MOVED")
        assert bench.keeper.state.stored == before
        await bench.keeper.execute(edit(dist=0.31), BY)
        state = bench.keeper.state
        assert (state.revision.label, state.revision.position["z"]["value"]) == (None, NEAR)
        assert "put 1 to RecordPosition" in state.advice
        return bench.status

    assert run(path, work) == "MOVED"


def test_label_is_a_record_of_its_own_and_survives_a_restart(path):
    async def begin(bench):
        await bench.rest_at(NEAR)
        await bench.commit(0.3, label="near")
        await bench.commit(0.31)
        stored = bench.keeper.state.stored
        result = await bench.keeper.execute(Label("near"), BY)
        assert (result.revision, bench.keeper.state.snapshot().label) == (2, "near")
        assert bench.keeper.state.stored.revision == stored.revision
        assert bench.keeper.state.stored.activation == stored.activation
        same = await bench.keeper.execute(Label("near"), BY)
        assert (same.outcome, len(bench.keeper.state.stored.labels)) == ("accepted", 1)
        await bench.keeper.execute(Label("near", 1), BY)
        assert (await bench.keeper.execute(Activate("near"), BY)).revision == 1

    async def again(bench):
        await bench.rest_at(NEAR)
        assert (await bench.keeper.execute(Activate(2), BY)).revision == 2
        assert bench.keeper.state.revision.label == "near"
        await bench.keeper.execute(Label(None), BY)
        assert bench.keeper.state.revision.label is None
        return [(await bench.keeper.execute(request, BY)).errors for request in (Label("7"), Label("x", 9))]

    wrong, missing = run(path, begin, again)
    assert wrong[0].startswith('label "7" is not allowed')
    assert missing == ("there is no revision 9: the history has revisions 1 to 2",)
