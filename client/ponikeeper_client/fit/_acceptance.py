"""Acceptance of a fit: determined, precise, complete, unambiguous, and near its start; else why it is rejected."""

from dataclasses import dataclass

import numpy as np

from ponikeeper.geometry import Geometry
from ponikeeper_client.fit._control_points import ControlPoints
from ponikeeper_client.fit._forward_model import DISTANCE, Floats, params_of
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._quality import (
    MIN_POINTS,
    best_wavelength,
    completeness,
    detected_rings,
    shifted_residual,
    unexplained_share,
)
from ponikeeper_client.fit._refine import Refined, ring_uncertainty

_MIN_RINGS = 3
_MAX_CONDITION = 200.0
_MAX_UNCERTAINTY = 0.5
"""Largest standard deviation of ring positions over the detector, by the covariance (px)."""

_MAX_RESIDUAL = 0.5
"""Root mean square (px): a sound calibration leaves 0.05 to 0.3."""

_MIN_COMPLETENESS = 0.6
"""Part of the sectors between the innermost and the outermost ring in which the line must be visible."""

_MIN_SHIFTED_RATIO = 3.0
"""How many times worse the fit must become when each ring is assigned to the neighbouring line."""

_MAX_UNEXPLAINED = 0.1
"""Largest part of the sharp rings, weighted with the square root of their heights, that lies on no line."""

_WAVELENGTH_CHANGE, _WAVELENGTH_GAIN = 0.02, 0.5
"""A wavelength is rejected if another one, so far away (relative), reduces the residual below this part of it."""


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


def problems(frame: Frame, refined: Refined, lines: Floats, start: Geometry, tolerance: StartTolerance) -> list[str]:
    """Check a fit.

    Parameters
    ----------
    frame
        The image.
    refined
        The result of the fit, with a covariance.
    lines
        Scattering angles of the calibrant, ascending (rad).
    start
        The geometry at which the fit was started.
    tolerance
        How far the result may be from the start.

    Returns
    -------
    list of str
        Why the fit is rejected, each with what to do; empty if it is accepted.
    """
    return [
        *_undetermined(frame, refined),
        *image_problems(frame, refined, lines),
        *_ambiguous(refined, lines, frame.pixel),
        *_wrong_wavelength(refined, lines, start.wavelength),
        *_far_from_start(refined.params, params_of(start), frame.pixel, tolerance),
    ]


def image_problems(frame: Frame, refined: Refined, lines: Floats) -> list[str]:
    """Check how a geometry fits an image, wherever the geometry comes from; parameters and result as `problems`."""
    return [*_imprecise(refined), *_incomplete(refined.points), *_other_rings(frame, refined, lines)]


def _undetermined(frame: Frame, refined: Refined) -> list[str]:
    rings, count = len(detected_rings(refined.points)), len(refined.points)
    reasons: list[str] = []
    if rings < _MIN_RINGS or count < MIN_POINTS:
        reasons.append(
            f"not determined: {count} points on {rings} rings, at least {MIN_POINTS} on {_MIN_RINGS} are "
            "needed; put the detector nearer, use a standard with more lines, or expose longer"
        )
    uncertainty = ring_uncertainty(refined, frame.y[::64, ::64], frame.x[::64, ::64], frame.pixel)
    if refined.condition > _MAX_CONDITION or uncertainty > _MAX_UNCERTAINTY:
        reasons.append(
            "not determined: the image does not determine distance, tilt and centre independently (uncertainty of ring "
            f"positions {uncertainty:.2g} px, at most {_MAX_UNCERTAINTY} px is allowed; condition number "
            f"{refined.condition:.0f}, at most {_MAX_CONDITION:.0f}); take an image with longer arcs or more "
            "rings, or expose longer"
        )
    return reasons


def _imprecise(refined: Refined) -> list[str]:
    if refined.residual_px <= _MAX_RESIDUAL:
        return []
    return [
        f"not precise: the residual of the rings is {refined.residual_px:.2f} px rms, at most {_MAX_RESIDUAL} is "
        "allowed; check standard, wavelength and detector, and that nothing moved during the exposure"
    ]


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


def _wrong_wavelength(refined: Refined, lines: Floats, wavelength: float) -> list[str]:
    better, gain = best_wavelength(refined, lines, wavelength)
    if abs(better / wavelength - 1) <= _WAVELENGTH_CHANGE or gain > _WAVELENGTH_GAIN:
        return []
    return [
        f"not this wavelength: the rings fit {1 / gain:.1f} times better with about {better:.4g} m than with "
        f"{wavelength:.4g} m; check the wavelength (it is never fitted, for it is correlated with the distance)"
    ]


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
