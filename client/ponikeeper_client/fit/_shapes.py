"""Shapes of the rings: beam spot, tilt and rough distance from the directions of ridges, without knowing any ring."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponikeeper_client._least_squares import CAUCHY, minimize
from ponikeeper_client.fit._forward_model import DISTANCE, Floats, beam_direction, ray
from ponikeeper_client.fit._ridges import RidgePoints

_MAX_TILT = 1.2
"""Of either rotation (rad): more than the 60 degrees that a fit reaches."""

_NEAREST, _FARTHEST = 0.12, 60.0
"""Limits of the distance in a fit of shapes, in diagonals of the panel: farther away every ring looks like a circle."""

_PAIRS = 4000
_VOTERS = 1500
_MIN_SINE = 0.02
"""Least sine of the angle between two normals whose intersection is used."""

_DIRECTION_SIGMA = 0.04
"""Standard deviation of a normal's direction towards the centre (rad); covers a tilt of a few degrees."""

_SOFT = 0.05
"""Sine of the angle between a ridge and its ring from which on it counts less."""

_TILT_PRIOR = 0.01
"""Weight of no tilt relative to directions: short arcs hardly determine a tilt."""


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


def fit_shape(ridges: RidgePoints, params: Floats, size: float, spread: float) -> tuple[float, Floats]:
    """Fit distance, beam spot and rotations so that each ridge runs along a ring.

    Only the shapes of the rings are compared. They hardly determine the distance if the detector is not tilted, and
    well if it is.

    Parameters
    ----------
    ridges
        The ridge points of the image.
    params
        Fit parameters to begin at, shape (5,).
    size
        Diagonal of the detector (m).
    spread
        Standard deviation of the distance to begin at (relative); infinite if it is not known.

    Returns
    -------
    cost : float
        How badly the ridges run along rings; for comparisons of fits to the same points.
    params : ndarray, shape (5,)
        The fitted parameters.
    """
    flat = _TILT_PRIOR * np.sqrt(len(ridges))
    first = np.log(np.clip(params[DISTANCE], 1.01 * _NEAREST * size, 0.99 * _FARTHEST * size))
    priors = np.diag([flat / spread, 0, 0, flat, flat])[[0, 3, 4]]

    def model(values: Floats) -> tuple[Floats, Floats]:
        length = np.exp(values[0])  # the logarithm of the distance is fitted, which is never negative
        sine, slopes = direction_residuals(np.r_[length, values[1:]], ridges)
        slopes[:, 0] *= length
        beyond = priors @ (values - np.r_[first, 0, 0, 0, 0])
        return np.concatenate([sine, beyond]), np.concatenate([slopes, priors])

    largest = np.array([np.log(_FARTHEST * size), np.inf, np.inf, _MAX_TILT, _MAX_TILT])
    least = np.r_[np.log(_NEAREST * size), -largest[1:]]
    begin = np.r_[first, params[1:3], np.clip(params[3:], -0.99 * _MAX_TILT, 0.99 * _MAX_TILT)]
    solution = minimize(model, begin, soft=_SOFT, loss=CAUCHY, steps=25, limits=(least, largest))
    return solution.cost, np.r_[np.exp(solution.params[0]), solution.params[1:]]


def _votes(voters: RidgePoints, y: Floats, x: Floats) -> NDArray[Any]:
    """Compute for each point (m) the weight of the ridge points whose normals point at it; float32 is faster."""
    arrays = (voters.y, voters.x, voters.normal_y, voters.normal_x, voters.weight, y, x)
    from_y, from_x, normal_y, normal_x, weight, at_y, at_x = (np.asarray(values, np.float32) for values in arrays)
    votes: NDArray[Any] = np.empty(len(y), np.float32)
    for start in range(0, len(y), 250):
        part = slice(start, start + 250)
        to_y, to_x = from_y - at_y[part, None], from_x - at_x[part, None]
        sine = to_y * normal_x - to_x * normal_y
        sine_squared = sine * sine / (to_y * to_y + to_x * to_x + np.float32(1e-20))
        votes[part] = np.exp(sine_squared * np.float32(-0.5 / _DIRECTION_SIGMA**2)) @ weight
    return votes


def direction_residuals(params: Floats, ridges: RidgePoints) -> tuple[Floats, Floats]:
    """Compute the weighted sines of the angles between ridges and rings, and their derivatives by the parameters.

    Parameters
    ----------
    params
        Fit parameters, shape (5,).
    ridges
        The ridge points of the image.

    Returns
    -------
    sine : ndarray, shape (n,)
        Positive where the ring is turned from the ridge towards axis 2.
    jacobian : ndarray, shape (n, 5)
        Per m and per rad.
    """
    length, _, _, rot1, rot2 = params.tolist()
    b1, b2, b3 = beam_direction(rot1, rot2)
    q1, q2, q3 = ray(params, ridges.y, ridges.x)
    square, along = q1 * q1 + q2 * q2 + q3 * q3, q1 * b1 + q2 * b2 + q3 * b3
    up_y, up_x = along * q1 - b1 * square, along * q2 - b2 * square  # gradient of the scattering angle
    # how the gradient changes with distance, beam spot and beam direction
    changes = [(q1 - along * b1, q2 - along * b2), (b1 * q1 - along, 2 * b2 * q1 - b1 * q2),
               (2 * b1 * q2 - b2 * q1, b2 * q2 - along)]  # fmt: skip
    for c1, c2, c3 in _beam_derivatives(rot1, rot2):
        turned = q1 * c1 + q2 * c2 + q3 * c3
        changes.append(
            (
                turned * (q1 - 2 * length * b1) + (length * along - square) * c1,
                turned * (q2 - 2 * length * b2) + (length * along - square) * c2,
            )
        )
    weight = np.sqrt(ridges.weight)
    steep = up_y * up_y + up_x * up_x + 1e-60
    sine = (up_x * ridges.normal_y - up_y * ridges.normal_x) * weight / np.sqrt(steep)
    by_turn = (up_y * ridges.normal_y + up_x * ridges.normal_x) * weight / (steep * np.sqrt(steep))
    jacobian = np.stack([by_turn * (up_y * of_x - up_x * of_y) for of_y, of_x in changes])
    return sine, jacobian.T


def _beam_derivatives(rot1: float, rot2: float) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Compute the derivatives of the beam's direction in the detector's frame, by each rotation."""
    sin1, cos1, sin2, cos2 = math.sin(rot1), math.cos(rot1), math.sin(rot2), math.cos(rot2)
    return (0.0, -cos2 * cos1, -sin1 * cos2), (cos2, sin2 * sin1, -cos1 * sin2)
