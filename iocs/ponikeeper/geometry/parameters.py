"""The nine numbers of a geometry: units, physically possible ranges, and likely mistakes of unit.

The geometry is checked by this table, and the PV contract takes its units, limits and texts from it. Stored revisions
are checked by it too: a range may be widened, never narrowed. A tighter range for new commits belongs to
`ponikeeper.detector.commit_rules`, that of one detector to `limits` in its configuration.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ponikeeper.text.ascii import json_literal

Limits = Mapping[str, tuple[float, float]]

Units = tuple[tuple[str, float], ...]
"""Units by name, each with the factor that converts a value to the unit of the parameter."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number of a geometry, with its physically possible range.

    Parameters
    ----------
    unit
        Unit symbol, SI.
    lower, upper
        Inclusive range, in `unit`; `above_zero` makes a lower bound of 0 exclusive.
    likely_units
        Other units that are often typed by mistake: name and factor to `unit`.
    energy_units
        The same for a wavelength of which the photon energy was typed: name and wavelength of one such unit (m).
    usual
        Lowest, typical and highest magnitude, in `unit`. A unit is suggested if its value is between them, first the
        one whose value is nearest to the typical one; a value outside of them is still allowed.
    default
        For a parameter that older records do not have: the value that they mean. None where every record has it.
    """

    name: str
    unit: str
    lower: float
    upper: float
    doc: str
    precision: int
    usual: tuple[float, float, float]
    likely_units: Units = ()
    energy_units: Units = ()
    above_zero: bool = False
    default: float | None = None

    def problem(self, value: object, limits: Limits | None = None, more_units: Units = ()) -> str | None:
        """Check a value.

        Parameters
        ----------
        value
            Any object.
        limits
            Tighter limits of this detector, in `unit`.
        more_units
            Further units that may have been typed: here, the pixels of a detector.

        Returns
        -------
        str or None
            What is wrong with the value; None if nothing is.
        """
        number = _number(value)
        if number is None:
            return f"{self.name} {json_literal(value)} is not a number: expected {self.expected()}"
        if not math.isfinite(number):
            return f"{self.name} {json_literal(number)} is not finite: expected {self.expected()}"
        if not self._allows(number):
            meant = self.meant(number, more_units)
            if meant:
                return f"{self.name} {json_literal(number)} {self.unit} looks like {meant}"
            return f"{self.name} {json_literal(number)} {self.unit} is out of range: expected {self.expected()}"
        if limits and self.name in limits:
            low, high = limits[self.name]
            if not low <= number <= high:
                return (
                    f"{self.name} {json_literal(number)} {self.unit} is outside the limits of this detector: "
                    f"expected {low!r} <= {self.name} <= {high!r} {self.unit}"
                )
        return None

    def expected(self) -> str:
        """Return the allowed range as text: ``0 < dist <= 100 m``."""
        sign = "<" if self.above_zero else "<="
        return f"{self.lower:.6g} {sign} {self.name} <= {self.upper:.6g} {self.unit}"

    def meant(self, number: float, more_units: Units = ()) -> str:
        """List the units in which a number may have been typed, with what to write instead.

        Parameters
        ----------
        number
            A finite number.
        more_units
            Further units than `likely_units`.

        Returns
        -------
        str
            Such as ``keV: write 7.29e-11, or angstrom: write 1.7e-09``; empty if no unit fits.
        """
        lowest, typical, highest = self.usual
        factors = (*self.likely_units, *more_units)
        values = [(unit, number * factor) for unit, factor in factors]
        values += [(unit, factor / number) for unit, factor in self.energy_units if number]
        fitting = [each for each in values if lowest <= abs(each[1]) <= highest and self._allows(each[1])]
        fitting.sort(key=lambda each: abs(math.log(abs(each[1]) / typical)))
        return ", or ".join(f"{unit}: write {self._rounded(value)}" for unit, value in fitting)

    def _rounded(self, value: float) -> str:
        text = f"{value:.12g}"
        return text if self._allows(float(text)) else repr(value)  # 180 degrees: rounded, it is more than pi

    def _allows(self, number: float) -> bool:
        return self.lower <= number <= self.upper and not (self.above_zero and number <= 0)


HC_KEV_ANGSTROM = 12.398419843320026
"""Planck's constant times the speed of light (keV angstrom), exact in the SI of 2019."""

