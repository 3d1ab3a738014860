"""A geometry as people read it: SI units beside those of the beamline, as text and as HTML. Pure."""

import html
import math

from ponikeeper.geometry import Geometry
from ponikeeper.protocol import Snapshot

Row = tuple[str, str, str]


def rows(geometry: Geometry) -> list[Row]:
    """Tell each value twice: its name, in m and rad, in mm, deg, um and angstrom.

    The numbers in SI are whole, the others rounded.
    """
    told: list[Row] = [
        (name, f"{getattr(geometry, name)!r} m", f"{getattr(geometry, name) * 1e3:.6g} mm")
        for name in ("dist", "poni1", "poni2")
    ]
    told += [
        (name, f"{getattr(geometry, name)!r} rad", f"{math.degrees(getattr(geometry, name)):.6g} deg")
        for name in ("rot1", "rot2", "rot3")
    ]
    told += [
        (name, f"{getattr(geometry, name)!r} m", f"{getattr(geometry, name) * 1e6:.6g} um")
        for name in ("pixel1", "pixel2")
    ]
    energy = f"{geometry.wavelength_angstrom:.8g} \N{LATIN CAPITAL LETTER A WITH RING ABOVE}, {geometry.energy:.6g} keV"
    told += [("wavelength", f"{geometry.wavelength!r} m", energy), ("detector", geometry.detector, "")]
    fit2d = geometry.fit2d
    if fit2d is not None:
        told += [
            ("beam centre", "", f"x {fit2d.beam_x:.2f} px, y {fit2d.beam_y:.2f} px"),
            ("direct distance", "", f"{fit2d.direct_dist:.6g} mm, tilt {fit2d.tilt:.4g} deg"),
        ]
    return told


def as_text(snapshot: Snapshot) -> str:
    """Tell a snapshot in a few aligned lines."""
    lines = [_head(snapshot)]
    if snapshot.geometry is not None:
        lines += [f"  {name:<16}{si:<28}{human}".rstrip() for name, si, human in rows(snapshot.geometry)]
    return "\n".join(lines)


def as_html(title: str, snapshot: Snapshot | None) -> str:
    """Tell a snapshot as a table for a notebook; None is one that is not connected."""
    head = "not connected" if snapshot is None else _head(snapshot)
    body = ""
    if snapshot is not None and snapshot.geometry is not None:
        cells = (
            "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
            for row in (
                ("", "m, rad", "mm, deg, um, \N{LATIN CAPITAL LETTER A WITH RING ABOVE}"),
                *rows(snapshot.geometry),
            )
        )
        body = "".join(f"<tr>{row}</tr>" for row in cells)
    caption = f"<caption><b>{html.escape(title)}</b><br>{html.escape(head)}</caption>"
    return f"<table>{caption}{body}</table>"


def _head(snapshot: Snapshot) -> str:
    reason = f" ({snapshot.reason})" if snapshot.reason and snapshot.status != "VALID" else ""
    if snapshot.geometry is None:
        return f"{snapshot.status}{reason}"
    label = f" {snapshot.label}" if snapshot.label else ""
    return f"{snapshot.status}, revision {snapshot.revision}{label}, in force since {snapshot.activated}{reason}"
