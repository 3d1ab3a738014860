"""What an error of a geometry means on the panel: shifts of rings, in px and as 2 theta."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import atan2, cos, sqrt, tan

from ponikeeper.geometry.geometry import Geometry
from ponikeeper.geometry.kinematics.rigid import Slopes, Values, Vector, apply, dot, pyfai_rotation, transpose

Covariance = Sequence[Sequence[float]]
"""Of dist, poni1, poni2, rot1, rot2 (m, rad), shape (5, 5)."""

_POINTS = 5
"""Along each side of the panel, its edges included."""

_LEAST_SLOPE = 0.1
"""Of the panel along the direction of 2 theta: a ring that the panel touches is not magnified further."""


@dataclass(frozen=True, slots=True)
class Panel:
    """The sensitive area of a detector, from 0 to its sides in pyFAI's coordinates.

    Parameters
    ----------
    side1, side2
        Length along axes 1 and 2 (m).
    pixel
        Side of a pixel, the geometric mean of the two (m).
    """

    side1: float
    side2: float
    pixel: float

    @classmethod
    def of(cls, geometry: Geometry, sides: tuple[float, float]) -> "Panel":
        """Build the panel of a geometry with sides along axes 1 and 2 (m)."""
        return cls(*sides, sqrt(geometry.pixel1 * geometry.pixel2))

    @property
    def middle(self) -> tuple[float, float]:
        """The middle (m)."""
        return self.side1 / 2, self.side2 / 2

    def points(self) -> Iterator[tuple[float, float]]:
        """Yield points on a grid that has the corners (m)."""
        last = _POINTS - 1
        for row in range(_POINTS):
            for column in range(_POINTS):
                yield self.side1 * row / last, self.side2 * column / last


@dataclass(frozen=True, slots=True)
class Ray:
    """One point of the panel.

    Parameters
    ----------
    angle
        2 theta (rad).
    slopes
        Changes of 2 theta by dist, poni1, poni2, rot1 and rot2 (rad per m, rad per rad).
    radius
        How far a ring on the panel moves for a change of its 2 theta (m per rad).
    """

    angle: float
    slopes: Slopes
    radius: float


@dataclass(frozen=True, slots=True)
class RingSigma:
    """Standard deviations of what rings say, over the panel.

    Parameters
    ----------
    rms_px
        Of the positions of rings at the given wavelength, root mean square over the panel (px).
    worst
        Largest of 2 theta, that of the wavelength included (rad).
    """

    rms_px: float
    worst: float


def rays(values: Values, panel: Panel) -> list[Ray]:
    """Compute 2 theta on a grid of the panel, and how it changes.

    Parameters
    ----------
    values
        dist, poni1, poni2 (m), rot1, rot2, rot3 (rad); rot3 has no influence.
    panel
        The panel.

    Returns
    -------
    list of Ray
        Source: the derivatives of `pyFAI.geometry.Geometry.calc_pos_zyx`. A point p moves along the direction e of
        2 theta; a rotation about an axis moves it by the component of the axis along p x e, which is the azimuth.
    """
    dist, poni1, poni2, rot1, rot2, _ = values
    rotation = pyfai_rotation(rot1, rot2, 0.0)
    axis1, axis2, axis3 = transpose(rotation)
    cosine = cos(rot2)
    return [
        _ray(apply(rotation, (at1 - poni1, at2 - poni2, dist)), (axis1, axis2, axis3), cosine)
        for at1, at2 in panel.points()
    ]


def ring_sigma(
    values: Values, panel: Panel, covariance: Covariance, by_wavelength: Slopes, wavelength_sigma: float
) -> RingSigma:
    """Compute the standard deviations over the panel.

    Parameters
    ----------
    values
        dist, poni1, poni2 (m), rot1, rot2, rot3 (rad).
    panel
        The panel.
    covariance
        At the given wavelength.
    by_wavelength
        Changes of the values for a relative change of the wavelength (m, rad).
    wavelength_sigma
        Relative standard deviation of the wavelength.

    Returns
    -------
    RingSigma
    """
    total, worst, grid = 0.0, 0.0, rays(values, panel)
    for ray in grid:
        variance = _form(covariance, ray.slopes)
        total += variance * ray.radius * ray.radius
        shift = wavelength_sigma * _product(ray.slopes, by_wavelength)
        worst = max(worst, variance + shift * shift)
    return RingSigma(sqrt(total / len(grid)) / panel.pixel, sqrt(worst))


def ring_shift_px(one: Values, other: Values, panel: Panel) -> tuple[float, float]:
    """Compute how far the rings of two geometries are apart on the panel.

    Parameters
    ----------
    one, other
        dist, poni1, poni2 (m), rot1, rot2, rot3 (rad), at one wavelength.
    panel
        The panel.

    Returns
    -------
    rms, largest
        Over the panel (px).
    """
    total, largest, pairs = 0.0, 0.0, list(zip(rays(one, panel), rays(other, panel), strict=True))
    for here, there in pairs:
        shift = (there.angle - here.angle) * here.radius / panel.pixel
        total += shift * shift
        largest = max(largest, abs(shift))
    return sqrt(total / len(pairs)), largest


def geometry_shift_px(one: Geometry, other: Geometry, panel: Panel) -> float:
    """Compute how far the rings of a standard are apart on the panel in two geometries, wavelengths included.

    Parameters
    ----------
    one, other
        The geometries.
    panel
        The panel.

    Returns
    -------
    float
        The largest distance over the panel (px). By Bragg's law a ring moves by ``2 tan(theta)`` times the relative
        change of the wavelength.
    """
    relative, largest = other.wavelength / one.wavelength - 1.0, 0.0
    for here, there in zip(rays(_values(one), panel), rays(_values(other), panel), strict=True):
        shift = there.angle - here.angle - 2.0 * tan(here.angle / 2.0) * relative
        largest = max(largest, abs(shift * here.radius))
    return largest / panel.pixel


def _values(geometry: Geometry) -> Values:
    return (geometry.dist, geometry.poni1, geometry.poni2, geometry.rot1, geometry.rot2, geometry.rot3)


def _ray(point: Vector, axes: tuple[Vector, Vector, Vector], cosine: float) -> Ray:
    """Compute one point, given in the lab (m), with the axes of the detector and the cosine of rot2."""
    across, length = sqrt(point[0] * point[0] + point[1] * point[1]), sqrt(dot(point, point))
    away1, away2 = (point[0] / across, point[1] / across) if across > 1e-12 * length else (1.0, 0.0)
    along, aside = point[2] / length, across / length
    direction = (along * away1, along * away2, -aside)
    by1, by2, by3 = (dot(axis, direction) / length for axis in axes)
    slope = max(sqrt(by1 * by1 + by2 * by2), _LEAST_SLOPE / length)
    return Ray(atan2(across, point[2]), (by3, -by1, -by2, cosine * away2, -away1), 1.0 / slope)


def _product(a: Slopes, b: Slopes) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3] + a[4] * b[4]


def _form(covariance: Covariance, slopes: Slopes) -> float:
    """Compute the variance of what has these slopes; rounding must not make it negative."""
    total = 0.0
    for slope, row in zip(slopes, covariance, strict=True):
        total += slope * (
            row[0] * slopes[0] + row[1] * slopes[1] + row[2] * slopes[2] + row[3] * slopes[3] + row[4] * slopes[4]
        )
    return max(total, 0.0)
