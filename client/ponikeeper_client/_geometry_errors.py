"""Errors of a geometry: the covariance of its values, and what it means for 2 theta and q of a point on the detector.

Source of the forward model: `pyFAI.geometry.Geometry.calc_pos_zyx` and `rotation_matrix`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ponikeeper.geometry import Geometry
from ponikeeper.geometry.covariance import is_covariance

Floats = NDArray[np.float64]

FITTED = ("dist", "poni1", "poni2", "rot1", "rot2")
COVARIED = (*FITTED, "wavelength")
"""The values that a covariance is about, in its order."""

_STEPS = np.array([1e-6, 1e-6, 1e-6, 1e-6, 1e-6])
"""For differences: relative to the distance, and rad."""


@dataclass(frozen=True, slots=True)
class GeometryErrors:
    """A geometry with the covariance of its values.

    Parameters
    ----------
    geometry
        The geometry.
    covariance
        In the order of `COVARIED` (m, rad), shape (6, 6).
    """

    geometry: Geometry
    covariance: Floats

    @classmethod
    def parse(cls, geometry: Geometry, record: object) -> Self | None:
        """Build the errors of a geometry from what its provenance holds.

        Parameters
        ----------
        geometry
            The geometry.
        record
            As `record` returns it.

        Returns
        -------
        GeometryErrors or None
            None if it is no such record, or what it has is no covariance, which older versions accepted.
        """
        parts = _parts(record)
        if parts is None or not set(COVARIED) <= set(parts[0]):
            return None
        names, matrix = parts
        order = [names.index(name) for name in COVARIED]
        full = matrix + np.tril(matrix, -1).T
        return cls(geometry, full[np.ix_(order, order)])

    def record(self) -> dict[str, object]:
        """Return the covariance as a JSON object.

        Returns
        -------
        dict
            ``names`` of the values, and ``lower``: the lower triangle of their covariance, row by row (m, rad).
        """
        return {"names": list(COVARIED), "lower": self.covariance[np.tril_indices(len(COVARIED))].tolist()}

    def sigma(self) -> dict[str, float]:
        """Return the standard deviation of each value by name (m, rad)."""
        return _deviations(COVARIED, self.covariance)

    def sigma_two_theta(self, y: ArrayLike, x: ArrayLike) -> Floats:
        """Compute the standard deviation of 2 theta.

        Parameters
        ----------
        y, x
            Points on the detector along axes 1 and 2 (m), any shape.

        Returns
        -------
        ndarray
            Standard deviations (rad), in the shape of the points.
        """
        slopes = two_theta_slopes(self.geometry, y, x)
        return _propagated(slopes, self.covariance[:5, :5])

    def sigma_q(self, y: ArrayLike, x: ArrayLike) -> Floats:
        """Compute the standard deviation of the scattering vector q = 4 pi sin(theta) / wavelength.

        An error of the wavelength changes the fitted distance, so that errors of q are smaller than those of 2 theta
        alone: the covariance of the two is included.

        Parameters
        ----------
        y, x
            Points on the detector along axes 1 and 2 (m), any shape.

        Returns
        -------
        ndarray
            Standard deviations (1/m), in the shape of the points.
        """
        wavelength = self.geometry.wavelength
        theta = two_theta(values_of(self.geometry), y, x) / 2
        by_angle = 2 * np.pi / wavelength * np.cos(theta)
        slopes = two_theta_slopes(self.geometry, y, x) * by_angle[..., None]
        by_wavelength = -4 * np.pi * np.sin(theta) / wavelength**2
        return _propagated(np.concatenate([slopes, by_wavelength[..., None]], axis=-1), self.covariance)


def standard_deviations(record: object) -> dict[str, float]:
    """Return the standard deviation of each value by name (m, rad).

    Parameters
    ----------
    record
        A covariance as a provenance has it, of any values.

    Returns
    -------
    dict
        Empty where there is no covariance.
    """
    parts = _parts(record)
    if parts is None:
        return {}
    return _deviations(*parts)


def _deviations(names: Sequence[str], matrix: Floats) -> dict[str, float]:
    return dict(zip(names, np.sqrt(np.diag(matrix)).tolist(), strict=True))


def _parts(record: object) -> tuple[list[str], Floats] | None:
    """Return the names of a covariance and its lower triangle as a matrix; None if it is no covariance."""
    if not isinstance(record, Mapping):
        return None
    table = cast("Mapping[str, object]", record)
    try:
        names, lower = list(cast("list[str]", table["names"])), np.array(table["lower"], float)
        matrix = np.zeros((len(names), len(names)))
        matrix[np.tril_indices(len(names))] = lower
    except (KeyError, TypeError, ValueError):
        return None
    return (names, matrix) if is_covariance(lower.tolist()) else None


def values_of(geometry: Geometry) -> Floats:
    """Return the values of `FITTED` (m, rad), shape (5,)."""
    return np.array([getattr(geometry, name) for name in FITTED])


def two_theta(values: Floats, y: ArrayLike, x: ArrayLike) -> Floats:
    """Compute the scattering angle of points on the detector.

    Parameters
    ----------
    values
        Those of `FITTED` (m, rad), shape (5,).
    y, x
        Points on the detector along axes 1 and 2 (m), any shape.

    Returns
    -------
    ndarray
        2 theta (rad), in the shape of the points.
    """
    dist, poni1, poni2, rot1, rot2 = values
    q1, q2 = np.subtract(y, poni1), np.subtract(x, poni2)
    b1, b2, b3 = np.sin(rot2), -np.cos(rot2) * np.sin(rot1), np.cos(rot1) * np.cos(rot2)
    along = q1 * b1 + q2 * b2 + dist * b3
    across = np.sqrt((q2 * b3 - dist * b2) ** 2 + (dist * b1 - q1 * b3) ** 2 + (q1 * b2 - q2 * b1) ** 2)
    return cast("Floats", np.arctan2(across, along))


def two_theta_slopes(geometry: Geometry, y: ArrayLike, x: ArrayLike) -> Floats:
    """Compute d(2 theta) / d(value) for each of `FITTED`.

    Parameters
    ----------
    geometry
        The geometry.
    y, x
        Points on the detector along axes 1 and 2 (m), any shape.

    Returns
    -------
    ndarray
        In rad per m and rad per rad, in the shape of the points with a last axis of 5.
    """
    values = values_of(geometry)
    steps = _STEPS * np.r_[np.full(3, geometry.dist), 1, 1]
    sides = ((two_theta(values + step, y, x), two_theta(values - step, y, x)) for step in np.diag(steps))
    return np.stack([(after - before) for after, before in sides], axis=-1) / (2 * steps)


def _propagated(slopes: Floats, covariance: Floats) -> Floats:
    """Compute standard deviations from slopes, shape (..., n), and a covariance, shape (n, n)."""
    variance = np.einsum("...i,ij,...j->...", slopes, covariance, slopes)
    return cast("Floats", np.sqrt(np.maximum(variance, 0)))
