"""Table of a fit for terminals and notebooks: value, standard deviation, change since the last calibration."""

import math
from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from ponikeeper.geometry import Geometry
from ponikeeper.geometry.units import DISPLAY_UNITS
from ponikeeper.text.ascii import html_text
from ponikeeper_client.fit.fit import Fit

_QUANTITIES = ("dist", "poni1", "poni2", "rot1", "rot2", "rot3", "wavelength")
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
        "<tr>" + "".join(f"<td>{html_text(cell)}</td>" for cell in row) + "</tr>"
        for row in (*rows(fit, previous), *quality(fit))
    )
    return f"<table><caption><b>{html_text(title)}</b></caption><tr>{head}</tr>{body}</table>"


def rows(fit: Fit, previous: Geometry | None) -> Iterator[tuple[str, str, str, str, str]]:
    """Format each quantity: name, value, sigma, change and unit; unknown ones are empty. Parameters as `fit_table`."""
    for name in _QUANTITIES:
        sigma = f"{DISPLAY_UNITS[name].convert(fit.sigma[name]):.2g}" if name in fit.sigma else ""
        yield _row(name, name, fit.geometry, previous, sigma)
    centre, before = fit.geometry.fit2d, previous.fit2d if previous else None
    if centre is not None:
        for name in ("beam_x", "beam_y"):
            yield _row(name.replace("_", " "), name, centre, before, "")


def _row(label: str, name: str, now: object, before: object, sigma: str) -> tuple[str, str, str, str, str]:
    unit = DISPLAY_UNITS[name]
    value = getattr(now, name)
    change = ""
    if before is not None:
        change = f"{unit.convert(value) - unit.convert(getattr(before, name)):+.{unit.decimals}f}"
    return label, unit.fixed(value), sigma, change, unit.unit


def quality(fit: Fit) -> Iterator[tuple[str, str]]:
    """Format the quality of a fit: names and values of calibrant, residual, certainty and number of points."""
    refined = fit.refined
    yield "calibrant", fit.calibrant.name
    if len(refined.points):
        yield "residual", f"{refined.residual_px:.3f} px, {math.degrees(refined.residual_rad):.4f} deg rms"
    if fit.certainty is not None:
        yield from fit.certainty.describe()
    if fit.valid_within is not None:
        yield "valid", fit.valid_within.text()
    yield "based on", f"{len(refined.points)} points on {len(fit.rings)} rings"
