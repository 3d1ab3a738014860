"""Models of rails, arms and energies: what they say at positions that were never calibrated."""

import math
from dataclasses import replace

import pytest

import travels
from ponikeeper.errors import FitError
from ponikeeper.geometry.kinematics import Model, Reach, Span
from ponikeeper.geometry.kinematics.panel import Panel, ring_shift_px
from ponikeeper.text import strictjson
from ponikeeper_client.model.fit import fit_model

ARM_PLACES = [{"tth": float(value)} for value in (0, 20, 40)]


def off_px(travel, model, position):
    there = model.evaluate(position)
    values = model.chain.pose(position).values()
    return ring_shift_px(travel.truth(position), values, Panel.of(there.geometry, model.panel))[0]


@pytest.mark.parametrize(
    ("joints", "places", "elsewhere"),
    [
        ((travels.RAIL,), travels.along(0, 300, 600), travels.along(150, 450)),
        ((travels.ARM,), ARM_PLACES, [{"tth": 10.0}, {"tth": 33.0}]),
    ],
)
def test_geometry_elsewhere_is_the_true_one(joints, places, elsewhere):
    for seed in range(2):
        travel = travels.Travel(joints, seed)
        model = fit_model(travel.setup(), travel.members(places)).model
        for position in elsewhere:
            there = model.evaluate(position)
            assert off_px(travel, model, position) < max(0.1, 4 * there.rms_px)
            assert there.rms_px < 0.15


@pytest.mark.parametrize("factor", [1, -1])
@pytest.mark.parametrize("axis", [1, 2, 3])
def test_sense_of_rotation_of_a_free_arm_is_found(axis, factor):
    joint = replace(travels.ARM, about=axis, factor=factor * math.pi / 180)
    travel = travels.Travel((joint,), values=(0.5, 0.05, 0.3, 0.2, -0.1, 0.0))
    setup = replace(travel.setup(), joints=(replace(travels.STARTS["tth"], about=axis),))
    (found,) = fit_model(setup, travel.members(ARM_PLACES)).model.joints
    assert found.factor == joint.factor


def test_one_calibration_is_enough_for_a_nominal_arm_whose_axis_is_uncertain():
    travel = travels.Travel((travels.ARM,))
    setup = travel.setup(nominal=["tth"], ranges={"tth": (0.0, 40.0)})
    setup = replace(setup, joints=(replace(travels.STARTS["tth"], factor=travels.ARM.factor),))
    found = fit_model(setup, travel.members([{"tth": 0.0}]))
    assert found.model.fit["unchecked"]
    assert "unchecked: no calibration is left" in found.notes[0]
    assert found.model.spans["tth"] == Span(0.0, 40.0, declared=True)
    near, far = (found.model.evaluate({"tth": value}) for value in (0.0, 30.0))
    assert near.rms_px < 0.1
    assert far.rms_px > 1  # 5 mrad and 0.5 mm
    assert off_px(travel, found.model, {"tth": 30.0}) < 3 * far.rms_px


def test_rail_from_two_is_unchecked_and_from_three_is_checked():
    travel = travels.Travel((travels.RAIL,))
    assert fit_model(travel.setup(), travel.members(travels.along(0, 800))).model.fit["unchecked"]
    assert not fit_model(travel.setup(), travel.members(travels.along(0, 400, 800))).model.fit["unchecked"]


def test_energy_is_followed_and_holds_2_percent_from_one_calibration():
    travel = travels.Travel((travels.ENERGY,))
    model = fit_model(travel.setup(), travel.members([{"energy": 20.0}])).model
    assert model.spans["energy"] == Span(19.6, 20.4, declared=True)
    assert model.geometry_at({"energy": 20.2}).wavelength == pytest.approx(travels.WAVELENGTH * 20 / 20.2, rel=1e-12)
    assert model.evaluate({"energy": 20.5}).reach is Reach.OUTSIDE


def test_energies_that_are_spanned_are_calibrated():
    travel = travels.Travel((travels.RAIL, travels.ENERGY))
    places = [{"z": 0.0, "energy": 20.0}, {"z": 400.0, "energy": 30.0}, {"z": 800.0, "energy": 25.0}]
    model = fit_model(travel.setup(), travel.members(places)).model
    assert model.spans["energy"] == Span(20.0, 30.0)
    assert off_px(travel, model, {"z": 200.0, "energy": 22.0}) < 0.2


def test_revisions_without_covariance_are_named():
    travel = travels.Travel((travels.RAIL,))
    members = travel.members(travels.along(0, 400))
    from ponikeeper_client.model.members import member_of

    bare = travel.revision(3, {"z": 800.0}, is_fit=False)
    members.append(member_of(bare, "revision 3 (far)", {"z": 800.0}, travels.MIDDLE))
    found = fit_model(travel.setup(), members)
    assert found.notes == (
        "revision 3 (far): without a covariance; standard deviations of 10 um and 100 urad are assumed",
    )
    assert [member["assumed"] for member in found.model.fit["members"]] == [False, False, True]


@pytest.mark.parametrize("angles", [(0.0, 20.0, 40.0), (0.0, 10.0, 20.0, 30.0, 40.0)])
def test_axis_that_is_not_as_designed_is_reported_and_is_no_scatter(angles):
    """The calibrations determine the axis: the model is as certain as that of a free one."""
    right, wrong = (
        replace(travels.ARM, factor=math.pi / 180, tilt=(0.0, 0.0), offset=(off, 0.0)) for off in (0.0, 4e-3)
    )
    for arm in (right, wrong):
        travel = travels.Travel((arm,), 1)
        found = fit_model(travel.setup(nominal=["tth"]), travel.members([{"tth": angle} for angle in angles]))
        told = ("the axis of tth is not as designed: it is 4 mm away, 8.0 standard deviations; fit without --nominal",)
        assert found.notes == (told if arm is wrong else ())
        assert found.problems == ()
        assert found.model.scatter < 1e-5
        there = found.model.evaluate({"tth": 15.0})
        assert there.rms_px < 0.05
        assert off_px(travel, found.model, {"tth": 15.0}) < 3 * there.rms_px


def test_range_of_a_link_that_never_moved_must_be_declared():
    travel = travels.Travel((travels.ARM,))
    setup = travel.setup(nominal=["tth"])
    with pytest.raises(FitError, match=r"all calibrations were at tth 0 deg.*--range tth=0,40"):
        fit_model(setup, travel.members([{"tth": 0.0}]))


def test_model_keeps_every_bit_in_its_json_form():
    travel = travels.Travel((travels.ARM, travels.RAIL), 3)
    places = [{"tth": tth, "z": z} for tth in (0.0, 20.0, 40.0) for z in (0.0, 200.0)]
    model = fit_model(travel.setup(), travel.members(places)).model
    assert Model.parse(strictjson.loads(strictjson.dumps(model.as_dict()))) == model
    assert len(strictjson.dumps(model.as_dict())) < 8000  # a text PV has 16,000 bytes
