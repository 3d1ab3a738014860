"""The kinds of links, in one table: how values are compared, and what a value says about the wavelength.

A new kind of link is a row of `LINK_KINDS`; the configuration, the status, the client and the reference
derive from it.
"""

import math
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
    doc
        For the reference of the configuration: what such a link is.
    has_tolerance
        Whether such a link needs units and a tolerance; without a tolerance any change counts.
    is_relative
        Whether the tolerance is a fraction of the value; else it is in the units of the link.
    beam
        For a link that measures the beam, its relation to the wavelength. Other links may have any units.
    """

    doc: str
    has_tolerance: bool = True
    is_relative: bool = False
    beam: Beam | None = None

    def is_within(self, tolerance: float | None, value: float, reference: float) -> bool:
        """Return whether a value of such a link equals a reference within a tolerance.

        A difference of exactly the tolerance is within it, regardless of the last bit of a double.

        Parameters
        ----------
        tolerance
            Largest difference that still counts as equal; None where only the same value does.
        value, reference
            Values of the link; a relative tolerance is a fraction of `reference`.

        Returns
        -------
        bool
            Whether the value is within the tolerance.
        """
        if tolerance is None:
            return value == reference
        allowed = tolerance * abs(reference) if self.is_relative else tolerance
        return abs(value - reference) <= allowed + 2 * math.ulp(max(abs(value), abs(reference)))


LINK_KINDS: Mapping[str, LinkKind] = MappingProxyType(
    {
        "motor": LinkKind("a motor, or another number on which the geometry depends"),
        "energy": LinkKind(
            "the photon energy",
            is_relative=True,
            beam=Beam(
                {"keV": 1.0, "eV": 1e-3},
                from_wavelength=lambda wavelength: HC_KEV_ANGSTROM / (wavelength * 1e10),
                to_wavelength=lambda energy: HC_KEV_ANGSTROM / energy * 1e-10,
            ),
        ),
        "wavelength": LinkKind(
            "the wavelength of the beam",
            is_relative=True,
            beam=Beam(
                {"m": 1.0, "angstrom": 1e-10},
                from_wavelength=lambda wavelength: wavelength,
                to_wavelength=lambda wavelength: wavelength,
            ),
        ),
        "equal": LinkKind("a number of which any change counts, such as the binning", has_tolerance=False),
    }
)
"""The kinds of links by their names in the configuration."""
