"""From a geometry that is roughly known to places worth a closer look."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ponikeeper_client.fit.centre import aim, vote
from ponikeeper_client.fit.distance import Radii, likelihood, likely_distances, radii
from ponikeeper_client.fit.frame import Frame
from ponikeeper_client.fit.grow import explained, grow
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

_LIKELY, _EXPLAINED = 6.0, 0.6
"""From where on a candidate convinces."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place that explains some of the image.

    Parameters
    ----------
    likelihood
        Logarithm, of the rings' radii against chance.
    explained
        Share of the crests that lie on lines.
    """

    place: Floats
    likelihood: float
    explained: float

    @property
    def score(self) -> float:
        """To order candidates by; beyond that it means nothing."""
        return self.likelihood * self.explained

    @property
    def convinces(self) -> bool:
        """Whether there is no need to look at others."""
        return self.likelihood > _LIKELY and self.explained > _EXPLAINED


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
        for place in _rough(small, ridges, some, start, lines, reach):
            grown = grow(place, some, lines, small.pixel, _GATES)
            if grown is not None:
                found.append(_candidate(grown, ridges, small, lines))
                if found[-1].convinces:
                    return [found[-1]]
    return sorted(found, key=lambda candidate: -candidate.score)


def _rough(frame: Frame, ridges: Ridges, some: Ridges, start: Floats, lines: Floats, reach: float) -> Iterator[Floats]:
    """Give places from centre and distance, one after the other, the best first; the start itself is the last."""
    size = float(np.hypot(np.ptp(frame.y), np.ptp(frame.x)))
    aimers = some.some(_AIMERS, seed=1)
    centred: list[tuple[Floats, Radii]] = []
    for spot in vote(some, size, _CENTRES):
        place = aim(aimers, np.r_[start[DISTANCE], spot, start[3:]])
        seen = radii(place, ridges, frame)
        if seen is not None and np.hypot(*place[3:]) < _LARGEST_TILT:
            centred.append((place, seen))
    centred.sort(key=lambda item: -item[1].sharpness)
    tried = start[DISTANCE] * np.exp(np.linspace(-reach, reach, 1 + 2 * int(reach / 0.001)))
    for place, seen in centred:
        blur = max(1.5, 0.006 * float(seen.radius.max()))
        if len(seen.radius) > 3:  # where rings are dense it must stay below their spacing
            blur = max(0.8, min(blur, 0.15 * float(np.median(np.diff(seen.radius)))))
        for distance, _ in likely_distances(seen, lines, tried, frame.pixel, blur)[:3]:
            yield np.r_[distance, place[1:]]
    yield start


def _candidate(place: Floats, ridges: Ridges, frame: Frame, lines: Floats) -> Candidate:
    seen = radii(place, ridges, frame)
    found = -1.0 if seen is None else likelihood(seen, place[DISTANCE] * np.tan(lines) / frame.pixel, 1.2)
    return Candidate(place, found, explained(place, ridges, lines, frame.pixel))
