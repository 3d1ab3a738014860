"""Express the positions of pixels as a NeXus chain of translations and rotations. Pure.

The steps, and how pyFAI's axes are those of NeXus, are in `ponikeeper.geometry.nexus`.
"""

import math
from dataclasses import dataclass

from ponikeeper.errors import ShapeError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.nexus import BEAM, CHAIN, DOWN, LEFT, RIGHT, UP, Vector

__all__ = ["BEAM", "Axis", "Pixels", "beam", "chain", "pixels"]


@dataclass(frozen=True, slots=True)
class Axis:
    """One step of the chain; the next step acts on its result.

    Parameters
    ----------
    name
        Name of the NeXus field.
    kind
        ``translation`` along, or ``rotation`` about, `vector` (right-handed).
    value, units
        Length in ``m`` or angle in ``rad``.
    vector
        Unit vector (x, y, z) in the NeXus frame.
    """

    name: str
    kind: str
    value: float
    units: str
    vector: Vector


@dataclass(frozen=True, slots=True)
class Pixels:
    """The grid of pixels: pixel (i, j) has its centre at ``corner + slow * (i + 0.5) + fast * (j + 0.5)``.

    Parameters
    ----------
    corner
        The corner of the first pixel (m), before the chain.
    slow, fast
        The steps from one pixel to the next (m).
    """

    corner: Vector
    slow: Axis
    fast: Axis


def chain(geometry: Geometry) -> tuple[Axis, ...]:
    """Return the steps from the corner where axes 1 and 2 of pyFAI begin to the laboratory."""
    return tuple(Axis(step.name, step.kind, getattr(geometry, step.name), step.units, step.vector) for step in CHAIN)


def pixels(geometry: Geometry, shape: tuple[int, int] | None) -> Pixels:
    """Compute the grid of the pixels.

    Parameters
    ----------
    geometry
        The geometry.
    shape
        Shape (y, x) of the image in pixels; not needed for orientation 3.

    Returns
    -------
    Pixels
        Corner and steps in the NeXus frame.

    Raises
    ------
    ShapeError
        The shape is needed and not known.
    """
    from_top, from_right = geometry.orientation in (1, 2), geometry.orientation in (1, 4)
    if shape is None and (from_top or from_right):
        raise ShapeError(
            f"the orientation is {geometry.orientation}, so where the first pixel is depends on the shape of the "
            "image: give shape=(y, x)"
        )
    height, width = shape or (0, 0)
    right = -width * geometry.pixel2 if from_right else 0.0
    up = height * geometry.pixel1 if from_top else 0.0
    return Pixels(
        (right, up, 0.0),
        Axis("slow_pixel_direction", "translation", geometry.pixel1, "m", DOWN if from_top else UP),
        Axis("fast_pixel_direction", "translation", geometry.pixel2, "m", LEFT if from_right else RIGHT),
    )


def beam(geometry: Geometry, shape: tuple[int, int] | None) -> tuple[float, float, float] | None:
    """Compute where the beam meets the detector.

    Parameters
    ----------
    geometry
        The geometry.
    shape
        Shape (y, x) of the image in pixels; needed for orientations other than 3.

    Returns
    -------
    tuple of float or None
        Position along the fast and the slow axis, in pixels from the corner of the first pixel, and
        distance from the sample (m). None where the beam does not meet the plane of the detector.
    """
    toward = math.cos(geometry.rot1) * math.cos(geometry.rot2)  # of the beam, along the detector's normal
    if toward < 1e-9:
        return None
    along1, along2 = math.sin(geometry.rot2), -math.sin(geometry.rot1) * math.cos(geometry.rot2)  # and in its plane
    up = (geometry.poni1 + geometry.dist * along1 / toward) / geometry.pixel1
    right = (geometry.poni2 + geometry.dist * along2 / toward) / geometry.pixel2
    height, width = shape or (0, 0)
    slow = height - up if geometry.orientation in (1, 2) else up
    fast = width - right if geometry.orientation in (1, 4) else right
    return fast, slow, geometry.dist / toward
