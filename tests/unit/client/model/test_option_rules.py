"""What the options of a fit may say."""

import math

import pytest

from ponikeeper_client.model.option_rules import sigma_problem, span_problem


@pytest.mark.parametrize(
    ("option", "sigma"), [("--sigma", 0.0), ("--sigma", 7.0), ("--scale-sigma", 0.0), ("--scale-sigma", 0.1)]
)
def test_standard_deviation_that_a_model_can_have_is_accepted(option, sigma):
    assert sigma_problem(option, "z", sigma) is None


@pytest.mark.parametrize(
    ("option", "sigma", "expected"),
    [
        ("--sigma", -1.0, "expected 0 to 1e+09, in the units of the link, such as --sigma z=0.005"),
        ("--sigma", 1e200, "such as --sigma z=0.005"),
        ("--sigma", math.inf, "such as --sigma z=0.005"),
        ("--sigma", math.nan, "such as --sigma z=0.005"),
        ("--scale-sigma", -1e-4, "expected 0 to 0.1, relative, such as --scale-sigma z=1e-4"),
        ("--scale-sigma", 0.2, "such as --scale-sigma z=1e-4"),
    ],
)
def test_other_standard_deviations_are_refused(option, sigma, expected):
    assert f"{option} z={sigma!r} is no standard deviation: " in (problem := sigma_problem(option, "z", sigma))
    assert problem.endswith(expected)


@pytest.mark.parametrize(
    ("low", "high", "beam", "expected"),
    [
        (0.0, 40.0, False, None),
        (5.0, -5.0, False, "type --range z=-5.0,5.0"),
        (2.0, 2.0, False, "low below high"),
        (0.0, math.inf, False, "two numbers"),
        (-1e308, 1e308, False, "two numbers"),
        (0.0, 40.0, True, "more than 0 for the energy or the wavelength"),
        (5.0, 40.0, True, None),
    ],
)
def test_range_has_two_ends_in_their_order(low, high, beam, expected):
    problem = span_problem("z", low, high, is_beam=beam)
    assert (problem is None) if expected is None else expected in problem
