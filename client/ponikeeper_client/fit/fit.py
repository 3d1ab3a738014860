"""Fit of a geometry to one image: from a start that is roughly right to a geometry, or to the reasons against it.

Wavelength, third rotation and orientation are kept as given: one image does not determine them.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponikeeper.errors import FitError
from ponikeeper.geometry import Geometry
from ponikeeper_client.fit._acceptance import (
    CALIBRATED_START,
    USUAL,
    Criteria,
    StartTolerance,
    image_problems,
    problems,
    warnings,
)
from ponikeeper_client.fit._control_points import control_points
from ponikeeper_client.fit._forward_model import DISTANCE, Floats, geometry_of, params_of
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._quality import detected_rings
from ponikeeper_client.fit._refine import Refined, evaluate, refine
from ponikeeper_client.fit._search import LONGEST, SHORTEST, Candidate, search
from ponikeeper_client.fit._uncertainty import Certainty, Circle, certainty
from ponikeeper_client.fit.calibrants import Calibrant

_MAX_RINGS = 20
"""Number of rings that are used, from the innermost on: those farther out are weak and lie close together,
and depend on the wavelength, which is given, rather than on the geometry."""

_HALF_WIDTHS = (8.0, 6.0)
"""Half widths of the profiles in the two passes (px)."""

_CANDIDATES = 4

Progress = Callable[[float, str], None]
"""Called with the finished part (0 to 1) and the next step."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Result of a fit.

    Parameters
    ----------
    geometry
        The best geometry, accepted or not.
    start
        The geometry at which the fit was started.
    calibrant
        The powder standard.
    lines
        Its scattering angles at the wavelength, ascending (rad).
    refined
        Control points, residuals and covariance.
    problems
        Why the fit was rejected; empty if it was accepted.
    certainty
        How sure the geometry is; None if nothing was fitted, or the points do not determine it.
    warnings
        What a person should know about an accepted fit.
    valid_within
        The part of the detector in which the geometry is certain; None if it is so on the whole panel.
    """

    geometry: Geometry
    start: Geometry
    calibrant: Calibrant
    lines: Floats
    refined: Refined
    problems: tuple[str, ...]
    certainty: Certainty | None = None
    warnings: tuple[str, ...] = ()
    valid_within: Circle | None = None

    @property
    def accepted(self) -> bool:
        """Whether the fit was accepted."""
        return not self.problems

    @property
    def rings(self) -> tuple[int, ...]:
        """Indices of the calibrant lines that were detected as rings, ascending."""
        return detected_rings(self.refined.points)

    @property
    def sigma(self) -> dict[str, float]:
        """Standard deviations by name (m, rad), that of the wavelength included; empty if nothing was fitted."""
        return {} if self.certainty is None else self.certainty.errors.sigma()

    def provenance(self) -> dict[str, object]:
        """Return what a revision records about the quality of the fit.

        Returns
        -------
        dict
            Calibrant, numbers of points and rings; residuals (px, rad) if there are points; what `Certainty.provenance`
            has if the geometry was fitted; the part of the detector in which it is valid if that is not all of it.
        """
        record: dict[str, object] = {
            "calibrant": self.calibrant.name,
            "n_points": len(self.refined.points),
            "n_rings": len(self.rings),
        }
        if len(self.refined.points):
            record |= {"residual_px": self.refined.residual_px, "residual_rad": self.refined.residual_rad}
        if self.certainty is not None:
            record |= self.certainty.provenance()
        return record | ({} if self.valid_within is None else {"valid_within": asdict(self.valid_within)})

    def require_accepted(self) -> Geometry:
        """Return the geometry of an accepted fit.

        Raises
        ------
        FitError
            The fit was rejected; each problem says why.
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
    tolerance: StartTolerance = CALIBRATED_START,
    criteria: Criteria = USUAL,
    progress: Progress | None = None,
) -> Fit:
    """Fit the geometry of a detector to one image of a powder standard.

    Parameters
    ----------
    image
        Intensities with the dark subtracted (counts), shape (y, x).
    start
        Where the search begins, unless `tolerance` is `BLIND_START`: then its distance, beam spot and tilt have no
        influence. Wavelength, rot3, pixels, detector and orientation of the result are the start's.
    calibrant
        The powder standard.
    mask
        Shape (y, x); nonzero is masked.
    tolerance
        How far the result may be from the start.
    criteria
        By what the fit is judged: the errors that the image does not show, and whether a part of the panel suffices.
    progress
        Called before each step.

    Returns
    -------
    Fit
        Accepted or rejected.

    Raises
    ------
    FitError
        No rings were found, or the standard has fewer than two lines at the wavelength.
    ImageError, ShapeError
        The image cannot be used.
    """
    report = progress or _ignore
    report(0.0, "read the image")
    frame = Frame.of(image, start, mask)
    lines = calibrant.lines(start.wavelength)
    if len(lines) < 2:  # for example with a wavelength in angstrom
        raise FitError(
            f"{calibrant.name} has fewer than two lines at a wavelength of {start.wavelength:g} m: check both"
        )
    report(0.1, "look for rings")
    candidates = _search(frame, start, lines, tolerance)
    report(0.6, "measure the rings")
    results: list[tuple[int, float, Refined, list[str]]] = []
    for candidate in candidates[:_CANDIDATES]:
        refined = _measure_and_refine(frame, candidate.params, lines)
        if refined is not None:
            reasons = problems(frame, refined, lines, start, tolerance, criteria)
            results.append((len(reasons), refined.residual_px, refined, reasons))
            if not reasons:
                break
    if not results:
        raise FitError(
            f"no rings of {calibrant.name} were found: check that this is an image of it, that the shutter was open, "
            "and the start"
        )
    _, _, best, reasons = min(results, key=lambda item: item[:2])
    report(1.0, "done")
    geometry = geometry_of(best.params, start)
    sure = certainty(frame, best, lines, geometry, criteria.assumed)
    part, limit = None, criteria.max_uncertainty()
    if sure is not None and sure.panel_px > limit:
        part = sure.valid_within(limit)
    return Fit(geometry, start, calibrant, lines, best, tuple(reasons), sure, tuple(warnings(sure)), part)


