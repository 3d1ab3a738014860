"""The units in which people read a geometry, in one table.

Stored values are in m and rad (`PARAMETERS`), and so are the PVs of the parameters. Tables of the history, the
Fit2D PVs and the client show the units below; to show another unit, change its row.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from ponikeeper.geometry.parameters import PARAMETERS


@dataclass(frozen=True, slots=True)
class DisplayUnit:
    """The unit in which one quantity is shown.

    Parameters
    ----------
    unit
        In ASCII.
    factor
        Converts the value that `Geometry` or `Fit2D` has to this unit.
    decimals
        In columns of numbers, and of the PVs in this unit.
    digits
        Significant digits in running text.
    symbol
        Instead of `unit` where Unicode is shown (notebooks); empty where it is the same.
    """

    unit: str
    factor: float = 1.0
    decimals: int = 4
    digits: int = 6
    symbol: str = ""

    def convert(self, value: float) -> float:
        """Convert a value of `Geometry` or `Fit2D` to this unit."""
        return value * self.factor

    def fixed(self, value: float) -> str:
        """Format a value for a column of numbers, without its unit."""
        return f"{self.convert(value):.{self.decimals}f}"

    def short(self, value: float) -> str:
        """Format a value with few digits, without its unit."""
        return f"{self.convert(value):.{self.digits}g}"

    def text(self, value: float) -> str:
        """Format a value with its unit, in ASCII."""
        return f"{self.short(value)} {self.unit}"

    def unicode(self, value: float) -> str:
        """Format a value with its unit, for where Unicode is shown."""
        return f"{self.short(value)} {self.symbol or self.unit}"


_DISTANCE = DisplayUnit("mm", 1e3)
_MILLIMETRE = DisplayUnit("mm", 1e3)
_DEGREE = DisplayUnit("deg", 180 / math.pi)
_MICROMETRE = DisplayUnit("um", 1e6)

DISPLAY_UNITS: Mapping[str, DisplayUnit] = MappingProxyType(
    {
        **{name: DisplayUnit(parameter.unit) for name, parameter in PARAMETERS.items()},  # those without a row here
        "dist": _DISTANCE,
        "poni1": _MILLIMETRE,
        "poni2": _MILLIMETRE,
        "rot1": _DEGREE,
        "rot2": _DEGREE,
        "rot3": _DEGREE,
        "pixel1": _MICROMETRE,
        "pixel2": _MICROMETRE,
        "wavelength": DisplayUnit("angstrom", 1e10, 6, symbol="\N{LATIN CAPITAL LETTER A WITH RING ABOVE}"),
        "energy": DisplayUnit("keV"),
        # those of `Fit2D` are in mm, px and deg already
        "direct_dist": replace(_DISTANCE, factor=_DISTANCE.factor * 1e-3),
        "beam_x": DisplayUnit("px", decimals=2),
        "beam_y": DisplayUnit("px", decimals=2),
        "tilt": DisplayUnit("deg"),
        "tilt_plane": DisplayUnit("deg", decimals=2),
    }
)
"""By the attributes of `Geometry` and `Fit2D`."""
