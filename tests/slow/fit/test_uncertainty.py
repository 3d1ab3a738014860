"""Uncertainty of a fit: errors of many fits are as large as it says, also where the points share an error."""

import numpy as np
import pytest
from scipy import ndimage

from ponikeeper.protocol import AssumedErrors
from ponikeeper_client._geometry_errors import FITTED, two_theta, values_of
from ponikeeper_client.fit._certainty import certainty
from ponikeeper_client.fit._control_points import ControlPoints
from ponikeeper_client.fit._forward_model import detector_point, geometry_of, params_of, radius_per_angle
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._refine import refine
from ponikeeper_client.fit.calibrants import calibrant
from powder import integrator, on_detector
from powder import two_theta as pyfai_two_theta

TRUTH = on_detector("Pilatus300k", 1.72e-4, 0.08, (0.45, 0.55), (2, -1), 4e-11)
PIXEL = TRUTH.pixel1
STANDARD = calibrant("LaB6")
PARAMS = params_of(TRUTH)
ARC = 1.0
"""Half of the azimuth of an arc (rad)."""


@pytest.fixture(scope="module")
def frame():
    return Frame.of(np.random.default_rng(0).random((619, 487)), TRUTH)


def smooth_field(random, rms):
    """Draw two smooth fields (px): noise on a grid of 32 x 32, smoothed by a Gaussian of 1/8 of the side."""
    coarse = ndimage.gaussian_filter(random.normal(size=(2, 32, 32)), (0, 4, 4))
    coarse *= rms / coarse.std(axis=(1, 2), keepdims=True)
    return coarse


def points(frame, random, distortion=0.0, scatter=0.05, half=np.pi, wavelength=TRUTH.wavelength):
    """Build control points where the panel is, with scatter and a smooth distortion (px rms)."""
    lines = STANDARD.lines(wavelength)
    line, azimuth = (each.ravel() for each in np.meshgrid(np.arange(18), np.linspace(-half, half, 60), indexing="ij"))
    y, x = detector_point(PARAMS, lines[line], azimuth)
    inside = (y > frame.y.min()) & (y < frame.y.max()) & (x > frame.x.min()) & (x < frame.x.max())
    y, x, line, azimuth = (each[inside] for each in (y, x, line, azimuth))
    if distortion:
        cells = [(at - all_pixels.min()) / np.ptp(all_pixels) * 31 for at, all_pixels in ((y, frame.y), (x, frame.x))]
        moved = [ndimage.map_coordinates(field, cells, mode="nearest") for field in smooth_field(random, distortion)]
        y, x = y + moved[0] * PIXEL, x + moved[1] * PIXEL
    y, x = (each + random.normal(0, scatter, len(each)) * PIXEL for each in (y, x))
    return ControlPoints(y, x, line, azimuth, np.bincount(line, minlength=len(lines)))


def fitted(frame, found, assumed, wavelength=TRUTH.wavelength):
    """Fit points at the wavelength of `TRUTH`; return the geometry and how sure it is."""
    lines = STANDARD.lines(TRUTH.wavelength)
    refined = refine(PARAMS, found, lines, PIXEL)
    geometry = geometry_of(refined.params, TRUTH)
    return geometry, certainty(frame, refined, lines, geometry, assumed)


def panel_error(geometry):
    """Compute the distance of the rings of a geometry from the true ones (px rms over the panel)."""
    y, x = np.meshgrid(np.linspace(0, 619 * PIXEL, 20), np.linspace(0, 487 * PIXEL, 20), indexing="ij")
    angle = two_theta(values_of(TRUTH), y, x)
    away = (two_theta(values_of(geometry), y, x) - angle) * radius_per_angle(PARAMS, angle) / PIXEL
    return float(np.sqrt(np.mean(away**2)))


def test_angles_are_those_of_pyfai():
    y, x, _ = integrator(TRUTH).detector.calc_cartesian_positions()
    assert (
        np.abs(two_theta(values_of(TRUTH), y, x) - pyfai_two_theta(TRUTH)).max() < 1e-7
    )  # its positions have single precision


