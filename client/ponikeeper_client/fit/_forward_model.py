"""Forward model of the fit: where a scattered ray meets a flat detector, and the angles of a point on it.

The *fit parameters* are an array of five: the distance from the sample to the beam spot along the beam (m),
the beam spot's coordinates on the detector along axes 1 and 2 (m), and pyFAI's rotations 1 and 2 (rad).
They are equivalent to pyFAI's `dist`, `poni1`, `poni2`, `rot1`, `rot2`, but hardly correlated with one
another, so the fit is well conditioned. The third rotation turns the detector about the beam and changes no
scattering angle.

Coordinates on the detector are pyFAI's (`Detector.calc_cartesian_positions`): metric, with the orientation
applied. Source of the formulas: `pyFAI.geometry.Geometry.calc_pos_zyx` and `rotation_matrix`.
"""

from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ponikeeper.geometry import Geometry

Floats = NDArray[np.float64]

DISTANCE, SPOT1, SPOT2, ROT1, ROT2 = range(5)

PARAMETER_SCALES = (0.01, 5e-3, 5e-3, 0.02, 0.02)
"""Typical step of each fit parameter: distance (relative), beam spot (m), rotations (rad)."""


def params_of(geometry: Geometry) -> Floats:
    """Compute the fit parameters of a geometry.

    Parameters
    ----------
    geometry
        Its `rot3` has no influence.

    Returns
    -------
    ndarray, shape (5,)
        Distance (m), beam spot (m, m), rotations (rad, rad).
    """
    b1, b2, b3 = beam_direction(geometry.rot1, geometry.rot2)
    length = geometry.dist / b3
    return np.array(
        [length, geometry.poni1 + length * b1, geometry.poni2 + length * b2, geometry.rot1, geometry.rot2], float
    )


def geometry_of(params: Floats, template: Geometry) -> Geometry:
    """Compute the geometry of fit parameters; all other values are the template's.

    Parameters
    ----------
    params
        Fit parameters, shape (5,).
    template
        Gives `rot3`, pixels, wavelength and detector.

    Returns
    -------
    Geometry
        The inverse of `params_of`.
    """
    length, spot1, spot2, rot1, rot2 = (float(value) for value in params)
    b1, b2, b3 = beam_direction(rot1, rot2)
    return replace(
        template, dist=length * b3, poni1=spot1 - length * b1, poni2=spot2 - length * b2, rot1=rot1, rot2=rot2
    )


def geometry_jacobian(params: Floats) -> Floats:
    """Compute d(dist, poni1, poni2, rot1, rot2) / d(params), which converts a covariance.

    Parameters
    ----------
    params
        Fit parameters, shape (5,).

    Returns
    -------
    ndarray, shape (5, 5)
        The derivatives of `geometry_of`, one value of the geometry per row (m, rad).
    """
    length, _, _, rot1, rot2 = params
    b1, b2, b3 = beam_direction(rot1, rot2)
    by_rot1 = np.array([0.0, -np.cos(rot1) * np.cos(rot2), -np.sin(rot1) * np.cos(rot2)])
    by_rot2 = np.array([np.cos(rot2), np.sin(rot1) * np.sin(rot2), -np.cos(rot1) * np.sin(rot2)])
    jacobian = np.zeros((5, 5))
    jacobian[0] = [b3, 0, 0, length * by_rot1[2], length * by_rot2[2]]
    jacobian[1] = [-b1, 1, 0, -length * by_rot1[0], -length * by_rot2[0]]
    jacobian[2] = [-b2, 0, 1, -length * by_rot1[1], -length * by_rot2[1]]
    jacobian[3, 3] = jacobian[4, 4] = 1
    return jacobian


def two_theta(params: Floats, y: ArrayLike, x: ArrayLike) -> Floats:
    """Compute the scattering angle 2 theta of points on the detector.

    Parameters
    ----------
    params
        Fit parameters, shape (5,).
    y, x
        Coordinates on the detector (m), any shape.

    Returns
    -------
    ndarray
        Scattering angles (rad), in the shape of the points.
    """
    along, across = _along_and_across(params, y, x)
    return cast("Floats", np.arctan2(across, along))


