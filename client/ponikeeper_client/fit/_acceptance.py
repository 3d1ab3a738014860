"""Whether a fit can be stood for: determined, precise, complete, unambiguous, and near its start."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal
from scipy.optimize import least_squares

from ponikeeper.geometry import Geometry
from ponikeeper_client.fit._control_points import Points
from ponikeeper_client.fit._forward_model import DISTANCE, STEPS, Floats, cosine, place_of, two_theta
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._refine import Refined, refine, uncertainty
from ponikeeper_client.fit.calibrants import nearest_index

_FEWEST_RINGS = 3
_FEWEST_POINTS = 30
_LARGEST_CONDITION = 200.0
_LARGEST_UNCERTAINTY = 0.5
"""By the covariance, of the rings anywhere on the detector (px): beyond it the image does not tell the geometry."""

_LARGEST_RESIDUAL = 0.5
"""Root mean square (px): a sound calibration leaves 0.05 to 0.3."""

_COMPLETE = 0.6
"""Of the sectors between the innermost and the outermost ring, in how many the line must be seen."""

_SHIFTED = 3.0
"""How many times worse the fit has to be with each ring taken for its neighbour."""

_UNEXPLAINED = 0.1
"""Of the sharp rings, each with the square root of its height, how much may lie on no line."""

_WAVELENGTH, _MUCH_BETTER = 0.02, 0.5
"""Refused is a wavelength that is so far off (relative) if the residual shrinks below that part of it."""

_RING = 0.08
"""A ring counts if so much of what was looked for of it was found."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a result may be from its start.

    Parameters
    ----------
    distance
        Relative.
    spot
        Of the beam on the detector (px).
    tilt
        Of either rotation (rad).
    """

    distance: float
    spot: float
    tilt: float


NEAR = Reach(0.1, 120.0, float(np.radians(5)))
"""From a geometry that was calibrated, with the detector where it was."""

NOMINAL = Reach(0.3, np.inf, float(np.radians(20)))
"""From a distance that somebody read off a scale."""


def rings_found(points: Points) -> tuple[int, ...]:
    """List the lines of which enough was found to speak of a ring."""
    found = np.bincount(points.line, minlength=len(points.looked_for))
    counted = (found >= 3) & (found >= _RING * points.looked_for)
    return tuple(int(line) for line in np.flatnonzero(counted))


def completeness(points: Points) -> float:
    """Give the share of sectors in which a line was seen, from the innermost ring to the outermost."""
    rings = rings_found(points)
    if not rings:
        return 0.0
    between = slice(rings[0], rings[-1] + 1)
    found = np.bincount(points.line, minlength=len(points.looked_for))[between].sum()
    return float(found / max(points.looked_for[between].sum(), 1))


def shifted_residual(refined: Refined, lines: Floats, pixel: float) -> float:
    """Give the residual (px) of the best fit in which every ring is taken for its neighbour."""
    found = [np.inf]
    points = refined.points
    for step in (-1, 1):
        moved = points.line + step
        inside = (moved >= 0) & (moved < len(lines))
        if np.count_nonzero(inside) < _FEWEST_POINTS:
            continue
        shifted = Points(points.y[inside], points.x[inside], moved[inside], points.azimuth[inside], points.looked_for)
        ratio = np.median(np.tan(lines[points.line[inside]]) / np.tan(lines[moved[inside]]))
        start = refined.place * np.r_[ratio, 1, 1, 1, 1]
        other = refine(start, shifted, lines, pixel, rounds=0)
        found.append(np.inf if other is None else other.residual_px)
    return float(min(found))


def problems(frame: Frame, refined: Refined, lines: Floats, start: Geometry, reach: Reach) -> list[str]:
    """Say why a fit cannot be stood for; nothing where it can."""
    return [
        *_undetermined(frame, refined),
        *doubts(frame, refined, lines),
        *_ambiguous(refined, lines, frame.pixel),
        *_of_another_wavelength(refined, lines, start.wavelength),
        *_far(refined.place, place_of(start), frame.pixel, reach),
    ]


def doubts(frame: Frame, refined: Refined, lines: Floats) -> list[str]:
    """Say what speaks against a geometry, whoever found it."""
    return [*_imprecise(refined), *_incomplete(refined.points), *_foreign(frame, refined, lines)]


def better_wavelength(refined: Refined, lines: Floats, wavelength: float) -> tuple[float, float]:
    """Give the wavelength (m) that fits best, and how much better: the residual with it over that without.

    It is no measurement: distance and wavelength change the rings almost alike.
    """
    points = refined.points
    halves = np.sin(lines[points.line] / 2) / wavelength

    def off(values: Floats) -> Floats:
        sines = halves * wavelength * values[5]
        return two_theta(values[:5], points.y, points.x) - 2 * np.arcsin(np.minimum(sines, 1))

    steps = np.r_[np.array(STEPS) * np.r_[refined.place[DISTANCE], 1, 1, 1, 1], 0.01]
    found = least_squares(off, np.r_[refined.place, 1.0], x_scale=steps, max_nfev=50)
    return wavelength * float(found.x[5]), float(np.linalg.norm(found.fun) / np.linalg.norm(refined.residuals))


def _undetermined(frame: Frame, refined: Refined) -> list[str]:
    rings, count = len(rings_found(refined.points)), len(refined.points)
    found = []
    if rings < _FEWEST_RINGS or count < _FEWEST_POINTS:
        found.append(
            f"not determined: {count} points on {rings} rings, at least {_FEWEST_POINTS} on {_FEWEST_RINGS} are "
            "needed; put the detector nearer, use a standard with more lines, or expose longer"
        )
    sure = uncertainty(refined, frame.y[::64, ::64], frame.x[::64, ::64], frame.pixel)
    if refined.condition > _LARGEST_CONDITION or sure > _LARGEST_UNCERTAINTY:
        found.append(
            f"not determined: distance, tilt and centre cannot be told apart well enough (rings on the detector are "
            f"sure to {sure:.2g} px, at least {_LARGEST_UNCERTAINTY} px is needed; condition number "
            f"{refined.condition:.0f}, at most {_LARGEST_CONDITION:.0f}); take an image with longer arcs or more "
            "rings, or expose longer"
        )
    return found


def _imprecise(refined: Refined) -> list[str]:
    if refined.residual_px <= _LARGEST_RESIDUAL:
        return []
    return [
        f"not precise: the rings are off by {refined.residual_px:.2f} px rms, at most {_LARGEST_RESIDUAL} is sound; "
        "is it this standard, this wavelength, this detector, and was nothing moved during the exposure?"
    ]


def _incomplete(points: Points) -> list[str]:
    share = completeness(points)
    if share >= _COMPLETE:
        return []
    return [
        f"not this standard: of the lines between the innermost and the outermost ring only {100 * share:.0f} % are "
        f"seen, at least {100 * _COMPLETE:.0f} % are needed; check calibrant and wavelength"
    ]


def _foreign(frame: Frame, refined: Refined, lines: Floats) -> list[str]:
    rings = rings_found(refined.points)
    if not rings:
        return []
    share = unexplained(frame, refined.place, lines, lines[rings[0]], lines[rings[-1]])
    if share <= _UNEXPLAINED:
        return []
    return [
        f"not this standard: {100 * share:.0f} % of what the sharp rings weigh lies on none of its lines, at most "
        f"{100 * _UNEXPLAINED:.0f} % may; check calibrant and wavelength, and that nothing else is in the beam"
    ]


def _of_another_wavelength(refined: Refined, lines: Floats, wavelength: float) -> list[str]:
    better, gain = better_wavelength(refined, lines, wavelength)
    if abs(better / wavelength - 1) <= _WAVELENGTH or gain > _MUCH_BETTER:
        return []
    return [
        f"not this wavelength: the rings fit {1 / gain:.1f} times better with about {better:.4g} m than with "
        f"{wavelength:.4g} m; check the wavelength (it is never fitted: distance and wavelength go together)"
    ]


def _ambiguous(refined: Refined, lines: Floats, pixel: float) -> list[str]:
    other = shifted_residual(refined, lines, pixel)
    if other >= _SHIFTED * refined.residual_px:
        return []
    return [
        f"ambiguous: with every ring taken for its neighbour the fit leaves {other:.2f} px instead of "
        f"{refined.residual_px:.2f}, so which ring is which cannot be told; show more rings, or start nearer"
    ]


def _far(place: Floats, start: Floats, pixel: float, reach: Reach) -> list[str]:
    distance = abs(place[DISTANCE] / start[DISTANCE] - 1)
    spot = float(np.hypot(*(place[1:3] - start[1:3]))) / pixel
    turned = place[3:] - start[3:]
    tilt = float(np.abs(turned).max())
    swung = float(place[DISTANCE] * np.hypot(*turned)) / pixel  # a start that is turned has its spot elsewhere
    if distance <= reach.distance and spot <= reach.spot + swung and tilt <= reach.tilt:
        return []
    return [
        f"far from the start: distance {100 * distance:.1f} %, beam spot {spot:.0f} px, tilt "
        f"{np.degrees(tilt):.1f} deg away, at most {100 * reach.distance:.0f} %, {reach.spot:.0f} px, "
        f"{np.degrees(reach.tilt):.0f} deg; if the detector was moved, say so by starting from a nominal distance"
    ]


_SMOOTH = 41
"""Over how many px the background is taken: a ring is narrower, scattering of a glass or of air is wider."""

_SIGNIFICANT = 8.0
_WITHIN = 3.0
"""How near to a line a peak has to be (px)."""

_FAINTEST = 0.1
"""Of the height of a typical peak: what is fainter is left out."""


def unexplained(frame: Frame, place: Floats, lines: Floats, inner: float, outer: float) -> float:
    """Give the share of sharp peaks that lie on no line, between two scattering angles (rad).

    Each peak counts with the square root of its height: one bright ring does not hide the others.
    """
    radius, height = sharp_peaks(frame, place)
    reach = place[DISTANCE] / frame.pixel
    between = (radius > reach * np.tan(inner) - _WITHIN) & (radius < reach * np.tan(outer) + _WITHIN)
    radius, height = radius[between], height[between]
    if len(radius) == 0:
        return 0.0
    expected = reach * np.tan(np.minimum(lines, 1.5))
    off = np.abs(radius - expected[nearest_index(expected, radius)])
    typical = np.median(height[off < _WITHIN]) if (off < _WITHIN).any() else 0.0
    weight = np.sqrt(np.where(height > _FAINTEST * typical, height, 0))
    return float(weight[off >= _WITHIN].sum() / max(weight.sum(), 1e-30))


def sharp_peaks(frame: Frame, place: Floats) -> tuple[Floats, Floats]:
    """Find the sharp peaks of the radial pattern: radius (px, on a detector that faces the beam) and height."""
    pattern = radial_pattern(frame, place)
    sharp = pattern - ndimage.percentile_filter(pattern, 30, size=_SMOOTH)
    noise = 1.4826 * np.median(np.abs(np.diff(sharp))) / np.sqrt(2) + 1e-12
    tops, found = signal.find_peaks(sharp, prominence=_SIGNIFICANT * noise, width=(0, _SMOOTH / 2))
    return tops + 0.5, found["prominences"]


def radial_pattern(frame: Frame, place: Floats) -> NDArray[np.float64]:
    """Give the mean intensity by radius, one value a px; where there is none, that of the radius before it."""
    along = cosine(place, frame.y, frame.x)
    seen = frame.valid & (along > 0.1)
    radius = (place[DISTANCE] / frame.pixel * np.sqrt(np.maximum(1 / along[seen] ** 2 - 1, 0))).astype(np.intp)
    intensity = np.minimum(frame.image[seen], np.percentile(frame.image[seen][::16], 99.9))
    counts, sums = np.bincount(radius), np.bincount(radius, intensity)
    filled = np.maximum.accumulate(np.where(counts > 0, np.arange(len(counts)), 0))
    return (sums / np.maximum(counts, 1))[filled]
