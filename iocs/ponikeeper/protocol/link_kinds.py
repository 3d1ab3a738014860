"""The kinds of links, in one table: units, tolerance, and what a value says about the wavelength.

A new kind of link is a row of `LINK_KINDS`; the configuration, the status and the client derive from it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ponikeeper.geometry import HC_KEV_ANGSTROM


@dataclass(frozen=True, slots=True)
class Beam:
    """How the value of a link is related to the wavelength of the beam.

    Parameters
    ----------
    units
        The units that are allowed, each with its factor to the unit of the two conversions.
    from_wavelength, to_wavelength
        Conversions of a wavelength (m) to a value, and back.
    """

    units: Mapping[str, float]
    from_wavelength: Callable[[float], float]
    to_wavelength: Callable[[float], float]


@dataclass(frozen=True, slots=True)
class LinkKind:
    """What all links of one kind have in common.

    Parameters
    ----------
    has_tolerance
        Whether such a link needs units and a tolerance; without a tolerance any change counts.
    is_relative
        Whether the tolerance is a fraction of the value; else it is in the units of the link.
    beam
        For a link that measures the beam, its relation to the wavelength. Other links may have any units.
    """

    has_tolerance: bool = True
    is_relative: bool = False
    beam: Beam | None = None


LINK_KINDS: Mapping[str, LinkKind] = MappingProxyType(
    {
        "motor": LinkKind(),
        "energy": LinkKind(
            is_relative=True,
            beam=Beam(
                {"keV": 1.0, "eV": 1e-3},
                from_wavelength=lambda wavelength: HC_KEV_ANGSTROM / (wavelength * 1e10),
                to_wavelength=lambda energy: HC_KEV_ANGSTROM / energy * 1e-10,
            ),
        ),
        "wavelength": LinkKind(
            is_relative=True,
            beam=Beam(
                {"m": 1.0, "angstrom": 1e-10},
                from_wavelength=lambda wavelength: wavelength,
                to_wavelength=lambda wavelength: wavelength,
            ),
        ),
        "equal": LinkKind(has_tolerance=False),
    }
)
"""The kinds of links by their names in the configuration."""
