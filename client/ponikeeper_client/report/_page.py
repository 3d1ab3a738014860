"""A page of sections as HTML, in one file: pictures are in it, and every text is escaped."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any

from ponikeeper import __version__
from ponikeeper.errors import MissingExtraError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.units import DISPLAY_UNITS
from ponikeeper.text.ascii import printable
from ponikeeper.text.timestamps import from_datetime, to_seconds
from ponikeeper_client._display import rows as geometry_rows
from ponikeeper_client._geometry_errors import standard_deviations


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page.

    Parameters
    ----------
    title
        Its heading.
    lines
        Lines of text.
    columns, rows
        A table below the lines; none where there are no rows.
    picture
        The content of a PNG file below the table.
    text
        A text in a fixed font, at the end.
    """

    title: str
    lines: Sequence[str] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()
    picture: bytes | None = None
    text: str = ""

    @property
    def source(self) -> str:
        """The picture as the source of an ``img``."""
        return "data:image/png;base64," + base64.b64encode(self.picture or b"").decode()


def page(title: str, made: datetime, sections: Iterable[Section]) -> str:
    """Format a page.

    Parameters
    ----------
    title
        Its title.
    made
        When it was made.
    sections
        Its parts.

    Returns
    -------
    str
        HTML.

    Raises
    ------
    MissingExtraError
        Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "jinja2") from error
    text = files("ponikeeper_client.report").joinpath("page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_shown)
    template = environment.from_string(text)
    return template.render(
        title=title, made=to_seconds(from_datetime(made)), version=__version__, sections=list(sections)
    )


def _shown(value: object) -> object:
    """Return a value of the page, a text without what a page does not show as it is."""
    return printable(value) if isinstance(value, str) else value


def values_section(
    title: str, geometry: Geometry, covariance: Mapping[str, Any] | None, lines: Sequence[str]
) -> Section:
    """Return a section with the values of a geometry.

    Parameters
    ----------
    title
        Its heading.
    geometry
        The geometry.
    covariance
        Of its values, as the provenance of a fit has it; None where there is none.
    lines
        What is said of it.

    Returns
    -------
    Section
        With a row for each value: in SI units, in the units of people, and its standard deviation.
    """
    sigma = standard_deviations(covariance)
    rows = [
        (name, si, human, DISPLAY_UNITS[name].unicode(sigma[name]) if name in sigma else "")
        for name, si, human in geometry_rows(geometry)
    ]
    return Section(title, lines, ("value", "m, rad", "", "standard deviation"), rows)
