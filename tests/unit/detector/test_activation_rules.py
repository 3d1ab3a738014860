"""Which activations are refused."""

import pytest

from ponikeeper.detector.activation_rules import no_revision, require_right
from ponikeeper.errors import RefusedError
from ponikeeper.history import Correction, Revision
from ponikeeper.protocol import Activate
from rails import rail
from stores import GEOMETRY, time_of

RETRACTED = Correction(1, "retract", 3, None, None, None, "beam stop", time_of(1), "a")
FOR_A_DAY = Correction(2, "supersede", 4, 5, time_of(1), time_of(2), "typed wrong", time_of(3), "a")


def revision(number, **provenance):
    return Revision(number, f"uid {number}", time_of(0), None, GEOMETRY, None, provenance, "")


def test_model_of_a_corrected_revision_is_refused():
    model = rail(members=((2, "two"), (3, "three"))).as_dict()
    with pytest.raises(RefusedError, match="revision 3, to which the model of revision 6 was fitted, was retracted"):
        require_right(Activate(6), revision(6, model=model), [RETRACTED])
    require_right(Activate(6, force=True), revision(6, model=model), [RETRACTED])


def test_corrected_revision_is_refused_with_the_correction_and_what_to_type():
    with pytest.raises(RefusedError) as caught:
        require_right(Activate(3), revision(3), [RETRACTED, FOR_A_DAY])
    assert caught.value.problems == (
        "revision 3 was retracted: beam stop; activate one that is right, or this one anyway with "
        '"force": true (ponikeeper activate --force)',
    )


@pytest.mark.parametrize(
    ("request_", "number"),
    [(Activate(3, force=True), 3), (Activate(2), 2), (Activate("near"), 2), (Activate(4), 4)],
    ids=["forced", "right", "label", "wrong in the past only"],
)
def test_right_or_forced_revision_is_not_refused(request_, number):
    require_right(request_, revision(number), [RETRACTED, FOR_A_DAY])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ((7, 5, ["near"], None), "there is no revision 7: the history has revisions 1 to 5"),
        ((1, 0, [], None), "there is no revision 1: the history has no revisions"),
        (("mid", 5, ["far", "near"], None), "there is no revision mid: the history has labels far, near"),
        (("mid", 5, ["near", "far"], None), "there is no revision mid: the history has labels far, near"),
        (
            ("mid", 99, [f"l{number}" for number in range(99, 0, -1)], None),
            "there is no revision mid: the history has labels "
            + "".join(f"l{number}, " for number in range(80, 100))
            + "and others",
        ),
        (("mid", 5, [], None), "there is no revision mid: the history has no labels, and revisions 1 to 5"),
        (("mid", 0, [], None), "there is no revision mid: the history has no labels, and no revisions"),
        (
            ("near", 5, ["near"], 4),
            "every revision labelled near was superseded, retracted or undone, the last one is 4: to activate it, "
            "give its number",
        ),
    ],
)
def test_what_exists_is_named_where_a_revision_does_not(asked, message):
    assert no_revision(*asked) == message
