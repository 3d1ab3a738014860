"""What an undo undoes, and why it is refused."""

import itertools

import pytest

from ponikeeper.detector.undo_rules import UndoStep, activation_to_undo, decide_undo, require_expected
from ponikeeper.errors import RefusedError
from ponikeeper.history import Activation, Correction, Revision
from ponikeeper.protocol import LinkState, Undo
from stores import GEOMETRY, time_of


def history(*causes):
    return [Activation(serial, serial, time_of(serial), cause, "a") for serial, cause in enumerate(causes, 1)]


def newest(causes, undone=()):
    return activation_to_undo(reversed(history(*causes)), set(undone)).serial


def test_newest_requested_activation_is_undone_and_then_the_one_before():
    assert newest(["commit", "commit", "record_position"]) == 3
    assert newest(["commit", "commit", "record_position", "undo"], [3]) == 2


def test_requests_after_an_undo_are_undone_first():
    assert newest(["commit", "commit", "undo", "activate"], [2]) == 4
    with pytest.raises(RefusedError, match="nothing was active before revision 1"):
        newest(["commit", "commit", "undo", "activate", "undo"], [2, 4])


@pytest.mark.parametrize("causes", [["commit", "commit", "follow"], ["commit", "follow", "commit", "undo"]])
def test_what_was_activated_before_the_links_were_followed_is_not_undone(causes):
    with pytest.raises(RefusedError, match=r"was activated at .* because the links came to its position"):
        newest(causes, [3])


def test_there_is_nothing_to_undo_before_the_first_commit():
    with pytest.raises(RefusedError, match="nothing to undo: no geometry was ever committed"):
        newest([])
    with pytest.raises(RefusedError, match="nothing was active before revision 1: commit the right geometry"):
        newest(["commit"])


def test_no_more_of_the_history_is_read_than_needed():
    endless = itertools.chain(reversed(history("commit", "commit")), (pytest.fail("read on") for _ in range(1)))
    assert activation_to_undo(endless, ()).serial == 2


def position(z, units="mm"):
    return None if z is None else {"z": {"value": float(z), "units": units}}


def problems(before, wrong, now, corrections=(), units="mm", **more):
    revisions = [
        Revision(number, "uid", time_of(number), None, GEOMETRY, where, {}, "sha256:1")
        for number, where in ((1, position(before, units)), (2, position(wrong)))
    ]
    step = UndoStep(history("commit", "commit")[1], revisions[1], revisions[0])
    state = {"moving": False, "connected": True} | more
    links = [LinkState("z", "Z.RBV", "motor", "mm", 0.05, now, None, **state)]
    try:
        assert decide_undo(step, corrections, links) == revisions[0]
    except RefusedError as error:
        return list(error.problems)
    return []


@pytest.mark.parametrize(
    ("before", "wrong", "now"),
    [
        (1000, 1000, 1000),  # a slip at the place of the calibration
        (1000, None, 1000),  # a PONI, at no known place
        (1000, 500, 500),  # RecordPosition, or a calibration, at the wrong place: MOVED is the truth
        (1000, 1000, 500),  # an edit far away keeps the position
        (1000, 500, 1000),  # another revision was activated by mistake
        (None, 500, 700),
        (1000, 500, None),  # where the motor is, is not known
    ],
)
def test_undo_is_possible_where_it_leads_back_to_what_was_shown(before, wrong, now):
    assert problems(before, wrong, now) == []
    assert problems(before, wrong, now, moving=True) == []


@pytest.mark.parametrize(("before", "wrong", "now"), [(1000, 500, 700), (1000, None, 500), (1000, 1000.5, 500)])
def test_undo_after_the_links_went_elsewhere_is_refused_with_where_they_are(before, wrong, now):
    (problem,) = problems(before, wrong, now)
    assert problem == (
        f"the links have moved since: z (Z.RBV) is at {now} mm, not 1000 mm, where revision 1 was calibrated: put 1 to "
        "Activate if it is right all the same"
    )


@pytest.mark.parametrize(("before", "units"), [(1.0, "m"), (1e6, "um"), (1e12, "pm")])
def test_position_in_other_units_is_the_same_place(before, units):
    assert problems(before, 1000, 500, units=units) == []  # both were calibrated there
    (problem,) = problems(before, 500, 700, units=units)
    assert "z (Z.RBV) is at 700 mm, not 1000 mm, where revision 1 was calibrated" in problem


def test_link_out_of_service_does_not_refuse_an_undo():
    assert problems(1000, 500, 700, out_of_service="since yesterday") == []


@pytest.mark.parametrize("expected", [None, 4])
def test_undo_that_expects_any_activation_or_the_newest_one_goes_on(expected):
    require_expected(Undo(expect_serial=expected), 4)


@pytest.mark.parametrize("expected", [3, 5])
def test_undo_that_expects_another_activation_is_refused_with_the_newest_one(expected):
    with pytest.raises(RefusedError) as caught:
        require_expected(Undo(expect_serial=expected), 4)
    assert caught.value.problems == (
        f"expect_serial {expected} is outdated: activation 4 is the newest one; read the snapshot again, then send a "
        "new request",
    )


def test_undo_to_a_revision_that_was_corrected_is_refused_with_the_correction():
    retracted = [Correction(1, "retract", 1, None, None, None, "beam stop", time_of(1), "a")]
    (problem,) = problems(1000, 1000, 1000, retracted)
    assert problem == "revision 1, which was active before, was retracted: beam stop: activate one that is right"
