"""Slips: values that the wide ranges of the parameters allow, but that were probably typed in another unit.

They are found when a geometry is committed or imported from PONI files. Stored revisions are not checked for them,
and limits in the configuration of a detector allow every value inside them.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import cast

from ponikeeper.errors import GeometryError
from ponikeeper.geometry.detectors import panel_size
from ponikeeper.geometry.geometry import Geometry, pixel_units
from ponikeeper.geometry.parameters import NAMES, PARAMETERS, Limits

FAR = 20.0
"""A distance from which on a detector needs limits in the configuration (m)."""

PANELS = 10
"""A PONI or beam centre farther away than that many panels is a slip."""

_NEAR = 0.5
"""A PONI so near is never a slip (m): values put one by one may still be those of another, larger panel."""

_ARM = 3.0
"""Length of the longest arm on which panels usually turn about the sample, far away from the direct beam (m)."""

_EXACT = 9
"""Decimals of an angle that was not rounded (rad): 65.3 deg is 1.1397000 rad by chance."""

_PONIS = ("poni1", "poni2")
_TILTS = ("rot1", "rot2")
_ROTATIONS = (*_TILTS, "rot3")
_EXAMPLES = MappingProxyType({"dist": "[0.1, 100.0]", "poni": "[-100.0, 100.0]", "rot": "[-3.14, 3.14]"})


def slips(
    geometry: Geometry, changed: Collection[str] = NAMES, limits: Limits | None = None, single: bool = False
) -> list[str]:
    """Find the values of a geometry that were probably typed in another unit.

    Parameters
    ----------
    geometry
        The geometry that is to be stored.
    changed
        Names of the values that differ from those of the active geometry; only these can be slips.
    limits
        Limits of this detector (m, rad); a value with limits is no slip.
    single
        Whether one value was put alone. Others may follow, so a tilt that does not fit the distance is a slip only
        if it was typed in degrees.

    Returns
    -------
    list of str
        A message for each slip, with what was probably meant.
    """
    free = [name for name in changed if name not in (limits or {})]
    problems = {"dist": _far_distance(geometry)}
    problems |= {name: _far_poni(geometry, name) for name in _PONIS}
    problems |= {name: _typed_rotation(name, getattr(geometry, name)) for name in _ROTATIONS}
    found = {name: problem for name, problem in problems.items() if problem and name in free}
    if not found:
        found |= _far_beam(geometry, free, single)
    return [f"{problem}; {_remedy(name)}" for name, problem in found.items()]


def without_slips(geometry: Geometry, limits: Limits) -> Geometry:
    """Return a geometry that comes as a whole, from a file, if it has no slips.

    Parameters
    ----------
    geometry
        The geometry.
    limits
        Limits of this detector (m, rad).

    Returns
    -------
    Geometry
        The same geometry.

    Raises
    ------
    GeometryError
        With every slip.
    """
    if found := slips(geometry, limits=limits):
        raise GeometryError(found)
    return geometry


def _remedy(name: str) -> str:
    example = f"{name} = {_EXAMPLES[name.rstrip('123')]}"
    return f"if it is right, allow it in the configuration: below [detector.limits], {example}"


def _described(name: str, geometry: Geometry) -> str:
    return f"{name} {getattr(geometry, name)!r} {PARAMETERS[name].unit}"


def _far_distance(geometry: Geometry) -> str:
    if geometry.dist < FAR:
        return ""
    meant = PARAMETERS["dist"].meant(geometry.dist)
    looks = f" and looks like {meant}" if meant else ""
    return f"{_described('dist', geometry)} is {FAR:g} m or more{looks}"


def _far_poni(geometry: Geometry, name: str) -> str:
    number, reach = cast("float", getattr(geometry, name)), _reach(geometry)
    if abs(number) <= reach:
        return ""
    units = pixel_units(name, {"pixel1": geometry.pixel1, "pixel2": geometry.pixel2})
    meant = PARAMETERS[name].meant(number, units)
    looks = f" and looks like {meant}" if meant else ""
    return f"{_described(name, geometry)} is {_distance(reach, geometry)} away{looks}"


def _typed_rotation(name: str, angle: float) -> str:
    """Recognize degrees by their decimals: an angle of an arm in radians has more, or is a rounded multiple of 5."""
    coarse = _is_rounded(angle, 1) or (abs(angle) >= 1 and _is_rounded(angle, 2) and not _is_multiple(angle, 5, 2))
    if abs(angle) < 0.05 or not coarse:
        return ""
    return f"{name} {angle!r} rad looks like {PARAMETERS[name].meant(angle)}"


def _far_beam(geometry: Geometry, free: Collection[str], single: bool) -> Mapping[str, str]:
    """Find the tilt that puts the direct beam far away from the panel, though no arm is that long."""
    name = max(_TILTS, key=lambda each: abs(getattr(geometry, each)))
    offset, reach = _beam_offset(geometry), _reach(geometry)
    if name not in free or offset <= reach:
        return {}
    angle = getattr(geometry, name)
    in_degrees = _beam_offset(replace(geometry, **{name: math.radians(angle)})) <= reach
    digits = next((each for each in range(5) if _is_rounded(angle, each)), None)
    of_an_arm = digits is not None and (_is_multiple(angle, 0.5, digits) or _is_multiple(angle, 0.05, _EXACT))
    typed = in_degrees and digits is not None and not of_an_arm
    if not typed and (single or geometry.dist <= _ARM):
        return {}
    looks = f" and looks like {PARAMETERS[name].meant(angle)}" if in_degrees else ""
    where = f"puts the direct beam {offset:.3g} m away from the detector, {_distance(reach, geometry)}"
    return {name: f"{_described(name, geometry)} {where}{looks}"}


def _beam_offset(geometry: Geometry) -> float:
    """Return how far the direct beam is from the origin of the panel (m); 0 if it does not meet its plane."""
    upright = geometry if geometry.fit2d else replace(geometry, detector_config={})
    fit2d = upright.fit2d  # for other orientations the signs differ, which hardly changes what is far
    if fit2d is None:
        return 0.0
    return max(abs(fit2d.beam_x * geometry.pixel2), abs(fit2d.beam_y * geometry.pixel1))


def _reach(geometry: Geometry) -> float:
    """Return how far a PONI or beam centre may be away (m)."""
    side = _side(geometry)
    return FAR if side is None else max(PANELS * side, _NEAR)


def _distance(reach: float, geometry: Geometry) -> str:
    side = _side(geometry)
    if side is None or PANELS * side < reach:
        return f"more than {reach:g} m"
    return f"more than {PANELS} times the panel's {side:.3g} m"


def _side(geometry: Geometry) -> float | None:
    """Return the longer side of the panel (m); None if its shape is unknown."""
    shape = geometry.detector_config.get("max_shape")
    sides = [*(panel_size(geometry.detector) or ())]
    if isinstance(shape, tuple) and len(numbers := cast("tuple[object, ...]", shape)) == 2:
        pixels = (geometry.pixel1, geometry.pixel2)
        sides += [n * size for n, size in zip(numbers, pixels, strict=True) if isinstance(n, int | float)]
    return max(sides, default=None)


def _is_rounded(angle: float, decimals: int) -> bool:
    """Return whether a number has no more decimals than these, up to the rounding of a 32-bit number."""
    return abs(angle - round(angle, decimals)) < 2e-7


def _is_multiple(angle: float, degrees: float, decimals: int) -> bool:
    """Return whether an angle is a multiple of some degrees, rounded to decimals in radians."""
    nearest = math.radians(round(math.degrees(angle) / degrees) * degrees)
    return abs(round(nearest, decimals) - angle) < 2e-7
