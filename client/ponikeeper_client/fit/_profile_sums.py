"""Sums over the pixels of an image by NumPy: near lines, for radial profiles, and by radius, for the pattern."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ponikeeper_client.fit._forward_model import DISTANCE, Floats, azimuth, cosine, radius_per_angle, two_theta
from ponikeeper_client.fit._frame import Frame

ENTRIES_PER_PX = 4
"""Of the table that tells by radius which lines are near."""

MIN_COSINE = 0.1
"""Pixels at larger scattering angles are not in the pattern."""

Indices = NDArray[np.int64]


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


class Passes(Protocol):
    """The passes over all pixels, of which there are two versions with the same results."""

    def sum_profiles(
        self, frame: Frame, params: Floats, lines: Floats, reaches: Floats, sectors: NDArray[np.intp], bins: int
    ) -> ProfileSums:
        """Sum the pixels near lines, by sector of azimuth and by distance from the line."""
        ...

    def sum_by_radius(self, frame: Frame, params: Floats, highest: float) -> tuple[Floats, Floats]:
        """Sum the pixels by radius."""
        ...


def sum_profiles(
    frame: Frame, params: Floats, lines: Floats, reaches: Floats, sectors: NDArray[np.intp], bins: int
) -> ProfileSums:
    """Sum the pixels near lines; parameters and result as `_passes.sum_profiles`."""
    first = np.r_[0, np.cumsum(sectors)]
    intensity, offset, line, chi = _pixels_near_lines(frame, params, lines, reaches)
    sector = first[line] + np.minimum((chi + np.pi) / (2 * np.pi) * sectors[line], sectors[line] - 1).astype(int)
    part = ((offset / reaches[line] + 1) / 2 * bins).astype(int).clip(0, bins - 1)
    cell, cells = sector * bins + part, int(first[-1]) * bins
    counts, intensities, offsets = (
        np.bincount(cell, weights, minlength=cells).reshape(-1, bins).astype(float)
        for weights in (None, intensity, offset)
    )
    return ProfileSums(counts, intensities, offsets, np.bincount(sector, chi, minlength=int(first[-1])).astype(float))


def sum_by_radius(frame: Frame, params: Floats, highest: float) -> tuple[Floats, Floats]:
    """Sum the pixels by radius; parameters and result as `_passes.sum_by_radius`."""
    along = cosine(params, *frame.lattice())
    used = frame.valid & (along > MIN_COSINE)
    radius = (params[DISTANCE] / frame.pixel * _tangent(along[used])).astype(np.intp)
    sums = np.bincount(radius, np.minimum(frame.image[used], highest))
    return np.bincount(radius).astype(float), sums.astype(float)


def _pixels_near_lines(
    frame: Frame, params: Floats, lines: Floats, reaches: Floats
) -> tuple[Floats, Floats, NDArray[np.intp], Floats]:
    """Return intensity, offset from the line (px), index of the line and azimuth (rad) of the pixels near a line."""
    distance = params[DISTANCE] / frame.pixel
    first, last = tables_of_lines(lines, reaches, distance)
    along = cosine(params, *frame.lattice())
    entry = np.minimum(distance * ENTRIES_PER_PX * _tangent(along), len(last) - 1).astype(np.intp)
    picked = (last >= 0)[entry] & frame.valid & (along > 0)
    entry, y, x, intensity = entry[picked], frame.y[picked], frame.x[picked], frame.image[picked].astype(float)
    angle, chi = two_theta(params, y, x), azimuth(params, y, x)
    scale = radius_per_angle(params, angle) / frame.pixel
    parts: list[tuple[Floats, Floats, NDArray[np.intp], Floats]] = []
    for step in range(int((last - first).max(initial=0)) + 1):  # a pixel between two lines can be near both
        line = np.minimum(first[entry] + step, last[entry])
        offset = (angle - lines[line]) * scale
        close = (np.abs(offset) < reaches[line]) & (first[entry] + step <= last[entry])
        parts.append((intensity[close], offset[close], line[close], chi[close]))
    intensity, offset, line, chi = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return intensity, offset, line, chi


def _tangent(cosines: Floats) -> Floats:
    """Compute the absolute tangents of angles from their cosines."""
    return np.sqrt(np.maximum(1 / (cosines * cosines) - 1, 0))


def tables_of_lines(lines: Floats, reaches: Floats, distance: float) -> tuple[Indices, Indices]:
    """Tabulate by radius the first and the last line that may be near: faster than a search for every pixel.

    Parameters
    ----------
    lines
        Scattering angles, ascending (rad), shape (n,).
    reaches
        How near a pixel must be to each line (px), shape (n,); 0 for a line that is not measured.
    distance
        Of the detector (px).

    Returns
    -------
    first, last : ndarray
        Indices of lines at radii in steps of 1 / `ENTRIES_PER_PX` px; -1 as the last one if none is near. The last
        entry is that of all larger radii.
    """
    measured = np.flatnonzero(reaches > 0)
    radius = distance * np.tan(np.minimum(lines[measured], 1.5))
    first = np.zeros(int((radius.max(initial=0) + reaches.max(initial=0) + 20) * ENTRIES_PER_PX) + 2, np.int64)
    last = np.full(len(first), -1, np.int64)
    for line, middle, reach in zip(measured, radius, reaches[measured], strict=True):
        begin, end = (int(max(edge, 0) * ENTRIES_PER_PX) for edge in (middle - reach - 1, middle + reach + 1))
        part = slice(begin, end + 1)
        first[part] = np.where(last[part] < 0, line, first[part])
        last[part] = line
    last[-1] = -1
    return first, last
