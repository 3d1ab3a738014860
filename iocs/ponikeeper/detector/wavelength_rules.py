"""Refuse a wavelength that contradicts a linked energy or wavelength. Pure."""

from collections.abc import Sequence

from ponikeeper.geometry import Geometry
from ponikeeper.history import Revision
from ponikeeper.protocol import Commit, LinkState, RecordPosition, nominal_value, quantity, wavelength_of
from ponikeeper.protocol.link_values import contradicts_wavelength


def wavelength_problems(
    active: Revision | None, geometry: Geometry, commit: Commit, links: Sequence[LinkState]
) -> list[str]:
    """Find the links that contradict the wavelength of a commit for the present position.

    A wavelength that the commit does not give, or that an edit does not change, is not checked. A commit without values
    records the position of the active geometry, with its wavelength.
    """
    unchanged = commit.edit and active is not None and active.geometry.wavelength == geometry.wavelength
    if unchanged or (commit.geometry and "wavelength" not in commit.geometry):
        return []
    return [
        _contradiction(link, geometry.wavelength, op="commit" if commit.geometry else RecordPosition.op)
        for link in links
        if link.unknown_because is None and contradicts_wavelength(link, geometry.wavelength)
    ]


def _contradiction(link: LinkState, wavelength: float, op: str) -> str:
    assert link.value is not None
    nominal = nominal_value(link, wavelength)
    assert nominal is not None
    measured = f"{wavelength_of(link, link.value):.6g} m" if link.value > 0 else "no wavelength"
    return (
        f"wavelength {wavelength!r} m is {quantity(nominal, link.units)}, but {link} is at "
        f"{quantity(link.value, link.units)} ({measured}), more than {link.mismatch:.4g} relative: correct one of "
        f'them; if both are right, put a Request with "op": "{op}" and "force": true'
    )
