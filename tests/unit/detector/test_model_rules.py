"""Which models are committed, and when their geometry is computed."""

from dataclasses import replace

import pytest

from ponikeeper.detector.model_rules import (
    checked_model,
    holds_at,
    is_to_compute,
    member_numbers,
    result_of,
    with_model,
)
from ponikeeper.errors import RefusedError
from ponikeeper.history import Correction, Revision
from ponikeeper.protocol import LinkState
from ponikeeper.store import Draft
from rails import FAR, MIDDLE, NEAR, at, commit_of, rail

TIME = "2026-11-22T09:30:00.000000Z"
MODEL = rail(members=((1, "first"),))
MEMBER = Revision(1, "first", TIME, None, at(MODEL, NEAR), {"z": {"value": NEAR, "units": "mm"}}, {}, "")
UNITS = {"z": "mm"}


def link(value, name="z", units="mm"):
    return LinkState(name, f"{name}.RBV", "motor", units, 0.05, value, None, False, True)


def revision(**position):
    places = {"z": {"value": MIDDLE, "units": "mm"}, **position}
    return Revision(5, "the model", TIME, None, at(MODEL, MIDDLE), places, {"model": MODEL.as_dict()}, "")


def test_result_of_a_draft_is_that_of_its_revision():
    draft = Draft(MODEL.geometry, {"model": MODEL.as_dict()}, None, revision().position)
    assert result_of(draft, [link(FAR)]) == result_of(revision(), [link(FAR)])
    assert result_of(draft, [link(FAR)]).geometry == at(MODEL, FAR)
    assert result_of(MEMBER, [link(FAR)]) is None


def test_geometry_is_computed_where_it_differs_and_the_model_holds():
    assert not is_to_compute(None, [link(FAR)])
    assert not is_to_compute(MEMBER, [link(FAR)])
    assert not is_to_compute(revision(), [link(MIDDLE)])
    assert is_to_compute(revision(), [link(FAR)])
    assert not is_to_compute(revision(), [link(FAR + 100)])
    assert is_to_compute(revision(), [link(FAR + 100)], extrapolate=True)


def test_model_holds_where_the_other_links_are_where_it_was_calibrated():
    other = revision(y={"value": 7.0, "units": "mm"})
    assert holds_at(other, [], [link(FAR), link(7.0, "y")])
    assert not holds_at(other, [], [link(FAR), link(8.0, "y")])
    assert not holds_at(revision(), [], [link(FAR), link(7.0, "y")])
    wrong = Correction(1, "retract", 1, None, None, None, "wrong", TIME, "bob")
    assert not holds_at(other, [wrong], [link(FAR), link(7.0, "y")])
    assert not holds_at(MEMBER, [], [link(NEAR)])


def test_commit_has_the_geometry_of_the_model_and_how_sure_it_is():
    commit = commit_of(MODEL)
    assert checked_model(commit, UNITS, [MEMBER], []) == MODEL
    made = with_model(commit, MODEL)
    assert made.geometry == MODEL.geometry.as_dict()
    assert made.provenance["method"] == "model"
    assert made.provenance["sigma"] == MODEL.evaluate({"z": MIDDLE}).sigma


@pytest.mark.parametrize(
    ("commit", "units", "member", "message"),
    [
        (commit_of(MODEL), {"z": "um"}, MEMBER, "needs the link z in mm: it is configured in um"),
        (commit_of(MODEL), {}, MEMBER, "needs the link z in mm: it is not configured"),
        (replace(commit_of(MODEL), position="now"), UNITS, MEMBER, "the position of a model is its reference"),
        (replace(commit_of(MODEL), edit=True), UNITS, MEMBER, "an edit has no model"),
        (replace(commit_of(MODEL), geometry={"dist": 0.5}), UNITS, MEMBER, "the geometry is not that of the model"),
        (commit_of(MODEL), UNITS, replace(MEMBER, uid="other"), "which this history does not have"),
        (
            commit_of(MODEL), UNITS, replace(MEMBER, geometry=replace(MEMBER.geometry, rot3=0.5)),
            "rot3 of the model is 0.0, that of revision 1 is 0.5",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(commit, units, member, message):
    with pytest.raises(RefusedError, match=message):
        checked_model(commit, units, [member], [])


@pytest.mark.parametrize(
    "fit", [None, 3, {}, {"members": 3}, {"members": [3, {}, {"revision": "1"}, {"revision": -1}]}]
)
def test_members_of_anything_are_read_without_an_error(fit):
    assert member_numbers({"fit": fit}) == []
    assert member_numbers(MODEL.as_dict()) == [1]


def test_model_that_is_uncertain_or_impossible_at_its_own_reference_is_refused():
    for model, message in (
        (rail(sigma=1e-4, members=((1, "first"),)), "at its own reference, the model is uncertain by 0.65 px"),
        (replace(MODEL, scatter=1e200), "at its own reference, the model"),
    ):
        with pytest.raises(RefusedError, match=message):
            checked_model(commit_of(model), UNITS, [MEMBER], [])
