"""The refinement: sigmas are those of repeated measurements, and pyFAI's own refinement agrees."""

from dataclasses import replace

import numpy as np
import pytest

import pyfai_alone
from ponikeeper.protocol import AssumedErrors
from ponikeeper_client.fit._acceptance import Criteria
from ponikeeper_client.fit._control_points import ControlPoints
from ponikeeper_client.fit._forward_model import detector_point, geometry_of, params_of
from ponikeeper_client.fit._refine import refine
from ponikeeper_client.fit.calibrants import calibrant
from ponikeeper_client.fit.fit import fit_image
from powder import Scene, integrator, off_px, on_detector

NAMES = ("dist", "poni1", "poni2", "rot1", "rot2")
SCENE = Scene(on_detector("Pilatus300k", 1.72e-4, 0.15, (0.45, 0.55), (2, -1), 4e-11), "LaB6", counts=40, stop=0.0)
PIXEL = SCENE.pixel
LINES = calibrant("LaB6").lines(SCENE.truth.wavelength)
PARAMS = params_of(SCENE.truth)


def points_on_rings(random=None, scatter=0.0, rings=range(8), sectors=60):
    """Build control points on the true rings, with a scatter (px)."""
    line = np.repeat(np.fromiter(rings, int), sectors)
    turn = np.tile(np.linspace(-np.pi, np.pi, sectors, endpoint=False), len(rings))
    noise = 0 if random is None else random.normal(0, scatter, len(line)) * PIXEL / SCENE.truth.dist
    y, x = detector_point(PARAMS, LINES[line] + noise * np.cos(LINES[line]) ** 2, turn)
    return ControlPoints(y, x, line, turn, np.bincount(line, minlength=len(LINES)))


@pytest.fixture(scope="module")
def fitted():
    return fit_image(SCENE.image(), SCENE.truth, calibrant("LaB6"))


def test_points_without_scatter_give_the_truth():
    begin = PARAMS * [1.03, 1, 1, 1, 1] + [0, 2e-3, -2e-3, 0.02, -0.02]
    result = refine(begin, points_on_rings(), LINES, PIXEL)
    assert result.residual_px < 1e-6
    assert off_px(SCENE.truth, geometry_of(result.params, SCENE.truth)) < 1e-5


def test_outliers_change_nothing():
    points = points_on_rings(np.random.default_rng(0), 0.05)
    without = refine(PARAMS, points, LINES, PIXEL)
    y = points.y.copy()
    y[::13] += 5 * PIXEL
    result = refine(PARAMS, replace(points, y=y), LINES, PIXEL)
    geometries = [geometry_of(one.params, SCENE.truth) for one in (without, result)]
    assert off_px(*geometries) < 0.01
    assert result.residual_px == pytest.approx(0.05, rel=0.15)


def test_too_few_points_give_nothing():
    assert refine(PARAMS, points_on_rings(rings=(0,), sectors=5), LINES, PIXEL) is None


def test_covariance_is_the_spread_of_repeated_measurements():
    random = np.random.default_rng(1)
    results = [refine(PARAMS, points_on_rings(random, 0.1), LINES, PIXEL) for _ in range(60)]
    spread = np.std([one.params for one in results], axis=0)
    expected = np.sqrt(np.mean([np.diag(one.covariance) for one in results], axis=0))
    assert expected == pytest.approx(spread, rel=0.3)


def test_sigma_is_the_spread_of_fits_of_many_exposures():
    truth = on_detector("Pilatus100k", 1.72e-4, 0.12, (0.45, 0.55), (2, -1), 4e-11)
    scene = replace(SCENE, truth=truth)
    exact = Criteria(AssumedErrors(0.0, 0.0))
    results = [fit_image(scene.image(noise), truth, calibrant("LaB6"), criteria=exact) for noise in range(8)]
    errors = [one.certainty.uncertainty.at_given_wavelength(one.refined.params, one.geometry) for one in results]
    for name in NAMES:
        spread = np.std([getattr(one.geometry, name) for one in results], ddof=1)
        sigma = np.mean([each.sigma()[name] for each in errors])
        assert 0.5 < sigma / spread < 2.2, name


def test_condition_is_larger_for_a_short_arc():
    around = refine(PARAMS, points_on_rings(), LINES, PIXEL)
    points = points_on_rings(sectors=600)
    arc = refine(PARAMS, points.select(np.abs(points.azimuth) < 0.2), LINES, PIXEL)
    assert arc.condition > 5 * around.condition


def test_pyfai_agrees_from_our_control_points(fitted):
    """Its points are in px, index coordinates; wavelength and rot3 held."""
    from pyFAI.geometryRefinement import GeometryRefinement

    points, result = fitted.refined.points, fitted.geometry
    data = np.c_[points.y / PIXEL - 0.5, points.x / PIXEL - 0.5, points.line]
    theirs = GeometryRefinement(
        data,
        **{name: getattr(result, name) for name in (*NAMES, "rot3")},
        detector=integrator(result).detector,
        wavelength=result.wavelength,
        calibrant=calibrant("LaB6").pyfai(result.wavelength),
    )
    theirs.refine3(fix=list(pyfai_alone.FIXED))
    assert off_px(result, pyfai_alone.geometry_of(theirs, result)) < 0.05


def test_pyfai_agrees_from_its_own_control_points(fitted):
    image = SCENE.image()
    theirs = pyfai_alone.calibrate(image, image < 0, fitted.geometry, calibrant("LaB6"), len(fitted.rings))
    assert off_px(fitted.geometry, theirs) < 0.1
