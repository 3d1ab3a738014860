"""Figures that need no display: their margins, their title, and their PNG."""

import io
import textwrap
from typing import Any

_DPI = 90
_LEFT, _RIGHT, _BOTTOM, _TOP = 0.95, 0.25, 0.6, 0.45
"""Margins (inches): room for the labels of the axes, and for the title of the uppermost ones."""

_LINE = 0.24
"""Height of a line of the title of a figure (inches)."""

_LETTERS = 9.5
"""Number of letters of such a line on an inch."""


def new_figure(width: float, height: float, *, between: tuple[float, float] = (0.2, 0.3), dpi: int = _DPI) -> Any:
    """Return an empty figure whose margins have room for the labels of axes.

    The margins are fixed: for matplotlib to compute them takes longer than to draw all the rest.

    Parameters
    ----------
    width, height
        Of the figure (inches).
    between
        Distance of subplots, of columns and of rows, in parts of the mean size of the subplots.
    dpi
        Pixels per inch.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi)
    FigureCanvasAgg(figure)
    figure.subplots_adjust(
        left=_LEFT / width, right=1 - _RIGHT / width, bottom=_BOTTOM / height, top=1 - _TOP / height,
        wspace=between[0], hspace=between[1],
    )  # fmt: skip
    return figure


def set_title(figure: Any, text: str, color: str = "black") -> None:
    """Write a title above all axes, in as many lines as it needs.

    Parameters
    ----------
    figure
        What `new_figure` returned.
    text
        Lines; one that is longer than the figure is wide is wrapped.
    color
        A colour of matplotlib.
    """
    width, height = figure.get_size_inches()
    lines = [part for line in text.splitlines() for part in textwrap.wrap(line, int(_LETTERS * width)) or [""]]
    figure.suptitle("\n".join(lines), color=color, y=1 - 0.1 / height, va="top")
    figure.subplots_adjust(top=1 - (_TOP + _LINE * len(lines)) / height)


def png(figure: Any) -> bytes:
    """Draw a figure.

    Parameters
    ----------
    figure
        Of any layout, with a canvas that draws without a display.

    Returns
    -------
    bytes
        The content of a PNG file.
    """
    content = io.BytesIO()
    figure.canvas.print_png(content, pil_kwargs={"compress_level": 3})  # savefig would lay it out twice
    return content.getvalue()
