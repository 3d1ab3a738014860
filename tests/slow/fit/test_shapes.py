"""Shapes of rings: how the angle between a ridge and its ring changes with the geometry."""

import numpy as np
import pytest

from ponikeeper_client.fit._forward_model import two_theta_and_jacobian
from ponikeeper_client.fit._ridges import RidgePoints
from ponikeeper_client.fit._shapes import direction_residuals

FLAT = np.array([0.3, 0.11, 0.07, 0.0, 0.0])
STEEP = np.array([0.2, 0.4, -0.1, 0.6, -0.5])


@pytest.fixture
def ridges():
    """Return points all over a panel, with any direction."""
    random = np.random.default_rng(5)
    y, x = random.uniform(0, 0.2, (2, 40))
    turn = random.uniform(0, 2 * np.pi, 40)
    return RidgePoints(y, x, np.sin(turn), np.cos(turn), random.uniform(0.5, 2, 40))


@pytest.mark.parametrize("params", [FLAT, STEEP], ids=["flat", "steep"])
def test_derivatives_of_the_directions_are_those_of_small_steps(ridges, params):
    _, jacobian = direction_residuals(params, ridges)
    steps = 1e-6 * np.eye(5)
    by_steps = [
        (direction_residuals(params + step, ridges)[0] - direction_residuals(params - step, ridges)[0]) / 2e-6
        for step in steps
    ]
    assert jacobian == pytest.approx(np.stack(by_steps, axis=1), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("params", [FLAT, STEEP], ids=["flat", "steep"])
def test_a_ridge_along_its_ring_has_no_residual(ridges, params):
    """The normal of a ring is the gradient of the scattering angle."""
    small = 1e-7
    gradient = [
        two_theta_and_jacobian(params, ridges.y + dy, ridges.x + dx)[0]
        - two_theta_and_jacobian(params, ridges.y - dy, ridges.x - dx)[0]
        for dy, dx in ((small, 0), (0, small))
    ]
    normal_y, normal_x = gradient / np.hypot(*gradient)
    along = RidgePoints(ridges.y, ridges.x, normal_y, normal_x, ridges.weight)
    assert direction_residuals(params, along)[0] == pytest.approx(0, abs=1e-6)
