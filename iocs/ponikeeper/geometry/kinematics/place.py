"""Place coordinates of a detector, in which errors are hardly correlated: where its middle is, and its tilt.

Of a PONI, `poni1` and `rot2` correlate by -0.999, since a rotation moves the point of normal incidence. The *place* is
the position of the middle of the panel in the lab (m), and rot1 and rot2 (rad). It is that without rot3, which turns
all about the beam and which no calibration of powder rings determines.
"""

from ponikeeper.geometry.kinematics.rigid import (
    Slopes,
    Values,
    Vector,
    apply,
    cross,
    pyfai_rotation,
    scale,
    transpose,
)

Middle = tuple[float, float]
"""The middle of the panel along axes 1 and 2 (m)."""

_AXIS2: Vector = (0.0, -1.0, 0.0)


def place_of(values: Values, middle: Middle) -> Slopes:
    """Compute the place of a geometry.

    Parameters
    ----------
    values
        dist, poni1, poni2 (m), rot1, rot2, rot3 (rad).
    middle
        The middle of the panel (m).

    Returns
    -------
    tuple
        Position of the middle along lab axes 1, 2, 3 (m), rot1 and rot2 (rad).
    """
    dist, poni1, poni2, rot1, rot2, _ = values
    at1, at2, at3 = apply(pyfai_rotation(rot1, rot2, 0.0), (middle[0] - poni1, middle[1] - poni2, dist))
    return (at1, at2, at3, rot1, rot2)


def place_slopes(values: Values, middle: Middle) -> tuple[Slopes, ...]:
    """Compute d(place) / d(dist, poni1, poni2, rot1, rot2); parameters as `place_of`.

    Returns
    -------
    tuple of tuple
        Shape (5, 5): a row for each coordinate of the place.
    """
    at1, at2, at3, rot1, rot2 = place_of(values, middle)
    (x1, y1, z1), (x2, y2, z2), (x3, y3, z3) = pyfai_rotation(rot1, rot2, 0.0)
    by1 = cross(_axis1(rot2), (at1, at2, at3))
    by2 = cross(_AXIS2, (at1, at2, at3))
    return (
        (z1, -x1, -y1, by1[0], by2[0]),
        (z2, -x2, -y2, by1[1], by2[1]),
        (z3, -x3, -y3, by1[2], by2[2]),
        (0.0, 0.0, 0.0, 1.0, 0.0),
        (0.0, 0.0, 0.0, 0.0, 1.0),
    )


def value_slopes(values: Values, middle: Middle) -> tuple[Slopes, ...]:
    """Compute d(dist, poni1, poni2, rot1, rot2) / d(place), the inverse of `place_slopes`; parameters as `place_of`.

    Returns
    -------
    tuple of tuple
        Shape (5, 5): a row for each coordinate of the place, with the changes of the values.
    """
    at1, at2, at3, rot1, rot2 = place_of(values, middle)
    back = transpose(pyfai_rotation(rot1, rot2, 0.0))
    shifts: tuple[Vector, ...] = (
        (1.0, 0.0, 0.0),
        (0.0, 1.0, 0.0),
        (0.0, 0.0, 1.0),
        scale(cross(_axis1(rot2), (at1, at2, at3)), -1.0),
        scale(cross(_AXIS2, (at1, at2, at3)), -1.0),
    )
    turns = ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
    rows = [(apply(back, shift), turn) for shift, turn in zip(shifts, turns, strict=True)]
    return tuple((moved[2], -moved[0], -moved[1], *turn) for moved, turn in rows)


def _axis1(rot2: float) -> Vector:
    """Return the lab axis about which rot1 turns, where rot3 is 0."""
    return scale(apply(pyfai_rotation(0.0, rot2, 0.0), (1.0, 0.0, 0.0)), -1.0)
