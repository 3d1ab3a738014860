"""What the value of a link means: within its tolerance or not, as a wavelength, in a recorded position. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, cast

from ponikeeper.history import Position
from ponikeeper.protocol.link_kinds import LINK_KINDS, LinkKind
from ponikeeper.protocol.link_units import value_in
from ponikeeper.protocol.links import LinkState


class AnyLink(Protocol):
    """A link of the configuration or of ``Links_RBV``."""

    @property
    def name(self) -> str:
        """Name of the link."""
        ...

    @property
    def kind(self) -> str:
        """Name of its kind, a key of `LINK_KINDS`."""
        ...

    @property
    def tolerance(self) -> float | None:
        """Largest difference that still counts as equal; None where any change counts."""
        ...

    @property
    def units(self) -> str:
        """Units of its values."""
        ...


def kind_of(link: AnyLink) -> LinkKind:
    """Return the kind of a link; one that only a newer IOC knows is treated as a motor."""
    return LINK_KINDS.get(link.kind, LINK_KINDS["motor"])


def measures_beam(link: AnyLink) -> bool:
    """Return whether a link measures the beam: an energy or a wavelength.

    Parameters
    ----------
    link
        Any link.

    Returns
    -------
    bool
        Whether `nominal_value` and `wavelength_of` can convert its value.
    """
    return kind_of(link).beam is not None


def is_within(link: AnyLink, value: float, reference: float) -> bool:
    """Return whether a value equals a reference within the tolerance of a link, as its kind compares them.

    Parameters
    ----------
    link
        The link.
    value, reference
        Values of the link in its units; a relative tolerance is a fraction of `reference`.

    Returns
    -------
    bool
        Whether the value is within the tolerance.
    """
    return kind_of(link).is_within(link.tolerance, value, reference)


def nominal_value(link: AnyLink, wavelength: float) -> float | None:
    """Convert a wavelength (m) to the value of a link in its units.

    Parameters
    ----------
    link
        Any link.
    wavelength
        Wavelength of the beam (m).

    Returns
    -------
    float or None
        None where the link does not measure the beam.
    """
    beam = kind_of(link).beam
    return None if beam is None else beam.from_wavelength(wavelength) / beam.units[link.units]


def wavelength_of(link: AnyLink, value: float) -> float:
    """Convert the value of a link that measures the beam to a wavelength.

    Parameters
    ----------
    link
        An energy or a wavelength.
    value
        Its value, more than 0, in its units.

    Returns
    -------
    float
        Wavelength of the beam (m).

    Raises
    ------
    ValueError
        The link does not measure the beam.
    """
    beam = kind_of(link).beam
    if beam is None:
        raise ValueError(f"link {link.name} of kind {link.kind} does not determine the wavelength")
    return beam.to_wavelength(value * beam.units[link.units])


def contradicts_wavelength(link: LinkState, wavelength: float) -> bool:
    """Return whether a link that measures the beam differs from a wavelength by more than `LinkState.mismatch`.

    Parameters
    ----------
    link
        Any link.
    wavelength
        Wavelength of a geometry (m).

    Returns
    -------
    bool
        False where the link does not measure the beam, has no value, or is out of service.
    """
    nominal = nominal_value(link, wavelength)
    if nominal is None or link.value is None or link.mismatch is None or link.out_of_service is not None:
        return False
    return not abs(link.value - nominal) <= link.mismatch * nominal


def calibrated_value(link: AnyLink, position: Position | None) -> float | None:
    """Return the value of a link in a position, in the units of the link.

    Parameters
    ----------
    link
        The link.
    position
        The position of a revision; it may have been recorded when the link had other units.

    Returns
    -------
    float or None
        None if it was not recorded, or in units that cannot be converted. A value of a link without tolerance is
        never converted: rounding would make it another one.
    """
    units = (position or {}).get(link.name, {}).get("units")
    if units != link.units and not kind_of(link).has_tolerance:
        return None
    return recorded_value(position, link.name, link.units, measures_beam=measures_beam(link))


def recorded_value(position: Position | None, name: str, units: str, *, measures_beam: bool = False) -> float | None:
    """Return the value of a link in a position, in given units.

    Parameters
    ----------
    position
        The position of a revision.
    name
        Name of the link.
    units
        The units of the result.
    measures_beam
        Whether the link measures the beam.

    Returns
    -------
    float or None
        None if it was not recorded, or in units that cannot be converted.
    """
    item = (position or {}).get(name, {})
    value, recorded = item.get("value"), item.get("units")
    if not isinstance(value, float) or not isinstance(recorded, str):
        return None
    return value if recorded == units else value_in(value, recorded, units, measures_beam=measures_beam)


def is_same_position(links: Sequence[AnyLink], one: Position | None, other: Position | None) -> bool:
    """Return whether two positions are the same within the tolerances of the links.

    Parameters
    ----------
    links
        All links of a detector.
    one, other
        The positions; None where they are unknown.

    Returns
    -------
    bool
        A value of a link that does not exist any longer, or in units that cannot be converted, must be identical.
    """
    if one is None or other is None:
        return one is other
    by_name = {link.name: link for link in links}
    return one.keys() == other.keys() and all(_is_same_value(by_name.get(name), name, one, other) for name in one)


def _is_same_value(link: AnyLink | None, name: str, one: Position, other: Position) -> bool:
    old, new = (None if link is None else calibrated_value(link, position) for position in (one, other))
    if link is None or old is None or new is None:
        return dict(one[name]) == dict(other[name])
    return is_within(link, new, old)


def compared(link: LinkState, position: Position | None, wavelength: float) -> LinkState:
    """Compare a link with another revision than the active one.

    Parameters
    ----------
    link
        The link as it was recorded.
    position
        The position of the revision.
    wavelength
        Its wavelength (m), with which a link that measures the beam is compared where the position lacks it.

    Returns
    -------
    LinkState
        The link with `calibrated` and `within` for that revision.
    """
    calibrated = calibrated_value(link, position)
    reference = nominal_value(link, wavelength) if calibrated is None else calibrated
    known = link.value is not None and reference is not None
    return replace(
        link,
        calibrated=calibrated,
        within=is_within(link, cast("float", link.value), cast("float", reference)) if known else None,
    )


def quantity(value: float, units: str) -> str:
    """Format a value with its units for a person.

    Parameters
    ----------
    value
        The value.
    units
        Its units; may be empty.

    Returns
    -------
    str
        Such as ``1000.05 mm``.
    """
    return f"{value:.10g} {units}".rstrip()
