"""Which wavelength a calibration is made with: whoever says it is named, and none is made up. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ponikeeper.errors import WavelengthError
from ponikeeper.geometry import Geometry, value_problem
from ponikeeper.protocol import LinkState, is_within, measures_beam, wavelength_of

MD_KEY = "bt_wavelength"
"""Where sessions keep the wavelength in the RunEngine's metadata, in angstrom (xpdAcq's name)."""

_SAME = 1e-3
"""Within which statements agree (relative): a part of the distance as large goes with it."""

_READBACK = 1e-2
"""For the readback of a monochromator, which is seldom calibrated better (relative)."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What somebody says of the wavelength.

    Parameters
    ----------
    wavelength
        In m.
    source
        Who says it, as a record names it.
    within
        How far others may be from it (relative).
    """

    wavelength: float
    source: str
    within: float = _SAME


def choose(statements: Sequence[Statement]) -> Statement:
    """Choose the first statement, if no other contradicts it.

    Raises
    ------
    WavelengthError
        There is none, or two contradict each other; both are named then.
    """
    if not statements:
        raise WavelengthError(
            f"the wavelength is not known: give wavelength=1.663e-11 (m), or set RE.md[{MD_KEY!r}] = 0.1663 (angstrom)"
        )
    first = statements[0]
    for other in statements[1:]:
        apart = abs(other.wavelength / first.wavelength - 1)
        if apart > max(first.within, other.within):
            raise WavelengthError(
                f"{first.source} says {first.wavelength:.6g} m and {other.source} says {other.wavelength:.6g} m, "
                f"{100 * apart:.2g} % apart: correct the one that is wrong, or give wavelength= to settle it"
            )
    return first


def statements(
    argument: float | None,
    metadata: Mapping[str, Any],
    in_force: Geometry | None,
    links: Sequence[LinkState],
    start: Geometry | None = None,
) -> list[Statement]:
    """List who says what, the most trusted first.

    Parameters
    ----------
    argument
        What the user gave (m).
    metadata
        The start document of the run, in which the RunEngine's metadata are.
    in_force
        The geometry in force: counts only while the energy has not moved since. What the user gave
        settles it, or a wrong one could never be corrected.
    links
        Where the linked PVs stand; an energy or a wavelength among them speaks last.
    start
        A geometry to start from that the user named.

    Raises
    ------
    WavelengthError
        One of them is no wavelength; says what was probably meant.
    """
    found = list(_said(argument, metadata))
    energies = [link for link in links if measures_beam(link)]
    if in_force is not None and argument is None and not any(_may_have_moved(link) for link in energies):
        watched = "" if energies else ", no link watches the energy"
        found.append(Statement(in_force.wavelength, f"the geometry in force{watched}"))
    for link in energies:
        if link.connected and link.value is not None and link.value > 0:
            length = wavelength_of(link, link.value)
            found.append(Statement(length, f"link {link.name}", max(_READBACK, link.tolerance or 0)))
    if start is not None:
        found.append(Statement(start.wavelength, "the start's PONI"))
    return found


def _said(argument: float | None, metadata: Mapping[str, Any]) -> Iterator[Statement]:
    if argument is not None:
        problem = value_problem("wavelength", argument)
        if problem:
            raise WavelengthError(problem)
        yield Statement(float(argument), "argument")
    if MD_KEY in metadata:
        value = metadata[MD_KEY]
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 1e-3 < value < 100:
            raise WavelengthError(
                f"RE.md[{MD_KEY!r}] = {value!r} is no wavelength in angstrom: expected a number such as 0.1663"
            )
        yield Statement(float(value) * 1e-10, f"RE.md[{MD_KEY!r}]")


def _may_have_moved(link: LinkState) -> bool:
    """Tell whether the energy moved since the geometry in force, or that is not known."""
    if not link.connected or link.value is None or link.calibrated is None:
        return True
    return bool(link.moving) or not is_within(link, link.value, link.calibrated)
