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
        Other units that are often typed by mistake: name and factor to `unit`, most likely first.
    """

    name: str
    unit: str
    lower: float
    upper: float
    doc: str
    precision: int
    likely_units: tuple[tuple[str, float], ...] = ()
    above_zero: bool = False

    def problem(self, value: object, limits: Limits | None = None) -> str | None:
        """Check a value.

        Parameters
        ----------
        value
            Any object.
        limits
            Tighter limits of this detector, in `unit`.

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
            for unit, factor in self.likely_units:
                if self._allows(number * factor):
                    meant = f"{number * factor:.12g}"
                    if not self._allows(float(meant)):  # 180 degrees: rounded, it is more than pi
                        meant = repr(number * factor)
                    return f"{self.name} {json_literal(number)} {self.unit} looks like {unit}: write {meant}"
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

    def _allows(self, number: float) -> bool:
        return self.lower <= number <= self.upper and not (self.above_zero and number <= 0)


PLAIN_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
"""A number as it is written in JSON, in a PONI and by people."""

_MILLIMETRE = ("millimetre", 1e-3)
_MICROMETRE = ("micrometre", 1e-6)
_ROTATION: dict[str, Any] = {
    "unit": "rad",
    "lower": -math.pi,
    "upper": math.pi,
    "likely_units": (("degree", math.pi / 180),),
    "precision": 9,
}
_PIXEL: dict[str, Any] = {
    "unit": "m",
    "lower": 1e-6,
    "upper": 1e-2,
    "likely_units": (_MICROMETRE, _MILLIMETRE),
    "precision": 9,
}

PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {
        parameter.name: parameter
        for parameter in (
            Parameter("dist", "m", 0.0, 100.0, "Sample to PONI distance", 9, (_MILLIMETRE,), above_zero=True),
            Parameter("poni1", "m", -100.0, 100.0, "PONI along axis 1 (slow, y)", 9, (_MILLIMETRE,)),
            Parameter("poni2", "m", -100.0, 100.0, "PONI along axis 2 (fast, x)", 9, (_MILLIMETRE,)),
            Parameter("rot1", doc="Rotation about axis 1 (vertical)", **_ROTATION),
            Parameter("rot2", doc="Rotation about axis 2 (horizontal)", **_ROTATION),
            Parameter("rot3", doc="Rotation about axis 3 (beam)", **_ROTATION),
            Parameter("pixel1", doc="Pixel size along axis 1 (slow, y)", **_PIXEL),
            Parameter("pixel2", doc="Pixel size along axis 2 (fast, x)", **_PIXEL),
            Parameter("wavelength", "m", 1e-13, 1e-8, "Wavelength of the beam", 16, (("angstrom", 1e-10),)),
        )
    }
)
"""The nine numbers of a geometry, in the order in which they are always listed."""

NAMES: tuple[str, ...] = (*PARAMETERS, "detector")
"""The ten values of a geometry; `detector_config` is separate."""


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
