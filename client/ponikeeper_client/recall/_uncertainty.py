"""Uncertainty of a geometry of a run: standard deviations of 2 theta and q, for each pixel and for rings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ponikeeper.errors import NoUncertaintyError
from ponikeeper.geometry import Geometry
from ponikeeper_client._geometry_errors import COVARIED, GeometryErrors, two_theta, values_of
from ponikeeper_client.documents import integrator_of
from ponikeeper_client.recall._histories import Histories
from ponikeeper_client.recall._pyfai import select_geometry
from ponikeeper_client.recall._values import BestKnown, Recorded, recorded_of

Floats = NDArray[np.float64]

_UNITS: Mapping[str, float] = {"2th_rad": 1.0, "2th_deg": float(np.degrees(1.0)), "q_nm^-1": 1e-9, "q_A^-1": 1e-10}
"""pyFAI's names of the units, each with what it is in rad or 1/m."""


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """Standard deviations of what a geometry says, by its covariance.

    Parameters
    ----------
    geometry
        The geometry.
    covariance
        Covariance of the values in `names` (m, rad), shape (6, 6).
    y, x
        Positions of the pixels on the detector along axes 1 and 2 (m), shape (y, x).
    valid_within
        Centre ``y``, ``x`` and ``radius`` (m) of the circle on the detector in which the geometry is certain; None if
        that is the whole detector.
    """

    geometry: Geometry
    covariance: Floats
    y: Floats = field(repr=False)
    x: Floats = field(repr=False)
    valid_within: Mapping[str, float] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The values that the covariance is about, in its order."""
        return COVARIED

    @property
    def sigma(self) -> dict[str, float]:
        """Standard deviation of each value (m, rad)."""
        return self._errors.sigma()

    def per_pixel(self, unit: str = "2th_deg") -> Floats:
        """Compute the standard deviation at each pixel.

        Parameters
        ----------
        unit
            One of pyFAI's: ``2th_deg``, ``2th_rad``, ``q_nm^-1``, ``q_A^-1``. For q the covariance of distance and
            wavelength is included.

        Returns
        -------
        ndarray, shape (y, x)
            Standard deviations in the unit.

        Raises
        ------
        ValueError
            The unit is unknown.
        """
        scale = _scale(unit)
        sigma = self._errors.sigma_q if unit.startswith("q") else self._errors.sigma_two_theta
        return sigma(self.y, self.x) * scale

    def per_ring(self, rings: ArrayLike, unit: str = "2th_deg") -> Floats:
        """Compute the standard deviation of rings: the root mean square over the part that is on the detector.

        Parameters
        ----------
        rings
            Values of 2 theta or q in the unit, shape (n,).
        unit
            As for `per_pixel`.

        Returns
        -------
        ndarray, shape (n,)
            Standard deviations in the unit; NaN for a ring that is not on the detector.

        Raises
        ------
        ValueError
            The unit is unknown.
        """
        values, sigma = self._values(unit), self.per_pixel(unit)
        width = max(float(np.abs(np.diff(values, axis=axis)).max(initial=0.0)) for axis in (0, 1))
        results = np.full(np.shape(np.atleast_1d(rings)), np.nan)
        for index, ring in enumerate(np.atleast_1d(rings)):
            on_ring = sigma[np.abs(values - ring) <= width]
            if len(on_ring):
                results[index] = np.sqrt(np.mean(on_ring**2))
        return results

    @property
    def _errors(self) -> GeometryErrors:
        return GeometryErrors(self.geometry, self.covariance)

    def _values(self, unit: str) -> Floats:
        """Compute 2 theta or q of each pixel in a unit."""
        angle = two_theta(values_of(self.geometry), self.y, self.x)
        if unit.startswith("q"):
            return 4 * np.pi * np.sin(angle / 2) / self.geometry.wavelength * _scale(unit)
        return angle * _scale(unit)


def uncertainty(
    source: Any,
    *,
    detector: str | None = None,
    stream: str | None = None,
    event: int | None = None,
    best: bool = False,
    revision: int | None = None,
    history: Histories | None = None,
    shape: Sequence[int] | None = None,
    any_status: bool = False,
) -> Uncertainty:
    """Return how sure 2 theta and q of a run are, by the covariance of its geometry.

    Parameters
    ----------
    source
        A run, or a result of `recorded` or `best_known`.
    detector, stream, event, best, revision, history, shape, any_status
        As for `azimuthal_integrator`.

    Returns
    -------
    Uncertainty
        Standard deviations for each pixel, `per_pixel`, and for rings, `per_ring`.

    Raises
    ------
    NoUncertaintyError
        The geometry has no covariance: it was typed, read from a file, or not fitted by ponikeeper.
    NoGeometryError, NotValidError, NotConnectedError, HistoryError, ShapeError, GeometryFileError, MissingExtraError
        As `azimuthal_integrator`.
    ValueError
        As `azimuthal_integrator`.

    Examples
    --------
    >>> sure = uncertainty(catalog[uid])
    >>> sure.per_ring([3.2, 5.1], "2th_deg")
    """
    result = select_geometry(source, detector, stream, event, best, history, revision)
    geometry = result.require_geometry(any_status=any_status)
    errors = errors_of(result)
    images = None if shape is not None else recorded_of(result).image_shape
    panel = integrator_of(geometry, images, shape, files=result.files).detector
    y, x, z = panel.calc_cartesian_positions()
    if z is not None:
        raise NoUncertaintyError(f"the detector {geometry.detector} is curved: its uncertainty is not known")
    return Uncertainty(geometry, errors.covariance, np.asarray(y, float), np.asarray(x, float), result.valid_within)


def errors_of(result: Recorded | BestKnown) -> GeometryErrors:
    """Return the covariance of a geometry of a run.

    Parameters
    ----------
    result
        With a geometry.

    Returns
    -------
    GeometryErrors

    Raises
    ------
    NoUncertaintyError
        It has none.
    """
    errors = None if result.geometry is None else GeometryErrors.parse(result.geometry, result.covariance)
    if errors is None:
        what = result.summary
        raise NoUncertaintyError(
            f"{result.detector} {result.scope}: {what} has no covariance: it was typed, read from a file, or edited; "
            "only a geometry that ponikeeper fitted to an image has one"
        )
    return errors


def _scale(unit: str) -> float:
    if unit not in _UNITS:
        raise ValueError(f"unit {unit!r} is unknown: expected one of {', '.join(_UNITS)}")
    return _UNITS[unit]
