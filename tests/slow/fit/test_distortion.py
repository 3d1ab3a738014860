"""The size of a smooth distortion is found in residuals, whatever the scatter, and parameters absorb a part."""

import numpy as np
import pytest
from scipy import ndimage

from ponikeeper.protocol import AssumedErrors
from ponikeeper_client.fit._control_points import ControlPoints
from ponikeeper_client.fit._distortion import Field, shown_size
from ponikeeper_client.fit._forward_model import detector_point, params_of, radius_per_angle, two_theta_and_jacobian
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit.calibrants import calibrant
from powder import on_detector

TRUTH = on_detector("Pilatus300k", 1.72e-4, 0.08, (0.45, 0.55), (2, -1), 4e-11)
PARAMS = params_of(TRUTH)
LINES = calibrant("LaB6").lines(TRUTH.wavelength)
ASSUMED = AssumedErrors(0.0, 0.1, 0.125)


@pytest.fixture(scope="module")
def frame():
    return Frame.of(np.ones((619, 487)), TRUTH)


@pytest.fixture(scope="module")
def points(frame):
    line, azimuth = (each.ravel() for each in np.meshgrid(np.arange(12), np.linspace(-3, 3, 50), indexing="ij"))
    y, x = detector_point(PARAMS, LINES[line], azimuth)
    inside = (y > frame.y.min()) & (y < frame.y.max()) & (x > frame.x.min()) & (x < frame.x.max())
    found = ControlPoints(y, x, line, azimuth, np.bincount(line, minlength=len(LINES)))
    return found.select(inside)


@pytest.fixture(scope="module")
def field(frame, points):
    return Field.of(frame, PARAMS, points, LINES, ASSUMED)


@pytest.fixture(scope="module")
def jacobian(points, frame):
    scale = radius_per_angle(PARAMS, LINES[points.line]) / frame.pixel
    return two_theta_and_jacobian(PARAMS, points.y, points.x)[1] * scale[:, None]


def drawn(points, frame, random, size):
    """Draw the displacements of points by a smooth distortion (px rms), made without bumps."""
    coarse = ndimage.gaussian_filter(random.normal(size=(2, 64, 64)), (0, 8, 8))
    coarse *= size / coarse.std(axis=(1, 2), keepdims=True)
    cells = [(at - every.min()) / np.ptp(every) * 63 for at, every in ((points.y, frame.y), (points.x, frame.x))]
    along_y, along_x = (ndimage.map_coordinates(each, cells, mode="nearest") for each in coarse)
    up = points.azimuth  # from axis 1 towards axis 2; the tilt is small
    return along_y * np.cos(up) + along_x * np.sin(up)


def sizes(points, frame, field, jacobian, size, scatter, seeds=24):
    found = []
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        residuals = drawn(points, frame, random, size) + random.normal(0, scatter, len(points))
        found.append(shown_size(field.bumps(), jacobian, residuals))
    return np.array(found)


@pytest.mark.parametrize("scatter", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("size", [0.1, 0.3])
def test_size_of_a_distortion_is_found(points, frame, field, jacobian, size, scatter):
    """In units of the assumed 0.1 px."""
    found = sizes(points, frame, field, jacobian, size, scatter)
    assert np.median(found) == pytest.approx(size / 0.1, rel=0.25)


def test_scatter_alone_is_no_distortion(points, frame, field, jacobian):
    found = sizes(points, frame, field, jacobian, 0.0, 0.1)
    assert np.median(found) < 0.2
    assert found.max() < 0.6


def test_what_the_parameters_absorb_is_no_distortion(field, jacobian):
    """A shift of the beam spot by 1 px is smooth, too."""
    shift = jacobian[:, 1] / np.abs(jacobian[:, 1]).max()
    scatter = np.random.default_rng(0).normal(0, 0.05, len(shift))
    assert shown_size(field.bumps(), jacobian, shift + scatter) < 0.5
    assert shown_size(field.bumps(), jacobian[:, :1], shift + scatter) > 1.5


def test_points_without_scatter_show_no_distortion(field, jacobian):
    assert shown_size(field.bumps(), jacobian, np.zeros(len(jacobian))) == 0


def test_bumps_make_a_uniform_distortion(field):
    """Along either axis: the sum of the squares of a point's displacements is that of a pixel by 0.1 px."""
    total = np.sum(field.bumps() ** 2, axis=1)
    assert total == pytest.approx(np.sum(field.slopes**2, axis=0), rel=0.01)
    assert np.sqrt(np.mean(total)) == pytest.approx(0.1, rel=0.2)


def test_scores_are_those_of_the_covariance(field, jacobian):
    bumps = field.bumps()
    expected = jacobian.T @ bumps @ bumps.T @ jacobian
    assert field.scores(jacobian) == pytest.approx(expected, rel=0.01, abs=1e-3 * np.abs(expected).max())
