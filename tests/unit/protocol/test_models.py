"""What a model gives where the links are, how far it may be used, and when its geometry is computed again."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponikeeper.geometry.kinematics import Reach
from ponikeeper.history import Correction, Revision
from ponikeeper.history.corrections import describe_correction
from ponikeeper.protocol import LinkState, Snapshot
from ponikeeper.protocol.model_revisions import is_model
from ponikeeper.protocol.models import (
    REFUSED_PX,
    STEP_PX,
    answer_at,
    certainty_of,
    corrected_members,
    derive,
    farthest_reach,
    is_current,
    joint_position,
    joints_of,
    members_of,
    model_of,
    range_text,
    shift_px,
    usual_reach,
)
from ponikeeper.protocol.parse import parse_request
from ponikeeper.protocol.request import request_text
from rails import FAR, MIDDLE, NEAR, at, commit_of, rail

TIME = "2026-11-22T09:30:00.000000Z"
MODEL = rail(members=((1, "first"), (4, "second")))


def link(value=MIDDLE, **more):
    given = {"tolerance": 0.05, "calibrated": None, "moving": False, "connected": True} | more
    return LinkState("z", "Z.RBV", "motor", "mm", value=value, **given)


def revision(model=MODEL, place=MIDDLE):
    position = {"z": {"value": place, "units": "mm"}}
    provenance = {} if model is None else {"model": model.as_dict()}
    return Revision(5, f"uid {id(model)}", TIME, None, at(MODEL, place), position, provenance, "")


def test_model_of_a_revision_is_what_was_committed():
    made = revision()
    assert (is_model(made), model_of(made), joints_of(made)) == (True, MODEL, {"z"})
    assert model_of(made) is model_of(replace(made, number=5))
    plain = revision(None)
    assert (is_model(plain), model_of(plain), joints_of(plain)) == (False, None, frozenset())
    assert members_of(MODEL) == [(1, "first"), (4, "second")]
    assert members_of(replace(MODEL, fit={})) == []


def test_snapshot_has_the_model_whose_geometry_it_has():
    made = revision()
    head = Snapshot("P:", "VALID", "", 7, 5, made.uid, "", None, None, made.geometry, made.position, made.provenance)
    assert model_of(Snapshot.from_json(head.as_json())) == MODEL
    assert model_of(head) is model_of(made)
    assert model_of(replace(head, provenance={"method": "fit"})) is None
    assert model_of(Snapshot("P:", "UNSET", "")) is None


def test_corrected_members_are_those_of_the_model():
    model = rail(members=((2, "two"), (3, "three")))
    wrong = [
        Correction(number, "retract", revision, None, None, None, "beam stop", TIME, "bob")
        for number, revision in enumerate((2, 9), 1)
    ]
    found = corrected_members(model, wrong)
    assert {number: describe_correction(correction) for number, correction in found.items()} == {
        2: "retracted: beam stop"
    }
    assert corrected_members(model, []) == {}


def test_request_with_a_model_is_read_as_it_was_written():
    request = replace(commit_of(MODEL), request="id")
    assert parse_request(request_text(request)).model == request.model


@pytest.mark.parametrize(
    "states",
    [
        (),
        (link(None, connected=False),),
        (link(moving=True),),
        (link(moving=None),),
        (link(error="its units are um"),),
        (link(out_of_service="repaired"),),
        (replace(link(), units="um"),),
    ],
)
def test_position_of_joints_that_are_not_measured_at_rest_is_unknown(states):
    assert joint_position(MODEL, states) is None
    assert derive(MODEL, {}, states) is None


def test_derived_geometry_has_the_position_of_all_links_and_how_sure_it_is():
    others = {"binning": {"value": 2.0, "units": ""}, "z": {"value": NEAR, "units": "mm"}}
    made = derive(MODEL, others, (link(1234.5),))
    assert made.geometry == at(MODEL, 1234.5)
    assert made.position == {"binning": {"value": 2.0, "units": ""}, "z": {"value": 1234.5, "units": "mm"}}
    evaluation = MODEL.evaluate({"z": 1234.5})
    assert made.certainty == certainty_of(evaluation)
    assert made.certainty["accuracy_deg"] == math.degrees(evaluation.accuracy)
    assert len(made.certainty["covariance"]["lower"]) == 21


@pytest.mark.parametrize(
    ("value", "extrapolate", "holds"),
    [
        (NEAR - 39.9, False, True),
        (FAR + 40.1, False, False),
        (FAR + 40.1, True, True),
        (FAR + 199.9, True, True),
        (FAR + 200.1, True, False),
    ],
)
def test_model_holds_within_a_part_of_its_span(value, extrapolate, holds):
    assert (derive(MODEL, {}, (link(value),), extrapolate=extrapolate) is not None) == holds


def test_where_its_geometry_was_computed_a_model_may_be_used():
    assert farthest_reach(MODEL, None) is Reach.MARGIN
    assert farthest_reach(MODEL, {"z": {"value": MIDDLE, "units": "mm"}}) is Reach.MARGIN
    assert farthest_reach(MODEL, {"z": {"value": FAR + 100, "units": "mm"}}) is Reach.EXTENDED
    assert farthest_reach(MODEL, {"z": {"value": FAR + 900, "units": "mm"}}) is Reach.EXTENDED
    assert usual_reach(extrapolate=True) is Reach.EXTENDED


def test_uncertain_or_impossible_geometry_is_a_problem():
    bad = rail(sigma=4e-4)
    answer = answer_at(bad, {"z": MIDDLE}, Reach.MARGIN)
    assert "the model is uncertain by" in answer.problem
    assert derive(bad, {}, (link(),)) is None
    behind = replace(MODEL, spans={"z": replace(MODEL.spans["z"], low=-1000.0)})
    assert "the model gives no geometry here: dist" in answer_at(behind, {"z": 0.0}, Reach.MARGIN).problem


def test_geometry_is_current_while_the_links_are_within_tolerance_and_the_rings_within_a_step():
    active = revision()
    for value, expected in ((MIDDLE, True), (MIDDLE + 0.002, True), (MIDDLE + 0.049, False), (MIDDLE + 0.06, False)):
        derived = derive(MODEL, active.position, (link(value),))
        assert is_current(MODEL, active, derived, (link(value),)) == expected
    shift = shift_px(MODEL, active.geometry, at(MODEL, MIDDLE + 0.049))
    corner = math.hypot(0.2, 0.21) / 0.7  # farthest from the beam, near enough
    assert shift == pytest.approx(corner * 0.049e-3 / 2e-4, rel=0.3)
    assert shift > STEP_PX


def test_wavelength_alone_shifts_rings_too():
    one = at(MODEL, MIDDLE)
    shift = shift_px(MODEL, one, replace(one, wavelength=one.wavelength * 1.0001))
    assert 0.05 < shift < 0.2


def test_range_names_what_is_allowed_and_what_was_calibrated():
    assert range_text(MODEL) == "z 960 to 1440 mm (calibrated 1000 to 1400)"
    assert range_text(MODEL, Reach.INSIDE) == "z 1000 to 1400 mm"
    declared = replace(MODEL, spans={"z": replace(MODEL.spans["z"], declared=True)})
    assert range_text(declared) == "z 1000 to 1400 mm"


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, 1e300, -1e300, 5e-324, 1.7e308])


@settings(max_examples=150)
@given(
    direction=st.tuples(numbers, numbers, numbers), factor=numbers.filter(bool), lower=numbers, place=numbers,
    scatter=numbers, sigma=numbers,
)  # fmt: skip
def test_extreme_numbers_of_a_model_are_a_problem_and_no_error(direction, factor, lower, place, scatter, sigma):
    joint = replace(MODEL.joints[0], direction=direction, factor=factor)
    spans = {"z": replace(MODEL.spans["z"], low=-1.7e308, high=1.7e308)}
    covariance = tuple(abs(lower) * bool(each) for each in MODEL.covariance)
    model = replace(MODEL, joints=(joint,), covariance=covariance, scatter=abs(scatter), spans=spans)
    model = replace(model, motor_sigma={"z": abs(sigma)})
    answer = answer_at(model, {"z": place}, Reach.OUTSIDE)
    assert answer.problem or answer.evaluation.rms_px <= REFUSED_PX


def test_model_that_this_version_cannot_read_is_a_geometry_at_its_position():
    newer = replace(revision(), uid="newer", provenance={"model": {**MODEL.as_dict(), "v": 2}})
    assert model_of(newer) is None
    assert joints_of(newer) == frozenset()