def measure_image(
    image: NDArray[Any], geometry: Geometry, calibrant: Calibrant, *, mask: NDArray[Any] | None = None
) -> Fit:
    """Measure how well a geometry fits an image; nothing is fitted.

    Parameters
    ----------
    image
        Intensities with the dark subtracted (counts), shape (y, x).
    geometry
        From any source; it is returned unchanged.
    calibrant
        The powder standard.
    mask
        Shape (y, x); nonzero is masked.

    Returns
    -------
    Fit
        `Fit.problems` holds every reason against the geometry.

    Raises
    ------
    ImageError, ShapeError
        The image cannot be used.
    """
    frame = Frame.of(image, geometry, mask)
    lines = calibrant.lines(geometry.wavelength)
    params = params_of(geometry)
    points = control_points(frame, params, lines, _HALF_WIDTHS[0], _MAX_RINGS)
    refined = evaluate(params, points, lines, frame.pixel)
    return Fit(geometry, geometry, calibrant, lines, refined, tuple(image_problems(frame, refined, lines)))


def _search(frame: Frame, start: Geometry, lines: Floats, tolerance: StartTolerance) -> list[Candidate]:
    """Search parameters within the tolerance of the start; without a known distance from nothing."""
    if np.isinf(tolerance.distance):
        return search(frame, None, lines, (SHORTEST, LONGEST))
    params, factor = params_of(start), float(np.exp(tolerance.distance))
    return search(frame, params, lines, (params[DISTANCE] / factor, params[DISTANCE] * factor))


def _ignore(_done: float, _step: str) -> None:
    """Ignore the progress."""


def _measure_and_refine(frame: Frame, params: Floats, lines: Floats) -> Refined | None:
    """Measure control points near the predicted rings and refine; twice, for the second prediction is better."""
    refined, ring_width = None, 0.0
    for half_width in _HALF_WIDTHS:
        points = control_points(frame, params, lines, half_width, _MAX_RINGS, ring_width)
        refined = refine(params, points, lines, frame.pixel)
        if refined is None:
            return None
        params, ring_width = refined.params, points.ring_width
    return refined
