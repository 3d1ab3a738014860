"""A fit without a start: only panel, orientation, wavelength and standard are known."""

from dataclasses import replace

import numpy as np
import pytest

from ponikeeper.errors import FitError
from ponikeeper_client.fit._acceptance import BLIND_START
from ponikeeper_client.fit.calibrants import calibrant
from ponikeeper_client.fit.fit import fit_image
from powder import Scene, off_px, on_detector

RIGHT = 0.1


def blind(scene, **options):
    """Fit an image whose geometry is unknown: what is given instead has no influence."""
    nothing = replace(scene.truth, dist=1.0, poni1=0.0, poni2=0.0, rot1=0.0, rot2=0.0)
    return fit_image(scene.image(), nothing, calibrant(scene.calibrant), tolerance=BLIND_START, **options)


@pytest.mark.parametrize(
    "scene",
    [
        pytest.param(Scene(on_detector("Perkin", 8e-4, 0.5, (0.42, 0.61), (1, -0.7), orientation=2)), id="facing"),
        pytest.param(Scene(on_detector("Pilatus300k", 1.72e-4, 0.3, (1.2, 1.3), (3, -2), 4e-11), "LaB6"), id="off"),
        pytest.param(Scene(on_detector("Pilatus300k", 1.72e-4, 1.1, (0.5, 0.5), (1, 1), 7e-11), "AgBh"), id="far"),
    ],
)
def test_the_true_geometry_is_found_from_nothing(scene):
    result = blind(scene)
    assert result.problems == ()
    assert off_px(scene.truth, result.geometry) < RIGHT


def test_a_wrong_distance_of_the_start_is_named_with_the_one_at_which_the_rings_fit():
    scene = Scene(on_detector("Pilatus300k", 1.72e-4, 0.15, (0.45, 0.55), (2, -1), 4e-11), "LaB6", counts=300)
    result = fit_image(scene.image(), replace(scene.truth, dist=0.3), calibrant("LaB6"))
    (problem,) = result.problems
    assert problem.startswith("far from the start: nothing fits near its distance of 0.3 m, but all rings fit at ")
    assert " 0.1499 m: the distance of the start may be wrong; if it is, start from a nominal distance" in problem
    assert off_px(scene.truth, result.geometry) < RIGHT


def test_an_image_without_rings_is_refused():
    noise = np.random.default_rng(3).poisson(100, (619, 487))
    nothing = on_detector("Pilatus300k", 1.72e-4, 1.0, (0.5, 0.5))
    with pytest.raises(FitError):
        fit_image(noise, nothing, calibrant("LaB6"), tolerance=BLIND_START).require_accepted()
