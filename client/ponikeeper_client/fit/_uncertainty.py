"""Uncertainty of a fit: from the scatter of its points, a smooth distortion of the panel, and the wavelength.

`_weighing` has the formulas. Errors that the points of a ring or of a sector of azimuth share count as one, and so does
what the points do not show: a smooth distortion of the panel, which the parameters absorb.
"""

from dataclasses import dataclass

import numpy as np

from ponikeeper.geometry import Geometry
from ponikeeper.protocol.assumed_errors import DEFAULTS, AssumedErrors
from ponikeeper_client._geometry_errors import GeometryErrors
from ponikeeper_client.fit._forward_model import (
    DISTANCE,
    Floats,
    geometry_jacobian,
    radius_per_angle,
    two_theta,
    two_theta_jacobian,
)
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._refine import Refined
from ponikeeper_client.fit._weighing import Weighing

CONTRADICTED = 2.0
"""From how many standard deviations on the rings contradict a wavelength."""

_POSSIBLE = 3.0
"""How far an error may be from the one that the rings prefer, in standard deviations of that."""

_LARGEST_SIGMA = 0.02
"""Limit up to which the relative standard deviation of a wavelength is raised if the rings hardly tell it."""

_STEPS_OF_WAVELENGTH = 4
_LARGEST_SINE = 0.999
_FARTHEST = 0.5
"""Largest relative difference of a wavelength that is looked for."""


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
    """

    assumed: AssumedErrors
    at_wavelength: Floats
    by_wavelength: Floats
    preferred: float
    preferred_sigma: float
    preferred_px: float
    residuals_px: Floats

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
    weighing = Weighing.of(frame, refined, refined.weights, lines, assumed)
    inverse, inverse_free = weighing.inverse(), weighing.inverse(wavelength=True)
    if inverse is None:
        return None
    target = lines[refined.points.line]
    scale = radius_per_angle(refined.params, target) / frame.pixel
    response = -inverse @ weighing.weighted[:, :5].T @ weighing.jacobian[:, 5]
    preferred, sigma, largest, residuals = 0.0, np.inf, 0.0, refined.residuals * scale
    if inverse_free is not None:
        preferred, residuals = _preferred(refined, target, scale, refined.weights)
        shift = weighing.shift(residuals, wavelength=True)
        preferred += 0.0 if shift is None or abs(preferred) >= _FARTHEST else float(shift[5])
    spread = weighing.spread(residuals)
    if inverse_free is not None:
        sigma = float(np.sqrt((inverse_free @ spread @ inverse_free)[5, 5]))
        left = (weighing.jacobian[:, 5] + weighing.jacobian[:, :5] @ response) * preferred
        largest = float(np.abs(left).max())
    covariance = inverse @ spread[:5, :5] @ inverse
    return Uncertainty(assumed, covariance, response, preferred, sigma, largest, residuals)


def _preferred(refined: Refined, target: Floats, scale: Floats, weights: Floats) -> tuple[float, Floats]:
    """Fit the wavelength, too, by Gauss-Newton steps; return its relative difference, and the residuals (px)."""
    points, sines = refined.points, np.sin(target / 2)
    values = np.r_[refined.params, 0.0]

    def residuals() -> tuple[Floats, Floats]:
        sine = np.minimum(sines * (1 + values[5]), _LARGEST_SINE)
        angle = two_theta(values[:5], points.y, points.x)
        return (angle - 2 * np.arcsin(sine)) * scale, -2 * sines / np.sqrt(1 - sine**2) * scale

    for _ in range(_STEPS_OF_WAVELENGTH):
        residual, by_wavelength = residuals()
        by_params = two_theta_jacobian(values[:5], points.y, points.x) * scale[:, None]
        jacobian = np.c_[by_params, by_wavelength] * weights[:, None]
        sizes = np.linalg.norm(jacobian, axis=0)
        values = values + np.linalg.lstsq(jacobian / sizes, -residual * weights, rcond=None)[0] / sizes
        if not (values[DISTANCE] > 0 and abs(values[5]) < _FARTHEST):
            return float(np.clip(values[5], -_FARTHEST, _FARTHEST)), refined.residuals * scale
    return float(values[5]), residuals()[0]


def _converted(params: Floats, wavelength: float, covariance: Floats) -> Floats:
    """Convert a covariance of fit parameters and relative wavelength to that of a geometry, shape (6, 6)."""
    jacobian = np.zeros((6, 6))
    jacobian[:5, :5], jacobian[5, 5] = geometry_jacobian(params), wavelength
    return jacobian @ covariance @ jacobian.T
