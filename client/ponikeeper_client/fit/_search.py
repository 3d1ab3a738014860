"""Search for fit parameters that are worth refining: beam centre, tilt and distance, around a start or from nothing."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from ponikeeper_client.fit._comb import best_distances
from ponikeeper_client.fit._forward_model import DISTANCE, ROT1, Floats, beam_direction, ray
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._ridges import RidgePoints, find_ridges
from ponikeeper_client.fit._ring_assignment import assign_rings, match_z_score

SHORTEST, LONGEST = 0.03, 20.0
"""Range of the distances that are tried if nothing is known (m)."""

_LARGEST_SIDE = 1024
_WIDTHS = (1.3, 2.6, 5.0)
"""Widths at which ridges are looked for, one after the other (px of the binned image)."""

_RIDGE_POINTS = 5000
_MIN_RIDGE_POINTS = 60
_POINTS_FOR_TILT = 2500
_CENTRES = 2
_MAX_TILT = 1.2
_GATES = (8.0, 5.0, 3.0, 2.0, 1.5)

_CONVINCING = 30.0
"""A z-score from which on no other parameters need to be tried."""

_DISTANCES = 3
_FLAT = 30.0
"""Distance, in diagonals of the panel, from which every ring looks like a circle."""

_PAIRS = 4000
_VOTERS = 1500
_MIN_SINE = 0.02
"""Least sine of the angle between two normals whose intersection is used."""

_DIRECTION_SIGMA = 0.04
"""Standard deviation of a normal's direction towards the centre (rad); covers a tilt of a few degrees."""

_TILT_PRIOR = 0.01
"""Weight of no tilt relative to directions: short arcs hardly determine a tilt."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Fit parameters, and the z-score with which they match the ridge points (see `match_z_score`)."""

    params: Floats
    z_score: float


def search(frame: Frame, start: Floats | None, lines: Floats, between: tuple[float, float]) -> list[Candidate]:
    """Search fit parameters around a start, or from nothing.

    Parameters
    ----------
    frame
        The image.
    start
        The fit parameters to begin at, shape (5,); None if nothing is known.
    lines
        Scattering angles of the calibrant, ascending (rad).
    between
        The smallest and the largest distance to try (m).

    Returns
    -------
    list of Candidate
        The best one first; empty if nothing looks like rings.
    """
    small = frame.binned(_LARGEST_SIDE)
    image = small.stabilized()
    candidates: list[Candidate] = []
    for width in _WIDTHS:
        ridges = find_ridges(small, image, width)
        if len(ridges) < _MIN_RIDGE_POINTS:
            continue
        sample = ridges.sample(_RIDGE_POINTS)
        for rough in _rough_params(small, sample, start, lines, between):
            params = assign_rings(rough, sample, lines, small.pixel, _GATES)
            if params is None or any(_same(params, other.params, small.pixel) for other in candidates):
                continue
            candidates.append(Candidate(params, match_z_score(params, ridges, lines, small.pixel)))
            if candidates[-1].z_score > _CONVINCING:
                return [candidates[-1]]
    return sorted(candidates, key=lambda candidate: -candidate.z_score)


def _same(one: Floats, other: Floats, pixel: float) -> bool:
    """Check whether two sets of parameters lead to the same control points."""
    return bool(abs(one[DISTANCE] / other[DISTANCE] - 1) < 0.002 and np.hypot(*(one[1:3] - other[1:3])) < pixel)


def _rough_params(
    frame: Frame, ridges: RidgePoints, start: Floats | None, lines: Floats, between: tuple[float, float]
) -> Iterator[Floats]:
    """Yield rough parameters from centre, tilt and distance, the best first; the start itself is the last."""
    size = float(np.hypot(np.ptp(frame.y), np.ptp(frame.x)))
    sample = ridges.sample(_POINTS_FOR_TILT, seed=1)
    rough: list[tuple[float, Floats]] = []
    for spot in find_centres(ridges, size, _CENTRES):
        for params in _shapes(sample, spot, start, size):
            rough += best_distances(params, sample, lines, between, frame.pixel, _DISTANCES)
    for _, params in sorted(rough, key=lambda item: -item[0]):
        yield params
    if start is not None:
        yield start


