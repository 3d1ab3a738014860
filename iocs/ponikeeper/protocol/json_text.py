"""What all the JSON texts have in common: their version, their length, and how one is read."""

from json import JSONDecodeError
from typing import cast

from ponikeeper.errors import MessageError
from ponikeeper.text import strictjson

VERSION = 1

MAX_BYTES = 16_000
"""The length of every text PV; clients with old array limits drop what is longer."""

MAX_STRING_BYTES = 39
"""What a CA string holds."""


def require_whole(text: str | bytes, what: str) -> None:
    """See that a text does not fill its PV.

    Raises
    ------
    MessageError
        It does, or is longer: its client probably cut it.
    """
    if len(text) >= MAX_BYTES:
        raise MessageError(
            f"the {what} has {len(text)} bytes or more and fills its PV, so its client probably cut it: "
            f"expected less than {MAX_BYTES} bytes"
        )


def decoded(text: str | bytes) -> str:
    """Give the text of what came over the wire; raises `MessageError` where it is not UTF-8."""
    try:
        return text if isinstance(text, str) else text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MessageError(
            f"the request is not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}"
        ) from None


def read_object(text: str, what: str) -> dict[str, object]:
    """Read a text to its one JSON object; raises `MessageError`, naming the text as `what`."""
    try:
        values = strictjson.loads(text)
    except ValueError as error:
        raise MessageError(f"the {what} is no JSON: {error}{_hint(error, text)}") from None
    if not isinstance(values, dict):
        raise MessageError(f"the {what} is no JSON object: expected {{...}}")
    return cast("dict[str, object]", values)


def _hint(error: ValueError, text: str) -> str:
    """Tell what probably happened to a text that is no JSON."""
    if not isinstance(error, JSONDecodeError):
        return ""
    if error.msg.startswith("Unterminated") or error.pos >= len(text.rstrip()):
        return " (the text was probably cut)"
    if any(word in error.msg for word in ("control character", "delimiter", "property name")):
        return ' (caput -S turns \\n and \\" into plain characters: put the text from Python, or escape twice)'
    return ""
