"""Format a geometry for people: SI units next to those of the beamline, as text and as HTML. Pure."""

from ponikeeper.geometry import Geometry
from ponikeeper.geometry.parameters import PARAMETERS
from ponikeeper.geometry.units import DISPLAY_UNITS
from ponikeeper.protocol import Snapshot
from ponikeeper.text.ascii import html_text

Row = tuple[str, str, str]

_UNITS = ", ".join(dict.fromkeys(DISPLAY_UNITS[name].symbol or DISPLAY_UNITS[name].unit for name in PARAMETERS))


def rows(geometry: Geometry) -> list[Row]:
    """Format each value twice: its name, in m and rad with all digits, and rounded in the units that people use.

    Parameters
    ----------
    geometry
        The geometry.

    Returns
    -------
    list of tuple
        Name, value in SI units, value in the units of `DISPLAY_UNITS`.
    """
    units = DISPLAY_UNITS
    texts = {name: units[name].unicode(getattr(geometry, name)) for name in PARAMETERS}
    texts["wavelength"] += f", {units['energy'].unicode(geometry.energy)}"
    table: list[Row] = [
        *((name, f"{getattr(geometry, name)!r} {PARAMETERS[name].unit}", text) for name, text in texts.items()),
        ("detector", geometry.detector, ""),
    ]
    fit2d = geometry.fit2d
    if fit2d is not None:
        x, y = units["beam_x"], units["beam_y"]
        spot = f"x {x.fixed(fit2d.beam_x)} {x.unit}, y {y.fixed(fit2d.beam_y)} {y.unit}"
        distance = f"{units['direct_dist'].text(fit2d.direct_dist)}, tilt {units['tilt'].text(fit2d.tilt)}"
        table += [("beam centre", "", spot), ("direct distance", "", distance)]
    return table


def as_text(snapshot: Snapshot) -> str:
    """Format a snapshot in a few aligned lines."""
    lines = [_head(snapshot)]
    if snapshot.geometry is not None:
        lines += [f"  {name:<16}{si:<28}{human}".rstrip() for name, si, human in rows(snapshot.geometry)]
    return "\n".join(lines)


def as_html(title: str, snapshot: Snapshot | None, absence: str = "not connected") -> str:
    """Format a snapshot as a table for a notebook; None where it is not known, for the reason `absence`."""
    head = absence if snapshot is None else _head(snapshot)
    body = ""
    if snapshot is not None and snapshot.geometry is not None:
        cells = (
            "".join(f"<td>{html_text(cell)}</td>" for cell in row)
            for row in (
                ("", "m, rad", _UNITS),
                *rows(snapshot.geometry),
            )
        )
        body = "".join(f"<tr>{row}</tr>" for row in cells)
    caption = f"<caption><b>{html_text(title)}</b><br>{html_text(head)}</caption>"
    return f"<table>{caption}{body}</table>"


def _head(snapshot: Snapshot) -> str:
    reason = f" ({snapshot.reason})" if snapshot.reason else ""
    if snapshot.geometry is None:
        return f"{snapshot.status}{reason}"
    label = f" {snapshot.label}" if snapshot.label else ""
    return f"{snapshot.status}, revision {snapshot.revision}{label}, active since {snapshot.activated}{reason}"
