"""Search for fit parameters that are worth refining: beam centre, tilt and distance, around a start or from nothing."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ponikeeper_client.fit._comb import best_distances
from ponikeeper_client.fit._forward_model import DISTANCE, ROT1, Floats
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._ridges import RidgePoints, find_ridges
from ponikeeper_client.fit._ring_assignment import Match, assign_rings, match
from ponikeeper_client.fit._shapes import find_centres, fit_shape

SHORTEST, LONGEST = 0.03, 20.0
"""Range of the distances that are tried if nothing is known (m)."""

_LARGEST_SIDE = 1024
_WIDTHS = (1.3, 2.6, 5.0)
"""Widths at which ridges are looked for, one after the other (px of the binned image)."""

_QUICK = 2
"""Number of widths at which the most probable shape is tried before others are."""

_RIDGE_POINTS = 4000
_MIN_RIDGE_POINTS = 60
_POINTS_FOR_SHAPES = 1200
_CENTRES = 4
_SHAPES = 5
_DISTANCES = 4
_GATES = (8.0, 5.0, 3.0, 2.0)

_DISTANCES_FOR_SHAPES = (1.0, 0.4, 3.0)
"""Distances at which fits of shapes begin if nothing is known, in diagonals of the panel."""

_TILT = 0.5
"""Tilt at which further fits of shapes begin if nothing is known (rad): rings of a steep panel look like circles about
another point, from which a fit that begins without a tilt does not find it."""

_TILTED_CENTRES, _DIRECTIONS, _TILTED_SHAPES = 2, 8, 3
"""Number of centres and of directions of that tilt, and of the shapes that are tried."""

_FLAT = 30.0
"""Distance, in diagonals of the panel, from which every ring looks like a circle."""

_SPREAD = 0.3
"""Relative standard deviation of the distance of a start."""

_CONVINCING = 0.85
"""Share of ridge points on lines from which on no other parameters need to be tried."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Fit parameters, and how well they match the ridge points."""

    params: Floats
    match: Match


def search(
    frame: Frame, lines: Floats, between: tuple[float, float], start: Floats | None = None
) -> Iterator[list[Candidate]]:
    """Search fit parameters, first where they are most probable.

    Parameters
    ----------
    frame
        The image.
    lines
        Scattering angles of the calibrant, ascending (rad).
    between
        The smallest and the largest distance to try (m).
    start
        The fit parameters to begin at, shape (5,); None if nothing is known.

    Yields
    ------
    list of Candidate
        Those that were found in one step, the best one first; empty if nothing was found.
    """
    small = frame.binned(_LARGEST_SIDE)
    image = small.stabilized()
    size = frame.diagonal
    waiting: list[Iterator[list[Candidate]]] = []
    for width in _WIDTHS:
        ridges = find_ridges(small, image, width)
        if len(ridges) < _MIN_RIDGE_POINTS:
            continue
        steps = _Panel(ridges, lines, between, small.pixel, size).steps(start)
        yield next(steps, [])
        waiting.append(steps)
        if len(waiting) == _QUICK:
            yield from itertools.chain(*waiting)
            waiting = []
    yield from itertools.chain(*waiting)


