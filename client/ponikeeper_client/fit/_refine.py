"""The place that fits the control points best, how sure that is, and what it leaves over."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ponikeeper_client.fit._control_points import Points
from ponikeeper_client.fit._forward_model import DISTANCE, STEPS, Floats, radius_scale, two_theta

_ROUNDS = 3
_OUTLIER = 4.0
_FINEST = 0.03
"""Scatter below which nothing is an outlier (px)."""

_ENOUGH = 8
"""Points of a ring from which its own scatter is taken."""

_WORST = 2.0
"""A ring that scatters more than this, or is so far off, in units of the common scatter, is wrong in part."""

_FREE = 5


@dataclass(frozen=True, slots=True)
class Refined:
    """A fitted place.

    Parameters
    ----------
    place
        See `ponikeeper_client.fit._forward_model`.
    points
        What it was fitted to: outliers are left out.
    residuals
        Of each point, angle minus that of its line (rad).
    residual_px
        Their root mean square as lengths on the detector (px).
    covariance
        Of the place, shape (5, 5), from the scatter of the points (m, rad); None where the place was
        given, not fitted.
    condition
        Of the problem with columns of equal length: large where the points do not tell the five
        numbers apart.
    """

    place: Floats
    points: Points
    residuals: Floats
    residual_px: float
    covariance: Floats | None = None
    condition: float = 1.0

    @property
    def residual_rad(self) -> float:
        """Root mean square of the residuals (rad)."""
        return float(np.sqrt(np.mean(self.residuals**2)))


def refine(place: Floats, points: Points, lines: Floats, pixel: float, rounds: int = _ROUNDS) -> Refined | None:
    """Fit a place to control points by robust least squares; None where there are too few of them.

    Parameters
    ----------
    rounds
        How often outliers are left out; 0 keeps every point.
    """
    kept, weights = np.ones(len(points), bool), np.ones(len(points))
    for _ in range(rounds):
        if np.count_nonzero(kept) <= _FREE:
            return None
        place = _solved(place, points.only(kept), weights[kept], lines, pixel, "soft_l1").x
        off = misfit(place, points, lines, pixel)
        scatter = _scatter(points, off, kept)
        kept = np.abs(off) < _OUTLIER * scatter
        weights = np.median(scatter) / scatter
    if np.count_nonzero(kept) <= _FREE:
        return None
    points, weights = points.only(kept), weights[kept]
    found = _solved(place, points, weights, lines, pixel, "linear")
    sizes = np.linalg.norm(found.jac, axis=0)
    scaled = np.linalg.svd(found.jac / np.where(sizes > 0, sizes, 1), compute_uv=False)
    condition = float(scaled[0] / scaled[-1]) if scaled[-1] > 0 else np.inf
    variance = float(found.fun @ found.fun) / max(len(points) - _FREE, 1)
    covariance = np.linalg.pinv(found.jac.T @ found.jac) * variance
    return replace(left_over(found.x, points, lines, pixel), covariance=covariance, condition=condition)


def left_over(place: Floats, points: Points, lines: Floats, pixel: float) -> Refined:
    """Tell what a place leaves over of control points, without fitting it."""
    residuals = two_theta(place, points.y, points.x) - lines[points.line]
    off = misfit(place, points, lines, pixel)
    return Refined(place, points, residuals, float(np.sqrt(np.mean(off**2))) if len(off) else np.nan)


def _scatter(points: Points, off: Floats, kept: NDArray[np.bool_]) -> Floats:
    """Give the scatter of each point's ring (px): a faint ring says less than a bright one.

    What is common to a ring does not scatter: wavelength and standard, which are given, shift whole rings.
    """
    common = max(1.4826 * float(np.median(np.abs(off[kept]))), _FINEST)
    found = np.full(len(off), common)
    for ring in points.rings():
        of_ring = points.line == ring
        some = off[of_ring & kept]
        if len(some) >= _ENOUGH:
            own = 1.4826 * float(np.median(np.abs(some - np.median(some))))
            found[of_ring] = np.clip(max(own, abs(float(np.median(some)))), _FINEST, _WORST * common)
    return found


def uncertainty(refined: Refined, y: Floats, x: Floats, pixel: float) -> float:
    """Give how far rings are probably off at some points of the detector (m), by the covariance (px, rms)."""
    assert refined.covariance is not None, "a place that was fitted has one"
    angle = two_theta(refined.place, y, x)
    steps = np.array(STEPS) * np.r_[refined.place[DISTANCE], 1, 1, 1, 1] * 1e-3
    slopes = np.stack([(two_theta(refined.place + step, y, x) - angle) for step in np.diag(steps)], axis=-1) / steps
    variance = np.einsum("...i,ij,...j->...", slopes, refined.covariance, slopes)
    return float(np.sqrt(np.mean(variance * (radius_scale(refined.place, angle) / pixel) ** 2)))


def misfit(place: Floats, points: Points, lines: Floats, pixel: float) -> Floats:
    """Give how far each point is from its ring (px)."""
    target = lines[points.line]
    return (two_theta(place, points.y, points.x) - target) * radius_scale(place, target) / pixel


def _solved(place: Floats, points: Points, weights: Floats, lines: Floats, pixel: float, loss: str) -> "Solution":
    steps = np.array(STEPS) * np.r_[place[DISTANCE], 1, 1, 1, 1]
    target = lines[points.line]
    scale = weights * radius_scale(place, target) / pixel  # held: else a small distance would look like a good fit

    def off(values: Floats) -> Floats:
        return (two_theta(values, points.y, points.x) - target) * scale

    found = least_squares(off, place, x_scale=steps, loss=loss, f_scale=0.3, max_nfev=40)
    return Solution(found.x, found.fun, found.jac)


@dataclass(frozen=True, slots=True)
class Solution:
    """What the solver found: the place, misfits there (px), and their derivatives."""

    x: Floats
    fun: Floats
    jac: NDArray[np.float64]
