"""Identification of the standard in the beam: by trying all of them, or after a fit with another one was rejected.

The rings of an image are concentric whatever the standard is: beam spot and tilt follow from the shapes of the rings
alone. The lines of each standard are compared with them at all distances, and the best ones are fitted there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponikeeper.errors import FitError
from ponikeeper.geometry import Geometry
from ponikeeper_client.fit._acceptance import USUAL, Criteria, StartTolerance
from ponikeeper_client.fit._comb import best_distances
from ponikeeper_client.fit._forward_model import DISTANCE, Floats, geometry_of, params_of
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._quality import completeness
from ponikeeper_client.fit._ridges import RidgePoints, find_ridges
from ponikeeper_client.fit._ring_assignment import assign_rings
from ponikeeper_client.fit._shapes import find_centres, fit_shape
from ponikeeper_client.fit.calibrants import Calibrant, known_standards
from ponikeeper_client.fit.fit import Fit, fit_image

AUTO = "auto"
"""The name of a standard that stands for all of them."""

_LARGEST_SIDE = 1024
_WIDTHS = (1.3, 2.6)
"""Widths at which ridges are looked for (px of the binned image)."""

_POINTS, _FEW_POINTS, _MIN_POINTS = 4000, 1200, 60
"""Numbers of ridge points: to assign rings, to compare standards, and the least one."""

_CENTRES = 2
_PARTS = (1.0, 3.0)
"""Distances at which a fit of shapes begins if nothing is known, in diagonals of the panel."""

_SPREAD = 0.3
"""Relative standard deviation of the distance of a start."""

_LARGEST_ANGLE = 1.45
"""Lines at larger scattering angles are not compared (rad)."""

_PER_STANDARD = 2
_MAX_FITS = 8
_GATES = (8.0, 5.0, 3.0, 2.0)
_NEAR = StartTolerance(0.29, np.inf, float(np.radians(60)))
"""How far a fit may be from where the lines of a standard match."""

_CLEARLY_BETTER = 3.0
"""If the residual of one standard is so many times smaller than that of the next one, it is that standard."""

_AS_COMPLETE = 0.85
"""Of two standards that fit, one lacks lines if so much less of its lines is visible."""

_ANY_DISTANCE = (0.03, 20.0)
"""Distances of a start without one (m)."""

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A standard, how well its lines match the rings of an image, and where the panel then stands."""

    standard: Calibrant
    score: float
    geometry: Geometry


def fit_any(
    image: NDArray[Any],
    start: Geometry,
    standards: Sequence[Calibrant],
    *,
    mask: NDArray[Any] | None,
    tolerance: StartTolerance,
    criteria: Criteria = USUAL,
    progress: Progress,
) -> Fit:
    """Fit the geometry to an image of an unknown standard.

    Parameters
    ----------
    image, start, mask, tolerance, criteria
        As for `fit_image`.
    standards
        Those that may be in the beam, of different lattices.
    progress
        Called before each step.

    Returns
    -------
    Fit
        Accepted, with the standard that fits best.

    Raises
    ------
    FitError
        No standard is accepted, or several are and none fits clearly better than the others.
    ImageError, ShapeError
        The image cannot be used.
    """
    progress(0.0, "look for rings")
    fits: list[Fit] = []
    ranked = rank(Frame.of(image, start, mask), start, standards, tolerance)
    for number, one in enumerate(ranked):
        progress(0.3 + 0.7 * number / len(ranked), f"fit {one.standard.name}")
        if any(other.accepted and other.calibrant is one.standard for other in fits):
            continue
        if (fitted := _fit(image, one, mask, criteria)) is not None:
            fits.append(fitted)
    return _chosen(fits, len(standards))


def named_lookalike(image: NDArray[Any], rejected: Fit, *, mask: NDArray[Any] | None, tolerance: StartTolerance) -> Fit:
    """Find the standard that is in the beam instead of the one for which a fit was rejected, and name it.

    Parameters
    ----------
    image, mask, tolerance
        As for the rejected fit.
    rejected
        The fit.

    Returns
    -------
    Fit
        The rejected fit; its problems name the standard with which a fit is accepted, if there is one.

    Raises
    ------
    ImageError, ShapeError
        The image cannot be used.
    """
    for one in rank(Frame.of(image, rejected.start, mask), rejected.start, known_standards(), tolerance):
        other = None if one.standard.name == rejected.calibrant.name else _fit(image, one, mask, USUAL)
        if other is not None and other.accepted:
            hint = f"looks like {_described(other)}: if that is in the beam, give it as the calibrant"
            return replace(rejected, problems=(*rejected.problems, hint))
    return rejected


