"""Where a scattered ray meets a flat detector, and back: the forward model of the fit.

A *place* is an array of five: the distance from the sample to the beam spot along the beam (m), the
beam spot's coordinates on the detector along axes 1 and 2 (m), and pyFAI's rotations 1 and 2 (rad).
It says the same as pyFAI's `dist`, `poni1`, `poni2`, `rot1`, `rot2`, but its five numbers hardly
depend on one another, so a fit of them is well conditioned. The third rotation turns about the beam
and changes no scattering angle.

Coordinates on the detector are pyFAI's (`Detector.calc_cartesian_positions`): metric, the
orientation already in them. Source: `pyFAI.geometry.Geometry.calc_pos_zyx` and `rotation_matrix`.
"""

from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ponikeeper.geometry import Geometry

Floats = NDArray[np.float64]

DISTANCE, SPOT1, SPOT2, ROT1, ROT2 = range(5)

STEPS = (0.01, 5e-3, 5e-3, 0.02, 0.02)
"""By how much each number of a place is of interest: distance (relative), spot (m), rotations (rad)."""


def place_of(geometry: Geometry) -> Floats:
    """Give the place that a geometry stands for."""
    b1, b2, b3 = beam_direction(geometry.rot1, geometry.rot2)
    reach = geometry.dist / b3
    return np.array(
        [reach, geometry.poni1 + reach * b1, geometry.poni2 + reach * b2, geometry.rot1, geometry.rot2], float
    )


def geometry_at(place: Floats, template: Geometry) -> Geometry:
    """Give the geometry of a place; all else is the template's."""
    reach, spot1, spot2, rot1, rot2 = (float(value) for value in place)
    b1, b2, b3 = beam_direction(rot1, rot2)
    return replace(template, dist=reach * b3, poni1=spot1 - reach * b1, poni2=spot2 - reach * b2, rot1=rot1, rot2=rot2)


def derivative_of_geometry(place: Floats) -> Floats:
    """Give d(dist, poni1, poni2, rot1, rot2) / d(place), shape (5, 5), with which a covariance is carried over."""
    reach, _, _, rot1, rot2 = place
    b1, b2, b3 = beam_direction(rot1, rot2)
    by_rot1 = np.array([0.0, -np.cos(rot1) * np.cos(rot2), -np.sin(rot1) * np.cos(rot2)])
    by_rot2 = np.array([np.cos(rot2), np.sin(rot1) * np.sin(rot2), -np.cos(rot1) * np.sin(rot2)])
    found = np.zeros((5, 5))
    found[0] = [b3, 0, 0, reach * by_rot1[2], reach * by_rot2[2]]
    found[1] = [-b1, 1, 0, -reach * by_rot1[0], -reach * by_rot2[0]]
    found[2] = [-b2, 0, 1, -reach * by_rot1[1], -reach * by_rot2[1]]
    found[3, 3] = found[4, 4] = 1
    return found


def two_theta(place: Floats, y: ArrayLike, x: ArrayLike) -> Floats:
    """Give the scattering angle (rad) of points on the detector (m)."""
    along, across = _along_and_across(place, y, x)
    return cast("Floats", np.arctan2(across, along))


def cosine(place: Floats, y: ArrayLike, x: ArrayLike) -> Floats:
    """Give the cosine of the scattering angle: what is cheap to have of a whole image."""
    q1, q2, q3 = ray(place, y, x)
    b1, b2, b3 = beam_direction(place[ROT1], place[ROT2])
    return (q1 * b1 + q2 * b2 + q3 * b3) / np.sqrt(q1 * q1 + q2 * q2 + q3 * q3)


def azimuth(place: Floats, y: ArrayLike, x: ArrayLike) -> Floats:
    """Give the azimuth about the beam (rad, -pi to pi), from axis 1 towards axis 2."""
    q1, q2, q3 = ray(place, y, x)
    e1, e2 = _across_the_beam(place)
    return np.arctan2(q1 * e2[0] + q2 * e2[1] + q3 * e2[2], q1 * e1[0] + q2 * e1[1] + q3 * e1[2])


def meeting_point(place: Floats, angle: Floats, azimuth: Floats) -> tuple[Floats, Floats]:
    """Give the point on the detector (m) that a ray of a scattering angle and an azimuth (rad) meets."""
    beam = np.array(beam_direction(place[ROT1], place[ROT2]))
    e1, e2 = _across_the_beam(place)
    sine = np.sin(angle)
    v1, v2, v3 = (
        np.cos(angle) * beam[k] + sine * (np.cos(azimuth) * e1[k] + np.sin(azimuth) * e2[k]) for k in range(3)
    )
    scale = place[DISTANCE] * beam[2] / v3
    return (
        place[SPOT1] + v1 * scale - place[DISTANCE] * beam[0],
        place[SPOT2] + v2 * scale - place[DISTANCE] * beam[1],
    )


def radius_scale(place: Floats, angle: ArrayLike) -> Floats:
    """Give by how much a ring's radius grows with its angle (m/rad), on a detector that faces the beam."""
    return place[DISTANCE] / np.cos(np.minimum(angle, 1.4)) ** 2


def beam_direction(rot1: float, rot2: float) -> tuple[float, float, float]:
    """Give the direction of the beam in the detector's frame."""
    return float(np.sin(rot2)), float(-np.cos(rot2) * np.sin(rot1)), float(np.cos(rot1) * np.cos(rot2))


def ray(place: Floats, y: ArrayLike, x: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Give the vector from the sample to points on the detector, in the detector's frame (m)."""
    reach, spot1, spot2, rot1, rot2 = place
    b1, b2, b3 = beam_direction(rot1, rot2)
    return np.subtract(y, spot1 - reach * b1), np.subtract(x, spot2 - reach * b2), reach * b3


def _along_and_across(place: Floats, y: ArrayLike, x: ArrayLike) -> tuple[Floats, Floats]:
    q1, q2, q3 = ray(place, y, x)
    b1, b2, b3 = beam_direction(place[ROT1], place[ROT2])
    along = q1 * b1 + q2 * b2 + q3 * b3
    return along, np.sqrt(np.maximum(q1 * q1 + q2 * q2 + q3 * q3 - along * along, 0))


def _across_the_beam(place: Floats) -> tuple[Floats, Floats]:
    """Give two directions at right angles to the beam and to each other."""
    beam = np.array(beam_direction(place[ROT1], place[ROT2]))
    first = np.array([1.0, 0, 0]) - beam[0] * beam
    first /= np.linalg.norm(first)
    return first, np.cross(beam, first)
