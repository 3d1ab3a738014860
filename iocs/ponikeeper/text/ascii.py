"""Text that every Channel Access client can show: printable ASCII, values as they would be typed."""

import html
import reprlib

from ponikeeper.text import strictjson

_LONGEST_LITERAL = 80

_LAYOUT = "\n\t"
"""Characters that only lay out a text."""

_ELLIPSIS = "..."
_MAX_ESCAPED = 12
"""Largest number of characters that JSON needs for one character."""


def printable(text: str) -> str:
    r"""Escape every character that a terminal would obey or hide: ``"\x1b[2J"`` becomes ``"\\x1b[2J"``.

    These are control characters, terminal sequences with them, and marks that change the direction of a text or have no
    width. Newlines and tabs stay, CR LF becomes a newline.

    Parameters
    ----------
    text
        Any text: labels, comments, authors and reasons are what people typed, at any IOC.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in _LAYOUT else repr(char)[1:-1] for char in text.replace("\r\n", "\n")
    )


def html_text(text: str) -> str:
    """Escape a text for HTML: what would be markup, and what `printable` escapes, since it could reorder a page."""
    return html.escape(printable(text))


def to_ascii(text: str) -> str:
    r"""Escape every character that is not printable ASCII: ``"2 µm"`` becomes ``"2 \\xb5m"``.

    CA has no encoding; clients decode other bytes each in their own way. Newlines and tabs stay, as for `printable`.
    """
    return printable(text).encode("ascii", "backslashreplace").decode("ascii")


def cut(text: str, longest: int) -> str:
    """Cut a text so that it is short enough as JSON.

    Parameters
    ----------
    text
        The text.
    longest
        Largest number of characters of its JSON, with the quotation marks.

    Returns
    -------
    str
        The text; where it was cut it ends with ``...``.
    """
    while (excess := len(strictjson.dumps(text)) - longest) > 0:
        text = text[: -len(_ELLIPSIS) - excess // _MAX_ESCAPED - 1] + _ELLIPSIS
    return text


def json_literal(value: object) -> str:
    """Format a value for a message as it would be typed in JSON.

    Parameters
    ----------
    value
        Any object; one that JSON cannot express is formatted as Python does.

    Returns
    -------
    str
        ASCII, at most 80 characters, with ``...`` at the end where it was cut.
    """
    if isinstance(value, float):
        text = repr(float(value))  # numpy's double is a float with another repr
    else:
        try:
            text = strictjson.dumps(value)
        except (TypeError, ValueError, RecursionError):
            text = to_ascii(reprlib.repr(value))
    return text if len(text) <= _LONGEST_LITERAL else text[: _LONGEST_LITERAL - 3] + "..."
