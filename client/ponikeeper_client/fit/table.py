"""Table of a fit for terminals and notebooks: value, standard deviation, change since the last calibration."""

import html
import math
from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from ponikeeper.geometry import Geometry
from ponikeeper_client.fit.fit import Fit

_QUANTITIES = (
    ("dist", 1e3, "mm", 4),
    ("poni1", 1e3, "mm", 4),
    ("poni2", 1e3, "mm", 4),
    ("rot1", 180 / math.pi, "deg", 4),
    ("rot2", 180 / math.pi, "deg", 4),
    ("rot3", 180 / math.pi, "deg", 4),
    ("wavelength", 1e10, "angstrom", 6),
)
_HEADS = ("", "value", "sigma", "change", "unit")


def fit_table(fit: Fit, previous: Geometry | None, title: str) -> Table:
    """Build the table of a fit for a terminal.

    Parameters
    ----------
    fit
        Accepted or rejected.
    previous
        The calibration before it; None leaves the changes empty.
    title
        Title of the table.

    Returns
    -------
    rich.table.Table
        For `rich.print`.
    """
    table = Table(title=Text(title), title_justify="left")
    table.add_column(_HEADS[0], style="dim")
    for head in _HEADS[1:]:
        table.add_column(head, justify="right" if head != "unit" else "left")
    for row in rows(fit, previous):
        table.add_row(*row)
    for name, value in quality(fit):
        table.add_row(name, Text(value))
    return table


def fit_html(fit: Fit, previous: Geometry | None, title: str) -> str:
    """Build the table of a fit for a notebook, as HTML; parameters as `fit_table`."""
    head = "".join(f"<th>{name}</th>" for name in _HEADS)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in (*rows(fit, previous), *quality(fit))
    )
    return f"<table><caption><b>{html.escape(title)}</b></caption><tr>{head}</tr>{body}</table>"


def rows(fit: Fit, previous: Geometry | None) -> Iterator[tuple[str, str, str, str, str]]:
    """Format each quantity: name, value, sigma, change and unit; unknown ones are empty. Parameters as `fit_table`."""
    for name, scale, unit, digits in _QUANTITIES:
        value = getattr(fit.geometry, name) * scale
        sigma = f"{fit.sigma[name] * scale:.2g}" if name in fit.sigma else ""
        change = "" if previous is None else f"{value - getattr(previous, name) * scale:+.{digits}f}"
        yield name, f"{value:.{digits}f}", sigma, change, unit
    centre, before = fit.geometry.fit2d, previous.fit2d if previous else None
    if centre is not None:
        for name in ("beam_x", "beam_y"):
            value = getattr(centre, name)
            change = "" if before is None else f"{value - getattr(before, name):+.2f}"
            yield name.replace("_", " "), f"{value:.2f}", "", change, "px"


def quality(fit: Fit) -> Iterator[tuple[str, str]]:
    """Format the quality of a fit: names and values of calibrant, residual and number of points."""
    refined = fit.refined
    yield "calibrant", fit.calibrant.name
    if len(refined.points):
        yield "residual", f"{refined.residual_px:.3f} px, {math.degrees(refined.residual_rad):.4f} deg rms"
    yield "based on", f"{len(refined.points)} points on {len(fit.rings)} rings"
