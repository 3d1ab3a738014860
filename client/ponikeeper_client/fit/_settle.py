"""Measuring and refining, repeated until nothing changes; and whether other beginnings end at the same geometry."""

from dataclasses import dataclass

import numpy as np

from ponikeeper_client.fit._control_points import control_points, profile_widths
from ponikeeper_client.fit._forward_model import DISTANCE, PARAMETER_SCALES, Floats, radius_per_angle, two_theta
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._quality import MIN_POINTS, completeness
from ponikeeper_client.fit._refine import Refined, refine
from ponikeeper_client.fit._ring_profiles import RingProfiles

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

_MAX_SHIFT = 0.5
"""Largest shift of profiles that are used for a result (px)."""

_PERTURBATION = 1.0
"""How far the rings are shifted before they are measured once more (px rms over the panel)."""

_COARSE = 64


@dataclass(frozen=True, slots=True)
class Settled:
    """A settled geometry, and what it was measured with.

    Parameters
    ----------
    refined
        The result of the last refinement.
    profiles
        The profiles of its points.
    widths
        Half width of the profile of each line (px), shape (n,).
    """

    refined: Refined
    profiles: RingProfiles
    widths: Floats


def settle(frame: Frame, params: Floats, lines: Floats) -> Settled | None:
    """Measure control points near the predicted rings and refine, until points and residual are stable.

    Parameters
    ----------
    frame
        The image.
    params
        Fit parameters that predict the rings to a few px, shape (5,).
    lines
        Scattering angles of the calibrant, ascending (rad).

    Returns
    -------
    Settled or None
        As measured first if it is hopeless; None if there are too few points.
    """
    profiles = RingProfiles.measure(frame, params, lines, profile_widths(frame, params, lines, _HALF_WIDTH, MAX_RINGS))
    widths = profile_widths(frame, params, lines, FIRST_HALF_WIDTH, MAX_RINGS)
    refined = _refined(profiles, params, widths)
    if refined is None:
        return None
    first = Settled(refined, profiles, widths)
    return first if is_hopeless(refined) else _settled_with_new_widths(frame, first, everywhere=False)


def settle_everywhere(frame: Frame, settled: Settled) -> Settled | None:
    """Settle at a settled geometry with lines from all over the panel; None if there are too few points."""
    return _settled_with_new_widths(frame, settled, everywhere=True)


def is_hopeless(refined: Refined) -> bool:
    """Check whether a first measurement shows that the parameters are wrong."""
    return refined.residual_px > _HOPELESS_RESIDUAL or completeness(refined.points) < _HOPELESS_COMPLETENESS


def spread_of_polishes(frame: Frame, settled: Settled) -> float:
    """Compute how far apart the geometries are to which two displaced ones are refined.

    Parameters
    ----------
    frame
        The image.
    settled
        A settled geometry.

    Returns
    -------
    float
        Their difference (px rms over the panel); infinite if one of them cannot be refined.
    """
    ends: list[Floats] = []
    middle, profiles, widths = settled.refined.params, settled.profiles, settled.widths
    for direction in _perturbations(middle):
        shift = panel_difference(frame, middle, middle + direction)
        params = middle + direction * _PERTURBATION / max(shift, 1e-12)
        displaced = profiles
        if not profiles.serve(params, widths):
            displaced = RingProfiles.measure(frame, params, profiles.lines, widths)
        polished = _settled(frame, _refined(displaced, params, widths), profiles, widths)
        if polished is None:
            return float("inf")
        ends.append(polished.refined.params)
    return panel_difference(frame, *ends)


def panel_difference(frame: Frame, one: Floats, other: Floats) -> float:
    """Compute how far the rings of two sets of fit parameters, shape (5,), are apart (px rms over the panel)."""
    coarse = (slice(None, None, _COARSE),) * 2
    y, x = frame.y[coarse], frame.x[coarse]
    angle = two_theta(one, y, x)
    return float(np.sqrt(np.mean(((two_theta(other, y, x) - angle) * radius_per_angle(one, angle) / frame.pixel) ** 2)))


def _settled_with_new_widths(frame: Frame, settled: Settled, *, everywhere: bool) -> Settled | None:
    """Choose the lines and the half widths of their profiles once more, keep them, and settle."""
    refined, lines = settled.refined, settled.profiles.lines
    widths = profile_widths(
        frame, refined.params, lines, _HALF_WIDTH, MAX_RINGS, refined.points.ring_width, everywhere=everywhere
    )
    return _settled(frame, refined, settled.profiles, widths)


def _settled(frame: Frame, refined: Refined | None, profiles: RingProfiles, widths: Floats) -> Settled | None:
    """Measure and refine until points and residual are stable; None if there are too few points."""
    for _ in range(_MAX_MEASUREMENTS):
        if refined is None:
            return None
        before = refined
        if not profiles.serve(before.params, widths, _MAX_SHIFT):
            profiles = RingProfiles.measure(frame, before.params, profiles.lines, widths)
        refined = _refined(profiles, before.params, widths)
        if refined is not None and _is_settled(frame, before, refined):
            break
    return None if refined is None else Settled(refined, profiles, widths)


def _refined(profiles: RingProfiles, params: Floats, widths: Floats) -> Refined | None:
    """Measure at the rings that parameters predict, and refine; None if there are too few points."""
    points = control_points(profiles, params, widths)
    return None if len(points) < MIN_POINTS else refine(params, points, profiles.lines, profiles.pixel)


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
