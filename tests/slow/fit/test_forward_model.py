"""The forward model of the fit, compared with pyFAI's and with its own inverse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyFAI.detectors import detector_factory
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from ponikeeper.geometry import Geometry
from ponikeeper_client.fit._forward_model import (
    azimuth,
    beam_direction,
    cosine,
    detector_point,
    geometry_jacobian,
    geometry_of,
    params_of,
    two_theta,
    two_theta_and_jacobian,
)

PIXEL = 5e-3  # few and large: the same angles as of a whole panel
SHAPE = [40, 30]
FITTED = ("dist", "poni1", "poni2", "rot1", "rot2")

numbers = st.tuples(
    st.floats(0.05, 5),
    st.floats(-0.5, 0.5),
    st.floats(-0.5, 0.5),
    st.floats(-0.6, 0.6),
    st.floats(-0.6, 0.6),
    st.floats(-3.1, 3.1),
)


def geometry(values, orientation=3):
    return Geometry(*values, PIXEL, PIXEL, 1e-11, "Detector", {"orientation": orientation, "max_shape": SHAPE})


def pyfai(found):
    detector = detector_factory(
        "Detector", {"pixel1": PIXEL, "pixel2": PIXEL, "max_shape": SHAPE, "orientation": found.orientation}
    )
    return AzimuthalIntegrator(
        **{name: getattr(found, name) for name in (*FITTED, "rot3")}, detector=detector, wavelength=found.wavelength
    )


def fitted(found):
    return np.array([getattr(found, name) for name in FITTED])


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
@given(values=numbers)
@settings(max_examples=15, deadline=None)
def test_scattering_angles_are_those_of_pyfai(orientation, values):
    result = geometry(values, orientation)
    integrator = pyfai(result)
    y, x, _ = integrator.detector.calc_cartesian_positions()
    expected = integrator.array_from_unit(unit="2th_rad")
    params = params_of(result)
    # pyFAI gives positions in single precision, and computes angles from double
    assert two_theta(params, y, x) == pytest.approx(expected, rel=3e-6, abs=1e-7)
    assert cosine(params, y, x) == pytest.approx(np.cos(expected), abs=3e-6)


@given(values=numbers)
def test_geometry_comes_back_from_its_place(values):
    result = geometry(values)
    back = geometry_of(params_of(result), result)
    assert fitted(back) == pytest.approx(fitted(result), rel=1e-12, abs=1e-12)
    assert back.as_dict() | dict.fromkeys(FITTED) == result.as_dict() | dict.fromkeys(FITTED)


@given(values=numbers)
def test_place_comes_back_from_its_geometry(values):
    params = np.array(values[:5])
    assert params_of(geometry_of(params, geometry(values))) == pytest.approx(params, rel=1e-12, abs=1e-12)


@given(values=numbers)
def test_the_beam_spot_of_a_place_has_no_angle(values):
    params = np.array(values[:5])
    assert two_theta(params, params[1], params[2]) == pytest.approx(0, abs=1e-7)
    assert np.linalg.norm(beam_direction(values[3], values[4])) == pytest.approx(1)


@given(values=numbers)
def test_the_third_rotation_changes_no_place(values):
    assert (params_of(geometry(values)) == params_of(geometry((*values[:5], 0.0)))).all()


@given(values=numbers, angle=st.floats(0.01, 0.6), turn=st.floats(-3.1, 3.1))
def test_a_ray_meets_the_detector_where_its_angles_are_measured(values, angle, turn):
    params = np.array(values[:5])
    y, x = detector_point(params, np.array([angle]), np.array([turn]))
    assert two_theta(params, y, x) == pytest.approx([angle], rel=1e-9)
    assert azimuth(params, y, x) == pytest.approx([turn], abs=1e-7)


@given(values=numbers)
def test_derivative_of_the_geometry_is_that_of_differences(values):
    params, template = np.array(values[:5]), geometry(values)
    step = 1e-6 * np.eye(5)
    differences = [
        (fitted(geometry_of(params + one, template)) - fitted(geometry_of(params - one, template))) / 2e-6
        for one in step
    ]
    assert geometry_jacobian(params) == pytest.approx(np.array(differences).T, abs=1e-6)


@given(values=numbers)
@settings(max_examples=25, deadline=None)
def test_derivatives_of_the_angles_are_those_of_small_steps(values):
    params = params_of(geometry(values))
    y, x = np.meshgrid(np.linspace(-0.11, 0.13, 7), np.linspace(-0.09, 0.12, 6), indexing="ij")
    y, x = y.ravel(), x.ravel()
    angle, small = two_theta(params, y, x), 1e-6
    by_steps = np.stack([(two_theta(params + s, y, x) - two_theta(params - s, y, x)) / (2 * small)
                         for s in small * np.eye(5)], axis=1)  # fmt: skip
    off_the_beam = angle > 0.02
    same, result = two_theta_and_jacobian(params, y, x)
    assert same == pytest.approx(angle, rel=1e-12, abs=1e-12)
    assert result[off_the_beam] == pytest.approx(by_steps[off_the_beam], rel=1e-4, abs=1e-5)
