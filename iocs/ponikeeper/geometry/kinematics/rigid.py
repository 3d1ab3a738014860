"""Rigid motion in plain Python: vectors, 3 x 3 matrices, the pose of a detector, and small displacements of it.

Lab axes are pyFAI's: 1 up, 2 horizontal, 3 along the beam. A point d of the detector, with pyFAI's coordinates along
its axes 1, 2, 3 (m), is at ``R d + t``; pyFAI's formula ``R3 R2 R1 (d1 - poni1, d2 - poni2, dist)`` is this with
``R = R3 R2 R1`` and ``t = R (-poni1, -poni2, dist)``. Source: `pyFAI.geometry.Geometry.rotation_matrix`.
"""

from dataclasses import dataclass
from math import atan2, cos, sin, sqrt
from typing import Self

from ponikeeper.errors import GeometryError

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]
"""By rows."""

Values = tuple[float, float, float, float, float, float]
"""dist, poni1, poni2 (m), rot1, rot2, rot3 (rad)."""

Slopes = tuple[float, float, float, float, float]
"""Changes of dist, poni1, poni2, rot1 and rot2, per unit of something."""

ZERO: Vector = (0.0, 0.0, 0.0)

_LEAST_COSINE = 1e-6
"""Of rot2: at 90 degrees rot1 and rot3 turn the detector about the same axis."""


def add(a: Vector, b: Vector) -> Vector:
    """Return a + b."""
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


def subtract(a: Vector, b: Vector) -> Vector:
    """Return a - b."""
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])


def scale(a: Vector, factor: float) -> Vector:
    """Return a times a factor."""
    return (a[0] * factor, a[1] * factor, a[2] * factor)


def dot(a: Vector, b: Vector) -> float:
    """Return the scalar product of a and b."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Vector, b: Vector) -> Vector:
    """Return the vector product a x b."""
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def apply(matrix: Matrix, a: Vector) -> Vector:
    """Return the product of a matrix and a vector."""
    x, y, z = a
    (a1, a2, a3), (b1, b2, b3), (c1, c2, c3) = matrix
    return (a1 * x + a2 * y + a3 * z, b1 * x + b2 * y + b3 * z, c1 * x + c2 * y + c3 * z)


def transpose(matrix: Matrix) -> Matrix:
    """Return the transpose, which of a rotation is the inverse."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    return ((a, d, g), (b, e, h), (c, f, i))


def product(a: Matrix, b: Matrix) -> Matrix:
    """Return the product of two matrices."""
    columns = transpose(b)
    return (apply(columns, a[0]), apply(columns, a[1]), apply(columns, a[2]))


def pyfai_rotation(rot1: float, rot2: float, rot3: float) -> Matrix:
    """Compute pyFAI's rotation matrix ``R3 R2 R1``.

    Parameters
    ----------
    rot1, rot2, rot3
        Rotations of the detector (rad): the first two are left-handed, the third is right-handed.

    Returns
    -------
    Matrix
    """
    c1, s1, c2, s2, c3, s3 = cos(rot1), sin(rot1), cos(rot2), sin(rot2), cos(rot3), sin(rot3)
    first: Matrix = ((1.0, 0.0, 0.0), (0.0, c1, s1), (0.0, -s1, c1))
    second: Matrix = ((c2, 0.0, -s2), (0.0, 1.0, 0.0), (s2, 0.0, c2))
    third: Matrix = ((c3, -s3, 0.0), (s3, c3, 0.0), (0.0, 0.0, 1.0))
    return product(third, product(second, first))


def turn_about(axis: Vector, angle: float) -> Matrix:
    """Compute a right-handed rotation about an axis through the origin: Rodrigues' formula.

    Parameters
    ----------
    axis
        A unit vector.
    angle
        The angle (rad).

    Returns
    -------
    Matrix
    """
    c, s = cos(angle), sin(angle)
    k, (x, y, z) = 1.0 - c, axis
    return (
        (c + k * x * x, k * x * y - s * z, k * x * z + s * y),
        (k * x * y + s * z, c + k * y * y, k * y * z - s * x),
        (k * x * z - s * y, k * y * z + s * x, c + k * z * z),
    )


@dataclass(frozen=True, slots=True)
class Displacement:
    """A small rigid displacement of the detector, per unit of something.

    Parameters
    ----------
    shift
        Displacement of the detector's origin, the point d = (0, 0, 0) (m).
    turn
        Rotation as an axis times an angle (rad).
    """

    shift: Vector
    turn: Vector = ZERO

    def turned(self, rotation: Matrix) -> "Displacement":
        """Return the displacement after everything was rotated."""
        return Displacement(apply(rotation, self.shift), apply(rotation, self.turn))


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a detector is: its point d is at ``rotation d + origin`` in the lab (m).

    Parameters
    ----------
    rotation
        Of the detector.
    origin
        Of the detector's coordinates, in the lab (m).
    """

    rotation: Matrix
    origin: Vector

    @classmethod
    def of(cls, values: Values) -> Self:
        """Build the pose of a geometry.

        Parameters
        ----------
        values
            dist, poni1, poni2 (m), rot1, rot2, rot3 (rad).

        Returns
        -------
        Pose
        """
        dist, poni1, poni2, rot1, rot2, rot3 = values
        rotation = pyfai_rotation(rot1, rot2, rot3)
        return cls(rotation, apply(rotation, (-poni1, -poni2, dist)))

    def values(self) -> Values:
        """Return the six values of the pose; the inverse of `of` for rot2 from -90 to 90 degrees.

        Returns
        -------
        tuple
            dist, poni1, poni2 (m), rot1, rot2, rot3 (rad).
        """
        first, second, third = self.rotation
        q1, q2, q3 = apply(transpose(self.rotation), self.origin)
        rot1 = atan2(-third[1], third[2])
        rot2 = atan2(third[0], sqrt(third[1] * third[1] + third[2] * third[2]))
        return (q3, -q1, -q2, rot1, rot2, atan2(second[0], first[0]))

    def slopes(self, moved: Displacement) -> Slopes:
        """Compute how the values change with a displacement.

        Parameters
        ----------
        moved
            The displacement.

        Returns
        -------
        tuple
            Changes of dist, poni1, poni2, rot1 and rot2. That of rot3 turns all about the beam.

        Raises
        ------
        GeometryError
            rot2 is 90 degrees.
        """
        first, second, third = self.rotation
        q1, q2, q3 = apply(transpose(self.rotation), subtract(moved.shift, cross(moved.turn, self.origin)))
        cosine = sqrt(third[1] * third[1] + third[2] * third[2])  # of rot2
        if cosine < _LEAST_COSINE:
            raise GeometryError("rot2 is 90 degrees, where rot1 and rot3 are not determined: expected less")
        c3, s3 = first[0] / cosine, second[0] / cosine
        about1, about2, _ = moved.turn
        return (q3, -q1, -q2, -(c3 * about1 + s3 * about2) / cosine, s3 * about1 - c3 * about2)
