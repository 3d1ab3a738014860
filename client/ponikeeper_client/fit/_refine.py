"""Refinement: the fit parameters that match the control points best, their covariance and their residuals."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ponikeeper_client._least_squares import Solution, minimize
from ponikeeper_client.fit._control_points import ControlPoints
from ponikeeper_client.fit._forward_model import (
    Floats,
    radius_per_angle,
    two_theta,
    two_theta_and_jacobian,
)

_ROUNDS = 3
_OUTLIER = 4.0
_MIN_SCATTER = 0.03
"""Lower limit of the scatter by which outliers are judged (px)."""

_SOFT = 0.3
"""Distance of a point from its ring from which on it counts less (px)."""

_MIN_RING_POINTS = 8
"""Number of points from which on a ring has a scatter of its own."""

_MAX_SCATTER = 2.0
"""Upper limit of a ring's scatter, in units of the common one: a ring above it contains wrong points."""

_PARAMETERS = 5


@dataclass(frozen=True, slots=True)
class Refined:
    """Fit parameters, and the control points that they belong to.

    Parameters
    ----------
    params
        See `ponikeeper_client.fit._forward_model`, shape (5,).
    points
        The control points, without outliers.
    residuals
        Scattering angle of each point minus that of its line (rad), shape (n,).
    residual_px
        Root mean square of the residuals as lengths on the detector (px); NaN without points.
    covariance
        Of the parameters, from the scatter of the points (m, rad), shape (5, 5); None if the parameters were
        given, not fitted.
    condition
        Condition number of the Jacobian with columns scaled to length 1: large if the points do not determine
        the five parameters independently.
    weights
        Weight of each point in the fit, shape (n,); None if the parameters were given, not fitted.
    """

    params: Floats
    points: ControlPoints
    residuals: Floats
    residual_px: float
    covariance: Floats | None = None
    condition: float = 1.0
    weights: Floats | None = None

    @property
    def residual_rad(self) -> float:
        """Root mean square of the residuals (rad)."""
        return float(np.sqrt(np.mean(self.residuals**2)))


def refine(params: Floats, points: ControlPoints, lines: Floats, pixel: float, rounds: int = _ROUNDS) -> Refined | None:
    """Fit parameters to control points by robust least squares.

    Parameters
    ----------
    params
        Fit parameters to begin at, shape (5,).
    points
        The measured control points.
    lines
        Scattering angles of the calibrant, ascending (rad).
    pixel
        Length of one pixel (m).
    rounds
        Number of rounds in which outliers are removed; 0 uses every point.

    Returns
    -------
    Refined or None
        None if there are too few points.
    """
    inliers, weights = np.ones(len(points), bool), np.ones(len(points))
    for _ in range(rounds):
        if np.count_nonzero(inliers) <= _PARAMETERS:
            return None
        params = _solve(params, points.select(inliers), weights[inliers], lines, pixel, _SOFT).params
        offset = residuals_px(params, points, lines, pixel)
        scatter = _scatter(points, offset, inliers)
        inliers = np.abs(offset) < _OUTLIER * scatter
        weights = np.median(scatter) / scatter
    if np.count_nonzero(inliers) <= _PARAMETERS:
        return None
    points, weights = points.select(inliers), weights[inliers]
    solution = _solve(params, points, weights, lines, pixel)
    sizes = np.linalg.norm(solution.jacobian, axis=0)
    singular = np.linalg.svd(solution.jacobian / np.where(sizes > 0, sizes, 1), compute_uv=False)
    condition = float(singular[0] / singular[-1]) if singular[-1] > 0 else np.inf
    variance = 2 * solution.cost / max(len(points) - _PARAMETERS, 1)
    covariance = np.linalg.pinv(solution.jacobian.T @ solution.jacobian) * variance
    result = evaluate(solution.params, points, lines, pixel)
    return replace(result, covariance=covariance, condition=condition, weights=weights)


def evaluate(params: Floats, points: ControlPoints, lines: Floats, pixel: float) -> Refined:
    """Compute the residuals of given parameters, without fitting them.

    Parameters
    ----------
    params
        Fit parameters, shape (5,).
    points
        The measured control points.
    lines
        Scattering angles of the calibrant, ascending (rad).
    pixel
        Length of one pixel (m).

    Returns
    -------
    Refined
        Without a covariance.
    """
    residuals = two_theta(params, points.y, points.x) - lines[points.line]
    offset = residuals_px(params, points, lines, pixel)
    return Refined(params, points, residuals, float(np.sqrt(np.mean(offset**2))) if len(offset) else np.nan)


def residuals_px(params: Floats, points: ControlPoints, lines: Floats, pixel: float) -> Floats:
    """Compute the signed distance of each point from its ring (px), shape (n,); parameters as `evaluate`."""
    target = lines[points.line]
    return (two_theta(params, points.y, points.x) - target) * radius_per_angle(params, target) / pixel


def _scatter(points: ControlPoints, offset: Floats, inliers: NDArray[np.bool_]) -> Floats:
    """Compute the scatter of each point's ring (px), shape (n,): points of a faint ring get less weight.

    An offset that is common to a ring is not scatter: an error of the wavelength or of the calibrant, which are
    given, shifts whole rings.
    """
    common = max(1.4826 * _median(np.abs(offset[inliers])), _MIN_SCATTER)
    scatter = np.full(len(offset), common)
    for ring in points.rings():
        of_ring = points.line == ring
        used = offset[of_ring & inliers]
        if len(used) >= _MIN_RING_POINTS:
            middle = _median(used)
            own = 1.4826 * _median(np.abs(used - middle))
            scatter[of_ring] = min(max(own, abs(middle), _MIN_SCATTER), _MAX_SCATTER * common)
    return scatter


def _median(values: Floats) -> float:
    """Compute the median, shape (n,), n > 0: of a few hundred values much faster than `np.median`."""
    ordered = np.sort(values)
    return float(ordered[(len(values) - 1) // 2] + ordered[len(values) // 2]) / 2


def _solve(
    params: Floats, points: ControlPoints, weights: Floats, lines: Floats, pixel: float, soft: float | None = None
) -> Solution:
    """Minimize the weighted distances from the rings (px), those above `soft` with less weight."""
    target = lines[points.line]
    scale = weights * radius_per_angle(params, target) / pixel  # constant: else a short distance would fit well

    def model(values: Floats) -> tuple[Floats, Floats]:
        angle, jacobian = two_theta_and_jacobian(values, points.y, points.x)
        return (angle - target) * scale, jacobian * scale[:, None]

    return minimize(model, params, soft=soft)
