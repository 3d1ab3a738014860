"""Distances at which the lines of a standard match the rings of an image: all of them at once.

On a detector perpendicular to the beam, log r = log distance + log tan(2 theta). So a ring at r is on a line at one
distance, which is a shift in log r, and the distance that brings most rings onto lines is the peak of a correlation.
"""

import numpy as np

from ponikeeper_client.fit._forward_model import DISTANCE, ROT1, Floats, two_theta
from ponikeeper_client.fit._ridges import RidgePoints
from ponikeeper_client.fit._ring_assignment import MAX_OFFSET, match_gain
from ponikeeper_client.fit.calibrants import line_spacing

_STEP = 0.0004
"""Of the distances (relative)."""

_LINES = 150
"""Number of lines that are compared, from the innermost on. A panel near the sample has most of its rings beyond the
50th; still farther out lines are too dense to tell anything."""

_MAX_ANGLE = 1.5
"""Lines at larger angles (rad) meet no flat detector that faces the beam."""

_ON_LINES = 0.7
"""Expected share of the ridge points that lie on lines of the standard."""

_MIN_SEPARATION = 0.01
"""Distances nearer to each other than this (relative) lead to the same parameters."""


def best_distances(
    params: Floats, ridges: RidgePoints, lines: Floats, between: tuple[float, float], pixel: float, count: int
) -> list[tuple[float, Floats]]:
    """Find the distances at which the lines match the ridge points best.

    Parameters
    ----------
    params
        Fit parameters with the beam spot, and with the tilt that belongs to their distance, shape (5,).
    ridges
        The ridge points of the image.
    lines
        Scattering angles of the calibrant, ascending (rad).
    between
        The smallest and the largest distance to try (m).
    pixel
        Length of one pixel (m).
    count
        Largest number of distances to return.

    Returns
    -------
    list of (float, ndarray of shape (5,))
        Score and fit parameters of each distance, the best one first. The tilt changes with the distance, so that the
        shapes of the rings remain.
    """
    lines = lines[lines < _MAX_ANGLE][:_LINES]
    if len(lines) == 0:
        return []
    radius = params[DISTANCE] * np.tan(np.minimum(two_theta(params, ridges.y, ridges.x), _MAX_ANGLE))
    grid, scores = _scores(np.maximum(radius, pixel), ridges.weight, lines, between, pixel)
    chosen: list[tuple[float, Floats]] = []
    for best in np.argsort(-scores):
        if all(abs(np.log(grid[best] / other[DISTANCE])) > _MIN_SEPARATION for _, other in chosen):
            chosen.append((float(scores[best]), at_distance(params, float(grid[best]))))
        if len(chosen) == count:
            break
    return chosen


def at_distance(params: Floats, distance: float) -> Floats:
    """Compute the parameters at another distance (m) at which the rings have nearly the same shapes, shape (5,).

    A ring is deformed by tilt / distance in first order.
    """
    turned = params[ROT1:] * distance / params[DISTANCE]
    tilt = float(np.hypot(*turned))
    return np.r_[distance, params[1:ROT1], turned * min(1.0, 1.0 / max(tilt, 1e-9))]


def _scores(
    radius: Floats, weight: Floats, lines: Floats, between: tuple[float, float], pixel: float
) -> tuple[Floats, Floats]:
    """Compute the logarithm of the likelihood ratio of each distance (m): rings on lines against rings anywhere."""
    first = np.log(between[0])
    size = int((np.log(between[1]) - first) / _STEP) + 1
    tangents = np.log(np.tan(lines))
    half = np.maximum(MAX_OFFSET * pixel / radius, _STEP)[:, None]
    gain = match_gain(np.minimum(2 * half / line_spacing(tangents), 1.0), _ON_LINES)
    shift = (np.log(radius)[:, None] - tangents - first) / _STEP
    scores = _sum_of_boxes(shift, half / _STEP, weight[:, None] * gain, size)
    return np.exp(first + np.arange(size) * _STEP), scores + weight.sum() * np.log(1 - _ON_LINES)


def _sum_of_boxes(middle: Floats, half: Floats | float, height: Floats, size: int) -> Floats:
    """Sum boxes of half width `half` around `middle` on the grid 0 ... size - 1, by their edges."""
    start, stop = (np.ceil(edge).clip(0, size).astype(np.intp).ravel() for edge in (middle - half, middle + half))
    edges = np.bincount(start, height.ravel(), size + 1) - np.bincount(stop, height.ravel(), size + 1)
    return np.cumsum(edges, dtype=np.float64)[:size]
