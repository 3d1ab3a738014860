"""From a rough place to a good one: crests are given to lines, from the inner rings outwards."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ponikeeper_client.fit._forward_model import DISTANCE, STEPS, Floats, radius_scale, two_theta
from ponikeeper_client.fit._ridges import Ridges
from ponikeeper_client.fit.calibrants import nearest_index, spacing

_FEWEST = 15
_WITHIN = 1.5
"""How near a crest is to its line (px)."""

_APART = 0.01
"""Distances nearer to each other than this (relative) lead to the same place."""

_PARTS = (0.15, 0.3, 0.6, 1.0)
"""Of the crests, by angle: the rings inside first, where the lines are far apart."""


def grow(place: Floats, ridges: Ridges, lines: Floats, pixel: float, gates: tuple[float, ...]) -> Floats | None:
    """Fit a place to the crests, each given to its nearest line.

    Parameters
    ----------
    lines
        Scattering angles, ascending (rad).
    pixel
        Length of one px (m).
    gates
        How far a crest may be from its line, ever smaller (px); the first ones while growing.

    Returns
    -------
    ndarray of 5, or None
        None where too few crests are near a line.
    """
    prior = 0.05 * np.sqrt(len(ridges))
    apart = spacing(lines)
    schedule = [(part, gates[0]) for part in _PARTS] + [(1.0, gate) for gate in gates[1:] for _ in range(2)]
    for part, gate in schedule:
        angle = two_theta(place, ridges.y, ridges.x)
        line = nearest_index(lines, angle)
        scale = radius_scale(place, angle) / pixel
        off = (angle - lines[line]) * scale
        near = (np.abs(off) < np.minimum(gate, 0.35 * apart[line] * scale)) & (angle <= np.quantile(angle, part))
        if np.count_nonzero(near) < _FEWEST:
            if part < 1:
                continue
            return None
        place = _refined(place, ridges, lines[line], scale, near, prior, max(0.3, gate / 4))
        if not place[DISTANCE] > 0:
            return None
    return place


def significance(place: Floats, ridges: Ridges, lines: Floats, pixel: float) -> float:
    """Tell by how many standard deviations the lines explain more of the crests than chance would.

    Where lines are dense a crest is near one by chance, and says little. Crests side by side are not
    independent, so the number is good for comparisons only.
    """
    angle = two_theta(place, ridges.y, ridges.x)
    line = nearest_index(lines, angle)
    scale = radius_scale(place, angle) / pixel
    near = np.abs(angle - lines[line]) * scale < _WITHIN
    chance = np.minimum(2 * _WITHIN / (spacing(lines)[line] * scale), 1)
    deviation = np.sqrt((ridges.weight**2 * chance * (1 - chance)).sum())
    return float((ridges.weight * (near - chance)).sum() / deviation) if deviation > 0 else 0.0


def likely_distances(
    place: Floats, ridges: Ridges, lines: Floats, distances: Floats, pixel: float, count: int
) -> list[float]:
    """Give the distances (m) at which the lines explain the crests best, the best first.

    Parameters
    ----------
    place
        Centre and tilt; its distance is not used.
    distances
        To try (m).
    count
        How many to give at most.
    """
    scores = np.array([significance(np.r_[distance, place[1:]], ridges, lines, pixel) for distance in distances])
    found: list[float] = []
    for best in np.argsort(-scores):
        if all(abs(np.log(distances[best] / distance)) > _APART for distance in found):
            found.append(float(distances[best]))
        if len(found) == count:
            break
    return found


def _refined(
    place: Floats, ridges: Ridges, target: Floats, scale: Floats, near: NDArray[np.bool_],
    prior: float, soft: float,
) -> Floats:  # fmt: skip
    y, x, target, scale = (values[near] for values in (ridges.y, ridges.x, target, scale * np.sqrt(ridges.weight)))

    def misfit(values: Floats) -> Floats:
        return np.r_[(two_theta(values, y, x) - target) * scale, prior * values[3:]]

    steps = np.array(STEPS) * np.r_[place[DISTANCE], 1, 1, 1, 1]
    return least_squares(misfit, place, x_scale=steps, loss="soft_l1", f_scale=soft, max_nfev=12).x
