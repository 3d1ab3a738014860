"""A fit of a history."""

from dataclasses import replace

import pytest

import travels
from ponikeeper.errors import ConfigError, FitError
from ponikeeper.protocol import LinkState
from ponikeeper_client.model.history_fit import Knowledge, fit_history
from ponikeeper_client.model.model_file import load_model, write_json
from ponikeeper_client.model.motion import Motion

RAIL = travels.Travel((travels.RAIL,))
HISTORY = RAIL.history(travels.along(200, 600, 1000), ("near", "mid", "far"))
MOTION = Motion(("z",), (), None)


def test_history_is_fitted_and_the_model_is_written_and_read(tmp_path):
    made = fit_history(HISTORY, "near,mid,far", MOTION, Knowledge(motor_sigma={"z": 0.005}))
    fitted = made.fitted
    assert (fitted.problems, made.notes) == ((), [])
    assert [member["revision"] for member in fitted.model.fit["members"]] == [1, 2, 3]
    assert [member.revision.number for member in made.members] == [1, 2, 3]
    write_json(tmp_path / "travel.json", fitted.model.as_dict())
    assert load_model(tmp_path / "travel.json") == fitted.model


def test_detector_of_unknown_size_is_refused():
    revisions = [
        travels.made(each.number, replace(each.geometry, detector="Detector"), each.position, each.label)
        for each in HISTORY.revisions
    ]
    with pytest.raises(FitError, match="the size of the detector Detector is not known"):
        fit_history(travels.history_of(revisions), "all", MOTION, Knowledge())


def test_option_for_a_link_that_is_no_joint_is_refused():
    with pytest.raises(ConfigError, match=r"--sigma x=\.\.\.: x is no joint, expected one of z"):
        fit_history(HISTORY, "all", MOTION, Knowledge(motor_sigma={"x": 1.0}))


@pytest.mark.parametrize(
    ("known", "problem"),
    [
        ({"motor_sigma": {"z": -1.0}}, "--sigma z=-1.0 is no standard deviation"),
        ({"scale_sigma": {"z": -1e-4}}, "--scale-sigma z=-0.0001 is no standard deviation"),
        ({"ranges": {"z": (1400.0, 1000.0)}}, "type --range z=1000.0,1400.0"),
    ],
)
def test_value_that_no_model_can_have_is_refused_before_the_history_is_looked_at(known, problem):
    with pytest.raises(ConfigError, match=problem):
        fit_history(travels.history_of([]), "all", MOTION, Knowledge(**known))


def test_standard_deviation_that_leaves_no_digits_is_refused():
    with pytest.raises(FitError, match=r"the model cannot be computed: .*\(--sigma\)"):
        fit_history(HISTORY, "all", MOTION, Knowledge(motor_sigma={"z": 1e9}))


def test_range_of_the_energy_is_more_than_0():
    with pytest.raises(ConfigError, match="more than 0"):
        Knowledge(ranges={"energy": (0.0, 40.0)}).require_for(Motion((), (), "energy"))


def configured(**values):
    given = {"units": "mm", "tolerance": 0.05, "value": None, "calibrated": None, "moving": False, "connected": True}
    return LinkState("z", "Z.RBV", "motor", **(given | values))


def test_joint_has_the_units_of_the_configured_link():
    made = fit_history(HISTORY, "all", MOTION, Knowledge(), [configured(units="m")])
    (joint,) = made.fitted.model.joints
    assert (joint.units, made.fitted.model.reference) == ("m", {"z": 0.6})
    there = fit_history(HISTORY, "all", MOTION, Knowledge()).fitted.model.geometry_at({"z": 523.0})
    assert made.fitted.model.geometry_at({"z": 0.523}).dist == pytest.approx(there.dist, abs=1e-9)


def test_configured_scale_of_a_motor_is_used_unless_one_is_given():
    travel = travels.Travel((travels.RAIL,), 1, wavelength_error=1e-3)
    history = travel.history(travels.along(200, 600, 1000))

    def sigma(known, *links):
        (found,) = fit_history(history, "all", MOTION, known, links).fitted.travel
        return found.sigma

    assert sigma(Knowledge(), configured()) == pytest.approx(sigma(Knowledge()))
    assert sigma(Knowledge(), configured(scale_sigma=1e-3)) == sigma(Knowledge(scale_sigma={"z": 1e-3}))
    assert sigma(Knowledge(scale_sigma={"z": 0.0}), configured(scale_sigma=1e-3)) == sigma(Knowledge())
    assert sigma(Knowledge(), configured(scale_sigma=1e-3)) > 1e-3


@pytest.mark.parametrize("value", [0.0, -5.0])
@pytest.mark.parametrize("number", [1, 2])
def test_calibration_at_an_energy_that_is_not_possible_is_refused(value, number):
    travel = travels.Travel((travels.RAIL, travels.ENERGY))
    revisions = [*travel.history([{"z": place, "energy": 20.0} for place in (200.0, 600.0, 1000.0)]).revisions]
    right = revisions[number - 1]
    position = {**right.position, "energy": {"value": value, "units": "keV"}}
    revisions[number - 1] = travels.made(right.number, right.geometry, position)
    with pytest.raises(FitError, match=rf"revision {number} has energy at {value:g} keV: expected more than 0"):
        fit_history(travels.history_of(revisions), "all", Motion(("z",), (), "energy"), Knowledge())
