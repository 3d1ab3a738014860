"""Control points: positions on the rings with sub-pixel precision, one per ring and sector of azimuth.

The pixels near a calibrant line within one sector form a radial profile. The centroid of its peak above a
straight background is a point on the ring.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ponikeeper_client.fit._forward_model import DISTANCE, Floats, detector_point, radius_per_angle, two_theta
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._ring_profiles import RingProfiles
from ponikeeper_client.fit.calibrants import line_spacing

_MIN_HALF_WIDTH = 2.0
"""Rings whose neighbours are nearer than about twice this are not used (px)."""

_MIN_RADIUS = 25.0
"""Rings that are smaller than this (px) are not used: they have few pixels, and a beam stop hides a part of their
profile, which shifts them."""

_SEPARATION = 1.85
"""Least distance of two rings, in full widths at half maximum: at 1.8 the neighbour shifts the centroid by 0.07 px, at
1.4 by 0.4 px."""

_EDGE = 0.62
"""The background lies beyond this part of the profile's half width."""

_STEEP = 1.5
"""Angle (rad) from which on a ring is large at every distance."""

_MIN_COVERAGE = 0.8
"""Part of a profile that must be measured: a gap would shift the centroid."""

_MIN_SIGNAL = 4.0
"""Least height of a peak, in units of the noise of its background."""

_PASSES = 6
_COARSE = 8


@dataclass(frozen=True, slots=True)
class ControlPoints:
    """Measured points on rings.

    Parameters
    ----------
    y, x
        Coordinates on the detector (m), shape (n,).
    line
        Index of the calibrant line of each point, shape (n,).
    azimuth
        Azimuth about the beam (rad), shape (n,).
    measured_sectors
        Number of sectors that are covered by pixels, of each line: the largest possible number of its points.
    ring_width
        Median full width of the rings at half maximum (rad). As an angle it is about the same for all rings; on a flat
        panel a ring at a large angle is wider in pixels.
    """

    y: Floats
    x: Floats
    line: NDArray[np.intp]
    azimuth: Floats
    measured_sectors: NDArray[np.intp]
    ring_width: float = 0.0

    def __len__(self) -> int:
        return len(self.y)

    def rings(self) -> NDArray[np.intp]:
        """Return the indices of the lines that have points, ascending."""
        return np.unique(self.line)

    def select(self, mask: NDArray[np.bool_]) -> "ControlPoints":
        """Return the points at which a mask of shape (n,) is true."""
        y, x, line, azimuth = (values[mask] for values in (self.y, self.x, self.line, self.azimuth))
        return replace(self, y=y, x=x, line=line, azimuth=azimuth)


def profile_widths(
    frame: Frame, params: Floats, lines: Floats, half_width: float, max_lines: int, ring_width: float = 0.0,
    *, everywhere: bool = False,
) -> Floats:  # fmt: skip
    """Choose the lines to measure, and the half widths of their radial profiles.

    Parameters
    ----------
    frame
        The image.
    params
        Fit parameters, shape (5,).
    lines
        Scattering angles of the calibrant, ascending (rad).
    half_width
        Largest half width (px).
    max_lines
        Largest number of lines to measure.
    ring_width
        Full width of the rings (rad) if known, else 0: lines that overlap are not used.
    everywhere
        Whether the lines are taken from all over the panel, so that nothing is extrapolated; else the innermost ones,
        which depend least on the wavelength.

    Returns
    -------
    ndarray, shape (n,)
        Half width of each line (px); 0 if it is not measured.
    """
    spacing = line_spacing(lines)
    widths = np.minimum(half_width, 0.48 * spacing * radius_per_angle(params, lines) / frame.pixel)
    large = params[DISTANCE] * np.tan(np.minimum(lines, _STEEP)) > _MIN_RADIUS * frame.pixel
    separate = (widths > _MIN_HALF_WIDTH) & _on_the_image(frame, params, lines) & large
    if everywhere:
        usable = np.flatnonzero(separate & (spacing > _SEPARATION * ring_width))
        chosen = usable[np.unique(np.linspace(0, len(usable) - 1, min(max_lines, len(usable))).astype(int))]
    else:
        innermost = np.flatnonzero(separate)[:max_lines]
        chosen = innermost[spacing[innermost] > _SEPARATION * ring_width]
    return np.where(np.isin(np.arange(len(lines)), chosen), widths, 0)


def control_points(profiles: RingProfiles, params: Floats, widths: Floats) -> ControlPoints:
    """Find the points on the rings near those that fit parameters predict.

    Parameters
    ----------
    profiles
        They serve the parameters and widths.
    params
        Fit parameters, shape (5,).
    widths
        Half width of the profile of each line (px), shape (n,); 0 if it is not used.

    Returns
    -------
    ControlPoints
        At most one point per line and sector of azimuth.
    """
    peaks = _Peaks.of(profiles, params, widths)
    centre, high = peaks.centres()
    covered = peaks.covered()
    usable = covered & high
    lines, line, chi = profiles.lines, peaks.line[usable], peaks.azimuth[usable]
    angle_per_px = profiles.pixel / radius_per_angle(params, lines)
    angle = lines[line] + centre[usable] * angle_per_px[line]
    y, x = detector_point(params, angle, chi)
    measured_sectors = np.bincount(peaks.line[covered], minlength=len(lines))
    return ControlPoints(y, x, line, chi, measured_sectors, peaks.ring_width(usable, angle_per_px))


