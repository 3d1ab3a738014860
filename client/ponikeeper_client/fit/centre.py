"""Where the beam meets the detector, from the directions of the rings alone: no line need be known."""

import numpy as np
from scipy.optimize import least_squares

from ponikeeper_client.fit.rays import Floats, beam_direction, ray
from ponikeeper_client.fit.ridges import Ridges

_PAIRS = 4000
_VOTERS = 1500
_APART = 0.02
"""Least sine between two normals that say where they cross."""

_DIRECTION = 0.04
"""How well a normal points at the centre (rad); a tilt of a few degrees is within it."""

_TILT_PRIOR = 0.01
"""Weight of no tilt against directions: on short arcs they say little of it."""


def vote(ridges: Ridges, size: float, count: int, seed: int = 0) -> list[tuple[float, float]]:
    """Find the points at which most normals point, the best first.

    Parameters
    ----------
    size
        Of the detector (m): centres nearer to each other than a part of it are one.
    count
        How many to give at most.

    Returns
    -------
    list of (float, float)
        Coordinates on the detector (m).
    """
    random = np.random.default_rng(seed)
    one, other = random.integers(0, len(ridges), (2, _PAIRS))
    crossing = ridges.normal_x[one] * ridges.normal_y[other] - ridges.normal_y[one] * ridges.normal_x[other]
    apart = np.abs(crossing) > _APART
    one, other, crossing = one[apart], other[apart], crossing[apart]
    step_y, step_x = ridges.y[other] - ridges.y[one], ridges.x[other] - ridges.x[one]
    along = (step_x * ridges.normal_y[other] - step_y * ridges.normal_x[other]) / crossing
    y, x = ridges.y[one] + along * ridges.normal_y[one], ridges.x[one] + along * ridges.normal_x[one]
    votes = _votes(ridges.some(_VOTERS, seed), y, x)
    found: list[tuple[float, float]] = []
    for best in np.argsort(-votes):
        if all(np.hypot(y[best] - near[0], x[best] - near[1]) > 0.05 * size for near in found):
            found.append((float(y[best]), float(x[best])))
        if len(found) == count:
            break
    return found


def aim(ridges: Ridges, place: Floats) -> Floats:
    """Turn and shift the detector until every crest lies along a ring; the distance stays."""
    step = np.array([4e-3, 4e-3, 0.05, 0.05])
    found = least_squares(
        lambda values: _misdirections(np.r_[place[0], values], ridges),
        place[1:], loss="cauchy", f_scale=0.05, x_scale=step, max_nfev=25,
    )  # fmt: skip
    return np.r_[place[0], found.x]


def _votes(voters: Ridges, y: Floats, x: Floats) -> Floats:
    found = np.empty(len(y))
    for start in range(0, len(y), 250):
        part = slice(start, start + 250)
        to_y, to_x = voters.y - y[part, None], voters.x - x[part, None]
        sine = np.abs(to_y * voters.normal_x - to_x * voters.normal_y) / (np.hypot(to_y, to_x) + 1e-12)
        found[part] = (voters.weight * np.exp(-0.5 * (sine / _DIRECTION) ** 2)).sum(1)
    return found


def _misdirections(place: Floats, ridges: Ridges) -> Floats:
    """Give the sines between crests and rings, and the tilt's prior."""
    q1, q2, q3 = ray(place, ridges.y, ridges.x)
    b1, b2, b3 = beam_direction(place[3], place[4])
    square, along = q1 * q1 + q2 * q2 + q3 * q3, q1 * b1 + q2 * b2 + q3 * b3
    up_y, up_x = along * q1 - b1 * square, along * q2 - b2 * square  # where the scattering angle grows fastest
    sine = (up_x * ridges.normal_y - up_y * ridges.normal_x) / (np.hypot(up_y, up_x) + 1e-30)
    prior = _TILT_PRIOR * np.sqrt(len(ridges))
    return np.r_[sine * np.sqrt(ridges.weight), prior * place[3], prior * place[4]]
