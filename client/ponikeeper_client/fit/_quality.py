"""Quality of a fit: detected rings, completeness, the residual of other assignments and wavelengths, other rings."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ponikeeper_client.fit._control_points import ControlPoints
from ponikeeper_client.fit._forward_model import DISTANCE, Floats
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._passes import sum_by_radius
from ponikeeper_client.fit._peaks import find_peaks
from ponikeeper_client.fit._refine import Refined, refine
from ponikeeper_client.fit.calibrants import nearest_index

MIN_POINTS = 30
"""Least number of control points of a fit."""

_RING_SHARE = 0.08
"""A ring counts as detected if this part of its measured sectors has control points."""

_BACKGROUND_WIDTH = 41
"""Width over which the background is taken (px): rings are narrower, scattering of glass or air is wider."""

_BACKGROUND_RANK = int(0.3 * _BACKGROUND_WIDTH)
_MIN_PROMINENCE = 8.0
_MAX_OFFSET = 3.0
"""How near to a line a peak of the radial pattern must be (px)."""

_MIN_RELATIVE_HEIGHT = 0.1
"""Peaks lower than this, relative to a typical peak, are ignored."""


_SAMPLE = 4
"""The largest intensities are those of every so many-th pixel along both axes."""

_SIGNIFICANT = 3.0
"""By how many standard errors a systematic residual must differ from zero."""

_HARMONICS = 4
"""Number of harmonics in azimuth that are systematic, not scatter."""


def detected_rings(points: ControlPoints) -> tuple[int, ...]:
    """Return the indices of the lines that have enough control points to count as a detected ring, ascending."""
    count = np.bincount(points.line, minlength=len(points.measured_sectors))
    detected = (count >= 3) & (count >= _RING_SHARE * points.measured_sectors)
    return tuple(int(line) for line in np.flatnonzero(detected))


def completeness(points: ControlPoints) -> float:
    """Compute the part of the measured sectors with a control point, from the innermost detected ring to the outermost.

    Returns
    -------
    float
        0 to 1; 0 without a detected ring.
    """
    rings = detected_rings(points)
    if not rings:
        return 0.0
    between = slice(rings[0], rings[-1] + 1)
    count = np.bincount(points.line, minlength=len(points.measured_sectors))[between].sum()
    return float(count / max(points.measured_sectors[between].sum(), 1))


def shifted_residual(refined: Refined, lines: Floats, pixel: float) -> float:
    """Compute the residual of the best fit in which every ring is assigned to a neighbouring line.

    Parameters
    ----------
    refined
        Fit parameters with their control points.
    lines
        Scattering angles of the calibrant, ascending (rad).
    pixel
        Length of one pixel (m).

    Returns
    -------
    float
        Root mean square (px), the smaller of both directions; infinite if neither can be fitted.
    """
    residuals = [np.inf]
    points = refined.points
    for step in (-1, 1):
        moved = points.line + step
        inside = (moved >= 0) & (moved < len(lines))
        if np.count_nonzero(inside) < MIN_POINTS:
            continue
        shifted = ControlPoints(
            points.y[inside], points.x[inside], moved[inside], points.azimuth[inside], points.measured_sectors
        )
        ratio = np.median(np.tan(lines[points.line[inside]]) / np.tan(lines[moved[inside]]))
        start = refined.params * np.r_[ratio, 1, 1, 1, 1]
        other = refine(start, shifted, lines, pixel, rounds=0)
        residuals.append(np.inf if other is None else other.residual_px)
    return float(min(residuals))


def largest_ring_bias(points: ControlPoints, residuals: Floats) -> tuple[int, float]:
    """Find the ring that lies farthest from its line: a wrong line, wavelength or standard shifts whole rings.

    Parameters
    ----------
    points
        The control points.
    residuals
        Their distances from their rings (px), shape (n,).

    Returns
    -------
    line : int
        Index of its line.
    bias : float
        Mean residual (px), without the part that may be scatter; 0 without a detected ring.
    """
    largest = (0, 0.0)
    for ring in detected_rings(points):
        own = residuals[points.line == ring]
        error = float(own.std()) / np.sqrt(len(own))
        bias = abs(float(own.mean())) - _SIGNIFICANT * float(error)
        if bias > largest[1]:
            largest = (ring, bias)
    return largest


def azimuthal_bias(points: ControlPoints, residuals: Floats) -> float:
    """Compute how much the residuals vary slowly with the azimuth: a wrong centre or tilt, or a panel that is not flat.

    Parameters
    ----------
    points
        The control points.
    residuals
        Their distances from their rings (px), shape (n,).

    Returns
    -------
    float
        Root mean square (px) of the first four harmonics over the points, without the part that scatter would have.
    """
    if len(residuals) <= 2 * _HARMONICS:
        return 0.0
    turns = np.outer(points.azimuth, np.arange(1, _HARMONICS + 1))
    waves = np.c_[np.cos(turns), np.sin(turns)]
    fitted = waves @ np.linalg.lstsq(waves, residuals, rcond=None)[0]
    scatter = float(np.mean((residuals - fitted) ** 2)) * _SIGNIFICANT * waves.shape[1] / len(residuals)
    return float(np.sqrt(max(float(np.mean(fitted**2)) - scatter, 0.0)))


def unexplained_share(frame: Frame, params: Floats, lines: Floats, inner: float, outer: float) -> float:
    """Compute the share of sharp peaks of the radial pattern that lie on no line: rings of another material.

    Each peak has the square root of its height as weight, so that one bright ring does not hide the others.

    Parameters
    ----------
    frame
        The image.
    params
        Fit parameters, shape (5,).
    lines
        Scattering angles of the calibrant, ascending (rad).
    inner, outer
        Range of scattering angles (rad).

    Returns
    -------
    float
        0 to 1; 0 without peaks.
    """
    radius, height = sharp_peaks(frame, params)
    distance = params[DISTANCE] / frame.pixel
    between = (radius > distance * np.tan(inner) - _MAX_OFFSET) & (radius < distance * np.tan(outer) + _MAX_OFFSET)
    radius, height = radius[between], height[between]
    if len(radius) == 0:
        return 0.0
    expected = distance * np.tan(np.minimum(lines, 1.5))
    offset = np.abs(radius - expected[nearest_index(expected, radius)])
    typical = np.median(height[offset < _MAX_OFFSET]) if (offset < _MAX_OFFSET).any() else 0.0
    weight = np.sqrt(np.where(height > _MIN_RELATIVE_HEIGHT * typical, height, 0))
    return float(weight[offset >= _MAX_OFFSET].sum() / max(weight.sum(), 1e-30))


def sharp_peaks(frame: Frame, params: Floats) -> tuple[Floats, Floats]:
    """Find the sharp peaks of the radial pattern.

    Returns
    -------
    radius, height : ndarray, shape (n,)
        Radius on a detector perpendicular to the beam (px), and prominence (counts).
    """
    pattern = radial_pattern(frame, params)
    if len(pattern) == 0:  # no pixel faces the beam
        return pattern, pattern
    sharp = pattern - _background(pattern)
    noise = 1.4826 * np.median(np.abs(np.diff(sharp))) / np.sqrt(2) + 1e-12
    peaks, prominences = find_peaks(sharp, _MIN_PROMINENCE * noise, _BACKGROUND_WIDTH / 2)
    return peaks.astype(np.float64) + 0.5, prominences


def _background(pattern: Floats) -> Floats:
    """Compute the values below which the lowest 30 % of the neighbours of each value lie, shape (n,)."""
    neighbours = sliding_window_view(np.pad(pattern, _BACKGROUND_WIDTH // 2, "symmetric"), _BACKGROUND_WIDTH)
    return np.partition(neighbours, _BACKGROUND_RANK, axis=1)[:, _BACKGROUND_RANK]


def radial_pattern(frame: Frame, params: Floats) -> NDArray[np.float64]:
    """Compute the mean intensity by radius.

    Returns
    -------
    ndarray, shape (n,)
        Counts, one value per px of radius; where there is no pixel, the value of the radius before it.
    """
    sample = frame.image[::_SAMPLE, ::_SAMPLE][frame.valid[::_SAMPLE, ::_SAMPLE]]
    counts, sums = sum_by_radius(frame, params, float(np.percentile(sample, 99.9)) if sample.size else np.inf)
    filled = np.maximum.accumulate(np.where(counts > 0, np.arange(len(counts)), 0))
    return (sums / np.maximum(counts, 1))[filled]
