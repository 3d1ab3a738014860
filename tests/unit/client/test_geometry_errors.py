"""Errors of a geometry: their record, and their propagation to 2 theta and q."""

import numpy as np
import pytest

from ponikeeper.geometry import Geometry
from ponikeeper_client._geometry_errors import COVARIED, GeometryErrors, standard_deviations, two_theta, values_of

GEOMETRY = Geometry(0.3, 0.05, 0.12, 0.2, -0.1, 0.4, 1e-4, 1e-4, 2e-11, "Detector", {"orientation": 2})
SIGMA = np.array([2e-5, 3e-6, 4e-6, 1e-4, 2e-4, 1e-14])
Y, X = np.meshgrid(np.linspace(0, 0.2, 5), np.linspace(0, 0.2, 4), indexing="ij")


def correlated(seed=0):
    """Build a covariance with these deviations and random correlations."""
    random = np.random.default_rng(seed).normal(size=(6, 12))
    covariance = random @ random.T
    sizes = np.sqrt(np.diag(covariance))
    return covariance / np.outer(sizes, sizes) * np.outer(SIGMA, SIGMA)


@pytest.fixture
def errors():
    return GeometryErrors(GEOMETRY, correlated())


def test_record_survives_in_any_order(errors):
    record = errors.record()
    assert len(record["lower"]) == 21
    assert GeometryErrors.parse(GEOMETRY, record).covariance == pytest.approx(errors.covariance, rel=1e-15)
    order = [5, 0, 3, 1, 4, 2]
    turned = errors.covariance[np.ix_(order, order)][np.tril_indices(6)].tolist()
    again = GeometryErrors.parse(GEOMETRY, {"names": [COVARIED[index] for index in order], "lower": turned})
    assert again.covariance == pytest.approx(errors.covariance, rel=1e-15)


@pytest.mark.parametrize("record", [None, "", 7, {}, {"names": ["dist"], "lower": [1.0]}, {"names": 3, "lower": 4}])
def test_what_is_no_record_gives_nothing(record):
    assert GeometryErrors.parse(GEOMETRY, record) is None


def test_sigma_has_the_deviations(errors):
    assert list(errors.sigma().values()) == pytest.approx(SIGMA)
    assert standard_deviations(errors.record()) == errors.sigma()
    assert standard_deviations({"names": ["rot1", "dist"], "lower": [4.0, 0.0, 9.0]}) == {"rot1": 2.0, "dist": 3.0}


@pytest.mark.parametrize("record", [None, {}, {"names": ["dist"], "lower": [-1.0]}, {"names": ["dist"], "lower": []}])
def test_what_is_no_covariance_has_no_deviations(record):
    """Older versions accepted a negative variance."""
    assert standard_deviations(record) == {}


def test_negative_variance_of_an_old_revision_gives_no_errors(errors):
    record = errors.record()
    record["lower"][0] *= -1
    assert GeometryErrors.parse(GEOMETRY, record) is None


def test_propagation_is_the_spread_of_drawn_geometries(errors):
    drawn = np.random.default_rng(1).multivariate_normal(np.zeros(6), errors.covariance, 4000)
    values = values_of(GEOMETRY)
    angles = np.array([two_theta(values + change[:5], Y, X) for change in drawn])
    wavelengths = GEOMETRY.wavelength + drawn[:, 5]
    vectors = 4 * np.pi * np.sin(angles / 2) / wavelengths[:, None, None]
    assert errors.sigma_two_theta(Y, X) == pytest.approx(angles.std(0), rel=0.05)
    assert errors.sigma_q(Y, X) == pytest.approx(vectors.std(0), rel=0.05)


def test_error_of_the_wavelength_with_its_distance_leaves_q_at_small_angles():
    """With 1 % in the wavelength and in the distance, q = 2 pi r / (wavelength dist) hardly changes."""
    flat = Geometry(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1e-4, 1e-4, 1e-10, "Detector")
    slopes = np.r_[0.01, 0, 0, 0, 0, -0.01e-10]
    errors = GeometryErrors(flat, np.outer(slopes, slopes))
    radius = np.array([0.02])
    q = 4 * np.pi * np.sin(np.arctan(radius) / 2) / 1e-10
    assert errors.sigma_two_theta(radius, 0 * radius) == pytest.approx(0.01 * radius, rel=1e-2)
    assert errors.sigma_q(radius, 0 * radius)[0] < 1e-5 * q[0]