def _on_the_image(frame: Frame, params: Floats, lines: Floats) -> NDArray[np.bool_]:
    """Find the lines whose angle occurs in the valid part of the image."""
    coarse = (slice(None, None, _COARSE),) * 2
    angles = two_theta(params, frame.y[coarse], frame.x[coarse])[frame.valid[coarse]]
    return (lines >= angles.min(initial=np.inf)) & (lines <= angles.max(initial=0))


@dataclass(frozen=True, slots=True)
class _Peaks:
    """The peaks of radial profiles, one per row.

    Parameters
    ----------
    counts
        Number of pixels in each bin, shape (n, bins); 0 outside the half width.
    height
        Intensity above a straight background (counts), shape (n, bins).
    offset
        Mean offset of the bin's pixels from the line (px), shape (n, bins).
    width
        Half width (px), shape (n,).
    step
        Width of a bin (px), shape (n,).
    noise
        Root mean square of the background (counts), shape (n,).
    line
        Index of the calibrant line, shape (n,).
    azimuth
        Mean azimuth of the pixels (rad), shape (n,).
    """

    counts: Floats
    height: Floats
    offset: Floats
    width: Floats
    step: Floats
    noise: Floats
    line: NDArray[np.intp]
    azimuth: Floats

    @classmethod
    def of(cls, profiles: RingProfiles, params: Floats, widths: Floats) -> "_Peaks":
        """Subtract the background from the profiles near the rings of fit parameters."""
        used = widths[profiles.line] > 0
        line, moved = profiles.line[used], profiles.at(params)
        offset, width, step = moved.offset[used], widths[line], profiles.steps()[used]
        counts = np.where(np.abs(offset) < width[:, None], profiles.counts[used], 0)
        mean = profiles.mean[used]
        edge = np.where(np.abs(offset) > _EDGE * width[:, None], counts, 0)
        level, slope = _straight_line(offset, mean, edge)
        height = np.where(counts > 0, mean - level[:, None] - slope[:, None] * offset, 0)
        noise = np.sqrt((edge * height**2).sum(1) / np.maximum(edge.sum(1), 1))
        return cls(counts, height, offset, width, step, np.maximum(noise, 1e-9), line, moved.azimuth[used])

    def covered(self) -> NDArray[np.bool_]:
        """Find the profiles that are measured on both sides of the peak and without large gaps, shape (n,)."""
        outside = (self.counts > 0) & (np.abs(self.offset) > _EDGE * self.width[:, None])
        both = (outside & (self.offset < 0)).sum(1) * (outside & (self.offset > 0)).sum(1)
        # a bin may be narrower than a pixel: then some bins are empty
        expected = np.minimum(2 * self.width / self.step, 2 * self.width * 1.5)
        return ((self.counts > 0).sum(1) >= _MIN_COVERAGE * expected) & (both > 1)

    def ring_width(self, usable: NDArray[np.bool_], angle_per_px: Floats) -> float:
        """Compute the median full width of the rings at half maximum (rad), from the widest usable profiles.

        Source: area over height of a Gaussian, FWHM = 0.94 area / height.
        """
        widest = usable & (self.width > 0.9 * self.width[usable].max(initial=0.0))
        if not widest.any():
            return 0.0
        inside = (np.abs(self.offset) <= _EDGE * self.width[:, None]) & (self.counts > 0)
        height = np.where(inside, np.maximum(self.height, 0), 0)[widest]
        area = height.sum(1) / inside[widest].sum(1) * 2 * _EDGE * self.width[widest]
        return float(np.median(0.94 * area / np.maximum(height.max(1), 1e-30) * angle_per_px[self.line[widest]]))

    def centres(self) -> tuple[Floats, NDArray[np.bool_]]:
        """Compute the centroids of the peaks (px), and which of them are high enough; each shape (n,)."""
        inside = np.abs(self.offset) <= _EDGE * self.width[:, None]
        top = np.argmax(np.where(inside & (self.counts > 0), self.height, -np.inf), axis=1)
        rows = np.arange(len(top))
        centre = self.offset[rows, top]
        high = self.height[rows, top] > _MIN_SIGNAL * self.noise
        window = np.maximum(1.5, 0.35 * self.width)
        for _ in range(_PASSES):  # the window follows the centroid, so that no side is favoured
            away = self.offset - centre[:, None]
            weight = np.where(np.abs(away) < window[:, None], np.maximum(self.height, 0) * (self.counts > 0), 0)
            weight = weight * np.exp(-0.5 * (away / (0.6 * window[:, None])) ** 2)
            total = weight.sum(1)
            high &= total > 0
            # a weighted window biases the centroid towards its middle: take longer steps
            centre = centre + 1.6 * (weight * away).sum(1) / np.maximum(total, 1e-30)
        return centre, high & (np.abs(centre) < 0.6 * self.width)


def _straight_line(x: Floats, y: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Fit a weighted straight line to each row; return levels and slopes, shape (n,)."""
    total = np.maximum(weight.sum(1), 1e-30)
    mean_x, mean_y = (weight * x).sum(1) / total, (weight * y).sum(1) / total
    away = x - mean_x[:, None]
    slope = (weight * away * (y - mean_y[:, None])).sum(1) / np.maximum((weight * away**2).sum(1), 1e-30)
    return mean_y - slope * mean_x, slope