def rank(frame: Frame, start: Geometry, standards: Sequence[Calibrant], tolerance: StartTolerance) -> list[Ranked]:
    """Compare the lines of standards with the rings of an image.

    Parameters
    ----------
    frame
        The image.
    start, tolerance
        As for `fit_image`.
    standards
        The standards to compare.

    Returns
    -------
    list of Ranked
        Those that match best, the best one first; empty without rings.
    """
    small = frame.binned(_LARGEST_SIDE)
    ridges = max((find_ridges(small, small.stabilized(), width) for width in _WIDTHS), key=len)
    if len(ridges) < _MIN_POINTS:
        return []
    points = ridges.sample(_POINTS)
    few, between = points.sample(_FEW_POINTS, seed=1), _distances(start, tolerance)
    shapes = _shapes(points, few, params_of(start), tolerance, frame.diagonal)
    ranked: list[Ranked] = []
    for standard in standards:
        lines = standard.lines(start.wavelength, _LARGEST_ANGLE)
        if len(lines) < 2:
            continue
        rough = [item for shape in shapes for item in best_distances(shape, few, lines, between, small.pixel, 2)]
        for score, params in sorted(rough, key=lambda item: -item[0])[:_PER_STANDARD]:
            ranked.append(Ranked(standard, score, geometry_of(params, start)))
    ranked.sort(key=lambda one: -one.score)
    return _assigned([one for one in ranked if one.score > 0][:_MAX_FITS], points, small.pixel)


def _shapes(
    points: RidgePoints, few: RidgePoints, start: Floats, tolerance: StartTolerance, size: float
) -> list[Floats]:
    """Fit beam spot and tilt to the ridges, without knowing any line, from several places and as circles."""
    blind = np.isinf(tolerance.distance)
    begin = [np.r_[part * size, 0, 0, 0, 0] for part in _PARTS] if blind else [start]
    spread = np.inf if blind else _SPREAD
    shapes = sorted(
        (
            fit_shape(few, np.r_[params[0], centre, params[3:]], size, spread)
            for centre in find_centres(points, size, _CENTRES)
            for params in begin
        ),
        key=lambda item: item[0],
    )
    best = [params for _, params in shapes[:_CENTRES]]
    return [*best, *(np.r_[params[:3], 0, 0] for params in best[:1])]


def _assigned(ranked: Sequence[Ranked], points: RidgePoints, pixel: float) -> list[Ranked]:
    """Assign the ridges to the lines of each standard; return those for which this is possible."""
    assigned: list[Ranked] = []
    for one in ranked:
        lines = one.standard.lines(one.geometry.wavelength)
        params = assign_rings(params_of(one.geometry), points, lines, pixel, _GATES)
        if params is not None:
            assigned.append(Ranked(one.standard, one.score, geometry_of(params, one.geometry)))
    return assigned


def _described(fitted: Fit) -> str:
    residual = f"{fitted.refined.residual_px:.3f} px rms at {fitted.geometry.dist:.4g} m"
    return f"{fitted.calibrant.name} ({residual})"


def _distances(start: Geometry, tolerance: StartTolerance) -> tuple[float, float]:
    """Return the smallest and the largest distance of a fit (m)."""
    if np.isinf(tolerance.distance):
        return _ANY_DISTANCE
    distance = float(params_of(start)[DISTANCE])
    return distance / (1 + tolerance.distance), distance * (1 + tolerance.distance)


def _fit(image: NDArray[Any], one: Ranked, mask: NDArray[Any] | None, criteria: Criteria) -> Fit | None:
    """Fit with one standard where its lines match; None if no rings were found there."""
    try:
        return fit_image(image, one.geometry, one.standard, mask=mask, tolerance=_NEAR, criteria=criteria, search=False)
    except FitError:
        return None


def _chosen(fits: Sequence[Fit], count: int) -> Fit:
    """Return the accepted fit that is clearly the best; raise `FitError` if there is none."""
    accepted = sorted((one for one in fits if one.accepted), key=lambda one: one.refined.residual_px)
    if not accepted:
        best = min(fits, key=lambda one: len(one.problems), default=None)
        if best is None:
            raise FitError("no rings were found: check that the shutter was open, and the start")
        raise FitError([f"none of {count} standards fits; nearest is {best.calibrant.name}", *best.problems])
    likely = [one for one in accepted if not any(_explains_better(other, one) for other in accepted)]
    if len(likely) != 1:
        listed = " and ".join(_described(one) for one in likely)
        raise FitError(
            f"several standards fit, {listed}: name the one that is in the beam, --calibrant "
            f"{likely[0].calibrant.name}; a distance that is better known would decide, too"
        )
    return likely[0]


def _explains_better(other: Fit, fitted: Fit) -> bool:
    """Check whether the rings fit another standard clearly better, or as well and with fewer lines that are missing."""
    residual, own = other.refined.residual_px, fitted.refined.residual_px
    more_complete = completeness(other.refined.points) * _AS_COMPLETE > completeness(fitted.refined.points)
    return _CLEARLY_BETTER * residual < own or (residual <= own and more_complete)
