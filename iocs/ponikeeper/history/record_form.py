"""The form of a record: the keys and allowed values of its JSON object, and its checksum. Pure."""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from ponikeeper.errors import HistoryError
from ponikeeper.text import strictjson, timestamps
from ponikeeper.text.schema import Field, is_integer, object_problems

Row = tuple[object, ...]
"""The values of a record that its checksum covers, in the order of the columns of the store."""

Position = Mapping[str, Mapping[str, object]]
"""The links' readbacks when the image was taken: ``{"z": {"value": 1000.01, "units": "mm"}}``."""

OUT_OF_SERVICE, IN_SERVICE = "out_of_service", "in_service"
"""The kinds of service changes."""


def checksum(prefix: str, kind: str, row: Row) -> str:
    """Compute the checksum of a record.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    kind
        Kind of the record, a key of `KINDS`.
    row
        The values that the checksum covers.

    Returns
    -------
    str
        ``sha256:`` and 64 hexadecimal digits.
    """
    content = "\x1f".join([prefix, kind, *["\x00" if value is None else str(value) for value in row]])
    return "sha256:" + hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def _is_line(value: object) -> bool:
    # a control character could be confused with the separator of the values under the checksum
    return isinstance(value, str) and not any(char < " " for char in value)


def _is_object(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_position(value: object) -> bool:
    return isinstance(value, Mapping) and all(map(_is_object, cast("Mapping[str, object]", value).values()))


_NUMBER = Field("a whole number from 1 on", is_integer(1), required=True)
_LINE = Field("a text in one line", _is_line, required=True)
_TIMESTAMP = Field("a time such as 2026-11-22T09:30:00.250000Z", timestamps.is_timestamp, required=True)
_OBJECT = Field("an object", _is_object, required=True)
_POSITION = Field("an object of objects", _is_position, required=True)

FIELDS: Mapping[str, Mapping[str, Field]] = MappingProxyType(
    {
        "revision": {
            "revision": _NUMBER,
            "uid": _LINE,
            "checksum": _LINE,
            "created": _TIMESTAMP,
            "label": _LINE.or_null(),
            "geometry": _OBJECT,
            "position": _POSITION.or_null(),
            "provenance": _OBJECT,
        },
        "activation": {
            "serial": _NUMBER,
            "revision": _NUMBER,
            "time": _TIMESTAMP,
            "cause": _LINE,
            "author": _LINE,
            "checksum": _LINE,
        },
        "judgement": {
            "number": _NUMBER,
            "kind": Field("supersede or retract", lambda value: value in ("supersede", "retract"), required=True),
            "revision": _NUMBER,
            "by": _NUMBER.or_null(),
            "since": _TIMESTAMP.or_null(),
            "until": _TIMESTAMP.or_null(),
            "reason": _LINE,
            "time": _TIMESTAMP,
            "author": _LINE,
            "checksum": _LINE,
        },
        "service": {
            "number": _NUMBER,
            "kind": Field(
                f"{OUT_OF_SERVICE} or {IN_SERVICE}",
                lambda value: value in (OUT_OF_SERVICE, IN_SERVICE),
                required=True,
            ),
            "link": _LINE,
            "reason": _LINE,
            "time": _TIMESTAMP,
            "author": _LINE,
            "checksum": _LINE,
        },
        "undo": {
            "number": _NUMBER,
            "serial": _NUMBER,
            "undone": _NUMBER,
            "revision": _NUMBER,
            "checksum": _LINE,
        },
        "label": {
            "number": _NUMBER,
            "revision": _NUMBER,
            "label": _LINE.or_null(),
            "newest": _NUMBER,
            "time": _TIMESTAMP,
            "author": _LINE,
            "checksum": _LINE,
        },
        "derived": {
            "number": _NUMBER,
            "serial": _NUMBER,
            "revision": _NUMBER,
            "geometry": _OBJECT,
            "position": _POSITION,
            "certainty": _OBJECT,
            "checksum": _LINE,
        },
        "rename": {
            "number": _NUMBER,
            "old": _LINE,
            "new": _LINE,
            "time": _TIMESTAMP,
            "author": _LINE,
            "checksum": _LINE,
        },
    }
)
"""The keys of the JSON object of each kind, with the allowed values."""


def checked_name(kind: str, number: str, values: Mapping[str, object]) -> str:
    """Check that an object has the keys of its kind with allowed values, and return the name of the record.

    Raises
    ------
    HistoryError
        With every problem.
    """
    name = f"{kind} {strictjson.dumps(values.get(number))[:40]}"
    problems = object_problems(values, FIELDS[kind])
    if problems:
        raise HistoryError(f"{name}: {problem}" for problem in problems)
    return name


def verify(prefix: str, name: str, kind: str, row: Row, values: Mapping[str, object]) -> None:
    """Verify the checksum of a record; raises `HistoryError`."""
    if checksum(prefix, kind, row) != values["checksum"]:
        raise HistoryError(f"the checksum of {name} of {prefix} does not match: the record was changed")
