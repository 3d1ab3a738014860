"""Fit of a geometry to one image: from a start that is roughly right to a geometry, or to the reasons against it.

Wavelength, third rotation and orientation are kept as given: one image does not determine them.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import NDArray

from ponikeeper.errors import FitError
from ponikeeper.geometry import Geometry
from ponikeeper_client.fit._acceptance import (
    CALIBRATED_START,
    USUAL,
    Criteria,
    StartTolerance,
    image_problems,
    warnings,
)
from ponikeeper_client.fit._attempts import Attempts
from ponikeeper_client.fit._certainty import Certainty, Circle
from ponikeeper_client.fit._control_points import control_points, profile_widths
from ponikeeper_client.fit._forward_model import Floats, geometry_of, params_of
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._quality import detected_rings
from ponikeeper_client.fit._refine import Refined, evaluate
from ponikeeper_client.fit._ring_profiles import RingProfiles
from ponikeeper_client.fit._settle import FIRST_HALF_WIDTH, MAX_RINGS
from ponikeeper_client.fit.calibrants import Calibrant

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
    search: bool = True,
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
    search
        Whether to look for rings if the start does not fit.

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
    report(0.1, "measure at the start")
    attempts = Attempts(frame, lines, start, tolerance, criteria)
    best = attempts.run(lambda done, step: report(0.1 + 0.9 * done, step), search)
    if best is None:
        raise FitError(
            f"no rings of {calibrant.name} were found: check that this is an image of it, that the shutter was open, "
            "and the start"
        )
    report(1.0, "done")
    return Fit(
        geometry_of(best.refined.params, start), start, calibrant, lines, best.refined, best.problems, best.sure,
        tuple(warnings(best.sure)), best.valid_within,
    )  # fmt: skip


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
    widths = profile_widths(frame, params, lines, FIRST_HALF_WIDTH, MAX_RINGS)
    points = control_points(RingProfiles.measure(frame, params, lines, widths), params, widths)
    refined = evaluate(params, points, lines, frame.pixel)
    return Fit(geometry, geometry, calibrant, lines, refined, tuple(image_problems(frame, refined, lines)))


def _ignore(_done: float, _step: str) -> None:
    """Ignore the progress."""
