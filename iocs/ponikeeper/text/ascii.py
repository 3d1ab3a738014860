"""Text that every Channel Access client can show: printable ASCII, values as they would be typed."""

import reprlib

from ponikeeper.text import strictjson

_LONGEST_LITERAL = 80

_ELLIPSIS = "..."
_MAX_ESCAPED = 12
"""Largest number of characters that JSON needs for one character."""


def to_ascii(text: str) -> str:
    r"""Escape every character that is not ASCII: ``"2 µm"`` becomes ``"2 \\xb5m"``.

    CA has no encoding; clients decode other bytes each in their own way.
    """
    return text.encode("ascii", "backslashreplace").decode("ascii")


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
