"""From a geometry that is roughly known to places worth a closer look."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from ponikeeper_client.fit._forward_model import DISTANCE, Floats, beam_direction, ray
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._ridges import Ridges, find_ridges
from ponikeeper_client.fit._ring_assignment import grow, likely_distances, significance

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


_LARGEST_SIDE = 1024
_WIDTHS = (1.3, 2.6, 5.0)
_CRESTS = 5000
_FEWEST_CRESTS = 60
_AIMERS = 2500
_CENTRES = 2
_LARGEST_TILT = 1.2
_GATES = (8.0, 5.0, 3.0, 2.0, 1.5)

_CONVINCING = 30.0
"""From where on there is no need to look at other places."""

_DISTANCES = 3
_STEP = 0.001
"""Of the distances to try (relative)."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place, and how significantly it explains the image's crests."""

    place: Floats
    significance: float


def search(frame: Frame, start: Floats, lines: Floats, reach: float) -> list[Candidate]:
    """Find places around a start, the best first.

    Parameters
    ----------
    start
        The place to begin at.
    lines
        Scattering angles, ascending (rad).
    reach
        How far the distance may be from the start's (relative).
    """
    small = frame.binned(_LARGEST_SIDE)
    image = small.flattened()
    found: list[Candidate] = []
    for width in _WIDTHS:
        ridges = find_ridges(small, image, width)
        if len(ridges) < _FEWEST_CRESTS:
            continue
        some = ridges.some(_CRESTS)
        for place in _rough(small, some, start, lines, reach):
            grown = grow(place, some, lines, small.pixel, _GATES)
            if grown is None or any(_same(grown, other.place, small.pixel) for other in found):
                continue
            found.append(Candidate(grown, significance(grown, ridges, lines, small.pixel)))
            if found[-1].significance > _CONVINCING:
                return [found[-1]]
    return sorted(found, key=lambda candidate: -candidate.significance)


def _same(one: Floats, other: Floats, pixel: float) -> bool:
    """Tell whether two places lead to the same control points."""
    return bool(abs(one[DISTANCE] / other[DISTANCE] - 1) < 0.002 and np.hypot(*(one[1:3] - other[1:3])) < pixel)


def _rough(frame: Frame, some: Ridges, start: Floats, lines: Floats, reach: float) -> Iterator[Floats]:
    """Give places from centre and distance, one after the other, the best first; the start itself is the last."""
    size = float(np.hypot(np.ptp(frame.y), np.ptp(frame.x)))
    aimers = some.some(_AIMERS, seed=1)
    tried = start[DISTANCE] * np.exp(np.linspace(-reach, reach, 1 + 2 * int(reach / _STEP)))
    for spot in vote(some, size, _CENTRES):
        place = aim(aimers, np.r_[start[DISTANCE], spot, start[3:]])
        if np.hypot(*place[3:]) < _LARGEST_TILT:
            for distance in likely_distances(place, aimers, lines, tried, frame.pixel, _DISTANCES):
                yield np.r_[distance, place[1:]]
    yield start
