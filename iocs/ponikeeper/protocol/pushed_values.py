"""The values that can be written to the PVs of a detector's own driver: formulas and units, each once. Pure.

Which PVs and units a driver of areaDetector has was read from its database templates (ADEiger ``eigerBase.template``,
ADPilatus ``pilatus.template``).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ponikeeper.geometry import Geometry
from ponikeeper.geometry.beam import beam_on_image


@dataclass(frozen=True, slots=True)
class PushedValue:
    """A value of the active geometry as a detector wants it.

    Parameters
    ----------
    doc
        What it is.
    compute
        Returns it in the first of the units; None where the geometry does not define it.
    units
        How many of each unit are one of the first one.
    finest
        Difference that never counts, in the first of the units.
    """

    doc: str
    compute: Callable[[Geometry], float | None]
    units: Mapping[str, float]
    finest: float = 0.0

    def value_in(self, units: str, geometry: Geometry) -> float | None:
        """Return the value in some units; None where the geometry does not define it."""
        value = self.compute(geometry)
        return None if value is None else value * self.units[units]

    def is_same(self, written: float, read: float, units: str) -> bool:
        """Return whether a value was read back as it was written: some detectors keep a text of six digits."""
        return math.isclose(written, read, rel_tol=_SIX_DIGITS, abs_tol=self.finest * self.units[units])


_SIX_DIGITS = 5.0001e-6
"""Relative difference that a text of six digits can make; that of single precision is smaller."""

_TWO_DECIMALS = 5.0001e-3
"""Difference that a text with two decimals can make."""


def _distance(geometry: Geometry) -> float | None:
    toward = math.cos(geometry.rot1) * math.cos(geometry.rot2)
    return geometry.dist / toward if toward > 1e-9 else None


def _beam(geometry: Geometry, axis: int) -> float | None:
    beam = beam_on_image(geometry)
    return None if beam is None else beam[axis]


VALUES: Mapping[str, PushedValue] = MappingProxyType(
    {
        "beam_x": PushedValue(
            "beam centre along the fast axis, from the corner of the first pixel",
            lambda geometry: _beam(geometry, 0),
            {"px": 1.0},
            _TWO_DECIMALS,
        ),
        "beam_y": PushedValue(
            "beam centre along the slow axis, from the corner of the first pixel",
            lambda geometry: _beam(geometry, 1),
            {"px": 1.0},
            _TWO_DECIMALS,
        ),
        "distance": PushedValue("distance along the beam", _distance, {"m": 1.0, "cm": 1e2, "mm": 1e3}),
        "wavelength": PushedValue(
            "wavelength", lambda geometry: geometry.wavelength, {"m": 1.0, "nm": 1e9, "angstrom": 1e10}
        ),
        "energy": PushedValue("photon energy", lambda geometry: geometry.energy, {"keV": 1.0, "eV": 1e3}),
        "orientation": PushedValue(
            "corner of the first pixel, 1 to 4", lambda geometry: float(geometry.orientation), {"": 1.0}
        ),
    }
)
"""The values by name."""

BY_DEFAULT = ("beam_x", "beam_y", "distance")
"""What is written unless `values` is given: wavelength and energy can move the thresholds of a detector."""


@dataclass(frozen=True, slots=True)
class Driver:
    """The PVs of a driver of areaDetector.

    Parameters
    ----------
    pvs
        Suffix and units of the PV of each value.
    readback
        What the name of a readback ends with; empty where the driver has none, so that the PV itself is read.
    acquiring
        Suffix of the PV that is not 0 while the detector acquires.
    """

    pvs: Mapping[str, tuple[str, str]]
    readback: str
    acquiring: str = "Acquire_RBV"


DRIVERS: Mapping[str, Driver] = MappingProxyType(
    {
        "eiger": Driver(
            {
                "beam_x": ("BeamX", "px"),
                "beam_y": ("BeamY", "px"),
                "distance": ("DetDist", "m"),
                "wavelength": ("Wavelength", "angstrom"),
                "energy": ("PhotonEnergy", "eV"),
            },
            "_RBV",
        ),
        "pilatus": Driver(
            {
                "beam_x": ("BeamX", "px"),
                "beam_y": ("BeamY", "px"),
                "distance": ("DetDist", "mm"),
                "wavelength": ("Wavelength", "angstrom"),
                "energy": ("Energy", "keV"),
            },
            "",
        ),
    }
)
"""The known drivers."""


@dataclass(frozen=True, slots=True)
class Target:
    """A PV of a detector to which one value is written.

    Parameters
    ----------
    value
        Key of `VALUES`.
    pv, readback
        The PV that is put, and the one that is read back.
    units
        Of both.
    acquiring
        The PV that is not 0 while the detector acquires.
    tolerance
        By how much the readback may differ from what was written, in `units`; more than rounding to six digits.
    """

    value: str
    pv: str
    readback: str
    units: str
    acquiring: str
    tolerance: float = 0.0

    @property
    def pvs(self) -> tuple[str, str, str]:
        """All of its PVs."""
        return self.pv, self.readback, self.acquiring

    def is_same(self, written: float, read: float) -> bool:
        """Return whether a value was read back as it was written."""
        return VALUES[self.value].is_same(written, read, self.units) or abs(read - written) <= self.tolerance


def driver_targets(driver: str, prefix: str, values: tuple[str, ...]) -> tuple[Target, ...]:
    """Return the PVs of a known driver.

    Parameters
    ----------
    driver
        Key of `DRIVERS`.
    prefix
        Of its PVs.
    values
        Keys of its `pvs`.

    Returns
    -------
    tuple of Target
        One for each value.
    """
    known = DRIVERS[driver]
    rows = [(value, *known.pvs[value]) for value in values]
    return tuple(
        Target(value, prefix + suffix, prefix + suffix + known.readback, units, prefix + known.acquiring)
        for value, suffix, units in rows
    )
