"""The state of all links of a detector, as one JSON text."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Protocol, cast

from ponikeeper.errors import MessageError
from ponikeeper.history import Position
from ponikeeper.protocol.json_text import VERSION, read_object
from ponikeeper.protocol.link_kinds import LINK_KINDS, LinkKind
from ponikeeper.protocol.link_units import value_in
from ponikeeper.text import strictjson

MAX_ERROR = 160
"""Largest number of characters of `LinkState.error` as JSON."""


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


@dataclass(frozen=True, slots=True)
class LinkState:
    """The state of one link at one time.

    Parameters
    ----------
    name
        Name of the link, by which a position has its value.
    pv
        Name of the PV with the readback.
    kind
        Name of its kind, a key of `ponikeeper.protocol.link_kinds.LINK_KINDS`.
    units
        Of `value`, `calibrated` and `tolerance`, unless that is relative.
    tolerance
        Largest difference from `calibrated` that does not count; None where any change counts.
    value
        None where the PV has no finite number.
    calibrated
        The value for which the active revision was calibrated; None where unknown.
    moving
        Whether the link moves; None where unknown.
    connected
        Whether every PV of the link is connected.
    within
        Whether the value has been within the tolerance of the active revision for the settling time; None where
        unknown.
    error
        Why there is no value, or why it is unknown whether the link moves.
    mismatch
        For a link that measures the beam, the largest relative difference from the wavelength of a geometry, also
        where the position has another value; None for other links.
    out_of_service
        Since when, by whom and why the link is out of service, and therefore compared with no geometry; None where
        it is in service.
    """

    name: str
    pv: str
    kind: str
    units: str
    tolerance: float | None
    value: float | None
    calibrated: float | None
    moving: bool | None
    connected: bool
    within: bool | None = None
    error: str | None = None
    mismatch: float | None = None
    out_of_service: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.pv})"

    @property
    def unknown_because(self) -> str | None:
        """Why the position of the link is unknown; None where it is at rest at `value`."""
        if self.error is not None:
            return f"{self}: {self.error}"
        if not self.connected or self.value is None or self.moving is None:
            return f"{self} is not connected"
        return f"{self} is moving" if self.moving else None


def in_service(links: Sequence[LinkState]) -> tuple[LinkState, ...]:
    """Return the links that are in service, in their order.

    Parameters
    ----------
    links
        All links of a detector.

    Returns
    -------
    tuple of LinkState
    """
    return tuple(link for link in links if link.out_of_service is None)


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
    recorded = (position or {}).get(link.name, {})
    value, units = recorded.get("value"), recorded.get("units")
    if not isinstance(value, float) or not isinstance(units, str):
        return None
    if units == link.units:
        return value
    if not kind_of(link).has_tolerance:
        return None
    return value_in(value, units, link.units, measures_beam=measures_beam(link))


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


def position_now(links: Sequence[LinkState]) -> dict[str, float] | None:
    """Return the present position.

    Parameters
    ----------
    links
        All links of a detector.

    Returns
    -------
    dict or None
        The values of the links in service by name; None unless all of these are connected, at rest and have a value,
        or if every link is out of service.
    """
    used = in_service(links)
    position = {link.name: link.value for link in used if link.value is not None and link.unknown_because is None}
    return position if len(position) == len(used) and (position or not links) else None


def links_json(links: Sequence[LinkState], settle: float | None = None) -> str:
    """Format the text of ``Links_RBV``.

    Parameters
    ----------
    links
        All links of a detector.
    settle
        For how long a link must not have moved to be at rest (s); None where it is not known.

    Returns
    -------
    str
        JSON.
    """
    settling = {} if settle is None else {"settle": settle}
    return strictjson.dumps({"v": VERSION, **settling, "links": link_rows(links)})


def link_rows(links: Sequence[LinkState]) -> list[dict[str, object]]:
    """Return the JSON objects of links.

    Parameters
    ----------
    links
        The links.

    Returns
    -------
    list of dict
        Plain JSON values by the names of the parameters of `LinkState`.
    """
    return [asdict(link) for link in links]


def links_of(rows: object) -> tuple[LinkState, ...]:
    """Build links from their JSON objects.

    Parameters
    ----------
    rows
        As `link_rows` returns them; unknown keys, which a newer IOC may have, are ignored.

    Returns
    -------
    tuple of LinkState
        The links in their order.

    Raises
    ------
    MessageError
        These are no links.
    """
    try:
        known = [
            {name: row[name] for name in LinkState.__slots__ if name in row}
            for row in cast("list[dict[str, object]]", rows)
        ]
        return tuple(LinkState(**row) for row in known)  # type: ignore[arg-type]  # checked by the server that wrote it
    except (KeyError, TypeError) as error:
        raise MessageError(f"this is not a list of links: {error}") from None


def parse_links(text: str) -> tuple[LinkState, ...]:
    """Parse the text of ``Links_RBV``.

    Parameters
    ----------
    text
        JSON.

    Returns
    -------
    tuple of LinkState
        The links in their order.

    Raises
    ------
    MessageError
        The text is not that of links of version 1.
    """
    return links_of(_links_object(text).get("links"))


def parse_settle(text: str) -> float | None:
    """Parse for how long a link must not have moved to be at rest, from the text of ``Links_RBV``.

    Parameters
    ----------
    text
        JSON.

    Returns
    -------
    float or None
        Settling time (s); None where the text does not have it.

    Raises
    ------
    MessageError
        The text is not that of links of version 1.
    """
    settle = _links_object(text).get("settle")
    return float(settle) if isinstance(settle, int | float) else None


def _links_object(text: str) -> dict[str, object]:
    values = read_object(text, "links")
    if values.get("v") != VERSION:
        raise MessageError(f'this is not a list of links of version {VERSION}: expected "v": {VERSION}')
    return values
