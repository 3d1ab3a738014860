"""Measuring and refining, repeated until nothing changes; and whether other beginnings end at the same geometry."""

import numpy as np

from ponikeeper_client.fit._control_points import control_points, profile_widths
from ponikeeper_client.fit._forward_model import DISTANCE, PARAMETER_SCALES, Floats, radius_per_angle, two_theta
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._quality import MIN_POINTS, completeness
from ponikeeper_client.fit._refine import Refined, refine

MAX_RINGS = 20
"""Largest number of rings that are measured."""

FIRST_HALF_WIDTH, _HALF_WIDTH = 8.0, 6.0
"""Half width of the profiles in the first and in all later measurements (px)."""

_HOPELESS_RESIDUAL, _HOPELESS_COMPLETENESS = 1.5, 0.35
"""Largest residual (px) and least completeness of a first measurement that is worth repeating."""

_MAX_MEASUREMENTS = 5
_SETTLED = 0.03
"""Shift of the rings by one more measurement from which on the geometry is settled (px rms over the panel)."""

_MAX_GROWTH = 0.05
"""Largest relative change of number of points and residual in the last measurement of a settled geometry."""

_PERTURBATION = 1.0
"""How far the rings are shifted before they are measured once more (px rms over the panel)."""

_COARSE = 64


def settle(frame: Frame, params: Floats, lines: Floats, *, everywhere: bool = False) -> Refined | None:
    """Measure control points near the predicted rings and refine, until points and residual are stable.

    Parameters
    ----------
    frame
        The image.
    params
        Fit parameters that predict the rings to a few px, shape (5,).
    lines
        Scattering angles of the calibrant, ascending (rad).
    everywhere
        As for `profile_widths`.

    Returns
    -------
    Refined or None
        As measured first if it is hopeless; None if there are too few points.
    """
    refined = _measured(frame, params, lines, profile_widths(frame, params, lines, FIRST_HALF_WIDTH, MAX_RINGS))
    if refined is None or is_hopeless(refined):
        return refined
    widths = _widths(frame, refined, lines, everywhere)  # which rings are measured is chosen twice, then kept
    return _repeated(frame, refined, lines, widths)


def is_hopeless(refined: Refined) -> bool:
    """Check whether a first measurement shows that the parameters are wrong."""
    return refined.residual_px > _HOPELESS_RESIDUAL or completeness(refined.points) < _HOPELESS_COMPLETENESS


def spread_of_polishes(frame: Frame, refined: Refined, lines: Floats, *, everywhere: bool = False) -> float:
    """Compute how far apart the geometries are to which two displaced ones are refined.

    Parameters
    ----------
    frame
        The image.
    refined
        A settled geometry.
    lines
        Scattering angles of the calibrant, ascending (rad).
    everywhere
        As when it was settled.

    Returns
    -------
    float
        Their difference (px rms over the panel); infinite if one of them cannot be refined.
    """
    ends: list[Floats] = []
    widths = _widths(frame, refined, lines, everywhere)
    for direction in _perturbations(refined.params):
        shift = panel_difference(frame, refined.params, refined.params + direction)
        params = refined.params + direction * _PERTURBATION / max(shift, 1e-12)
        polished = _repeated(frame, _measured(frame, params, lines, widths), lines, widths)
        if polished is None:
            return float("inf")
        ends.append(polished.params)
    return panel_difference(frame, *ends)


def panel_difference(frame: Frame, one: Floats, other: Floats) -> float:
    """Compute how far the rings of two sets of fit parameters, shape (5,), are apart (px rms over the panel)."""
    coarse = (slice(None, None, _COARSE),) * 2
    y, x = frame.y[coarse], frame.x[coarse]
    angle = two_theta(one, y, x)
    return float(np.sqrt(np.mean(((two_theta(other, y, x) - angle) * radius_per_angle(one, angle) / frame.pixel) ** 2)))


def _widths(frame: Frame, refined: Refined, lines: Floats, everywhere: bool) -> Floats:
    """Choose the lines to measure after a first measurement, and the half widths of their profiles (px)."""
    return profile_widths(
        frame, refined.params, lines, _HALF_WIDTH, MAX_RINGS, refined.points.ring_width, everywhere=everywhere
    )


def _repeated(frame: Frame, refined: Refined | None, lines: Floats, widths: Floats) -> Refined | None:
    """Measure and refine until points and residual are stable; None if there are too few points."""
    for _ in range(_MAX_MEASUREMENTS):
        if refined is None:
            break
        before, refined = refined, _measured(frame, refined.params, lines, widths)
        if refined is not None and _is_settled(frame, before, refined):
            break
    return refined


def _measured(frame: Frame, params: Floats, lines: Floats, widths: Floats) -> Refined | None:
    """Measure at the rings that parameters predict, and refine; None if there are too few points."""
    points = control_points(frame, params, lines, widths)
    return None if len(points) < MIN_POINTS else refine(params, points, lines, frame.pixel)


def _is_settled(frame: Frame, before: Refined, refined: Refined) -> bool:
    points, residual = len(refined.points) / len(before.points), refined.residual_px / max(before.residual_px, 1e-9)
    return (
        panel_difference(frame, before.params, refined.params) < _SETTLED
        and abs(points - 1) < _MAX_GROWTH
        and abs(residual - 1) < _MAX_GROWTH
    )


def _perturbations(params: Floats) -> tuple[Floats, Floats]:
    """Return two small displacements of distance, beam spot and tilt, shape (5,)."""
    scales = np.array(PARAMETER_SCALES) * np.r_[params[DISTANCE], 1, 1, 1, 1] * 1e-2
    return scales * [1, 0.3, -0.2, 1, 0.7], scales * [-1, -0.2, 0.3, 0.7, -1]
