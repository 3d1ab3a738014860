"""The state of the links of a detector, and their JSON text."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import cast

from ponikeeper.errors import MessageError
from ponikeeper.protocol.json_text import VERSION, read_object
from ponikeeper.text import strictjson

MAX_ERROR = 160
"""Largest number of characters of `LinkState.error` as JSON."""


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
    scale_sigma
        Relative standard deviation of the scale of a motor, as it is configured; None where it is not.
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
    scale_sigma: float | None = None

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


def links_json(links: Sequence[LinkState], settle: float | None = None, *, extrapolate: bool = False) -> str:
    """Format the text of ``Links_RBV``.

    Parameters
    ----------
    links
        All links of a detector.
    settle
        For how long a link must not have moved to be at rest (s); None where it is not known.
    extrapolate
        Whether a model may be used farther outside of its range than usual.

    Returns
    -------
    str
        JSON; keys that have their usual value are omitted.
    """
    detector: dict[str, object] = {} if settle is None else {"settle": settle}
    if extrapolate:
        detector["extrapolate"] = True
    rows = [
        row if link.scale_sigma is None else {**row, "scale_sigma": link.scale_sigma}
        for link, row in zip(links, link_rows(links), strict=True)
    ]
    return strictjson.dumps({"v": VERSION, **detector, "links": rows})


def link_rows(links: Sequence[LinkState]) -> list[dict[str, object]]:
    """Return the JSON objects of links, as a snapshot has them.

    Parameters
    ----------
    links
        The links.

    Returns
    -------
    list of dict
        Plain JSON values by the names of the parameters of `LinkState`, without `scale_sigma`: it decides no status.
    """
    return [{key: value for key, value in asdict(link).items() if key != "scale_sigma"} for link in links]


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


def parse_extrapolate(text: str) -> bool:
    """Parse whether a model may be used farther outside of its range than usual, from the text of ``Links_RBV``.

    Parameters
    ----------
    text
        JSON.

    Returns
    -------
    bool

    Raises
    ------
    MessageError
        The text is not that of links of version 1.
    """
    return _links_object(text).get("extrapolate") is True


def _links_object(text: str) -> dict[str, object]:
    values = read_object(text, "links")
    if values.get("v") != VERSION:
        raise MessageError(f'this is not a list of links of version {VERSION}: expected "v": {VERSION}')
    return values