def _shapes(ridges: RidgePoints, spot: tuple[float, float], start: Floats | None, size: float) -> Iterator[Floats]:
    """Yield beam spot and tilt with which the ridges run along rings; without a start also circles."""
    if start is not None:
        params = fit_centre_and_tilt(ridges, np.r_[start[DISTANCE], spot, start[ROT1:]])
        if np.hypot(*params[ROT1:]) < _MAX_TILT:
            yield params
        return
    params = fit_centre_and_tilt(ridges, np.r_[size, spot, 0, 0])
    if np.hypot(*params[ROT1:]) < _MAX_TILT:
        yield params
    circles = fit_centre_and_tilt(ridges, np.r_[_FLAT * size, spot, 0, 0])
    yield np.r_[circles[:ROT1], 0, 0]


def find_centres(ridges: RidgePoints, size: float, count: int, seed: int = 0) -> list[tuple[float, float]]:
    """Find the points at which most ridge normals point: candidates for the common centre of the rings.

    No line needs to be known. Intersections of random pairs of normals are candidates, for which the ridge
    points vote (a Hough transform on a sample).

    Parameters
    ----------
    ridges
        The ridge points of the image.
    size
        Diagonal of the detector (m): centres nearer to each other than 5 % of it are one.
    count
        Largest number of centres to return.
    seed
        Of the random choice of pairs and voters.

    Returns
    -------
    list of (float, float)
        Coordinates on the detector (m), the best first.
    """
    random = np.random.default_rng(seed)
    one, other = random.integers(0, len(ridges), (2, _PAIRS))
    sine = ridges.normal_x[one] * ridges.normal_y[other] - ridges.normal_y[one] * ridges.normal_x[other]
    usable = np.abs(sine) > _MIN_SINE
    one, other, sine = one[usable], other[usable], sine[usable]
    step_y, step_x = ridges.y[other] - ridges.y[one], ridges.x[other] - ridges.x[one]
    along = (step_x * ridges.normal_y[other] - step_y * ridges.normal_x[other]) / sine
    y, x = ridges.y[one] + along * ridges.normal_y[one], ridges.x[one] + along * ridges.normal_x[one]
    votes = _votes(ridges.sample(_VOTERS, seed), y, x)
    centres: list[tuple[float, float]] = []
    for best in np.argsort(-votes):
        if all(np.hypot(y[best] - near[0], x[best] - near[1]) > 0.05 * size for near in centres):
            centres.append((float(y[best]), float(x[best])))
        if len(centres) == count:
            break
    return centres


def fit_centre_and_tilt(ridges: RidgePoints, params: Floats) -> Floats:
    """Fit beam spot and rotations so that each ridge runs along a ring; the distance is kept.

    Parameters
    ----------
    ridges
        The ridge points of the image.
    params
        Fit parameters to begin at, shape (5,).

    Returns
    -------
    ndarray, shape (5,)
        The fitted parameters.
    """
    scales = np.array([4e-3, 4e-3, 0.05, 0.05])
    solution = least_squares(
        lambda values: _direction_residuals(np.r_[params[0], values], ridges),
        params[1:], loss="cauchy", f_scale=0.05, x_scale=scales, max_nfev=25,
    )  # fmt: skip
    return np.r_[params[0], solution.x]


def _votes(voters: RidgePoints, y: Floats, x: Floats) -> Floats:
    """Compute for each point (m) the weight of the ridge points whose normals point at it."""
    votes = np.empty(len(y))
    for start in range(0, len(y), 250):
        part = slice(start, start + 250)
        to_y, to_x = voters.y - y[part, None], voters.x - x[part, None]
        sine = np.abs(to_y * voters.normal_x - to_x * voters.normal_y) / (np.hypot(to_y, to_x) + 1e-12)
        votes[part] = (voters.weight * np.exp(-0.5 * (sine / _DIRECTION_SIGMA) ** 2)).sum(1)
    return votes


def _direction_residuals(params: Floats, ridges: RidgePoints) -> Floats:
    """Compute the weighted sines between ridges and rings, followed by the prior on the two rotations."""
    q1, q2, q3 = ray(params, ridges.y, ridges.x)
    b1, b2, b3 = beam_direction(params[3], params[4])
    square, along = q1 * q1 + q2 * q2 + q3 * q3, q1 * b1 + q2 * b2 + q3 * b3
    up_y, up_x = along * q1 - b1 * square, along * q2 - b2 * square  # gradient of the scattering angle
    sine = (up_x * ridges.normal_y - up_y * ridges.normal_x) / (np.hypot(up_y, up_x) + 1e-30)
    prior = _TILT_PRIOR * np.sqrt(len(ridges))
    return np.r_[sine * np.sqrt(ridges.weight), prior * params[3], prior * params[4]]
