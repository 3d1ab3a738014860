"""Least squares: the minima of scipy, also with outliers, limits and values that are not numbers."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from ponikeeper_client._least_squares import minimize

X = np.linspace(-2, 3, 200)
TRUTH = np.array([2.0, 0.7, -0.4])
NOISE = 0.05 * np.random.default_rng(0).normal(size=len(X))
START = np.array([1.0, 0.2, 0.0])


def curve(params):
    height, rate, level = params
    return height * np.exp(-rate * X) + level


def slopes(params):
    height, rate, _ = params
    falling = np.exp(-rate * X)
    return np.stack([falling, -height * X * falling, np.ones_like(X)], axis=1)


def model(values):
    return lambda params: (curve(params) - values, slopes(params))


@pytest.fixture
def values():
    return curve(TRUTH) + NOISE


@pytest.mark.parametrize("soft", [None, 0.1])
def test_the_minimum_is_that_of_scipy(values, soft):
    values[::9] += 3  # outliers
    loss = {} if soft is None else {"loss": "soft_l1", "f_scale": soft}
    expected = least_squares(lambda params: curve(params) - values, START, xtol=1e-12, ftol=1e-12, gtol=1e-12, **loss)
    result = minimize(model(values), START, soft=soft)
    np.testing.assert_allclose(result.params, expected.x, rtol=1e-4)
    assert result.cost == pytest.approx(expected.cost, rel=1e-7)
    np.testing.assert_array_equal(result.residuals, curve(result.params) - values)
    np.testing.assert_array_equal(result.jacobian, slopes(result.params))


def test_outliers_change_little_if_large_residuals_count_less(values):
    values[::9] += 3
    assert np.abs(minimize(model(values), START, soft=0.05).params - TRUTH).max() < 0.05
    assert np.abs(minimize(model(values), START).params - TRUTH).max() > 0.2


def test_the_result_stays_within_the_limits(values):
    limits = np.array([-np.inf, -np.inf, -0.2]), np.array([np.inf, 0.6, np.inf])
    expected = least_squares(lambda params: curve(params) - values, START, bounds=limits)
    np.testing.assert_allclose(minimize(model(values), START, limits=limits).params, expected.x, atol=1e-3)


def test_a_step_to_where_the_model_has_no_value_is_not_made():
    def logarithm(params):
        with np.errstate(invalid="ignore"):
            return np.log(params) + 2, np.diag(1 / params)

    assert minimize(logarithm, np.array([3.0])).params == pytest.approx(np.exp(-2), rel=1e-4)


def test_a_parameter_that_changes_nothing_stays():
    def line(params):
        return params[:1] - 5, np.array([[1.0, 0.0]])

    np.testing.assert_allclose(minimize(line, np.array([0.0, 7.0])).params, [5, 7], atol=1e-3)
