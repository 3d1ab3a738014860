"""From a geometry that is roughly known to places worth a closer look."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ponikeeper_client.fit.centre import aim, vote
from ponikeeper_client.fit.frame import Frame
from ponikeeper_client.fit.grow import grow, likely_distances, significance
from ponikeeper_client.fit.rays import DISTANCE, Floats
from ponikeeper_client.fit.ridges import Ridges, find_ridges

_LARGEST_SIDE = 1024
_WIDTHS = (1.3, 2.6, 5.0)
_CRESTS = 5000
_FEWEST_CRESTS = 60
_AIMERS = 2500
_CENTRES = 2
_LARGEST_TILT = 1.2
_GATES = (8.0, 5.0, 3.0, 2.0, 1.5)

_CONVINCING = 30.0
"""From where on there is no need to look at other places."""

_DISTANCES = 3
_STEP = 0.001
"""Of the distances to try (relative)."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place, and how significantly it explains the image's crests."""

    place: Floats
    significance: float


def search(frame: Frame, start: Floats, lines: Floats, reach: float) -> list[Candidate]:
    """Find places around a start, the best first.

    Parameters
    ----------
    start
        The place to begin at.
    lines
        Scattering angles, ascending (rad).
    reach
        How far the distance may be from the start's (relative).
    """
    small = frame.binned(_LARGEST_SIDE)
    image = small.flattened()
    found: list[Candidate] = []
    for width in _WIDTHS:
        ridges = find_ridges(small, image, width)
        if len(ridges) < _FEWEST_CRESTS:
            continue
        some = ridges.some(_CRESTS)
        for place in _rough(small, some, start, lines, reach):
            grown = grow(place, some, lines, small.pixel, _GATES)
            if grown is None or any(_same(grown, other.place, small.pixel) for other in found):
                continue
            found.append(Candidate(grown, significance(grown, ridges, lines, small.pixel)))
            if found[-1].significance > _CONVINCING:
                return [found[-1]]
    return sorted(found, key=lambda candidate: -candidate.significance)


def _same(one: Floats, other: Floats, pixel: float) -> bool:
    """Tell whether two places lead to the same control points."""
    return bool(abs(one[DISTANCE] / other[DISTANCE] - 1) < 0.002 and np.hypot(*(one[1:3] - other[1:3])) < pixel)


def _rough(frame: Frame, some: Ridges, start: Floats, lines: Floats, reach: float) -> Iterator[Floats]:
    """Give places from centre and distance, one after the other, the best first; the start itself is the last."""
    size = float(np.hypot(np.ptp(frame.y), np.ptp(frame.x)))
    aimers = some.some(_AIMERS, seed=1)
    tried = start[DISTANCE] * np.exp(np.linspace(-reach, reach, 1 + 2 * int(reach / _STEP)))
    for spot in vote(some, size, _CENTRES):
        place = aim(aimers, np.r_[start[DISTANCE], spot, start[3:]])
        if np.hypot(*place[3:]) < _LARGEST_TILT:
            for distance in likely_distances(place, aimers, lines, tried, frame.pixel, _DISTANCES):
                yield np.r_[distance, place[1:]]
    yield start
