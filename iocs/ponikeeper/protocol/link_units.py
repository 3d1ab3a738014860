"""The units that linked PVs report: which words mean the same unit, and how values are converted. Pure.

A new unit, or another word for one, is a row of `_WORDS`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

_CUT = 7
"""Bytes of the units that Channel Access sends together with a value."""

_LENGTH, _ENERGY, _ANGLE = "length (m)", "energy (eV)", "angle (deg)"

_Unit = tuple[str, Fraction]
"""A dimension, and the size of the unit in the one of the dimension."""

_RADIAN = Fraction(180) / Fraction(math.pi)

_WORDS: tuple[tuple[str, Fraction, str], ...] = (
    (_LENGTH, Fraction(1), "m M meter meters metre metres"),
    (_LENGTH, Fraction(1, 10**2), "cm CM centimeter centimeters centimetre centimetres"),
    (_LENGTH, Fraction(1, 10**3), "mm MM mms millimeter millimeters millimetre millimetres"),
    (_LENGTH, Fraction(1, 10**6), "um UM \xb5m \u03bcm micron microns micrometer micrometers micrometre micrometres"),
    (_LENGTH, Fraction(1, 10**9), "nm NM nanometer nanometers nanometre nanometres"),
    (_LENGTH, Fraction(1, 10**10), "angstrom angstroms A Ang ang \xc5 \u212b"),
    (_LENGTH, Fraction(1, 10**12), "pm PM picometer picometers picometre picometres"),
    (_ENERGY, Fraction(10**6), "MeV"),
    (_ENERGY, Fraction(10**3), "keV KeV kev KEV Kev"),
    (_ENERGY, Fraction(1), "eV ev EV Ev"),
    (_ENERGY, Fraction(1, 10**3), "meV"),
    (_ANGLE, Fraction(1), "deg Deg DEG degs degree degrees \xb0"),
    (_ANGLE, Fraction(1, 10**3), "mdeg MDEG millideg millidegree millidegrees"),
    (_ANGLE, _RADIAN, "rad RAD radian radians"),
    (_ANGLE, _RADIAN / 10**3, "mrad MRAD millirad milliradian milliradians"),
    (_ANGLE, _RADIAN / 10**6, "urad URAD \xb5rad \u03bcrad microrad microradian microradians"),
)
"""Dimension, size and words of each unit. Case counts, as in meV and MeV; long words may be written in any case."""

_OF_BEAM = frozenset({"A"})
"""Words that mean a length at a wavelength only: the A of a motor or a magnet is an ampere."""

_LONG = 5
"""Letters from which on a word is understood in any case."""


@dataclass(frozen=True, slots=True)
class Egu:
    """The units that a PV reports.

    Parameters
    ----------
    text
        As they are reported, without blanks around them; empty if the PV reports none.
    is_cut
        Whether at most the first 7 bytes are known: Channel Access cuts the units that come with a value.
    """

    text: str
    is_cut: bool = False

    def is_word(self, word: str) -> bool:
        """Return whether these units are a word, as far as they are known.

        Parameters
        ----------
        word
            Any word.

        Returns
        -------
        bool
        """
        return word.strip() == self.text or (self.may_go_on and _cut(word.strip()) == self.text)

    @property
    def may_go_on(self) -> bool:
        """Whether there may be more than `text`."""
        return self.is_cut and len(self.text.encode()) >= _CUT


def conversion(egu: Egu, units: str, own_word: str | None = None, *, measures_beam: bool = True) -> Fraction | None:
    """Return the factor from the value of a PV to the units of the configuration.

    Parameters
    ----------
    egu
        The units that the PV reports. Where it reports none, those of the configuration hold.
    units
        The units of the configuration.
    own_word
        What the site writes instead of `units`, if it is not a word of the table.
    measures_beam
        Whether the PV is a wavelength or an energy, whose A is an angstrom.

    Returns
    -------
    Fraction or None
        None where the units differ and cannot be converted: they are of different dimensions, or unknown words.
    """
    if not egu.text or egu.is_word(units) or (own_word is not None and egu.is_word(own_word)):
        return Fraction(1)
    reported, wanted = _unit(egu), _unit(Egu(units))
    if not measures_beam and not {egu.text, units}.isdisjoint(_OF_BEAM):
        return None
    if reported is None or wanted is None or reported[0] != wanted[0]:
        return None
    return reported[1] / wanted[1]


def is_unit(egu: Egu) -> bool:
    """Return whether units are a word of the table, not one of a site."""
    return _unit(egu) is not None


def converted(value: float, factor: Fraction) -> float:
    """Multiply a value by a factor with one rounding where numerator and denominator are exact doubles.

    Parameters
    ----------
    value
        Finite.
    factor
        As `conversion` returns it.

    Returns
    -------
    float
        So 1000050.0 um are exactly 1000.05 mm.
    """
    return value * factor.numerator / factor.denominator


def value_in(value: float, units: str, wanted: str, *, measures_beam: bool = True) -> float | None:
    """Convert a recorded value to other units.

    Parameters
    ----------
    value
        Finite.
    units
        Its units; empty for none.
    wanted
        The units of the result; empty for none.
    measures_beam
        As for `conversion`.

    Returns
    -------
    float or None
        None where the units differ and cannot be converted.
    """
    if units == wanted:
        return value
    factor = conversion(Egu(units), wanted, measures_beam=measures_beam) if units and wanted else None
    return None if factor is None else converted(value, factor)


def _unit(egu: Egu) -> _Unit | None:
    """Return the unit that a word means, None for an unknown word."""
    unit = _UNITS.get(egu.text) or _UNITS_IN_ANY_CASE.get(egu.text.casefold())
    if unit is not None or not egu.may_go_on:
        return unit
    candidates = {unit for word, unit in _UNITS.items() if egu.is_word(word)}
    candidates |= {unit for word, unit in _UNITS_IN_ANY_CASE.items() if Egu(egu.text.casefold(), True).is_word(word)}
    return candidates.pop() if len(candidates) == 1 else None


def _cut(word: str) -> str:
    return word.encode()[:_CUT].decode(errors="replace")


_UNITS: Mapping[str, _Unit] = {word: (dimension, size) for dimension, size, words in _WORDS for word in words.split()}
_UNITS_IN_ANY_CASE: Mapping[str, _Unit] = {
    word.casefold(): unit for word, unit in _UNITS.items() if len(word) >= _LONG and word.isascii()
}
