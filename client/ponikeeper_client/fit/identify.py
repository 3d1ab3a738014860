"""Identification of the standard in the beam: by trying all of them, or after a fit with another one was rejected.

The rings of an image are concentric whatever the standard is. So the radial pattern about the centre of one fit, even
of a rejected one, has peaks at the rings, and the lines of each standard are compared with them at all distances.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponikeeper.errors import FitError
from ponikeeper.geometry import Geometry
from ponikeeper_client.fit._acceptance import CALIBRATED_START, USUAL, Criteria, StartTolerance
from ponikeeper_client.fit._comb import best_distances
from ponikeeper_client.fit._forward_model import DISTANCE, Floats, detector_point, geometry_of, params_of
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._quality import completeness, sharp_peaks
from ponikeeper_client.fit._ridges import RidgePoints
from ponikeeper_client.fit.calibrants import USUAL_STANDARDS, Calibrant, known_standards
from ponikeeper_client.fit.fit import Fit, fit_image

AUTO = "auto"
"""The name of a standard that stands for all of them."""

_FIRST = ("LaB6", "CeO2", "AgBh", "Ni", "Si")
"""Standards that are fitted one after the other, until one leads to the centre of the rings."""

_MIN_PEAKS = 4
_SHARE = 0.6
"""A standard is fitted if the peaks match its lines at least so well, as part of the best match."""

_MAX_FITS = 5
"""Number of standards that are fitted once the peaks are known."""

_CLEARLY_BETTER = 3.0
"""If the residual of one standard is so many times smaller than that of the next one, it is that standard."""

_AS_COMPLETE = 0.85
"""Of two standards that fit, one lacks lines if so much less of its lines is visible."""

_CLEAR_SCORE = 1.5
"""If the peaks match one standard so many times better than any other, others are not tried."""

_ANY_DISTANCE = (0.03, 20.0)
"""Distances of a start without one (m)."""

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A standard, how well its lines match the peaks of an image, and where the panel then stands."""

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
    frame, between = Frame.of(image, start, mask), _distances(start, tolerance)
    fits: list[Fit] = []
    ranked: list[Ranked] = []
    for number, standard in enumerate(sorted(standards, key=_order)[: len(_FIRST)]):
        progress(0.5 * number / len(_FIRST), f"fit {standard.name}")
        if (first := _fit(image, start, standard, mask, tolerance, criteria)) is None:
            continue
        fits.append(first)
        ranked = rank(frame, first.geometry, standards, between)
        if ranked:
            break
    for number, one in enumerate(ranked):
        progress(0.5 + 0.5 * number / len(ranked), f"fit {one.standard.name}")
        if any(other.accepted and other.calibrant is one.standard for other in fits):
            continue
        if (again := _fit(image, one.geometry, one.standard, mask, CALIBRATED_START, criteria)) is not None:
            fits.append(again)
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
    frame = Frame.of(image, rejected.geometry, mask)
    ranked = rank(frame, rejected.geometry, known_standards(), _distances(rejected.start, tolerance))
    others = [one for one in ranked if one.standard.name != rejected.calibrant.name]
    if others and ranked[0].score > _CLEAR_SCORE * others[0].score and ranked[0] is not others[0]:
        return rejected  # it looks like the standard that was given
    for one in sorted(others, key=lambda one: one.standard.name not in USUAL_STANDARDS):
        other = _fit(image, one.geometry, one.standard, mask, CALIBRATED_START, USUAL)
        if other is not None and other.accepted:
            hint = f"looks like {_described(other)}: if that is in the beam, give it as the calibrant"
            return replace(rejected, problems=(*rejected.problems, hint))
    return rejected


def rank(
    frame: Frame, geometry: Geometry, standards: Sequence[Calibrant], between: tuple[float, float]
) -> list[Ranked]:
    """Compare the lines of standards with the peaks of the radial pattern of an image.

    Parameters
    ----------
    frame
        The image.
    geometry
        With the centre and the shape of the rings; its distance may be wrong.
    standards
        The standards to compare.
    between
        The smallest and the largest distance (m).

    Returns
    -------
    list of Ranked
        Those that match nearly as well as the best one, the best one first; empty without peaks.
    """
    params = params_of(geometry)
    radius, height = sharp_peaks(frame, params)
    if len(radius) < _MIN_PEAKS:
        return []
    peaks = _as_points(params, radius * frame.pixel, np.sqrt(height / height.max()))
    ranked: list[Ranked] = []
    for standard in standards:
        lines = standard.lines(geometry.wavelength)
        if len(lines) < 2:
            continue
        for score, placed in best_distances(params, peaks, lines, between, frame.pixel, 1):
            ranked.append(Ranked(standard, score, geometry_of(placed, geometry)))
    ranked.sort(key=lambda one: -one.score)
    return [one for one in ranked if one.score > 0 and one.score >= _SHARE * ranked[0].score][:_MAX_FITS]


def _described(fitted: Fit) -> str:
    residual = f"{fitted.refined.residual_px:.3f} px rms at {fitted.geometry.dist:.4g} m"
    return f"{fitted.calibrant.name} ({residual})"


def _as_points(params: Floats, radius: Floats, weight: Floats) -> RidgePoints:
    """Build points on the detector at radii (m), in one direction from the beam spot."""
    angle = np.arctan(radius / params[DISTANCE])
    y, x = detector_point(params, angle, np.zeros(len(angle)))
    return RidgePoints(y, x, np.ones(len(y)), np.zeros(len(y)), weight)


def _distances(start: Geometry, tolerance: StartTolerance) -> tuple[float, float]:
    """Return the smallest and the largest distance of a fit (m)."""
    if np.isinf(tolerance.distance):
        return _ANY_DISTANCE
    distance = float(params_of(start)[DISTANCE])
    return distance / (1 + tolerance.distance), distance * (1 + tolerance.distance)


def _order(standard: Calibrant) -> int:
    return _FIRST.index(standard.name) if standard.name in _FIRST else len(_FIRST)


def _fit(
    image: NDArray[Any], start: Geometry, standard: Calibrant, mask: NDArray[Any] | None, tolerance: StartTolerance,
    criteria: Criteria,
) -> Fit | None:  # fmt: skip
    """Fit with one standard; None if no rings were found."""
    try:
        return fit_image(image, start, standard, mask=mask, tolerance=tolerance, criteria=criteria)
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
