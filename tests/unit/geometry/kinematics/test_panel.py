"""Errors on the panel, compared with the client's NumPy formulas."""

import numpy as np
import pytest

import chains
from ponikeeper.geometry.kinematics.panel import Panel, rays, ring_shift_px, ring_sigma
from ponikeeper_client._geometry_errors import two_theta, two_theta_slopes

GEOMETRIES = [
    chains.geometry(),
    chains.geometry(rot1=0.4, rot2=-0.2, rot3=1.0),
    chains.geometry(poni1=-0.3, rot2=0.7, dist=0.3),
]


def values(geometry):
    return tuple(getattr(geometry, name) for name in ("dist", "poni1", "poni2", "rot1", "rot2", "rot3"))


def panel(geometry):
    return Panel.of(geometry, chains.PANEL)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_angles_and_slopes_are_those_of_the_forward_model(geometry):
    y, x = np.array(list(panel(geometry).points())).T
    found = rays(values(geometry), panel(geometry))
    angles = two_theta(np.array(values(geometry)[:5]), y, x)
    assert [ray.angle for ray in found] == pytest.approx(angles, abs=1e-14)
    slopes = two_theta_slopes(geometry, y, x)
    seen = angles > 1e-3  # beside the beam a difference of angles is no slope
    assert np.array([ray.slopes for ray in found])[seen] == pytest.approx(slopes[seen], abs=1e-8)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_radius_is_how_far_a_ring_moves_across_itself(geometry):
    y, x = np.array(list(panel(geometry).points())).T
    step, at = 1e-7, np.array(values(geometry)[:5])
    by1 = (two_theta(at, y + step, x) - two_theta(at, y - step, x)) / (2 * step)
    by2 = (two_theta(at, y, x + step) - two_theta(at, y, x - step)) / (2 * step)
    seen = two_theta(at, y, x) > 1e-3
    radius = np.array([ray.radius for ray in rays(values(geometry), panel(geometry))])
    assert radius[seen] == pytest.approx(1 / np.hypot(by1, by2)[seen], rel=1e-5)


def test_sigma_of_rings_is_that_of_many_random_geometries():
    geometry, random = GEOMETRIES[1], np.random.default_rng(1)
    root = np.diag([2e-6, 3e-6, 3e-6, 3e-5, 3e-5]) @ random.normal(size=(5, 5))
    covariance = root @ root.T
    sigma = ring_sigma(values(geometry), panel(geometry), covariance.tolist(), (0.0,) * 5, 0.0)
    drawn = random.multivariate_normal(values(geometry)[:5], covariance, 400)
    shifts = [ring_shift_px(values(geometry), (*each, 0.0), panel(geometry))[0] for each in drawn.tolist()]
    assert np.sqrt(np.mean(np.square(shifts))) == pytest.approx(sigma.rms_px, rel=0.1)


def test_wavelength_counts_in_the_worst_angle_only():
    geometry = GEOMETRIES[0]
    none = [[0.0] * 5 for _ in range(5)]
    sigma = ring_sigma(values(geometry), panel(geometry), none, (-geometry.dist, 0.0, 0.0, 0.0, 0.0), 1e-3)
    assert sigma.rms_px == 0
    y, x = np.array(list(panel(geometry).points())).T
    longer = np.array(values(geometry)[:5]) * [1 - 1e-3, 1, 1, 1, 1]
    change = two_theta(longer, y, x) - two_theta(np.array(values(geometry)[:5]), y, x)
    assert sigma.worst == pytest.approx(np.abs(change).max(), rel=1e-2)


def test_shift_of_rings_by_a_pixel_along_the_beam_spot_is_below_a_pixel():
    geometry = chains.geometry(rot1=0.0, rot2=0.0)
    rms, largest = ring_shift_px(
        values(geometry), values(chains.geometry(rot1=0.0, rot2=0.0, poni1=0.2002)), panel(geometry)
    )
    assert 0.6 < rms < 0.8
    assert 0.95 < largest < 1.05
