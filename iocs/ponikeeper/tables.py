"""What the command line shows of snapshots and revisions, as tables for a terminal."""

from collections.abc import Mapping
from typing import Any, cast

from rich.table import Table
from rich.text import Text

from ponikeeper.geometry import Geometry
from ponikeeper.messages import Snapshot
from ponikeeper.parameters import NAMES, PARAMETERS

_SHORTENED = ("label", "calibrant", "author")
"""Columns that give way where the terminal is narrow."""

_STYLES = {"VALID": "bold green", "MOVING": "bold yellow"}


def snapshot_table(snapshot: Snapshot) -> Table:
    """Show all that is in force: status, the geometry in SI and in the human view, provenance."""
    table = Table(title=Text(snapshot.prefix), title_justify="left", show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    table.add_row(
        "status", Text(snapshot.status, style=_STYLES.get(snapshot.status, "bold red")), Text(snapshot.reason)
    )
    if snapshot.geometry is None:
        return table
    since = f"since {snapshot.activated}" if snapshot.activated else ""
    label = f" ({snapshot.label})" if snapshot.label else ""
    table.add_row("revision", Text(f"{snapshot.revision}{label}"), Text(f"serial {snapshot.serial}, {since}"))
    table.add_section()
    human = human_view(snapshot.geometry)
    for name in NAMES:
        table.add_row(name, Text(value_text(name, getattr(snapshot.geometry, name))), Text(human.get(name, "")))
    table.add_row("detector_config", Text(str(snapshot.geometry.as_dict()["detector_config"])), "")
    table.add_section()
    position = snapshot.position
    place = "never recorded" if position is None else ", ".join(
        f"{name} {item['value']} {item['units']}" for name, item in position.items()
    ) or "no links"  # fmt: skip
    table.add_row("position", Text(place), "")
    for key, value in snapshot.provenance.items():
        table.add_row(key, Text(str(value)), "")
    return table


def history_table(prefix: str, listing: object) -> Table:
    """List revisions, newest first."""
    table = Table(title=Text(f"history of {prefix}"), title_justify="left", box=None, padding=(0, 1, 0, 0))
    for name in ("rev", "created (UTC)", "label", "method", "calibrant", "dist/m", "angstrom", "px", "author"):
        table.add_column(name, no_wrap=name not in _SHORTENED)
    for row in cast("dict[str, list[dict[str, Any]]]", listing)["revisions"]:
        cells = (row["revision"], row["created"][:16].replace("T", " "), row["label"], row["method"], row["calibrant"])
        residual = row["residual_px"]
        cells += (
            f"{row['dist']:.6g}",
            f"{row['wavelength'] * 1e10:.6g}",
            residual and f"{residual:.2g}",
            row["author"],
        )
        texts = ("" if cell is None else str(cell) for cell in cells)
        table.add_row(*(Text(text, no_wrap=True, overflow="ellipsis") for text in texts))
    return table


def diff_table(prefix: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Table:
    """Compare two revisions: what is the same is left out."""
    table = Table(title=Text(f"{prefix} revision {one['revision']} and {other['revision']}"), title_justify="left")
    table.add_column("")
    table.add_column(f"revision {one['revision']}", overflow="fold")
    table.add_column(f"revision {other['revision']}", overflow="fold")
    table.add_column("difference", justify="right")
    for part in ("geometry", "provenance"):
        for key in dict.fromkeys((*one[part], *other[part])):
            old, new = one[part].get(key), other[part].get(key)
            if old != new:
                change = f"{new - old:+.6g} {PARAMETERS[key].unit}" if key in PARAMETERS else ""
                table.add_row(key, Text(value_text(key, old)), Text(value_text(key, new)), change)
    for key in ("label", "position", "created"):
        if one[key] != other[key]:
            table.add_row(key, Text(value_text(key, one[key])), Text(value_text(key, other[key])), "")
    return table


def one_line(snapshot: Snapshot) -> str:
    """Tell a snapshot in one line, as ``watch`` prints it."""
    if snapshot.geometry is None:
        return f"{snapshot.prefix} {snapshot.status}"
    label = f" ({snapshot.label})" if snapshot.label else ""
    return (
        f"{snapshot.activated} {snapshot.prefix} {snapshot.status} serial {snapshot.serial} "
        f"revision {snapshot.revision}{label} dist {snapshot.geometry.dist:.6g} m"
    )


def value_text(name: str, value: object) -> str:
    """Show a value with its unit."""
    if value is None:
        return "-"
    return f"{value!r} {PARAMETERS[name].unit}" if name in PARAMETERS else str(value)


def human_view(geometry: Geometry) -> dict[str, str]:
    """Tell the geometry as people speak of it, beside the names of the values it belongs to."""
    found = {"wavelength": f"{geometry.wavelength_angstrom:.6g} angstrom, {geometry.energy:.5g} keV"}
    fit2d = geometry.fit2d
    if fit2d is not None:
        found["dist"] = f"{fit2d.direct_dist:.4f} mm to the beam spot"
        found["poni1"] = f"beam centre y {fit2d.beam_y:.2f} px"
        found["poni2"] = f"beam centre x {fit2d.beam_x:.2f} px"
        found["rot1"] = f"tilt {fit2d.tilt:.4f} deg in plane {fit2d.tilt_plane:.2f} deg"
    return found
