"""The members of a model: the calibrations to which it is fitted, with their uncertainty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ponikeeper.geometry import Geometry
from ponikeeper.geometry.detectors import panel_size
from ponikeeper.geometry.kinematics.place import Middle, value_slopes
from ponikeeper.geometry.kinematics.rigid import Values
from ponikeeper.history import Revision
from ponikeeper.protocol.assumed_errors import DEFAULT_ERRORS
from ponikeeper_client._geometry_errors import GeometryErrors

Floats = NDArray[np.float64]

ASSUMED_PLACE, ASSUMED_TILT = 10e-6, 100e-6
"""Standard deviations of a place where a revision has no covariance: of its position (m), of its tilt (rad)."""

LEAST_PLACE, LEAST_TILT = 1e-8, 1e-7
"""Standard deviations that are added to those of a fit: smaller ones cannot be told from rounding."""

INFLATION, SHARED = 1.0, 0.5
"""By which the standard deviations of a fit are multiplied, and which part of the variances the calibrations of one
detector have in common, since the distortion of its panel is the same: `tests/campaigns/test_model_of_images.py`."""


@dataclass(frozen=True, slots=True)
class Member:
    """One calibration of a model.

    Parameters
    ----------
    revision
        Number of the revision.
    uid
        Its uid.
    name
        For people: its label, or its number.
    geometry
        Its geometry.
    position
        Values of the joints' links, in the units of the joints.
    covariance
        Of dist, poni1, poni2, rot1, rot2 at the given wavelength (m, rad), shape (5, 5).
    by_wavelength
        Change of the five for a relative change of the wavelength (m, rad), shape (5,).
    wavelength_sigma
        Relative standard deviation of the wavelength.
    assumed
        Whether the covariance was assumed, since the revision has none.
    """

    revision: int
    uid: str
    name: str
    geometry: Geometry
    position: Mapping[str, float]
    covariance: Floats
    by_wavelength: Floats
    wavelength_sigma: float
    assumed: bool

    def values_at(self, wavelength: float) -> Values:
        """Compute what this calibration had given with another wavelength.

        Parameters
        ----------
        wavelength
            The wavelength (m).

        Returns
        -------
        tuple
            dist, poni1, poni2 (m), rot1, rot2, rot3 (rad).
        """
        change = self.by_wavelength * (wavelength / self.geometry.wavelength - 1)
        dist, poni1, poni2, rot1, rot2 = (np.array(values_of(self.geometry)[:5]) + change).tolist()
        return (dist, poni1, poni2, rot1, rot2, self.geometry.rot3)


def values_of(geometry: Geometry) -> Values:
    """Return dist, poni1, poni2 (m), rot1, rot2, rot3 (rad) of a geometry."""
    return (geometry.dist, geometry.poni1, geometry.poni2, geometry.rot1, geometry.rot2, geometry.rot3)


def panel_of(geometry: Geometry) -> tuple[float, float] | None:
    """Return the sides of a detector's panel.

    Parameters
    ----------
    geometry
        The geometry.

    Returns
    -------
    tuple of float, or None
        Along axes 1 and 2 (m): from ``max_shape``, or by pyFAI's name of the detector; None where both are unknown.
    """
    shape = geometry.detector_config.get("max_shape")
    if isinstance(shape, Sequence) and len(shape) == 2:
        return float(shape[0]) * geometry.pixel1, float(shape[1]) * geometry.pixel2
    return panel_size(geometry.detector)


def member_of(revision: Revision, name: str, position: Mapping[str, float], middle: Middle) -> Member:
    """Build a member from a revision.

    Parameters
    ----------
    revision
        The revision.
    name
        For people: its label, or its number.
    position
        Values of the joints' links, in the units of the joints.
    middle
        The middle of the panel (m).

    Returns
    -------
    Member
        With an assumed covariance, `ASSUMED_PLACE` and `ASSUMED_TILT`, where the revision has none.
    """
    geometry = revision.geometry
    errors = GeometryErrors.parse(geometry, revision.provenance.get("covariance"))
    known = None if errors is None else _at_given_wavelength(errors, middle)
    if known is None:
        sigma = np.array([ASSUMED_PLACE] * 3 + [ASSUMED_TILT] * 2)
        root = np.array(value_slopes(values_of(geometry), middle)).T * sigma
        known = root @ root.T, np.zeros(5), DEFAULT_ERRORS.wavelength
        errors = None
    covariance, slopes, relative = known
    return Member(
        revision.number, revision.uid, name, geometry, position, covariance, slopes, relative, assumed=errors is None
    )


def _at_given_wavelength(errors: GeometryErrors, middle: Middle) -> tuple[Floats, Floats, float] | None:
    """Separate the error of the wavelength, which all members share, from the rest.

    Returns
    -------
    covariance, slopes, sigma
        Of the five values at the given wavelength, shape (5, 5), in place coordinates at least `LEAST_PLACE` and
        `LEAST_TILT`; their change for a relative change of the wavelength, shape (5,); the relative standard deviation
        of the wavelength. None if it is no covariance.
    """
    wavelength, inverse = errors.geometry.wavelength, np.array(value_slopes(values_of(errors.geometry), middle)).T
    variance = errors.covariance[5, 5] / wavelength**2
    slopes = errors.covariance[:5, 5] / wavelength / variance if variance > 0 else np.zeros(5)
    covariance = errors.covariance[:5, :5] - np.outer(slopes, slopes) * variance
    least = np.diag([LEAST_PLACE**2] * 3 + [LEAST_TILT**2] * 2)
    back = np.linalg.inv(inverse)
    place = back @ covariance @ back.T * INFLATION**2 + least
    if not (np.isfinite(place).all() and variance >= 0 and np.linalg.eigvalsh(place).min() > 0):
        return None
    return inverse @ place @ inverse.T, slopes, float(np.sqrt(variance))
