"""Place coordinates: where the middle of the panel is, and how they change with the values."""

import numpy as np
import pytest

import chains
from ponikeeper.geometry.kinematics.place import place_of, place_slopes, value_slopes

MIDDLE = (0.2, 0.21)
VALUES = [(0.5, 0.2, 0.21, 4e-3, -3e-3, 0.0), (0.3, -0.1, 0.4, 0.5, -0.8, 1.0), (1.5, 0.3, 0.1, -0.2, 1.2, -2.0)]


@pytest.mark.parametrize("values", VALUES)
def test_place_is_the_position_of_the_middle_without_rot3(values):
    (at,) = chains.lab_points((*values[:5], 0.0), np.array([[*MIDDLE, 0.0]]))
    assert place_of(values, MIDDLE) == pytest.approx((*at, *values[3:5]), abs=1e-14)


@pytest.mark.parametrize("values", VALUES)
def test_slopes_are_those_of_differences_and_the_inverse_of_each_other(values):
    step = 1e-6
    expected = np.zeros((5, 5))
    for column in range(5):
        sides = [place_of(tuple(np.array(values) + sign * step * np.eye(6)[column]), MIDDLE) for sign in (1, -1)]
        expected[:, column] = np.subtract(*sides) / (2 * step)
    slopes = np.array(place_slopes(values, MIDDLE))
    assert slopes == pytest.approx(expected, abs=1e-9)
    assert np.array(value_slopes(values, MIDDLE)).T @ slopes == pytest.approx(np.eye(5), abs=1e-13)


def test_errors_of_a_place_are_hardly_correlated_where_those_of_a_poni_are():
    slopes = np.array(value_slopes(VALUES[0], MIDDLE)).T
    covariance = slopes @ np.diag([1e-10, 1e-10, 1e-10, 1e-8, 1e-8]) @ slopes.T
    sigma = np.sqrt(np.diag(covariance))
    assert covariance[1, 4] / (sigma[1] * sigma[4]) < -0.97
