"""How far the detector is, from the radii of the rings against the lines of the standard."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ponikeeper_client.fit.frame import Frame
from ponikeeper_client.fit.rays import DISTANCE, Floats, two_theta
from ponikeeper_client.fit.ridges import Ridges

_COVERAGE_POINTS = 60_000
_LARGEST_RADIUS = 39_000
_MOST_PEAKS = 60
_COMPLETE = 0.05
"""Of a ring, how much has to be there."""

_FOUND = 0.7
"""Chance that a line within the image is seen as a ring."""

_NO_MATCH = -1e9


@dataclass(frozen=True, slots=True)
class Radii:
    """The rings of an image by their radius.

    Parameters
    ----------
    radius
        Of each ring, ascending (px of the frame, on a detector that faces the beam).
    height
        How complete each is: crests for each pixel of its circumference that counts.
    inner, outer
        Between which radii there is an image.
    """

    radius: Floats
    height: Floats
    inner: float
    outer: float

    def strongest(self, count: int) -> "Radii":
        """Give the most complete ones only."""
        kept = np.sort(np.argsort(-self.height)[:count])
        return Radii(self.radius[kept], self.height[kept], self.inner, self.outer)

    @property
    def sharpness(self) -> float:
        """How sharp the strongest are: the better the centre, the sharper the rings."""
        return float(np.sum(np.sort(self.height)[-12:] ** 2))


def radii(place: Floats, ridges: Ridges, frame: Frame) -> Radii | None:
    """Sort the crests of an image into rings about a centre; None where there are not two."""
    step = max(1, int(np.sqrt(frame.valid.sum() / _COVERAGE_POINTS)))
    grid = (slice(None, None, step),) * 2
    counted = frame.valid[grid]
    reach = place[DISTANCE] / frame.pixel
    of_crests = reach * np.tan(np.minimum(two_theta(place, ridges.y, ridges.x), 1.5))
    of_pixels = reach * np.tan(np.minimum(two_theta(place, frame.y[grid][counted], frame.x[grid][counted]), 1.5))
    size = int(min(np.percentile(of_pixels, 99.9), _LARGEST_RADIUS)) + 2
    if size < 12:
        return None
    crests, pixels = (_histogram(values, size) for values in (of_crests, of_pixels))
    crests, pixels = ndimage.gaussian_filter1d(crests, 1.2), ndimage.gaussian_filter1d(pixels * step * step, 3)
    complete = crests / np.maximum(pixels, 20)
    height = complete - ndimage.percentile_filter(complete, 30, size=41)
    middle = height[1:-1]
    tops = 1 + np.flatnonzero(
        (middle >= height[:-2]) & (middle > height[2:]) & (middle > _COMPLETE) & (crests[1:-1] > 1.5)
    )
    if len(tops) < 2:
        return None
    image = np.flatnonzero(pixels > 30)
    inner, outer = (image.min(), image.max()) if len(image) else (0, size)
    found = Radii(np.array([_centroid(height, top) for top in tops]), height[tops], float(inner), float(outer))
    return found.strongest(_MOST_PEAKS)


def likely_distances(
    seen: Radii, lines: Floats, distances: Floats, pixel: float, blur: float
) -> list[tuple[float, float]]:
    """Give the distances at which the lines explain the rings best, the best first.

    Parameters
    ----------
    lines
        Scattering angles (rad).
    distances
        To try, ascending (m).
    blur
        How far a ring may be from its line (px of the frame).

    Returns
    -------
    list of (float, float)
        Distance (m) and the logarithm of its likelihood against chance.
    """
    found: list[tuple[float, float]] = []
    tangents = np.tan(lines) / pixel
    for rings in (seen, seen.strongest(12)):
        scores = np.array([likelihood(rings, distance * tangents, blur) for distance in distances])
        kept = 0
        for best in np.argsort(-scores):
            if scores[best] < 0 or kept == 4:
                break
            if all(abs(np.log(distances[best] / distance)) > 0.015 for distance, _ in found):
                found.append((float(distances[best]), float(scores[best])))
                kept += 1
    return sorted(found, key=lambda item: -item[1])


def likelihood(seen: Radii, expected: Floats, blur: float) -> float:
    """Give the logarithm of the likelihood ratio: these rings from these lines, or by chance.

    Each ring near a line is worth the more the rarer rings are by chance; each line without a ring
    costs.
    """
    top = min(seen.outer, seen.radius.max() * 1.03 + 2)
    expected = expected[(expected > seen.inner) & (expected < top)]
    if len(expected) < 2:
        return _NO_MATCH
    expected = expected[np.r_[True, np.diff(expected) > 1.5 * blur]]  # lines that cannot be told apart are one
    if len(expected) < 2:
        return _NO_MATCH
    clear = np.minimum(seen.height, 1.0)
    clear = clear / max(np.sort(clear)[-min(5, len(clear)) :].mean(), 0.1)
    density = len(seen.radius) / max(seen.outer - seen.inner, 10)
    nearest = nearest_index(expected, seen.radius)
    off = np.abs(seen.radius - expected[nearest])
    gain = np.log(max(_FOUND / density / (blur * np.sqrt(2 * np.pi)), 1e-3)) - 0.5 * (off / blur) ** 2
    gain = np.maximum(np.where(off < 3 * blur, gain, 0) * np.minimum(clear, 1), 0)
    best = np.zeros(len(expected))
    np.maximum.at(best, nearest, gain)
    return float(best.sum() + np.count_nonzero(best == 0) * np.log(1 - _FOUND))


def nearest_index(ascending: Floats, values: Floats) -> NDArray[np.intp]:
    """Give the index of the nearest of some ascending numbers."""
    return np.searchsorted((ascending[1:] + ascending[:-1]) / 2, values)


def _histogram(values: Floats, size: int) -> Floats:
    return np.bincount(np.clip(values, 0, size - 1).astype(int), minlength=size)[:size].astype(float)


def _centroid(height: Floats, top: np.intp) -> float:
    first, last = max(top - 2, 0), min(top + 3, len(height))
    weight = np.maximum(height[first:last], 0)
    return float((np.arange(first, last) + 0.5) @ weight / weight.sum())
