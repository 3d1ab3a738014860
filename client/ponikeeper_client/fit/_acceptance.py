"""Acceptance of a fit: determined, precise, complete, unambiguous, and near its start; else why it is rejected."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from ponikeeper.errors import CalibrationError
from ponikeeper.geometry import Geometry
from ponikeeper.protocol.assumed_errors import DEFAULT_ERRORS, LIMITS, AssumedErrors, is_allowed
from ponikeeper_client.fit._certainty import Certainty, Circle
from ponikeeper_client.fit._control_points import ControlPoints
from ponikeeper_client.fit._forward_model import DISTANCE, Floats, params_of
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._quality import (
    MIN_POINTS,
    azimuthal_bias,
    completeness,
    detected_rings,
    largest_ring_bias,
    shifted_residual,
    unexplained_share,
)
from ponikeeper_client.fit._refine import Refined, residuals_px
from ponikeeper_client.fit._uncertainty import CONTRADICTED

MIN_RINGS = 3
"""Smallest number of rings that determine a geometry."""

_MAX_UNCERTAINTY = 0.4
"""Largest standard deviation of ring positions (px rms over the panel), or four times the distortion."""

_MAX_BLIND_UNCERTAINTY = 0.3
"""The same without a start, or three times the distortion: then nothing but the image says where the detector is."""

_MAX_RING_BIAS = 0.3
"""Largest mean residual of a ring (px), or three times the distortion."""

_MAX_AZIMUTHAL_BIAS = 0.2
"""Largest slow variation of the residuals with the azimuth (px rms), or twice the distortion."""

_MIN_COMPLETENESS = 0.6
"""Part of the sectors between the innermost and the outermost ring in which the line must be visible."""

_MIN_SHIFTED_RATIO = 3.0
"""How many times worse the fit must become when each ring is assigned to the neighbouring line."""

_MAX_UNEXPLAINED = 0.1
"""Largest part of the sharp rings, weighted with the square root of their heights, that lies on no line."""

_MAX_DEVIATION = 3.0
"""How far the wavelength that the rings prefer may be from the given one, in standard deviations of both together."""


@dataclass(frozen=True, slots=True)
class StartTolerance:
    """How far the result of a fit may be from its start.

    Parameters
    ----------
    distance
        Relative change of the distance.
    spot
        Shift of the beam spot on the detector (px).
    tilt
        Change of either rotation (rad).
    """

    distance: float
    spot: float
    tilt: float


CALIBRATED_START = StartTolerance(0.1, 120.0, float(np.radians(5)))
"""For a start that is a calibrated geometry, with the detector where it was."""

NOMINAL_START = StartTolerance(0.3, np.inf, float(np.radians(20)))
"""For a start from a nominal distance, such as the reading of a scale."""

BLIND_START = StartTolerance(np.inf, np.inf, float(np.radians(60)))
"""For a start of which only panel, orientation and wavelength are known."""


@dataclass(frozen=True, slots=True)
class Criteria:
    """By what a fit is judged.

    Parameters
    ----------
    assumed
        Errors that the image does not show.
    part
        Whether a geometry that is uncertain over the whole panel is accepted for a part of it.
    blind
        Whether the fit has no start.
    """

    assumed: AssumedErrors = DEFAULT_ERRORS
    part: bool = False
    blind: bool = False

    @classmethod
    def of(cls, assumed: AssumedErrors, wavelength_sigma: float | None, part: bool) -> Self:
        """Build criteria from a user's arguments.

        Parameters
        ----------
        assumed
            The errors of the detector.
        wavelength_sigma
            Relative standard deviation of the wavelength; None for that of `assumed`.
        part
            As for `Criteria`.

        Returns
        -------
        Criteria

        Raises
        ------
        CalibrationError
            The standard deviation is not allowed.
        """
        if wavelength_sigma is None:
            return cls(assumed, part)
        if not is_allowed("wavelength", wavelength_sigma):
            low, high = LIMITS["wavelength"]
            raise CalibrationError(
                f"wavelength_sigma {wavelength_sigma!r} is not allowed: expected the standard deviation of the "
                f"wavelength relative to it, {low:g} to {high:g}, such as 1e-3 for 0.1 %"
            )
        return cls(replace(assumed, wavelength=wavelength_sigma), part)

    def max_uncertainty(self) -> float:
        """Return the largest standard deviation of ring positions that is accepted (px)."""
        if self.blind:
            return max(_MAX_BLIND_UNCERTAINTY, 3 * self.assumed.distortion)
        return max(_MAX_UNCERTAINTY, 4 * self.assumed.distortion)

    def valid_part(self, sure: Certainty | None) -> Circle | None:
        """Return the part of the panel for which a fit is certain; None if it is the whole panel, or there is none."""
        if sure is None or sure.panel_px <= (limit := self.max_uncertainty()):
            return None
        return sure.valid_within(limit)


USUAL = Criteria()
"""The criteria where nothing else is known."""


def problems(
    frame: Frame, refined: Refined, lines: Floats, sure: Certainty | None, start: Geometry, tolerance: StartTolerance,
    criteria: Criteria = USUAL,
) -> list[str]:  # fmt: skip
    """Check a fit.

    Parameters
    ----------
    frame
        The image.
    refined
        The result of the fit, with a covariance.
    lines
        Scattering angles of the calibrant, ascending (rad).
    sure
        How sure the result is; None if that cannot be known.
    start
        The geometry at which the fit was started.
    tolerance
        How far the result may be from the start.
    criteria
        By what it is judged.

    Returns
    -------
    list of str
        Why the fit is rejected, each with what to do; empty if it is accepted.
    """
    return [
        *_too_few(refined.points),
        *_undetermined(sure, criteria),
        *_of_the_image(frame, refined, lines, criteria, None if sure is None else sure.uncertainty.residuals_px),
        *_ambiguous(refined, lines, frame.pixel),
        *_wrong_wavelength(sure),
        *_far_from_start(refined.params, params_of(start), frame.pixel, tolerance),
    ]


def image_problems(frame: Frame, refined: Refined, lines: Floats, criteria: Criteria = USUAL) -> list[str]:
    """Check how a geometry fits an image, wherever the geometry comes from; parameters and result as `problems`."""
    return _of_the_image(frame, refined, lines, criteria, None)


def _of_the_image(
    frame: Frame, refined: Refined, lines: Floats, criteria: Criteria, residuals: Floats | None
) -> list[str]:
    if residuals is None:
        residuals = residuals_px(refined.params, refined.points, lines, frame.pixel)
    return [
        *_biased(refined.points, residuals, criteria.assumed),
        *_incomplete(refined.points),
        *_other_rings(frame, refined, lines),
    ]


def warnings(sure: Certainty | None) -> list[str]:
    """Return what a person should know about an accepted fit.

    Parameters
    ----------
    sure
        How sure the geometry is; None if nothing was fitted.

    Returns
    -------
    list of str
        Each with what to do; empty if there is nothing.
    """
    if sure is None or not CONTRADICTED < sure.uncertainty.wavelength_deviation <= _MAX_DEVIATION:
        return []
    return [f"the wavelength may be wrong: {_preferred(sure)}"]


def _too_few(points: ControlPoints) -> list[str]:
    rings = len(detected_rings(points))
    if rings >= MIN_RINGS and len(points) >= MIN_POINTS:
        return []
    return [
        f"not determined: {len(points)} points on {rings} rings, at least {MIN_POINTS} on {MIN_RINGS} are "
        "needed; put the detector nearer, use a standard with more lines, or expose longer"
    ]


def _undetermined(sure: Certainty | None, criteria: Criteria) -> list[str]:
    limit, circle = criteria.max_uncertainty(), criteria.valid_part(sure)
    if sure is not None and (sure.panel_px <= limit or (criteria.part and circle is not None)):
        return []
    uncertainty = "not known" if sure is None else f"{sure.panel_px:.2g} px rms"
    shown = "" if sure is None else sure.larger_distortion()
    cause = f"; {shown}" if shown else ""
    part = ""
    if circle is not None:
        part = f"; or accept it for a part of the panel, {circle.text()}: part=True (--part)"
    started = replace(criteria, blind=False).max_uncertainty()
    start = ""
    if sure is not None and sure.panel_px <= started:
        start = f"; or start at a distance that is known from elsewhere, with which {started:g} px is allowed"
    return [
        "not determined: the image does not determine distance, tilt and centre independently (uncertainty of ring "
        f"positions over the whole panel: {uncertainty}, at most {limit:g} px is allowed{cause}); take an image with "
        f"longer arcs or more rings, or expose longer{start}{part}"
    ]


def _biased(points: ControlPoints, residuals: Floats, assumed: AssumedErrors) -> list[str]:
    ring, bias = largest_ring_bias(points, residuals)
    around = azimuthal_bias(points, residuals)
    reasons: list[str] = []
    if bias > (limit := max(_MAX_RING_BIAS, 3 * assumed.distortion)):
        reasons.append(
            f"not precise: ring {ring + 1} lies {bias:.2f} px from its line, at most {limit:g} is allowed; check "
            "standard, wavelength and detector"
        )
    if around > (limit := max(_MAX_AZIMUTHAL_BIAS, 2 * assumed.distortion)):
        reasons.append(
            f"not precise: the rings are {around:.2f} px rms from circles about the beam, at most {limit:g} is "
            "allowed; check the detector, and that nothing moved during the exposure"
        )
    return reasons


def _incomplete(points: ControlPoints) -> list[str]:
    share = completeness(points)
    if share >= _MIN_COMPLETENESS:
        return []
    return [
        f"not this standard: only {100 * share:.0f} % of the lines between the innermost and the outermost ring are "
        f"visible, at least {100 * _MIN_COMPLETENESS:.0f} % are needed; check calibrant and wavelength"
    ]


def _other_rings(frame: Frame, refined: Refined, lines: Floats) -> list[str]:
    rings = detected_rings(refined.points)
    if not rings:
        return []
    share = unexplained_share(frame, refined.params, lines, lines[rings[0]], lines[rings[-1]])
    if share <= _MAX_UNEXPLAINED:
        return []
    return [
        f"not this standard: {100 * share:.0f} % of the sharp rings (weighted by height) lie on none of its lines, at "
        f"most {100 * _MAX_UNEXPLAINED:.0f} % are allowed; check calibrant and wavelength, and that nothing else is "
        "in the beam"
    ]


def _wrong_wavelength(sure: Certainty | None) -> list[str]:
    if sure is None or sure.uncertainty.wavelength_deviation <= _MAX_DEVIATION:
        return []
    return [f"not this wavelength: {_preferred(sure)}"]


def _preferred(sure: Certainty) -> str:
    """Format what the rings say of the wavelength."""
    unsure, wavelength = sure.uncertainty, sure.errors.geometry.wavelength
    return (
        f"the rings prefer {wavelength * (1 + unsure.preferred):.5g} m +- {100 * unsure.preferred_sigma:.2g} %, "
        f"{100 * unsure.preferred:+.2g} % from {wavelength:.5g} m; that is {unsure.wavelength_deviation:.1f} standard "
        f"deviations, with the {100 * unsure.assumed.wavelength:.2g} % that the wavelength is declared to have, and at "
        f"most {_MAX_DEVIATION:g} are allowed. A radial distortion of the detector of {unsure.preferred_px:.2f} px "
        "would look the same. Check the wavelength (it is never fitted, for it is correlated with the distance)"
    )


def _ambiguous(refined: Refined, lines: Floats, pixel: float) -> list[str]:
    other = shifted_residual(refined, lines, pixel)
    if other >= _MIN_SHIFTED_RATIO * refined.residual_px:
        return []
    return [
        f"ambiguous: with every ring assigned to the neighbouring line the residual is {other:.2f} px instead of "
        f"{refined.residual_px:.2f} px, so the rings cannot be identified; take an image with more rings, or start "
        "nearer to the true geometry"
    ]


def _far_from_start(params: Floats, start: Floats, pixel: float, tolerance: StartTolerance) -> list[str]:
    distance = abs(params[DISTANCE] / start[DISTANCE] - 1)
    spot = float(np.hypot(*(params[1:3] - start[1:3]))) / pixel
    turned = params[3:] - start[3:]
    tilt = float(np.abs(turned).max())
    shift = float(params[DISTANCE] * np.hypot(*turned)) / pixel  # a rotated start has its beam spot elsewhere
    if distance <= tolerance.distance and spot <= tolerance.spot + shift and tilt <= tolerance.tilt:
        return []
    return [
        f"far from the start: distance {100 * distance:.1f} %, beam spot {spot:.0f} px, tilt "
        f"{np.degrees(tilt):.1f} deg away, at most {100 * tolerance.distance:.0f} %, {tolerance.spot:.0f} px, "
        f"{np.degrees(tolerance.tilt):.0f} deg are allowed; if the detector was moved, start from a nominal distance"
    ]
