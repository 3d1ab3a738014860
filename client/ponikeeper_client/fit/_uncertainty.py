"""Uncertainty of a fit: from the scatter of its points, a smooth distortion of the panel, and the wavelength.

The covariance is A (S + F) A with A = (J^T J)^-1, J the weighted Jacobian of the distances of the points from their
rings. S has the scatter, summed over rings and over sectors of azimuth, so that errors which their points share count
as one. F = J^T K J has what the points do not show: a smooth distortion of the panel with the covariance K, which the
parameters absorb. It is as large as assumed, or as the residuals show if that is more.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ponikeeper.geometry import Geometry
from ponikeeper.protocol.assumed_errors import DEFAULTS, AssumedErrors
from ponikeeper_client._geometry_errors import GeometryErrors
from ponikeeper_client.fit._distortion import Field, shown_size
from ponikeeper_client.fit._forward_model import (
    DISTANCE,
    Floats,
    geometry_jacobian,
    radius_per_angle,
    two_theta_and_jacobian,
)
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._refine import Refined

CONTRADICTED = 2.0
"""From how many standard deviations on the rings contradict a wavelength."""

_POSSIBLE = 3.0
"""How far an error may be from the one that the rings prefer, in standard deviations of that."""

_LARGEST_SIGMA = 0.02
"""Limit up to which the relative standard deviation of a wavelength is raised if the rings hardly tell it."""

_SECTORS = 12
"""Sectors of azimuth whose points are taken to share an error."""

_STEPS_OF_WAVELENGTH = 4
_LARGEST_SINE = 0.999
_FARTHEST = 0.5
"""Largest relative difference of a wavelength that is looked for."""

_SINGULAR = 1e-10


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """Errors of fit parameters.

    Parameters
    ----------
    assumed
        The errors that were assumed.
    at_wavelength
        Covariance of the fit parameters at the given wavelength (m, rad), shape (5, 5).
    by_wavelength
        Change of the fit parameters for a relative change of the wavelength (m, rad), shape (5,).
    preferred
        Relative difference of the wavelength that the rings prefer.
    preferred_sigma
        Its standard deviation, by scatter and distortion.
    preferred_px
        Largest displacement of a point, by a radial distortion, that would look like this difference (px).
    residuals_px
        Distance of each point from its ring with the wavelength that the rings prefer (px), shape (n,): what neither
        the geometry nor the wavelength explains.
    distortion_px
        Smooth distortion of the panel that the residuals show (px rms along each axis).
    """

    assumed: AssumedErrors
    at_wavelength: Floats
    by_wavelength: Floats
    preferred: float
    preferred_sigma: float
    preferred_px: float
    residuals_px: Floats
    distortion_px: float

    @property
    def wavelength_deviation(self) -> float:
        """Difference of the wavelength that the rings prefer, in units of its standard deviation from the given one."""
        return abs(self.preferred) / float(np.hypot(self.preferred_sigma, self.assumed.wavelength))

    @property
    def wavelength_sigma(self) -> float:
        """Relative standard deviation of the wavelength.

        The assumed one, or more if the rings contradict the wavelength: then the root mean square of its error, if
        the wavelength that they prefer is a measurement of it; and all of the difference where they contradict it by
        more than `CONTRADICTED`. Unless the wavelength is declared to be better than the default, three standard
        deviations also reach the largest error that the rings leave possible, up to a limit.
        """
        if self.wavelength_deviation > CONTRADICTED:
            return max(self.assumed.wavelength, abs(self.preferred))
        declared, measured = self.assumed.wavelength**2, self.preferred_sigma**2
        share = declared / (declared + measured) if declared > 0 else 0.0
        square = share * measured + (share * self.preferred) ** 2 if share > 0 else 0.0
        return max(self.assumed.wavelength, float(np.sqrt(square)), self._possible())

    def _possible(self) -> float:
        """Return a third of the largest error of the wavelength that the rings leave possible; 0 if it is declared."""
        if self.assumed.wavelength < DEFAULTS["wavelength"]:
            return 0.0
        return min((abs(self.preferred) + _POSSIBLE * self.preferred_sigma) / 3, _LARGEST_SIGMA)

    def covariance(self) -> Floats:
        """Compute the covariance of the fit parameters and the relative wavelength (m, rad), shape (6, 6)."""
        slopes = np.r_[self.by_wavelength, 1.0]
        covariance = np.outer(slopes, slopes) * self.wavelength_sigma**2
        covariance[:5, :5] += self.at_wavelength
        return covariance

    def errors(self, params: Floats, geometry: Geometry) -> GeometryErrors:
        """Convert the covariance to that of a geometry.

        Parameters
        ----------
        params
            The fit parameters, shape (5,).
        geometry
            The geometry of these.

        Returns
        -------
        GeometryErrors
        """
        return GeometryErrors(geometry, _converted(params, geometry.wavelength, self.covariance()))

    def at_given_wavelength(self, params: Floats, geometry: Geometry) -> GeometryErrors:
        """Convert the covariance at the given wavelength, as if that had no error; parameters as `errors`."""
        covariance = np.zeros((6, 6))
        covariance[:5, :5] = self.at_wavelength
        return GeometryErrors(geometry, _converted(params, geometry.wavelength, covariance))


def uncertainty(frame: Frame, refined: Refined, lines: Floats, assumed: AssumedErrors) -> Uncertainty | None:
    """Compute the uncertainty of a fit.

    Parameters
    ----------
    frame
        The image.
    refined
        Fitted parameters with their control points.
    lines
        Scattering angles of the calibrant, ascending (rad).
    assumed
        Errors that the points do not show.

    Returns
    -------
    Uncertainty or None
        None if the parameters were not fitted, or the points do not determine them.
    """
    if refined.weights is None:
        return None
    points, target = refined.points, lines[refined.points.line]
    scale = refined.weights * radius_per_angle(refined.params, target) / frame.pixel
    by_params = two_theta_and_jacobian(refined.params, points.y, points.x)[1] * scale[:, None]
    by_wavelength = -2 * np.tan(target / 2) * scale
    jacobian = np.c_[by_params, by_wavelength]
    inverse, inverse_free = _inverse(by_params), _inverse(jacobian)
    if inverse is None:
        return None
    response = -inverse @ by_params.T @ by_wavelength
    preferred, sigma, largest, residual = 0.0, np.inf, 0.0, refined.residuals * scale
    if inverse_free is not None:
        preferred, residual = _preferred(refined, target, scale)
    field = Field.of(frame, refined.params, points, lines, assumed).times(refined.weights)
    shown = shown_size(field.bumps(), jacobian, residual) if assumed.distortion else 0.0
    spread = _scatter(jacobian, residual, points.line, points.azimuth) + field.scores(jacobian) * max(shown, 1.0) ** 2
    if inverse_free is not None:
        sigma = float(np.sqrt((inverse_free @ spread @ inverse_free)[5, 5]))
        left = (by_wavelength + by_params @ response) * preferred / refined.weights
        largest = float(np.abs(left).max())
    covariance = inverse @ spread[:5, :5] @ inverse
    return Uncertainty(
        assumed, covariance, response, preferred, sigma, largest, residual / refined.weights, shown * assumed.distortion
    )


def _scatter(jacobian: Floats, residual: Floats, line: NDArray[np.intp], azimuth: Floats) -> Floats:
    """Compute S, shape (6, 6): the points of a ring share an error, and so do those of a sector of azimuth."""
    sector = ((azimuth / (2 * np.pi) + 0.5) * _SECTORS).astype(int) % _SECTORS
    return _clustered(jacobian, residual, line) + _clustered(jacobian, residual, sector)


def _clustered(jacobian: Floats, residual: Floats, cluster: NDArray[np.intp]) -> Floats:
    """Sum the scores of each cluster, and compute their outer products, shape (6, 6)."""
    _, index = np.unique(cluster, return_inverse=True)
    sums = np.stack([np.bincount(index, column * residual) for column in jacobian.T], axis=1)
    count, used = len(sums), len(residual)
    correction = count / max(count - 1, 1) * (used - 1) / max(used - jacobian.shape[1], 1)
    return correction * sums.T @ sums


def _preferred(refined: Refined, target: Floats, scale: Floats) -> tuple[float, Floats]:
    """Fit the wavelength, too, by Gauss-Newton steps; return its relative difference, and weighted residuals (px)."""
    points, sines = refined.points, np.sin(target / 2)
    values = np.r_[refined.params, 0.0]

    def model() -> tuple[Floats, Floats]:
        sine = np.minimum(sines * (1 + values[5]), _LARGEST_SINE)
        angle, by_params = two_theta_and_jacobian(values[:5], points.y, points.x)
        by_wavelength = -2 * sines / np.sqrt(1 - sine**2)
        return (angle - 2 * np.arcsin(sine)) * scale, np.c_[by_params, by_wavelength] * scale[:, None]

    for _ in range(_STEPS_OF_WAVELENGTH):
        residual, jacobian = model()
        sizes = np.linalg.norm(jacobian, axis=0)
        values = values + np.linalg.lstsq(jacobian / sizes, -residual, rcond=None)[0] / sizes
        if not (values[DISTANCE] > 0 and abs(values[5]) < _FARTHEST):
            return float(np.clip(values[5], -_FARTHEST, _FARTHEST)), refined.residuals * scale
    return float(values[5]), model()[0]


def _inverse(jacobian: Floats) -> Floats | None:
    """Compute (J^T J)^-1; None if the columns are not independent."""
    sizes = np.linalg.norm(jacobian, axis=0)
    if not sizes.all():
        return None
    normal = (jacobian / sizes).T @ (jacobian / sizes)
    if np.linalg.eigvalsh(normal)[0] < _SINGULAR:
        return None
    return np.linalg.inv(normal) / np.outer(sizes, sizes)


def _converted(params: Floats, wavelength: float, covariance: Floats) -> Floats:
    """Convert a covariance of fit parameters and relative wavelength to that of a geometry, shape (6, 6)."""
    jacobian = np.zeros((6, 6))
    jacobian[:5, :5], jacobian[5, 5] = geometry_jacobian(params), wavelength
    return jacobian @ covariance @ jacobian.T
