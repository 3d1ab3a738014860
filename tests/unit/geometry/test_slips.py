"""Slips: values within the wide ranges that were probably typed in another unit."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ponikeeper.geometry import Geometry
from ponikeeper.geometry.detectors import panel_size
from ponikeeper.geometry.slips import slips
from strategies import VALUES

PERKIN = {**VALUES, "detector_config": {"orientation": 3}}
PILATUS = {**PERKIN, "detector": "Pilatus1M", "pixel1": 172e-6, "pixel2": 172e-6, "poni1": 0.087, "poni2": 0.08}
SMALL = {**PERKIN, "detector": "Pilatus100k", "pixel1": 172e-6, "pixel2": 172e-6, "poni1": 0.017, "poni2": 0.042}
EIGER = {**PERKIN, "detector": "Eiger2_500k", "pixel1": 75e-6, "pixel2": 75e-6, "poni1": 0.02, "poni2": 0.04}
UNKNOWN = {**PERKIN, "detector": "Own"}
CONFIGURED = {**UNKNOWN, "detector_config": {"max_shape": [1000, 2000]}}


def of(values, limits=None, single=None, **changes):
    geometry = Geometry.parse({**values, **changes})
    return slips(geometry, list(changes), limits, single=True) if single else slips(geometry, limits=limits)


ALLOW = "; if it is right, allow it in the configuration: below [detector.limits], "


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize(
    ("values", "changes", "problem"),
    [
        (
            PERKIN,
            {"dist": 23.5},
            "dist 23.5 m is 20 m or more and looks like centimetre: write 0.235, or millimetre: write 0.0235"
            f"{ALLOW}dist = [0.1, 100.0]",
        ),
        (UNKNOWN, {"dist": 20.0}, "dist 20.0 m is 20 m or more and looks like centimetre: write 0.2, or millim"),
        (
            PERKIN,
            {"rot1": 1.5},
            "rot1 1.5 rad looks like degree: write 0.0261799387799, or milliradian: write 0.0015"
            f"{ALLOW}rot1 = [-3.14, 3.14]",
        ),
        (PERKIN, {"rot2": 2}, "rot2 2.0 rad looks like degree: write 0.0349065850399, or milli"),
        (PERKIN, {"rot3": -3.0}, "rot3 -3.0 rad looks like degree: write -0.0523598775598, or milli"),
        (PERKIN, {"rot2": 0.5}, "rot2 0.5 rad looks like degree"),
        (PERKIN, {"rot1": -0.3}, "rot1 -0.3 rad looks like degree"),
        (PERKIN, {"rot1": 1.2000000476837158}, "rot1 1.2000000476837158 rad looks like degree"),  # 32 bits
        (PERKIN, {"rot1": 1.25}, "rot1 1.25 rad looks like degree"),
        (
            PERKIN,
            {"poni1": 50.0},
            "poni1 50.0 m is more than 10 times the panel's 0.41 m away and looks like millimetre: write 0.05, "
            f"or centimetre: write 0.5, or pixel: write 0.01{ALLOW}poni1 = [-100.0, 100.0]",
        ),
        (PERKIN, {"poni2": -99.5}, "poni2 -99.5 m is more than 10 times the panel's 0.41 m away and looks like milli"),
        (EIGER, {"poni2": 0.9}, "poni2 0.9 m is more than 10 times the panel's 0.0771 m away"),
        (CONFIGURED, {"poni1": 4.1}, "poni1 4.1 m is more than 10 times the panel's 0.4 m away"),
        (UNKNOWN, {"poni1": 42.0}, "poni1 42.0 m is more than 20 m away and looks like centimetre"),
        # a tilt that was typed in degrees puts the beam far away, also on an arm
        ({**PILATUS, "dist": 2.5}, {"rot1": 1.234}, "rot1 1.234 rad puts the direct beam 7.06 m away from the detec"),
    ],
)
def test_slip_is_found_with_what_was_meant_in_a_whole_geometry_and_put_alone(values, changes, problem, single):
    (found,) = of(values, single=single, **changes)
    assert found.startswith(problem)
    assert found.isascii()


@pytest.mark.parametrize("single", [True, False])
@pytest.mark.parametrize(
    ("values", "changes"),
    [
        (PERKIN, {}),
        (PILATUS, {"dist": 19.9}),  # small-angle scattering
        (SMALL, {"dist": 1.0, "rot2": math.pi / 2}),  # on an arm
        (SMALL, {"dist": 1.0, "rot2": 1.5708}),
        (SMALL, {"dist": 1.0, "rot2": 1.57}),
        (SMALL, {"dist": 1.0, "rot2": 0.7853981}),
        (SMALL, {"dist": 1.2, "rot1": -1.0471975511965976}),
        (SMALL, {"dist": 1.2, "rot1": 1.0472}),
        (SMALL, {"dist": 1.2, "rot1": 2.0943951023931953}),  # behind the sample
        (SMALL, {"dist": 1.0, "rot1": 1.2841736}),
        (PERKIN, {"rot3": math.pi}),
        (PERKIN, {"rot3": -1.5e-9}),
        (PERKIN, {"rot1": -0.0}),
        (PERKIN, {"rot1": 0.02, "rot2": 0.05}),
        (PERKIN, {"poni1": 4.0, "poni2": -4.0}),
        (EIGER, {"poni1": 0.49}),  # one of the values of a larger panel, put alone
        (UNKNOWN, {"poni1": 19.0}),
        (CONFIGURED, {"poni1": 3.9}),
    ],
)
def test_true_values_of_detectors_are_no_slips(values, changes, single):
    assert of(values, single=single, **changes) == []


def test_beam_far_away_at_the_end_of_no_arm_is_a_slip_of_a_whole_geometry_only():
    changes = {"rot1": 0.534567, "dist": 5.0}
    (found,) = of(PILATUS, **changes)
    assert found.startswith("rot1 0.534567 rad puts the direct beam 2.88 m away from the detector, more than 10 times")
    assert " and looks like degree: write 0.00932" in found
    assert of({**PILATUS, "dist": 5.0}, single=True, rot1=0.534567) == []  # the distance may follow
    assert of({**PILATUS, "rot1": 0.534567}, single=True, dist=5.0) == []
    assert of({**PILATUS, "detector_config": {"orientation": 1}}, **changes)


@pytest.mark.parametrize(
    ("changes", "limits", "count"),
    [
        ({"dist": 35.0}, {"dist": (1.0, 40.0)}, 0),
        ({"dist": 35.0}, {"rot1": (-1.0, 1.0)}, 1),
        ({"rot1": 1.5, "rot2": 2.0}, {"rot1": (-2.0, 2.0)}, 1),
        ({"rot1": 1.5, "rot2": 2.0}, {"rot1": (-2.0, 2.0), "rot2": (-2.0, 2.0)}, 0),
        ({"poni1": 50.0}, {"poni1": (-100.0, 100.0)}, 0),
        ({"dist": 5.0, "rot1": 1.234567}, {"rot1": (0.0, 1.5)}, 0),
    ],
)
def test_limits_of_the_detector_allow_what_is_inside_them(changes, limits, count):
    assert len(of(PILATUS, limits, **changes)) == count


def test_values_that_do_not_change_are_no_slips():
    geometry = Geometry.parse({**PERKIN, "dist": 50.0, "rot1": 1.5, "poni1": 90.0})
    assert len(slips(geometry)) == 3
    assert slips(geometry, ["poni2", "rot2", "wavelength", "detector"]) == []


def test_every_slip_of_a_geometry_is_reported():
    found = of(PERKIN, dist=25.0, poni1=25.0, poni2=-25.0, rot1=1.5, rot2=2.5, rot3=3.1)
    assert [each.split()[0] for each in found] == ["dist", "poni1", "poni2", "rot1", "rot2", "rot3"]


@given(
    st.floats(0.05, 2.0),
    st.floats(-0.5, 1.5),
    st.floats(-0.5, 1.5),
    st.sampled_from([PERKIN, PILATUS, SMALL, EIGER]),
    st.integers(-2400, 2400),
)
@example(1.0, 0.0, 0.0, PILATUS, 1306)
def test_arm_at_any_tenth_of_a_degree_is_no_slip(dist, along1, along2, values, tenths):
    height, width = panel_size(values["detector"])
    turned = {"rot2": math.radians(tenths / 20), "dist": dist, "poni1": along1 * height, "poni2": along2 * width}
    assert of(values, **turned) == []
