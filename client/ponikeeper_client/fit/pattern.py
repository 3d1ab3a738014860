"""The radial pattern of an image, and its sharp peaks: rings that no line explains are another standard's."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from ponikeeper_client.fit.frame import Frame
from ponikeeper_client.fit.lines import nearest_index
from ponikeeper_client.fit.rays import DISTANCE, Floats, cosine

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
