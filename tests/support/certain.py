"""How far fits are from the truth, in units of what they say themselves."""

import numpy as np

from ponikeeper_client._geometry_errors import FITTED, two_theta, values_of
from powder import detector_of, off_px

SAMPLES = 24


def panel_of(geometry):
    """Sample the panel of a geometry: y, x (m), shape (24, 24) each."""
    rows, columns = detector_of(geometry).shape
    sides = np.linspace(0, rows * geometry.pixel1, SAMPLES), np.linspace(0, columns * geometry.pixel2, SAMPLES)
    return np.meshgrid(*sides, indexing="ij")


def relative_error(fit, truth):
    """Compute the error of 2 theta over the panel relative to its standard deviation, both rms, with the wavelength."""
    y, x = panel_of(truth)
    error = two_theta(values_of(fit.geometry), y, x) - two_theta(values_of(truth), y, x)
    return float(np.sqrt(np.mean(error**2) / np.mean(fit.certainty.errors.sigma_two_theta(y, x) ** 2)))


def relative_error_px(fit, truth):
    """Compute the same of ring positions at the given wavelength."""
    return off_px(truth, fit.geometry) / fit.certainty.panel_px


def pulls(fit, truth):
    """Compute the error of each fitted value in units of its standard deviation, shape (5,)."""
    sigma = fit.sigma
    return np.array([(getattr(fit.geometry, name) - getattr(truth, name)) / sigma[name] for name in FITTED])
