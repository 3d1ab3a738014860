"""Rings that a standard will have on a panel, and which standard determines where it stands best. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ponikeeper.geometry import Geometry
from ponikeeper_client.fit._forward_model import (
    DISTANCE,
    PARAMETER_SCALES,
    Floats,
    detector_point,
    params_of,
    radius_per_angle,
    two_theta,
)
from ponikeeper_client.fit.calibrants import USUAL_STANDARDS, Calibrant, known_standards

LEAST_RINGS = 3
"""Number of rings that a fit needs."""

_MAX_RINGS = 20
_MIN_ARC = 15.0
"""Azimuth of a ring that must be on the panel, for it to be of use (deg)."""

_MIN_SEPARATION = 6.0
"""Rings nearer to each other than this overlap (px)."""

_MIN_RADIUS = 10.0
"""Rings smaller than this are behind the beam stop (px)."""

_AZIMUTHS = 720
_POINT_DISTANCE = 24.0
"""Distance between independent points on a ring (px)."""

_POINT_ERROR = 0.1
"""Standard deviation of a point (px)."""

_SAMPLES = 16
"""Points along each side of the panel at which the uncertainty is evaluated."""


@dataclass(frozen=True, slots=True)
class PlannedRing:
    """A ring of a standard on the panel.

    Parameters
    ----------
    spacing
        Lattice spacing of its line (m).
    angle
        Scattering angle 2 theta (rad).
    radius
        On a detector perpendicular to the beam (px).
    arc
        Azimuth that is on the panel (deg).
    separation
        Distance to the nearest other ring of the standard (px).
    """

    spacing: float
    angle: float
    radius: float
    arc: float
    separation: float

    @property
    def usable(self) -> bool:
        """Whether a fit can use the ring: long enough, apart from others, and not behind the beam stop."""
        return self.arc >= _MIN_ARC and self.separation >= _MIN_SEPARATION and self.radius >= _MIN_RADIUS


@dataclass(frozen=True, slots=True)
class RingPlan:
    """The rings of one standard on a panel.

    Parameters
    ----------
    standard
        The standard.
    rings
        Those on the panel, by angle.
    uncertainty
        Expected standard deviation of ring positions (px rms over the panel); infinite where the rings do not
        determine the geometry.
    """

    standard: Calibrant
    rings: tuple[PlannedRing, ...]
    uncertainty: float

    @property
    def usable(self) -> int:
        """Number of rings that a fit can use."""
        return sum(ring.usable for ring in self.rings)

    @property
    def enough(self) -> bool:
        """Whether the panel has enough rings for a fit."""
        return self.usable >= LEAST_RINGS


def plan_rings(geometry: Geometry, shape: tuple[int, int], standard: Calibrant) -> RingPlan:
    """Compute which rings of a standard are on a panel, and how well they will determine its geometry.

    Parameters
    ----------
    geometry
        Where the panel stands, roughly, with the wavelength.
    shape
        Shape of its images (y, x).
    standard
        The standard.

    Returns
    -------
    RingPlan
        The uncertainty is that of points with an error of 0.1 px, one for each 24 px of a ring.
    """
    params, size = params_of(geometry), (shape[0] * geometry.pixel1, shape[1] * geometry.pixel2)
    pixel = float(np.sqrt(geometry.pixel1 * geometry.pixel2))
    lines = standard.lines(geometry.wavelength)
    if len(lines) == 0:
        return RingPlan(standard, (), np.inf)
    radius = params[DISTANCE] * np.tan(lines) / pixel
    gaps = np.abs(np.diff(radius))
    separation = np.minimum(np.r_[np.inf, gaps], np.r_[gaps, np.inf])
    y, x, seen = _on_the_panel(params, lines, size)
    arcs = 360 * seen.mean(axis=1)
    rings = [
        PlannedRing(float(geometry.wavelength / 2 / np.sin(angle / 2)), *map(float, (angle, far, arc, apart)))
        for angle, far, arc, apart in zip(lines, radius, arcs, separation, strict=True)
    ]
    used = np.zeros(len(lines), bool)
    used[[number for number, ring in enumerate(rings) if ring.usable][:_MAX_RINGS]] = True
    weight = np.broadcast_to((2 * np.pi * radius / _AZIMUTHS / _POINT_DISTANCE)[:, None], seen.shape)
    chosen = seen & used[:, None]
    uncertainty = _uncertainty(params, y[chosen], x[chosen], weight[chosen], size, pixel)
    return RingPlan(standard, tuple(ring for ring in rings if ring.arc > 0), uncertainty)


def rank_standards(geometry: Geometry, shape: tuple[int, int], standards: Iterable[Calibrant]) -> list[RingPlan]:
    """Compute the plans of several standards.

    Parameters
    ----------
    geometry, shape
        As for `plan_rings`.
    standards
        The standards to compare.

    Returns
    -------
    list of RingPlan
        Those with enough rings, the one with the least expected uncertainty first.
    """
    plans = [plan_rings(geometry, shape, standard) for standard in standards]
    return sorted((plan for plan in plans if plan.enough), key=lambda plan: plan.uncertainty)


def ring_problem(geometry: Geometry, shape: tuple[int, int], standard: Calibrant) -> str | None:
    """Check that a panel will have enough rings of a standard.

    Parameters
    ----------
    geometry, shape, standard
        As for `plan_rings`.

    Returns
    -------
    str or None
        What to do instead, with the best other standard; None if there are enough.
    """
    chosen = plan_rings(geometry, shape, standard)
    if chosen.enough:
        return None
    ranked = rank_standards(geometry, shape, known_standards())
    remedy = "put the detector nearer, or use a shorter wavelength"
    if len(chosen.rings) >= LEAST_RINGS:
        remedy = "put the detector farther away, since rings overlap or are behind the beam stop"
    if ranked:
        best = next((plan for plan in ranked if plan.standard.name in USUAL_STANDARDS), ranked[0])
        remedy = f"use {best.standard.name} ({count_text(best.usable)}), or {remedy}"
    return (
        f"{standard.name} will have {count_text(chosen.usable)} on the panel that a fit can use, at least "
        f"{LEAST_RINGS} are needed: {remedy}"
    )


def count_text(rings: int) -> str:
    """Format a number of rings."""
    return "1 ring" if rings == 1 else f"{rings or 'no'} rings"


def _on_the_panel(params: Floats, lines: Floats, size: tuple[float, float]) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Compute points along each ring (m), and which of them are on the panel; each of shape (rings, azimuths)."""
    azimuth = np.broadcast_to((np.arange(_AZIMUTHS) + 0.5) * 2 * np.pi / _AZIMUTHS, (len(lines), _AZIMUTHS))
    angle = np.broadcast_to(lines[:, None], azimuth.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        y, x = detector_point(params, angle.ravel(), azimuth.ravel())
        forward = np.abs(two_theta(params, y, x) - angle.ravel()) < 1e-6  # else the ray goes away from the panel
    seen = forward & (y >= 0) & (y <= size[0]) & (x >= 0) & (x <= size[1])
    return y.reshape(angle.shape), x.reshape(angle.shape), seen.reshape(angle.shape)


def _uncertainty(
    params: Floats, y: Floats, x: Floats, weight: Floats, size: tuple[float, float], pixel: float
) -> float:
    """Compute the expected standard deviation of ring positions on the panel (px rms)."""
    if len(y) == 0:
        return np.inf
    slopes = _slopes(params, y, x, pixel)
    curvature = slopes.T @ (slopes * weight[:, None])
    scale = np.sqrt(np.diag(curvature))
    if not (scale > 0).all() or np.linalg.cond(curvature / np.outer(scale, scale)) > 1e10:
        return np.inf
    covariance = np.linalg.inv(curvature) * _POINT_ERROR**2
    at_y, at_x = (np.linspace(0, side, _SAMPLES) for side in size)
    rows, columns = (each.ravel() for each in np.meshgrid(at_y, at_x, indexing="ij"))
    there = _slopes(params, rows, columns, pixel)
    return float(np.sqrt(np.mean(np.einsum("ni,ij,nj->n", there, covariance, there))))


def _slopes(params: Floats, y: Floats, x: Floats, pixel: float) -> Floats:
    """Compute the derivatives of ring positions (px) by steps of the fit parameters, shape (n, 5)."""
    steps = np.array(PARAMETER_SCALES) * np.r_[params[DISTANCE], 1, 1, 1, 1] * 1e-3
    angle = two_theta(params, y, x)
    scale = radius_per_angle(params, angle) / pixel
    moved = [(two_theta(params + step, y, x) - angle) * scale for step in np.diag(steps)]
    return np.stack(moved, axis=-1) * 1e3
