"""Where the links stand: one text for all links of a detector."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol, cast

from ponikeeper.errors import MessageError
from ponikeeper.protocol.json_text import VERSION, read_object
from ponikeeper.protocol.link_kinds import LINK_KINDS, LinkKind
from ponikeeper.text import strictjson


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
        """Largest difference that does not count; None for the kind ``equal``."""
        ...

    @property
    def units(self) -> str:
        """Units of its values."""
        ...


@dataclass(frozen=True, slots=True)
class LinkState:
    """One link as it stands at one time.

    Parameters
    ----------
    units
        Of `value`, `calibrated` and `tolerance`; the tolerance of an energy or a wavelength is relative.
    value
        None where the PV has no finite number.
    calibrated
        Where it stood for the geometry in force; None where that is not known.
    moving
        None where it is not known.
    connected
        Whether every PV of the link is.
    within
        Whether it stands, and has stood for a while, where the geometry in force holds; None where that is not known.
    error
        Why there is no value, or why it is not known whether the link moves.
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

    @property
    def doubt(self) -> str | None:
        """Say why it is not known where the link stands, or None: it stands at `value`, at rest."""
        if self.error is not None:
            return f"{self.name}: {self.error}"
        if not self.connected or self.value is None or self.moving is None:
            return f"{self.name} is not connected"
        return f"{self.name} is moving" if self.moving else None


def kind_of(link: AnyLink) -> LinkKind:
    """Return the kind of a link; one that only a newer IOC knows is treated as a motor."""
    return LINK_KINDS.get(link.kind, LINK_KINDS["motor"])


def measures_beam(link: AnyLink) -> bool:
    """Return whether a link says what the wavelength is: an energy or a wavelength."""
    return kind_of(link).beam is not None


def is_within(link: AnyLink, value: float, reference: float) -> bool:
    """Tell whether a value is as good as another one, by the link's tolerance.

    What is apart by the tolerance itself is within it, whatever the last bit of a double says.
    """
    if link.tolerance is None:
        return value == reference
    allowed = link.tolerance * abs(reference) if kind_of(link).is_relative else link.tolerance
    return abs(value - reference) <= allowed + 2 * math.ulp(max(abs(value), abs(reference)))


def nominal_value(link: AnyLink, wavelength: float) -> float | None:
    """Give what a link says where the beam has a wavelength (m); None where it is none of energy or wavelength."""
    beam = kind_of(link).beam
    return None if beam is None else beam.from_wavelength(wavelength) / beam.units[link.units]


def wavelength_of(link: AnyLink, value: float) -> float:
    """Convert a value, more than 0, of a link that measures the beam to a wavelength (m).

    Raises
    ------
    ValueError
        The link does not measure the beam.
    """
    beam = kind_of(link).beam
    if beam is None:
        raise ValueError(f"link {link.name} of kind {link.kind} says nothing about the wavelength")
    return beam.to_wavelength(value * beam.units[link.units])


def position_now(links: Sequence[LinkState]) -> dict[str, float] | None:
    """Give where the links stand, by name; None unless all are connected, at rest and have a value."""
    standing = {link.name: link.value for link in links if link.value is not None and link.doubt is None}
    return standing if len(standing) == len(links) else None


def links_json(links: Sequence[LinkState]) -> str:
    """Write the text of ``Links_RBV``."""
    return strictjson.dumps({"v": VERSION, "links": [asdict(link) for link in links]})


def parse_links(text: str) -> tuple[LinkState, ...]:
    """Read the text of ``Links_RBV``.

    Raises
    ------
    MessageError
        The text holds no links of version 1.
    """
    values = read_object(text, "links")
    if values.get("v") != VERSION:
        raise MessageError(f'these are no links of version {VERSION}: expected "v": {VERSION}')
    try:
        rows = cast("list[dict[str, object]]", values["links"])
        known = [
            {name: row[name] for name in LinkState.__slots__ if name in row} for row in rows
        ]  # a newer IOC says more
        return tuple(LinkState(**row) for row in known)  # type: ignore[arg-type]  # checked by the server that wrote it
    except (KeyError, TypeError) as error:
        raise MessageError(f"these are no links: {error}") from None
