"""Control points: where the rings' centres are, to a part of a pixel, sector by sector.

Around each line of the standard the pixels of one sector of azimuth make a profile; its peak over a
straight background has a centroid, and that is a point on the ring.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ponikeeper_client.fit._forward_model import (
    DISTANCE,
    Floats,
    azimuth,
    cosine,
    meeting_point,
    radius_scale,
    two_theta,
)
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit.calibrants import nearest_index, spacing

_ARC = 24.0
"""Length of a sector along its ring (px)."""

_FEWEST_SECTORS, _MOST_SECTORS = 12, 720
_BINS = 33
_FEWEST_PIXELS = 30
_NARROWEST = 2.0
"""Rings whose neighbours are nearer than about twice this are left out (px)."""

_EDGE = 0.62
"""Beyond this part of the profile's half width lies the background."""

_COVERED = 0.8
"""Of a profile, how much must be measured: a peak cut by a gap has its centre elsewhere."""

_SIGNIFICANT = 4.0
_PASSES = 6
_COARSE = 8
_TABLE = 4
"""Entries for each px of the table that finds the line near a pixel."""


@dataclass(frozen=True, slots=True)
class Points:
    """Points on rings.

    Parameters
    ----------
    y, x
        On the detector (m), shape (n,).
    line
        Index of the line that each belongs to, shape (n,).
    azimuth
        About the beam (rad), shape (n,).
    looked_for
        Number of sectors that were measured, of each line; so many points it could have.
    ring_width
        Full width of the rings at half of their height, the median (px).
    """

    y: Floats
    x: Floats
    line: NDArray[np.intp]
    azimuth: Floats
    looked_for: NDArray[np.intp]
    ring_width: float = 0.0

    def __len__(self) -> int:
        return len(self.y)

    def rings(self) -> NDArray[np.intp]:
        """List the lines that have points."""
        return np.unique(self.line)

    def only(self, kept: NDArray[np.bool_]) -> "Points":
        """Give some of them."""
        y, x, line, azimuth = (values[kept] for values in (self.y, self.x, self.line, self.azimuth))
        return replace(self, y=y, x=x, line=line, azimuth=azimuth)


def control_points(
    frame: Frame, place: Floats, lines: Floats, half_width: float, most: int, ring_width: float = 0.0
) -> Points:
    """Measure the rings near where a place has them.

    Parameters
    ----------
    lines
        Scattering angles, ascending (rad).
    half_width
        How far from a line to look (px).
    most
        How many lines to measure at most, from the innermost on.
    ring_width
        Of a ring (px), where it is known: lines nearer to each other than twice that do not stand alone.
    """
    widths = np.minimum(half_width, 0.48 * spacing(lines) * radius_scale(place, lines) / frame.pixel)
    apart = (widths > _NARROWEST) & _on_the_image(frame, place, lines)
    widths[~apart | (np.cumsum(apart) > most) | (widths <= ring_width)] = 0
    sectors = np.clip(
        2 * np.pi * place[DISTANCE] * np.tan(np.minimum(lines, 1.5)) / frame.pixel / _ARC,
        _FEWEST_SECTORS, _MOST_SECTORS,
    ).astype(int)  # fmt: skip
    first = np.r_[0, np.cumsum(sectors)]
    intensity, offset, line, turn = _pixels_near_lines(frame, place, lines, widths)
    sector = first[line] + np.minimum((turn + np.pi) / (2 * np.pi) * sectors[line], sectors[line] - 1).astype(int)
    part = ((offset / widths[line] + 1) / 2 * _BINS).astype(int).clip(0, _BINS - 1)

    cell, cells = sector * _BINS + part, int(first[-1]) * _BINS
    counts, sums, offsets = (
        np.bincount(cell, weights, minlength=cells).reshape(-1, _BINS).astype(float)
        for weights in (None, intensity, offset)
    )
    pixels = counts.sum(1)
    turns = np.bincount(sector, turn, minlength=int(first[-1])) / np.maximum(pixels, 1)
    of_line = np.repeat(np.arange(len(lines)), sectors)
    measured = pixels >= _FEWEST_PIXELS
    profiles = _Profiles.of(counts[measured], sums[measured], offsets[measured], widths[of_line[measured]])
    line, turn = of_line[measured], turns[measured]
    centre, peak = profiles.centres()
    covered = profiles.covered()
    kept = covered & peak
    angle = lines[line[kept]] + centre[kept] * frame.pixel / radius_scale(place, lines[line[kept]])
    y, x = meeting_point(place, angle, turn[kept])
    looked_for = np.bincount(line[covered], minlength=len(lines))
    return Points(y, x, line[kept], turn[kept], looked_for, profiles.ring_width(kept))


def _on_the_image(frame: Frame, place: Floats, lines: Floats) -> NDArray[np.bool_]:
    """Tell which lines some pixel that counts can see."""
    some = (slice(None, None, _COARSE),) * 2
    angles = two_theta(place, frame.y[some], frame.x[some])[frame.valid[some]]
    return (lines >= angles.min(initial=np.inf)) & (lines <= angles.max(initial=0))