@pytest.mark.parametrize(("distortion", "half"), [(0.0, np.pi), (0.1, np.pi), (0.1, ARC), (0.3, ARC)])
def test_sigma_is_the_spread_of_many_fits(frame, distortion, half):
    """Each fit has another distortion: of whole rings, and of arcs of 115 degrees."""
    assumed = AssumedErrors(0.0, distortion, 0.125)
    pulls, ratios = [], []
    for seed in range(40):
        found = points(frame, np.random.default_rng(seed), distortion, half=half)
        geometry, sure = fitted(frame, found, assumed)
        sigma = sure.errors.sigma()
        pulls.append([(getattr(geometry, name) - getattr(TRUTH, name)) / sigma[name] for name in FITTED])
        ratios.append(panel_error(geometry) / sure.panel_px)
    widths = np.sqrt(np.mean(np.square(pulls), axis=0))
    panel = np.sqrt(np.mean(np.square(ratios)))
    print(f"\n{distortion} px, {np.degrees(2 * half):.0f} deg: pull widths {widths.round(2)}, panel {panel:.2f}")
    assert ((widths > 0.55) & (widths < 1.4)).all()
    assert 0.65 < panel < 1.3


def test_scatter_alone_says_too_little_of_an_arc(frame):
    """Keep the reason for the distortion: without it, the errors of arcs are several times what is said."""
    ratios = []
    for seed in range(20):
        geometry, sure = fitted(
            frame, points(frame, np.random.default_rng(seed), 0.1, half=ARC), AssumedErrors(0.0, 0.0)
        )
        ratios.append(panel_error(geometry) / sure.panel_px)
    assert np.sqrt(np.mean(np.square(ratios))) > 2


def test_declared_wavelength_is_part_of_the_distance(frame):
    found = points(frame, np.random.default_rng(0))
    _, exact = fitted(frame, found, AssumedErrors(0.0, 0.1))
    _, unsure = fitted(frame, found, AssumedErrors(0.005, 0.1))
    assert unsure.errors.sigma()["wavelength"] == pytest.approx(0.005 * TRUTH.wavelength, rel=0.01)
    assert unsure.errors.sigma()["dist"] == pytest.approx(0.005 * TRUTH.dist, rel=0.3)
    assert exact.errors.sigma()["dist"] < 0.001 * TRUTH.dist
    correlation = unsure.errors.covariance / np.outer(*[list(unsure.errors.sigma().values())] * 2)
    assert correlation[0, 5] < -0.95
    assert unsure.accuracy > 5 * exact.accuracy
    assert unsure.panel_px == pytest.approx(exact.panel_px)


@pytest.mark.parametrize("change", [-0.02, -0.003, 0.0, 0.003, 0.02])
def test_wavelength_that_the_rings_prefer_is_found(frame, change):
    found = points(frame, np.random.default_rng(0), 0.1, wavelength=TRUTH.wavelength * (1 + change))
    _, sure = fitted(frame, found, AssumedErrors())
    assert abs(sure.uncertainty.preferred - change) < 3 * sure.uncertainty.preferred_sigma
    assert sure.uncertainty.preferred_sigma < 0.005


def test_sigma_of_the_wavelength_grows_where_the_rings_contradict_it(frame):
    found = points(frame, np.random.default_rng(0), wavelength=TRUTH.wavelength * 1.02)
    geometry, sure = fitted(frame, found, AssumedErrors())
    assert abs(geometry.dist / TRUTH.dist - 1) < 1.5 * sure.errors.sigma()["dist"] / TRUTH.dist
    assert sure.errors.sigma()["wavelength"] > 0.01 * TRUTH.wavelength


def test_sigma_of_the_wavelength_covers_what_the_rings_leave_possible(frame):
    """Four rings hardly tell the wavelength. Declared to be known better than by default, it is what is declared."""
    found = points(frame, np.random.default_rng(0), 0.1)
    few = found.select(found.line < 4)
    _, sure = fitted(frame, few, AssumedErrors())
    possible = abs(sure.uncertainty.preferred) + 3 * sure.uncertainty.preferred_sigma
    assert possible > 0.015
    assert 3 * sure.uncertainty.wavelength_sigma >= 0.999999 * min(possible, 0.06)
    _, declared = fitted(frame, few, AssumedErrors(0.003))
    assert declared.uncertainty.wavelength_sigma < 0.005


def test_provenance_of_a_fit_has_its_certainty(frame):
    _, sure = fitted(frame, points(frame, np.random.default_rng(0)), AssumedErrors(0.01, 0.2, 0.25))
    record = sure.provenance()
    assert record["assumed"] == {"wavelength": 0.01, "distortion": 0.2, "distortion_length": 0.25}
    assert set(record["sigma"]) == {*FITTED, "wavelength"} == set(record["covariance"]["names"])
    assert record["accuracy_deg"] == pytest.approx(np.degrees(sure.accuracy))
    assert record["preferred_wavelength"]["wavelength"] == pytest.approx(TRUTH.wavelength, rel=0.01)
