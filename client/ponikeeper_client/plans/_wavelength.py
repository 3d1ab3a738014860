"""Choice of the wavelength of a calibration: it must have a source, and sources must not contradict each other. Pure.

The wavelength is never fitted and never guessed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ponikeeper.errors import WavelengthError
from ponikeeper.geometry import Geometry, value_problem
from ponikeeper.protocol import LinkState, is_within, measures_beam, wavelength_of

MD_KEY = "bt_wavelength"
"""Key of the wavelength in the RunEngine's metadata, in angstrom (xpdAcq's name)."""

_TOLERANCE = 1e-3
"""Within which sources agree (relative): the distance would be off by as much."""

_READBACK_TOLERANCE = 1e-2
"""The same for the readback of a monochromator, which is seldom calibrated better (relative)."""


@dataclass(frozen=True, slots=True)
class SourcedWavelength:
    """A wavelength and where it comes from.

    Parameters
    ----------
    wavelength
        The wavelength (m).
    source
        Its source, for messages and for the provenance.
    tolerance
        How far other sources may be from it (relative).
    """

    wavelength: float
    source: str
    tolerance: float = _TOLERANCE


def choose_wavelength(candidates: Sequence[SourcedWavelength]) -> SourcedWavelength:
    """Return the first candidate, if no other one contradicts it.

    Parameters
    ----------
    candidates
        The most trusted one first.

    Returns
    -------
    SourcedWavelength
        The first one.

    Raises
    ------
    WavelengthError
        There is no candidate, or two contradict each other; the message names both.
    """
    if not candidates:
        raise WavelengthError(
            f"the wavelength is not known: give wavelength=1.663e-11 (m), or set RE.md[{MD_KEY!r}] = 0.1663 (angstrom)"
        )
    first = candidates[0]
    for other in candidates[1:]:
        difference = abs(other.wavelength / first.wavelength - 1)
        if difference > max(first.tolerance, other.tolerance):
            raise WavelengthError(
                f"{first.source} says {first.wavelength:.6g} m and {other.source} says {other.wavelength:.6g} m, a "
                f"difference of {100 * difference:.2g} %: correct the wrong one, or give wavelength= to choose"
            )
    return first


def wavelength_candidates(
    argument: float | None,
    metadata: Mapping[str, Any],
    active: Geometry | None,
    links: Sequence[LinkState],
    start: Geometry | None = None,
) -> list[SourcedWavelength]:
    """List the wavelengths of all sources, the most trusted one first.

    Parameters
    ----------
    argument
        Given by the user (m).
    metadata
        Start document of the run, which includes the RunEngine's metadata.
    active
        The active geometry. It counts only if the energy has not moved since, and no argument is given: else a
        wrong wavelength could never be corrected.
    links
        The states of the linked PVs; an energy or a wavelength among them is a candidate.
    start
        A geometry to start from that the user has given.

    Returns
    -------
    list of SourcedWavelength
        In the order of the parameters.

    Raises
    ------
    WavelengthError
        A value is not a wavelength; the message says what was probably meant.
    """
    candidates = list(_from_caller(argument, metadata))
    energies = [link for link in links if measures_beam(link)]
    if active is not None and argument is None and not any(_may_have_moved(link) for link in energies):
        unwatched = "" if energies else ", no link watches the energy"
        candidates.append(SourcedWavelength(active.wavelength, f"the active geometry{unwatched}"))
    for link in energies:
        if link.connected and link.value is not None and link.value > 0:
            wavelength = wavelength_of(link, link.value)
            tolerance = max(_READBACK_TOLERANCE, link.tolerance or 0)
            candidates.append(SourcedWavelength(wavelength, f"link {link.name}", tolerance))
    if start is not None:
        candidates.append(SourcedWavelength(start.wavelength, "the start's PONI"))
    return candidates


def _from_caller(argument: float | None, metadata: Mapping[str, Any]) -> Iterator[SourcedWavelength]:
    """Yield the wavelengths of the argument and of the metadata."""
    if argument is not None:
        problem = value_problem("wavelength", argument)
        if problem:
            raise WavelengthError(problem)
        yield SourcedWavelength(float(argument), "argument")
    if MD_KEY in metadata:
        value = metadata[MD_KEY]
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 1e-3 < value < 100:
            raise WavelengthError(
                f"RE.md[{MD_KEY!r}] = {value!r} is not a wavelength in angstrom: expected a number such as 0.1663"
            )
        yield SourcedWavelength(float(value) * 1e-10, f"RE.md[{MD_KEY!r}]")


def _may_have_moved(link: LinkState) -> bool:
    """Check whether the energy has moved since the active geometry was calibrated, or this is not known."""
    if not link.connected or link.value is None or link.calibrated is None:
        return True
    return bool(link.moving) or not is_within(link, link.value, link.calibrated)