def _pixels_near_lines(
    frame: Frame, place: Floats, lines: Floats, widths: Floats
) -> tuple[Floats, Floats, NDArray[np.intp], Floats]:
    """Give intensity, offset from the line (px), line and azimuth of the pixels that lie near a line."""
    reach = place[DISTANCE] / frame.pixel
    along = cosine(place, frame.y, frame.x)
    radius = reach * np.sqrt(np.maximum(1 / (along * along) - 1, 0))
    near = _table_of_lines(lines[widths > 0], widths[widths > 0], reach)
    entry = np.minimum(radius * _TABLE, len(near) - 1).astype(np.int32)
    picked = near[entry] & frame.valid & (along > 0)
    y, x = frame.y[picked], frame.x[picked]
    angle = two_theta(place, y, x)
    line = nearest_index(lines, angle)
    offset = (angle - lines[line]) * radius_scale(place, angle) / frame.pixel
    close = np.abs(offset) < widths[line]
    return (
        frame.image[picked][close].astype(float), offset[close], line[close], azimuth(place, y[close], x[close])
    )  # fmt: skip


def _table_of_lines(lines: Floats, widths: Floats, reach: float) -> NDArray[np.bool_]:
    """Tell for each radius, in parts of a px, whether a line is near: quicker than to ask every pixel."""
    radius = reach * np.tan(np.minimum(lines, 1.5))
    table = np.zeros(int((radius.max(initial=0) + 20) * _TABLE) + 2, bool)
    for middle, width in zip(radius, widths, strict=True):
        table[max(0, int((middle - width - 1) * _TABLE)) : int((middle + width + 1) * _TABLE) + 1] = True
    table[-1] = False  # whatever lies farther out
    return table


@dataclass(frozen=True, slots=True)
class _Profiles:
    """Profiles across rings, one a row.

    Parameters
    ----------
    counts
        Pixels in each bin, shape (n, bins).
    height
        Intensity above a straight background, shape (n, bins).
    offset
        Mean offset of the bin's pixels from the line (px), shape (n, bins).
    width
        Half width (px), shape (n,).
    noise
        Of the background, shape (n,).
    """

    counts: Floats
    height: Floats
    offset: Floats
    width: Floats
    noise: Floats

    @classmethod
    def of(cls, counts: Floats, sums: Floats, offsets: Floats, width: Floats) -> "_Profiles":
        some = np.maximum(counts, 1)
        middles = ((np.arange(_BINS) + 0.5) / _BINS * 2 - 1) * width[:, None]
        mean, offset = sums / some, np.where(counts > 0, offsets / some, middles)
        edge = np.where(np.abs(offset) > _EDGE * width[:, None], counts, 0)
        level, slope = _straight_line(offset, mean, edge)
        height = np.where(counts > 0, mean - level[:, None] - slope[:, None] * offset, 0)
        noise = np.sqrt((edge * height**2).sum(1) / np.maximum(edge.sum(1), 1))
        return cls(counts, height, offset, width, np.maximum(noise, 1e-9))

    def covered(self) -> NDArray[np.bool_]:
        """Tell which are measured on both sides of the peak and throughout."""
        outside = (self.counts > 0) & (np.abs(self.offset) > _EDGE * self.width[:, None])
        both = (outside & (self.offset < 0)).sum(1) * (outside & (self.offset > 0)).sum(1)
        # a bin may be narrower than a pixel: then not each one can have one
        expected = np.minimum(_BINS, 2 * self.width * 1.5)
        return ((self.counts > 0).sum(1) >= _COVERED * expected) & (both > 1)

    def ring_width(self, kept: NDArray[np.bool_]) -> float:
        """Give the rings' full width at half height (px), the median over some; of those with most room about them.

        Source: area over height of a Gaussian.
        """
        kept = kept & (self.width > 0.9 * self.width[kept].max(initial=0.0))
        if not kept.any():
            return 0.0
        inside = (np.abs(self.offset) <= _EDGE * self.width[:, None]) & (self.counts > 0)
        height = np.where(inside, np.maximum(self.height, 0), 0)[kept]
        area = height.sum(1) / inside[kept].sum(1) * 2 * _EDGE * self.width[kept]
        return float(np.median(0.94 * area / np.maximum(height.max(1), 1e-30)))

    def centres(self) -> tuple[Floats, NDArray[np.bool_]]:
        """Give the peaks' centroids (px), and which of them are peaks at all."""
        inside = np.abs(self.offset) <= _EDGE * self.width[:, None]
        top = np.argmax(np.where(inside & (self.counts > 0), self.height, -np.inf), axis=1)
        rows = np.arange(len(top))
        centre = self.offset[rows, top]
        high = self.height[rows, top] > _SIGNIFICANT * self.noise
        window = np.maximum(1.5, 0.35 * self.width)
        for _ in range(_PASSES):  # a window that follows the centroid: no side is favoured
            away = self.offset - centre[:, None]
            weight = np.where(np.abs(away) < window[:, None], np.maximum(self.height, 0) * (self.counts > 0), 0)
            weight = weight * np.exp(-0.5 * (away / (0.6 * window[:, None])) ** 2)
            total = weight.sum(1)
            high &= total > 0
            # a weighted window draws the centroid to its middle: step farther than it says
            centre = centre + 1.6 * (weight * away).sum(1) / np.maximum(total, 1e-30)
        return centre, high & (np.abs(centre) < 0.6 * self.width)


def _straight_line(x: Floats, y: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Fit level and slope, row by row."""
    total = np.maximum(weight.sum(1), 1e-30)
    mean_x, mean_y = (weight * x).sum(1) / total, (weight * y).sum(1) / total
    away = x - mean_x[:, None]
    slope = (weight * away * (y - mean_y[:, None])).sum(1) / np.maximum((weight * away**2).sum(1), 1e-30)
    return mean_y - slope * mean_x, slope
