"""Ring assignment: ridge points are assigned to calibrant lines, from the inner rings outwards, and fitted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ponikeeper_client._least_squares import minimize
from ponikeeper_client.fit._forward_model import (
    DISTANCE,
    Floats,
    radius_per_angle,
    two_theta,
    two_theta_and_jacobian,
)
from ponikeeper_client.fit._ridges import RidgePoints
from ponikeeper_client.fit.calibrants import line_spacing, nearest_index

_MIN_POINTS = 15
MAX_OFFSET = 1.5
"""A ridge point nearer to a line than this belongs to it, as long as the parameters are rough (px)."""

_PRECISION = 0.8
"""A ridge point nearer to a line than this belongs to it when the parameters are fitted (px)."""

_LEAST = 0.02
"""Least share of ridge points on lines, and least share of others, that is assumed."""

_ENOUGH, _STEPS = 1e-5, 12
"""When a fit ends, and its largest number of steps: the parameters are rough."""

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


@dataclass(frozen=True, slots=True)
class Match:
    """How well lines match ridge points.

    Parameters
    ----------
    score
        Logarithm of the likelihood ratio: ridge points on lines, against ridge points anywhere. Neighbouring points are
        not independent, so it serves for comparisons at the same points only.
    share
        Share of the points on lines, without those that are there by chance (0 to 1).
    """

    score: float
    share: float


def match(params: Floats, ridges: RidgePoints, lines: Floats, pixel: float) -> Match:
    """Compute how well the lines match the ridge points.

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
    Match
        With the share of points on lines that is most probable.
    """
    angle = two_theta(params, ridges.y, ridges.x)
    line = nearest_index(lines, angle)
    scale = radius_per_angle(params, angle) / pixel
    near = np.abs(angle - lines[line]) * scale < _PRECISION
    chance = np.minimum(2 * _PRECISION / (line_spacing(lines)[line] * scale), 1)
    weight = ridges.weight / ridges.weight.sum()
    by_chance = float(weight @ chance)
    share = float(np.clip((weight @ near - by_chance) / max(1 - by_chance, 1e-9), _LEAST, 1 - _LEAST))
    return Match(float(ridges.weight @ (np.log(1 - share) + near * match_gain(chance, share))), share)


def match_gain(chance: Floats, share: float) -> Floats:
    """Compute by how much a match raises the logarithm of the likelihood, compared with no match.

    A ridge point is near a line by `chance` if it can be anywhere, and always if it is one of the `share` of points
    on lines. So a match among dense lines says little.
    """
    return np.log(1 - share + share / chance) - np.log(1 - share)


def _fitted(
    params: Floats, ridges: RidgePoints, target: Floats, scale: Floats, near: NDArray[np.bool_],
    prior: float, soft: float,
) -> Floats:  # fmt: skip
    """Fit parameters to the points that are near their target angles (rad), with a weak prior on no tilt."""
    y, x, target, scale = (values[near] for values in (ridges.y, ridges.x, target, scale * np.sqrt(ridges.weight)))

    by_prior = prior * np.eye(2, 5, 3, order="F")

    def model(values: Floats) -> tuple[Floats, Floats]:
        angle, slopes = two_theta_and_jacobian(values, y, x)
        residuals = np.concatenate([(angle - target) * scale, prior * values[3:]])
        return residuals, np.concatenate([slopes * scale[:, None], by_prior])

    return minimize(model, params, soft=soft, enough=_ENOUGH, steps=_STEPS).params
