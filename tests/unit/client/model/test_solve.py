"""Generalised least squares: true parameters, their errors, scatter, and what calibrations do not determine."""

from dataclasses import replace

import numpy as np
import pytest

import travels
from ponikeeper.errors import FitError
from ponikeeper_client.model.fit import fit_model
from ponikeeper_client.model.solve import Problem, solve

EXACT = np.array([1e-12] * 5)


def solved(travel, positions, **more):
    setup = travel.setup()
    members = travel.members(positions)
    chain = replace(travel.chain, joints=setup.joints, values=travel.values)
    return solve(Problem(chain, members, setup.middle, **more))


@pytest.mark.parametrize(
    ("joints", "positions"),
    [
        ((travels.RAIL,), travels.along(0, 300, 900)),
        ((travels.RAIL,), travels.along(0, 900)),
        ((travels.ARM, travels.RAIL), [{"tth": t, "z": z} for t in (0.0, 20.0, 40.0) for z in (0.0, 200.0)]),
    ],
)
def test_parameters_of_exact_calibrations_are_the_true_ones(joints, positions):
    travel = travels.Travel(joints, sigma=EXACT)
    if travels.ARM in joints:  # the sense of rotation is found by fit_model
        chain = fit_model(travel.setup(), travel.members(positions)).model.chain
    else:
        chain = solved(travel, positions).chain
    for position in positions:
        true = travel.chain.pose(position).values()[:5]
        assert chain.pose(position).values()[:5] == pytest.approx(true, abs=2e-7)


def test_pulls_of_parameters_have_width_one():
    pulls = []
    for seed in range(12):
        travel = travels.Travel((travels.RAIL,), seed)
        solution = solved(travel, travels.along(0, 200, 400, 600))
        names = list(solution.chain.parameters())
        true = travel.chain.parameters()
        found = solution.chain.parameters()
        sigma = np.sqrt(np.diag(solution.covariance))
        pulls.append([(found[name] - true[name]) / each for name, each in zip(names, sigma, strict=True)])
    assert 0.5 < np.sqrt(np.mean(np.square(pulls))) < 1.3  # the scatter is an upper bound


def test_scatter_of_a_stage_that_strays_is_found():
    found = []
    for seed in range(5):
        travel, strays = travels.Travel((travels.RAIL,), seed), np.random.default_rng(seed)
        travel.bend = lambda _, strays=strays: 50e-6 * strays.normal(size=3)
        found.append(solved(travel, travels.along(*range(0, 800, 100))).scatter)
    assert 40e-6 < np.median(found) < 100e-6


def test_scatter_of_a_perfect_stage_is_below_the_errors_of_the_calibrations():
    found = [
        solved(travels.Travel((travels.RAIL,), seed), travels.along(0, 200, 400, 600)).scatter for seed in range(3)
    ]
    assert max(found) < 1.5 * travels.SIGMA.max()


def test_known_error_of_the_motor_is_no_scatter():
    def scatters(**more):
        travel = travels.Travel((travels.RAIL,), 3, motor=0.2)
        return solved(travel, travels.along(*range(0, 800, 100)), **more).scatter

    assert scatters() > 2 * scatters(motor_sigma={"z": 0.2})
    assert scatters(motor_sigma={"z": 0.2}) < 1e-5


@pytest.mark.parametrize(
    ("joints", "positions", "named"),
    [
        ((travels.RAIL,), travels.along(100), "z.direction1"),
        ((travels.RAIL,), travels.along(100, 100, 100), "z.direction3"),
        ((travels.ARM,), [{"tth": 0.0}, {"tth": 30.0}], "tth.tilt"),
    ],
)
def test_what_calibrations_do_not_determine_is_named(joints, positions, named):
    with pytest.raises(FitError, match=f"{len(positions)} calibrations? cannot determine .*{named}"):
        solved(travels.Travel(joints), positions)


def test_stages_in_one_line_do_not_determine_two_directions():
    joints = (replace(travels.RAIL, link="x", direction=(0.0, 1.0, 0.0)), travels.RAIL)
    in_line = [{"x": value, "z": 2 * value} for value in (0.0, 50.0, 100.0)]
    with pytest.raises(FitError, match="cannot determine"):
        solved(travels.Travel(joints), in_line)
    assert solved(travels.Travel(joints), [*in_line[:2], {"x": 0.0, "z": 100.0}]).dof == 4


def test_calibrations_at_slightly_different_wavelengths_are_brought_to_one():
    """An error of the wavelength that the calibrations do not share is no contradiction."""
    travel = travels.Travel((travels.RAIL,), sigma=EXACT)
    members = travel.members(travels.along(0, 400))
    travel.wavelength_error = 5e-4
    members += travel.members(travels.along(800))
    setup = travel.setup()
    solution = solve(Problem(replace(travel.chain, joints=setup.joints), members, setup.middle))
    for position in travels.along(0, 400, 800):
        true = travel.chain.pose(position).values()[:5]
        assert solution.chain.pose(position).values()[:5] == pytest.approx(true, abs=2e-6)


def test_change_by_the_wavelength_is_that_of_a_fit_with_another_wavelength():
    def chain(error):
        travel = travels.Travel((travels.RAIL,), wavelength_error=error, sigma=EXACT)
        members = travel.members(travels.along(0, 400, 800))
        start = replace(travel.chain, joints=travel.setup().joints, wavelength=members[0].geometry.wavelength)
        return solve(Problem(start, members, travels.MIDDLE))

    one, other = chain(0.0), chain(1e-4)
    before, after = one.chain.parameters(), other.chain.parameters()
    changes = [(after[name] - before[name]) / 1e-4 for name in before]
    assert one.by_wavelength == pytest.approx(changes, abs=5e-3)
