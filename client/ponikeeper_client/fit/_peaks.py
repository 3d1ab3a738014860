"""Peaks of a pattern, as `scipy.signal.find_peaks` defines them: importing that takes longer than a fit."""

import numpy as np
from numpy.typing import NDArray

from ponikeeper_client.fit._forward_model import Floats


def find_peaks(values: Floats, prominence: float, width: float) -> tuple[NDArray[np.intp], Floats]:
    """Find the peaks of a pattern that are high and narrow enough.

    Parameters
    ----------
    values
        Shape (n,).
    prominence
        Least height above the higher of the two valleys that separate a peak from higher ones.
    width
        Largest full width at half prominence, in steps of the pattern.

    Returns
    -------
    index : ndarray, shape (m,)
        Ascending; the middle of a flat top.
    prominence : ndarray, shape (m,)
        Of each peak.
    """
    chosen: list[tuple[int, float]] = []
    for top in _maxima(values):
        left, right, base = _valleys(values, top)
        height = float(values[top] - base)
        if height >= prominence and _width(values, top, left, right, values[top] - height / 2) <= width:
            chosen.append((top, height))
    return np.array([top for top, _ in chosen], np.intp), np.array([height for _, height in chosen], float)


def _maxima(values: Floats) -> list[int]:
    """Find the values that are higher than both neighbours; of equal ones the middle."""
    first = np.flatnonzero(np.r_[True, np.diff(values) != 0])
    last = np.r_[first[1:] - 1, len(values) - 1]
    level = values[first]
    higher = np.flatnonzero((level[1:-1] > level[:-2]) & (level[1:-1] > level[2:])) + 1
    return [int(middle) for middle in (first[higher] + last[higher]) // 2]


def _valleys(values: Floats, top: int) -> tuple[int, int, float]:
    """Return the nearest higher values on both sides, or the ends, and the higher one of the minima up to there."""
    above = values > values[top]
    before, after = np.flatnonzero(above[:top]), np.flatnonzero(above[top + 1 :])
    left = int(before[-1]) + 1 if len(before) else 0
    right = top + int(after[0]) if len(after) else len(values) - 1
    return left, right, float(max(values[left : top + 1].min(), values[top : right + 1].min()))


def _width(values: Floats, top: int, left: int, right: int, level: float) -> float:
    """Compute the width of a peak at a level, by linear interpolation between the values."""
    below = np.flatnonzero(values[left : top + 1] <= level)
    start = float(left + below[-1]) if len(below) else float(left)
    if len(below) and values[int(start)] < level:
        one, other = values[int(start)], values[int(start) + 1]
        start += float((level - one) / (other - one))
    below = np.flatnonzero(values[top : right + 1] <= level)
    end = float(top + below[0]) if len(below) else float(right)
    if len(below) and values[int(end)] < level:
        one, other = values[int(end)], values[int(end) - 1]
        end -= float((level - one) / (other - one))
    return end - start
