"""Common to all JSON texts: version, maximum length, parsing."""

from json import JSONDecodeError
from typing import cast

from ponikeeper.errors import MessageError
from ponikeeper.text import strictjson

VERSION = 1

MAX_BYTES = 16_000
"""Length of every text PV (bytes); clients with old array limits drop longer values."""

MAX_STRING_BYTES = 39
"""Length of a CA string (bytes)."""


def require_whole(text: str | bytes, what: str) -> None:
    """Check that a text does not fill its PV.

    Parameters
    ----------
    text
        What a client put.
    what
        Name of the text in messages, such as ``request``.

    Raises
    ------
    MessageError
        The text fills its PV or is longer, so the client probably truncated it.
    """
    if len(text) >= MAX_BYTES:
        raise MessageError(
            f"the {what} has {len(text)} bytes or more and fills its PV, so its client probably cut it: "
            f"expected less than {MAX_BYTES} bytes"
        )


def decoded(text: str | bytes) -> str:
    """Decode what came over the wire; raises `MessageError` where it is not UTF-8."""
    try:
        return (text if isinstance(text, str) else text.decode("utf-8")).removeprefix("\ufeff")  # some editors write it
    except UnicodeDecodeError as error:
        raise MessageError(
            f"the request is not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}"
        ) from None


def read_object(text: str, what: str) -> dict[str, object]:
    """Parse a text that is one JSON object; raises `MessageError`, which names the text `what`."""
    try:
        values = strictjson.loads(text)
    except ValueError as error:
        raise MessageError(f"the {what} is not valid JSON: {error}{_hint(error, text)}") from None
    if not isinstance(values, dict):
        raise MessageError(f"the {what} is not a JSON object: expected {{...}}")
    return cast("dict[str, object]", values)


def _hint(error: ValueError, text: str) -> str:
    """Return what probably happened to a text that is not valid JSON."""
    if not isinstance(error, JSONDecodeError):
        return ""
    if error.msg.startswith("Unterminated") or error.pos >= len(text.rstrip()):
        return " (the text was probably cut)"
    if any(word in error.msg for word in ("control character", "delimiter", "property name")):
        return ' (caput -S turns \\n and \\" into plain characters: put the text from Python, or escape twice)'
    return ""
