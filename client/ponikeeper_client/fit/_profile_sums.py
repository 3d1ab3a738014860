"""Sums over the pixels near lines, by sector of azimuth and by distance from the line, for radial profiles."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ponikeeper_client.fit._forward_model import DISTANCE, Floats, azimuth, cosine, radius_per_angle, two_theta
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit.calibrants import nearest_index

ENTRIES_PER_PX = 4
"""Of the table that tells by radius whether a line is near."""


@dataclass(frozen=True, slots=True)
class ProfileSums:
    """Sums over the pixels near lines.

    Parameters
    ----------
    counts, intensities, offsets
        Number of pixels, sum of their intensities (counts) and of their offsets from the line (px), by sector and bin
        of the radial profile, shape (sectors, bins).
    azimuths
        Sum of the azimuths of the pixels (rad), shape (sectors,).
    """

    counts: Floats
    intensities: Floats
    offsets: Floats
    azimuths: Floats


Summing = Callable[[Frame, Floats, Floats, Floats, NDArray[np.intp], int], ProfileSums]


def sum_by_numpy(
    frame: Frame, params: Floats, lines: Floats, widths: Floats, sectors: NDArray[np.intp], bins: int
) -> ProfileSums:
    """Sum by NumPy; parameters and result as `_passes.sum_profiles`."""
    first = np.r_[0, np.cumsum(sectors)]
    intensity, offset, line, chi = _pixels_near_lines(frame, params, lines, widths)
    sector = first[line] + np.minimum((chi + np.pi) / (2 * np.pi) * sectors[line], sectors[line] - 1).astype(int)
    part = ((offset / widths[line] + 1) / 2 * bins).astype(int).clip(0, bins - 1)
    cell, cells = sector * bins + part, int(first[-1]) * bins
    counts, intensities, offsets = (
        np.bincount(cell, weights, minlength=cells).reshape(-1, bins).astype(float)
        for weights in (None, intensity, offset)
    )
    return ProfileSums(counts, intensities, offsets, np.bincount(sector, chi, minlength=int(first[-1])).astype(float))


def _pixels_near_lines(
    frame: Frame, params: Floats, lines: Floats, widths: Floats
) -> tuple[Floats, Floats, NDArray[np.intp], Floats]:
    """Return intensity, offset from the line (px), index of the line and azimuth (rad) of the pixels near a line."""
    distance = params[DISTANCE] / frame.pixel
    along = cosine(params, frame.y, frame.x)
    radius = distance * np.sqrt(np.maximum(1 / (along * along) - 1, 0))
    near = table_of_lines(lines[widths > 0], widths[widths > 0], distance)
    entry = np.minimum(radius * ENTRIES_PER_PX, len(near) - 1).astype(np.int32)
    picked = near[entry] & frame.valid & (along > 0)
    y, x = frame.y[picked], frame.x[picked]
    angle = two_theta(params, y, x)
    line = nearest_index(lines, angle)
    offset = (angle - lines[line]) * radius_per_angle(params, angle) / frame.pixel
    close = np.abs(offset) < widths[line]
    return (
        frame.image[picked][close].astype(float), offset[close], line[close], azimuth(params, y[close], x[close])
    )  # fmt: skip


def table_of_lines(lines: Floats, widths: Floats, distance: float) -> NDArray[np.bool_]:
    """Compute for each radius, in parts of a px, whether a line is near: faster than a search for every pixel."""
    radius = distance * np.tan(np.minimum(lines, 1.5))
    table = np.zeros(int((radius.max(initial=0) + 20) * ENTRIES_PER_PX) + 2, bool)
    for middle, width in zip(radius, widths, strict=True):
        first, last = int((middle - width - 1) * ENTRIES_PER_PX), int((middle + width + 1) * ENTRIES_PER_PX)
        table[max(0, first) : last + 1] = True
    table[-1] = False  # all larger radii
    return table