def two_theta_and_jacobian(params: Floats, y: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Compute the scattering angle 2 theta and its derivatives by the parameters, faster than each for itself.

    Parameters
    ----------
    params
        Fit parameters, shape (5,).
    y, x
        Coordinates on the detector (m), shape (n,).

    Returns
    -------
    angle : ndarray, shape (n,)
        As `two_theta` (rad).
    jacobian : ndarray, shape (n, 5)
        d(2 theta) / d(params) (rad/m and rad/rad); 0 where the beam meets the detector. In Fortran order: each column
        is computed by itself.
    """
    length, spot1, spot2, rot1, rot2 = params.tolist()
    b1, b2, b3 = beam_direction(rot1, rot2)
    p1, p2 = y - spot1, x - spot2  # the ray is p + length * beam
    q1, q2, q3 = p1 + length * b1, p2 + length * b2, length * b3
    along, square = q1 * b1 + q2 * b2 + q3 * b3, q1 * q1 + q2 * q2 + q3 * q3
    across = np.sqrt(np.maximum(square - along * along, 1e-30))
    # 2 theta = arccos(along / sqrt(square)); with s = p . beam: along = s + length,
    # square = p . p + 2 length s + length^2, and s depends on the rotations
    ratio = along / square
    by_s = (length * ratio - 1) / across
    jacobian = np.empty((5, len(y)))
    jacobian[0] = (along * ratio - 1) / across
    jacobian[1] = (b1 - q1 * ratio) / across
    jacobian[2] = (b2 - q2 * ratio) / across
    jacobian[3] = p2 * (-np.cos(rot1) * np.cos(rot2)) * by_s
    jacobian[4] = (p1 * np.cos(rot2) + p2 * (np.sin(rot1) * np.sin(rot2))) * by_s
    return np.arctan2(across, along), jacobian.T


def cosine(params: Floats, y: ArrayLike, x: ArrayLike) -> Floats:
    """Compute the cosine of the scattering angle, which is cheap enough for a whole image.

    Parameters and shapes as `two_theta`.
    """
    q1, q2, q3 = ray(params, y, x)
    b1, b2, b3 = beam_direction(params[ROT1], params[ROT2])
    return (q1 * b1 + q2 * b2 + q3 * b3) / np.sqrt(q1 * q1 + q2 * q2 + q3 * q3)


def azimuth(params: Floats, y: ArrayLike, x: ArrayLike) -> Floats:
    """Compute the azimuth about the beam (rad, -pi to pi), from axis 1 towards axis 2.

    Parameters and shapes as `two_theta`.
    """
    q1, q2, q3 = ray(params, y, x)
    e1, e2 = transverse_axes(params)
    return np.arctan2(q1 * e2[0] + q2 * e2[1] + q3 * e2[2], q1 * e1[0] + q2 * e1[1] + q3 * e1[2])


def detector_point(params: Floats, angle: Floats, azimuth: Floats) -> tuple[Floats, Floats]:
    """Compute where scattered rays meet the detector.

    Parameters
    ----------
    params
        Fit parameters, shape (5,).
    angle, azimuth
        Scattering angle and azimuth of the rays (rad), shape (n,).

    Returns
    -------
    y, x
        Coordinates on the detector (m), shape (n,).
    """
    beam = np.array(beam_direction(params[ROT1], params[ROT2]))
    e1, e2 = transverse_axes(params)
    sine = np.sin(angle)
    v1, v2, v3 = (
        np.cos(angle) * beam[k] + sine * (np.cos(azimuth) * e1[k] + np.sin(azimuth) * e2[k]) for k in range(3)
    )
    scale = params[DISTANCE] * beam[2] / v3
    return (
        params[SPOT1] + v1 * scale - params[DISTANCE] * beam[0],
        params[SPOT2] + v2 * scale - params[DISTANCE] * beam[1],
    )


def radius_per_angle(params: Floats, angle: ArrayLike) -> Floats:
    """Compute dr/d(2 theta) of a ring (m/rad), on a detector perpendicular to the beam: r = distance tan(2 theta).

    Parameters
    ----------
    params
        Fit parameters, shape (5,).
    angle
        Scattering angle (rad), any shape; beyond 1.4 rad the value at 1.4 rad is returned.

    Returns
    -------
    ndarray
        In the shape of `angle`.
    """
    return params[DISTANCE] / np.cos(np.minimum(angle, 1.4)) ** 2


def beam_direction(rot1: float, rot2: float) -> tuple[float, float, float]:
    """Compute the unit vector of the beam in the detector's frame (axes 1, 2, 3), for two rotations (rad)."""
    return float(np.sin(rot2)), float(-np.cos(rot2) * np.sin(rot1)), float(np.cos(rot1) * np.cos(rot2))


def ray(params: Floats, y: ArrayLike, x: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Compute the vectors from the sample to points on the detector, in the detector's frame (m)."""
    length, spot1, spot2, rot1, rot2 = params
    b1, b2, b3 = beam_direction(rot1, rot2)
    return np.subtract(y, spot1 - length * b1), np.subtract(x, spot2 - length * b2), length * b3


def _along_and_across(params: Floats, y: ArrayLike, x: ArrayLike) -> tuple[Floats, Floats]:
    """Compute the components of a ray along the beam and perpendicular to it (m)."""
    q1, q2, q3 = ray(params, y, x)
    b1, b2, b3 = beam_direction(params[ROT1], params[ROT2])
    along = q1 * b1 + q2 * b2 + q3 * b3
    return along, np.sqrt(np.maximum(q1 * q1 + q2 * q2 + q3 * q3 - along * along, 0))


def transverse_axes(params: Floats) -> tuple[Floats, Floats]:
    """Compute two unit vectors perpendicular to the beam and to each other, the first one nearest to axis 1."""
    beam = np.array(beam_direction(params[ROT1], params[ROT2]))
    first = np.array([1.0, 0, 0]) - beam[0] * beam
    first /= np.linalg.norm(first)
    return first, np.cross(beam, first)