@dataclass(frozen=True, slots=True)
class _Panel:
    """The ridge points of an image, and what they are compared with."""

    ridges: RidgePoints
    lines: Floats
    between: tuple[float, float]
    pixel: float
    size: float

    def steps(self, start: Floats | None) -> Iterator[list[Candidate]]:
        """Yield candidates in steps: from the most probable shape of the rings first, then from all shapes."""
        return (self._candidates(rough) for rough in self._rough_params(start))

    def _rough_params(self, start: Floats | None) -> Iterator[list[Floats]]:
        """Yield rough parameters in the same steps, the best ones first."""
        points = self.ridges.sample(_RIDGE_POINTS)
        few = points.sample(_POINTS_FOR_SHAPES, seed=1)
        shapes: list[tuple[float, Floats]] = []
        for number, (begin, spread) in enumerate(self._beginnings(points, start)):
            shapes.append(fit_shape(few, begin, self.size, spread))
            if number == 0:
                yield self._at_best_distances([shapes[0][1]], few)
        best = _distinct(sorted(shapes, key=lambda item: item[0]), self.size)[:_SHAPES]
        if best:
            _, circles = fit_shape(few, np.r_[_FLAT * self.size, best[0][1:]], self.size, 0.01)
            rough = self._at_best_distances([*best, np.r_[circles[:ROT1], 0, 0]], few)
            yield rough if start is None else [*rough, start]
        if start is None:
            yield self._tilted(points, few)

    def _beginnings(self, points: RidgePoints, start: Floats | None) -> Iterator[tuple[Floats, float]]:
        """Yield parameters at which a fit of shapes begins, and how sure their distance is (relative)."""
        centres = find_centres(points, self.size, _CENTRES)
        if start is not None:
            for centre in centres:
                yield np.r_[start[DISTANCE], centre, start[ROT1:]], _SPREAD
            return
        for distance in _DISTANCES_FOR_SHAPES:
            for centre in centres:
                yield np.r_[distance * self.size, centre, 0, 0], np.inf

    def _tilted(self, points: RidgePoints, few: RidgePoints) -> list[Floats]:
        """Return rough parameters of panels that are tilted a lot, the best ones first."""
        centres = find_centres(points, self.size, _TILTED_CENTRES)
        angles = np.arange(_DIRECTIONS) * 2 * np.pi / _DIRECTIONS
        tilts = [(_TILT * np.cos(angle), _TILT * np.sin(angle)) for angle in angles]
        shapes = [
            fit_shape(few, np.r_[self.size, centre, tilt], self.size, np.inf) for centre in centres for tilt in tilts
        ]
        best = _distinct(sorted(shapes, key=lambda item: item[0]), self.size)[:_TILTED_SHAPES]
        return self._at_best_distances(best, few)

    def _at_best_distances(self, shapes: list[Floats], points: RidgePoints) -> list[Floats]:
        """Return the parameters with the distances that match best, the best ones first."""
        rough = [
            item
            for shape in shapes
            for item in best_distances(shape, points, self.lines, self.between, self.pixel, _DISTANCES)
        ]
        return [params for _, params in sorted(rough, key=lambda item: -item[0])]

    def _candidates(self, rough: list[Floats]) -> list[Candidate]:
        """Assign rings from rough parameters, until the result is convincing; return the results, the best first."""
        points = self.ridges.sample(_RIDGE_POINTS)
        candidates: list[Candidate] = []
        for begin in rough:
            params = assign_rings(begin, points, self.lines, self.pixel, _GATES)
            if params is None or any(_same(params, other.params, self.pixel) for other in candidates):
                continue
            candidates.append(Candidate(params, match(params, self.ridges, self.lines, self.pixel)))
            if candidates[-1].match.share > _CONVINCING:
                break
        return sorted(candidates, key=lambda candidate: -candidate.match.score)


def _same(one: Floats, other: Floats, pixel: float) -> bool:
    """Check whether two sets of parameters lead to the same control points."""
    return bool(abs(one[DISTANCE] / other[DISTANCE] - 1) < 0.002 and np.hypot(*(one[1:3] - other[1:3])) < pixel)


def _distinct(shapes: list[tuple[float, Floats]], size: float) -> list[Floats]:
    """Return the parameters without those that differ little from an earlier one."""
    distinct: list[Floats] = []
    for _, params in shapes:
        if all(
            np.hypot(*(params[1:ROT1] - other[1:ROT1])) > 0.01 * size
            or abs(np.log(params[DISTANCE] / other[DISTANCE])) > 0.3
            for other in distinct
        ):
            distinct.append(params)
    return distinct
