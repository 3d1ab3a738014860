"""Radial profiles of the rings, by sector of azimuth: one pass over the image, which serves all geometries nearby.

Parameters that differ a little shift the profile of a sector, and change nothing else in it. So profiles that reach
farther than is needed are measured once, and only their offsets are computed for other parameters.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ponikeeper_client.fit._forward_model import (
    DISTANCE,
    Floats,
    azimuth,
    detector_point,
    radius_per_angle,
    two_theta,
)
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._passes import sum_profiles

_ARC = 24.0
"""Length of a sector along its ring (px)."""

_MIN_SECTORS, _MAX_SECTORS = 12, 720
_MIN_PIXELS = 30
_BINS = 51
_REACH = 51 / 33
"""How far profiles reach, in units of the half width that is asked for: bins of 1/33 of the full width."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Profiles relative to the rings of some parameters.

    Parameters
    ----------
    offset
        Mean offset of the pixels of each bin from the line (px), shape (n, bins).
    azimuth
        Of the middle of each profile (rad), shape (n,).
    shift
        By how much the offsets differ from those that were measured (px), shape (n,).
    """

    offset: Floats
    azimuth: Floats
    shift: Floats


@dataclass(frozen=True, slots=True)
class RingProfiles:
    """Radial profiles, one per row.

    Parameters
    ----------
    params
        The fit parameters at whose rings they were measured, shape (5,).
    lines
        Scattering angles of the calibrant, ascending (rad).
    pixel
        Length of one pixel (m).
    reaches
        How far the profiles of each line go to both sides (px), by line; 0 if it is not measured.
    counts
        Number of pixels in each bin, shape (n, bins).
    mean
        Their mean intensity (counts), shape (n, bins).
    offset
        Their mean offset from the line (px), shape (n, bins).
    line
        Index of the calibrant line, ascending, shape (n,).
    y, x
        Where the profiles cross the line (m), shape (n,).
    """

    params: Floats
    lines: Floats
    pixel: float
    reaches: Floats
    counts: Floats
    mean: Floats
    offset: Floats
    line: NDArray[np.intp]
    y: Floats
    x: Floats

    @classmethod
    def measure(cls, frame: Frame, params: Floats, lines: Floats, widths: Floats) -> Self:
        """Measure the profiles near the rings that fit parameters predict.

        Parameters
        ----------
        frame
            The image.
        params
            Fit parameters, shape (5,).
        lines
            Scattering angles of the calibrant, ascending (rad), shape (n,).
        widths
            Half width that is needed of each line's profiles (px), shape (n,); 0 if it is not measured.
        """
        sectors = np.clip(
            2 * np.pi * params[DISTANCE] * np.tan(np.minimum(lines, 1.5)) / frame.pixel / _ARC,
            _MIN_SECTORS, _MAX_SECTORS,
        ).astype(int)  # fmt: skip
        sectors[widths == 0] = 0
        reaches = _REACH * widths
        sums = sum_profiles(frame, params, lines, reaches, sectors, _BINS)
        pixels = sums.counts.sum(1)
        measured = pixels >= _MIN_PIXELS
        line = np.repeat(np.arange(len(lines)), sectors)[measured]
        counts = sums.counts[measured]
        divisor = np.maximum(counts, 1)
        mean, offset = sums.intensities[measured] / divisor, sums.offsets[measured] / divisor
        y, x = detector_point(params, lines[line], (sums.azimuths / np.maximum(pixels, 1))[measured])
        return cls(params, lines, frame.pixel, reaches, counts, mean, offset, line, y, x)

    def at(self, params: Floats) -> Moved:
        """Compute the profiles relative to the rings of other parameters, shape (5,)."""
        target = self.lines[self.line]
        scale = radius_per_angle(params, target) / self.pixel
        shift = (two_theta(params, self.y, self.x) - target) * scale
        ratio = scale * self.pixel / radius_per_angle(self.params, target)
        return Moved(self.offset * ratio[:, None] + shift[:, None], azimuth(params, self.y, self.x), shift)

    def serve(self, params: Floats, widths: Floats, farthest: float = np.inf) -> bool:
        """Check whether other parameters shift the profiles so little that they still reach far enough.

        Parameters
        ----------
        params
            Fit parameters, shape (5,).
        widths
            Half width that is needed of each line's profiles (px), shape (n,); 0 if none is.
        farthest
            Largest shift of a profile (px).
        """
        if (widths > self.reaches).any():
            return False
        needed = widths[self.line]
        allowed = np.minimum(self.reaches[self.line] - needed, farthest)
        return bool((np.abs(self.at(params).shift) <= allowed)[needed > 0].all())

    def steps(self) -> Floats:
        """Return the width of a bin of each profile (px), shape (n,)."""
        return 2 * self.reaches[self.line] / _BINS