PLAIN_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
"""A number as it is written in JSON, in a PONI and by people."""

_MILLIMETRE = ("millimetre", 1e-3)
_MICROMETRE = ("micrometre", 1e-6)
_LENGTHS: Units = (_MILLIMETRE, ("centimetre", 1e-2), _MICROMETRE)

_DIST: dict[str, Any] = {"unit": "m", "usual": (5e-3, 0.3, 20.0), "likely_units": _LENGTHS, "precision": 9}
_PONI: dict[str, Any] = {"unit": "m", "usual": (1e-3, 0.15, 2.0), "likely_units": _LENGTHS, "precision": 9}
_ROTATION: dict[str, Any] = {
    "unit": "rad",
    "lower": -math.pi,
    "upper": math.pi,
    "usual": (0.0, 1.0, math.pi),
    "likely_units": (("degree", math.pi / 180), ("milliradian", 1e-3)),
    "precision": 9,
}
_PIXEL: dict[str, Any] = {
    "unit": "m",
    "lower": 1e-6,
    "upper": 1e-2,
    "usual": (1e-6, 1e-4, 1e-2),
    "likely_units": (_MICROMETRE, _MILLIMETRE),
    "precision": 9,
}
_WAVELENGTH: dict[str, Any] = {
    "unit": "m",
    "usual": (1e-12, 5e-11, 2e-9),
    "likely_units": (("angstrom", 1e-10), ("nm", 1e-9)),
    "energy_units": (("keV", HC_KEV_ANGSTROM * 1e-10), ("eV", HC_KEV_ANGSTROM * 1e-7)),
    "precision": 16,
}

PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        parameter.name: parameter
        for parameter in (
            Parameter("dist", lower=0.0, upper=100.0, doc="Sample to PONI distance", above_zero=True, **_DIST),
            Parameter("poni1", lower=-100.0, upper=100.0, doc="PONI along axis 1 (slow, y)", **_PONI),
            Parameter("poni2", lower=-100.0, upper=100.0, doc="PONI along axis 2 (fast, x)", **_PONI),
            Parameter("rot1", doc="Rotation about axis 1 (vertical)", **_ROTATION),
            Parameter("rot2", doc="Rotation about axis 2 (horizontal)", **_ROTATION),
            Parameter("rot3", doc="Rotation about axis 3 (beam)", **_ROTATION),
            Parameter("pixel1", doc="Pixel size along axis 1 (slow, y)", **_PIXEL),
            Parameter("pixel2", doc="Pixel size along axis 2 (fast, x)", **_PIXEL),
            Parameter("wavelength", lower=1e-13, upper=1e-8, doc="Wavelength of the beam", **_WAVELENGTH),
        )
    }
)
"""The nine numbers of a geometry, in the order in which they are always listed."""

NAMES: tuple[str, ...] = (*PARAMETERS, "detector")
"""The ten values of a geometry; `detector_config` is separate."""

DEFAULTS: Mapping[str, float] = MappingProxyType(
    {name: parameter.default for name, parameter in PARAMETERS.items() if parameter.default is not None}
)
"""The values that a geometry has where its record is older than the parameter; none of today's parameters has one."""

REQUIRED: tuple[str, ...] = tuple(name for name in NAMES if name not in DEFAULTS)
"""The values that every record of a geometry has."""


def _number(value: object) -> float | None:
    """Return a number as float; None for anything else, a bool too."""
    if type(value) is not int and not isinstance(value, float):  # numpy's double is a float by inheritance
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def parse_number(text: str) -> float:
    """Parse a number as it is written in JSON and PONI; `float` accepts more.

    Parameters
    ----------
    text
        The number; blanks around it are ignored.

    Returns
    -------
    float
        A finite number.

    Raises
    ------
    ValueError
        The text is not a number, or not finite.
    """
    if PLAIN_NUMBER.fullmatch(text.strip()) is None:
        raise ValueError(f"{text!a} is not a number")
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text!a} is too large for a double")
    return number
