"""From an image and a geometry that is roughly known to one that can be stood for, or to why there is none.

The wavelength, the third rotation and the orientation stay as they are given: one image cannot tell
them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponikeeper.errors import FitError
from ponikeeper.geometry import Geometry
from ponikeeper_client.fit._acceptance import NEAR, Reach, doubts, problems, rings_found
from ponikeeper_client.fit._control_points import control_points
from ponikeeper_client.fit._forward_model import Floats, derivative_of_geometry, geometry_at, place_of
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._refine import Refined, left_over, refine
from ponikeeper_client.fit._search import search
from ponikeeper_client.fit.calibrants import Calibrant

_RINGS = 20
"""How many rings are used, from the innermost on: those farther out are weak and lie close together,
and tell of the wavelength, which is given, rather than of the geometry."""

_HALF_WIDTHS = (8.0, 6.0)
_CANDIDATES = 4
_FITTED = ("dist", "poni1", "poni2", "rot1", "rot2")

Progress = Callable[[float, str], None]
"""Told how much is done (0 to 1) and what comes next."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What a fit found.

    Parameters
    ----------
    geometry
        The best one; whether it can be stood for is another question.
    start
        What it was started from.
    calibrant
        The standard.
    lines
        Its scattering angles at the wavelength (rad).
    refined
        Control points, residuals and covariance.
    problems
        Why the geometry cannot be stood for; empty where it can.
    """

    geometry: Geometry
    start: Geometry
    calibrant: Calibrant
    lines: Floats
    refined: Refined
    problems: tuple[str, ...]

    @property
    def accepted(self) -> bool:
        """Whether the geometry can be stood for."""
        return not self.problems

    @property
    def rings(self) -> tuple[int, ...]:
        """Which lines of the standard it rests on."""
        return rings_found(self.refined.points)

    @property
    def sigma(self) -> dict[str, float]:
        """Standard deviations by name (m, rad), from the scatter of the points; empty where nothing was fitted.

        What the wavelength and the standard's lines are off is not in them.
        """
        if self.refined.covariance is None:
            return {}
        carry = derivative_of_geometry(self.refined.place)
        variances = np.diag(carry @ self.refined.covariance @ carry.T)
        return dict(zip(_FITTED, np.sqrt(variances).tolist(), strict=True))

    def provenance(self) -> dict[str, object]:
        """Give what a revision says of how well the geometry fits its image."""
        found: dict[str, object] = {
            "calibrant": self.calibrant.name,
            "n_points": len(self.refined.points),
            "n_rings": len(self.rings),
        }
        if len(self.refined.points):
            found |= {"residual_px": self.refined.residual_px, "residual_rad": self.refined.residual_rad}
        return found | ({"sigma": self.sigma} if self.sigma else {})

    def require_accepted(self) -> Geometry:
        """Give the geometry.

        Raises
        ------
        FitError
            It cannot be stood for; says why.
        """
        if self.problems:
            raise FitError(self.problems)
        return self.geometry


def fit_image(
    image: NDArray[Any],
    start: Geometry,
    calibrant: Calibrant,
    *,
    mask: NDArray[Any] | None = None,
    reach: Reach = NEAR,
    progress: Progress | None = None,
) -> Fit:
    """Fit the geometry of a detector to one image of a powder standard.

    Parameters
    ----------
    image
        Shape (y, x), the dark subtracted.
    start
        Where the search begins; wavelength, rot3, pixels, detector and orientation are its.
    mask
        Shape (y, x), nonzero is masked.
    reach
        How far the result may be from the start.
    progress
        Is told how far it is.

    Returns
    -------
    Fit
        Accepted or not.

    Raises
    ------
    FitError
        No rings were found at all.
    ImageError, ShapeError
        The image cannot be used.
    """
    tell = progress or _silent
    tell(0.0, "read the image")
    frame = Frame.of(image, start, mask)
    lines = calibrant.lines(start.wavelength)
    if len(lines) < 2:  # with a wavelength in angstrom, say
        raise FitError(f"{calibrant.name} has no two lines at a wavelength of {start.wavelength:g} m: check both")
    tell(0.1, "look for rings")
    candidates = search(frame, place_of(start), lines, reach.distance)
    tell(0.6, "measure the rings")
    found: list[tuple[int, float, Refined, list[str]]] = []
    for candidate in candidates[:_CANDIDATES]:
        refined = _measured(frame, candidate.place, lines)
        if refined is not None:
            wrong = problems(frame, refined, lines, start, reach)
            found.append((len(wrong), refined.residual_px, refined, wrong))
            if not wrong:
                break
    if not found:
        raise FitError(
            f"no rings of {calibrant.name} were found: is this an image of it, is the shutter open, is the start right?"
        )
    _, _, best, wrong = min(found, key=lambda item: item[:2])
    tell(1.0, "done")
    return Fit(geometry_at(best.place, start), start, calibrant, lines, best, tuple(wrong))


def measure_image(
    image: NDArray[Any], geometry: Geometry, calibrant: Calibrant, *, mask: NDArray[Any] | None = None
) -> Fit:
    """Measure how well a geometry, whoever found it, fits an image; nothing is fitted.

    Parameters and errors are those of `fit_image`; `Fit.problems` holds what speaks against it.
    """
    frame = Frame.of(image, geometry, mask)
    lines = calibrant.lines(geometry.wavelength)
    place = place_of(geometry)
    found = left_over(place, control_points(frame, place, lines, _HALF_WIDTHS[0], _RINGS), lines, frame.pixel)
    return Fit(geometry, geometry, calibrant, lines, found, tuple(doubts(frame, found, lines)))


def _silent(_done: float, _what: str) -> None:
    """Tell nobody."""


def _measured(frame: Frame, place: Floats, lines: Floats) -> Refined | None:
    """Measure control points where a place has the rings, and refine it; twice, the better for the first time."""
    refined, ring_width = None, 0.0
    for half_width in _HALF_WIDTHS:
        points = control_points(frame, place, lines, half_width, _RINGS, ring_width)
        refined = refine(place, points, lines, frame.pixel)
        if refined is None:
            return None
        place, ring_width = refined.place, points.ring_width
    return refined
