"""Refinement: the fit parameters that match the control points best, their covariance and their residuals."""

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ponikeeper_client.fit._control_points import ControlPoints
from ponikeeper_client.fit._forward_model import (
    DISTANCE,
    PARAMETER_SCALES,
    Floats,
    radius_per_angle,
    two_theta,
    two_theta_jacobian,
)

_ROUNDS = 3
_OUTLIER = 4.0
_MIN_SCATTER = 0.03
"""Lower limit of the scatter by which outliers are judged (px)."""

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
        params = _solve(params, points.select(inliers), weights[inliers], lines, pixel, "soft_l1").x
        offset = residuals_px(params, points, lines, pixel)
        scatter = _scatter(points, offset, inliers)
        inliers = np.abs(offset) < _OUTLIER * scatter
        weights = np.median(scatter) / scatter
    if np.count_nonzero(inliers) <= _PARAMETERS:
        return None
    points, weights = points.select(inliers), weights[inliers]
    solution = _solve(params, points, weights, lines, pixel, "linear")
    sizes = np.linalg.norm(solution.jac, axis=0)
    singular = np.linalg.svd(solution.jac / np.where(sizes > 0, sizes, 1), compute_uv=False)
    condition = float(singular[0] / singular[-1]) if singular[-1] > 0 else np.inf
    variance = float(solution.fun @ solution.fun) / max(len(points) - _PARAMETERS, 1)
    covariance = np.linalg.pinv(solution.jac.T @ solution.jac) * variance
    result = evaluate(solution.x, points, lines, pixel)
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
    common = max(1.4826 * float(np.median(np.abs(offset[inliers]))), _MIN_SCATTER)
    scatter = np.full(len(offset), common)
    for ring in points.rings():
        of_ring = points.line == ring
        used = offset[of_ring & inliers]
        if len(used) >= _MIN_RING_POINTS:
            own = 1.4826 * float(np.median(np.abs(used - np.median(used))))
            scatter[of_ring] = np.clip(max(own, abs(float(np.median(used)))), _MIN_SCATTER, _MAX_SCATTER * common)
    return scatter


@dataclass(frozen=True, slots=True)
class _Solution:
    """Result of the solver: the parameters, the weighted distances from the rings (px), and their Jacobian."""

    x: Floats
    fun: Floats
    jac: NDArray[np.float64]


def _solve(params: Floats, points: ControlPoints, weights: Floats, lines: Floats, pixel: float, loss: str) -> _Solution:
    """Minimize the weighted distances from the rings (px) under one loss function of `scipy.optimize`."""
    scales = np.array(PARAMETER_SCALES) * np.r_[params[DISTANCE], 1, 1, 1, 1]
    target = lines[points.line]
    scale = weights * radius_per_angle(params, target) / pixel  # constant: else a short distance would fit well

    def residuals(values: Floats) -> Floats:
        return (two_theta(values, points.y, points.x) - target) * scale

    def jacobian(values: Floats) -> Floats:
        return two_theta_jacobian(values, points.y, points.x) * scale[:, None]

    solve = cast("Any", least_squares)  # its annotations do not know of a function as `jac`
    solution = solve(residuals, params, jacobian, x_scale=scales, loss=loss, f_scale=0.3, max_nfev=40)
    return _Solution(solution.x, solution.fun, solution.jac)
