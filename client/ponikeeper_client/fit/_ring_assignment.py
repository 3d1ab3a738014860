"""Ring assignment: ridge points are assigned to calibrant lines, from the inner rings outwards, and fitted."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ponikeeper_client.fit._forward_model import (
    DISTANCE,
    PARAMETER_SCALES,
    Floats,
    radius_per_angle,
    two_theta,
    two_theta_jacobian,
)
from ponikeeper_client.fit._ridges import RidgePoints
from ponikeeper_client.fit.calibrants import line_spacing, nearest_index

_MIN_POINTS = 15
_MAX_OFFSET = 1.5
"""A ridge point nearer to a line than this belongs to it (px)."""

_FRACTIONS = (0.15, 0.3, 0.6, 1.0)
"""Parts of the ridge points, by angle: the inner rings first, where the lines are far apart."""


def assign_rings(
    params: Floats, ridges: RidgePoints, lines: Floats, pixel: float, gates: tuple[float, ...]
) -> Floats | None:
    """Fit parameters to ridge points, each assigned to its nearest line, with ever narrower gates.

    Parameters
    ----------
    params
        Rough fit parameters, shape (5,).
    ridges
        The ridge points of the image.
    lines
        Scattering angles of the calibrant, ascending (rad).
    pixel
        Length of one pixel (m).
    gates
        Largest allowed distance of a ridge point from its line (px), descending; the first one is used
        while rings are added from the inside outwards.

    Returns
    -------
    ndarray, shape (5,), or None
        None if too few ridge points are near a line.
    """
    prior = 0.05 * np.sqrt(len(ridges))
    spacing = line_spacing(lines)
    schedule = [(part, gates[0]) for part in _FRACTIONS] + [(1.0, gate) for gate in gates[1:] for _ in range(2)]
    for part, gate in schedule:
        angle = two_theta(params, ridges.y, ridges.x)
        line = nearest_index(lines, angle)
        scale = radius_per_angle(params, angle) / pixel
        offset = (angle - lines[line]) * scale
        near = (np.abs(offset) < np.minimum(gate, 0.35 * spacing[line] * scale)) & (angle <= np.quantile(angle, part))
        if np.count_nonzero(near) < _MIN_POINTS:
            if part < 1:
                continue
            return None
        params = _fitted(params, ridges, lines[line], scale, near, prior, max(0.3, gate / 4))
        if not params[DISTANCE] > 0:
            return None
    return params


def match_z_score(params: Floats, ridges: RidgePoints, lines: Floats, pixel: float) -> float:
    """Compute by how many standard deviations more ridge points lie on lines than by chance.

    Where lines are dense, a point is near one by chance and contributes little. Neighbouring ridge points
    are not independent, so the number serves for comparisons only.

    Parameters
    ----------
    params
        Fit parameters, shape (5,).
    ridges
        The ridge points of the image.
    lines
        Scattering angles of the calibrant, ascending (rad).
    pixel
        Length of one pixel (m).

    Returns
    -------
    float
        The z-score; 0 if nothing can be said.
    """
    angle = two_theta(params, ridges.y, ridges.x)
    line = nearest_index(lines, angle)
    scale = radius_per_angle(params, angle) / pixel
    near = np.abs(angle - lines[line]) * scale < _MAX_OFFSET
    chance = np.minimum(2 * _MAX_OFFSET / (line_spacing(lines)[line] * scale), 1)
    deviation = np.sqrt((ridges.weight**2 * chance * (1 - chance)).sum())
    return float((ridges.weight * (near - chance)).sum() / deviation) if deviation > 0 else 0.0


def _fitted(
    params: Floats, ridges: RidgePoints, target: Floats, scale: Floats, near: NDArray[np.bool_],
    prior: float, soft: float,
) -> Floats:  # fmt: skip
    """Fit parameters to the points that are near their target angles (rad), with a weak prior on no tilt."""
    y, x, target, scale = (values[near] for values in (ridges.y, ridges.x, target, scale * np.sqrt(ridges.weight)))

    def residuals(values: Floats) -> Floats:
        return np.r_[(two_theta(values, y, x) - target) * scale, prior * values[3:]]

    def jacobian(values: Floats) -> Floats:
        return np.vstack([two_theta_jacobian(values, y, x) * scale[:, None], prior * np.eye(2, 5, 3)])

    scales = np.array(PARAMETER_SCALES) * np.r_[params[DISTANCE], 1, 1, 1, 1]
    solve = cast("Any", least_squares)  # its annotations do not know of a function as `jac`
    return solve(residuals, params, jacobian, x_scale=scales, loss="soft_l1", f_scale=soft, max_nfev=12).x
