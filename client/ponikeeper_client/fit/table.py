"""What a fit found, as a person reads it: value, sigma, and what changed since the last calibration."""

import html
import math
from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from ponikeeper.geometry import Geometry
from ponikeeper_client.fit.fit import Fit

_SHOWN = (
    ("dist", 1e3, "mm", 4),
    ("poni1", 1e3, "mm", 4),
    ("poni2", 1e3, "mm", 4),
    ("rot1", 180 / math.pi, "deg", 4),
    ("rot2", 180 / math.pi, "deg", 4),
    ("rot3", 180 / math.pi, "deg", 4),
    ("wavelength", 1e10, "angstrom", 6),
)
_HEADS = ("", "value", "sigma", "change", "unit")


def fit_table(fit: Fit, last: Geometry | None, title: str) -> Table:
    """Show a fit on a terminal; `last` is the calibration before it."""
    table = Table(title=Text(title), title_justify="left")
    table.add_column(_HEADS[0], style="dim")
    for head in _HEADS[1:]:
        table.add_column(head, justify="right" if head != "unit" else "left")
    for row in rows(fit, last):
        table.add_row(*row)
    for name, value in quality(fit):
        table.add_row(name, Text(value))
    return table


def fit_html(fit: Fit, last: Geometry | None, title: str) -> str:
    """Show a fit in a notebook."""
    head = "".join(f"<th>{name}</th>" for name in _HEADS)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in (*rows(fit, last), *quality(fit))
    )
    return f"<table><caption><b>{html.escape(title)}</b></caption><tr>{head}</tr>{body}</table>"


def rows(fit: Fit, last: Geometry | None) -> Iterator[tuple[str, str, str, str, str]]:
    """Tell each value: its name, value, sigma and change, all in one unit; what is not known is left empty."""
    for name, scale, unit, digits in _SHOWN:
        value = getattr(fit.geometry, name) * scale
        sigma = f"{fit.sigma[name] * scale:.2g}" if name in fit.sigma else ""
        change = "" if last is None else f"{value - getattr(last, name) * scale:+.{digits}f}"
        yield name, f"{value:.{digits}f}", sigma, change, unit
    spot, before = fit.geometry.fit2d, last.fit2d if last else None
    if spot is not None:
        for name in ("beam_x", "beam_y"):
            value = getattr(spot, name)
            change = "" if before is None else f"{value - getattr(before, name):+.2f}"
            yield name.replace("_", " "), f"{value:.2f}", "", change, "px"


def quality(fit: Fit) -> Iterator[tuple[str, str]]:
    """Tell how good it is."""
    refined = fit.refined
    yield "calibrant", fit.calibrant.name
    if len(refined.points):
        yield "residual", f"{refined.residual_px:.3f} px, {math.degrees(refined.residual_rad):.4f} deg rms"
    yield "rests on", f"{len(refined.points)} points on {len(fit.rings)} rings"
