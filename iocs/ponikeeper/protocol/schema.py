"""What each key of a request may hold, and what is said where it holds something else."""

import difflib
import math
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from ponikeeper.geometry import unknown_names
from ponikeeper.geometry.parameters import NAMES
from ponikeeper.protocol.json_text import VERSION
from ponikeeper.protocol.request import label_problem
from ponikeeper.text.ascii import json_literal
from ponikeeper.text.timestamps import normalized

MAX_ID_BYTES = 100


@dataclass(frozen=True, slots=True)
class Kind:
    """What one key of a request may hold."""

    expected: str
    allows: Callable[[object], bool]
    required: bool = False
    details: Callable[[object], list[str]] | None = None

    def problems(self, key: str, value: object) -> list[str]:
        """Say what is wrong with the value of a key; nothing where it may stand."""
        if not self.allows(value):
            return [f'"{key}": {json_literal(value)} is not allowed: expected {self.expected}']
        return self.details(value) if self.details else []


def _is_int(lowest: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and lowest <= value < 2**53


def _is_text(longest: int) -> Callable[[object], bool]:
    # half of a surrogate pair, which JSON can hold, is no text: nothing can store it
    return lambda value: isinstance(value, str) and _is_unicode(value) and 0 < len(value.encode()) <= longest


def _is_line(longest: int) -> Callable[[object], bool]:
    return lambda value: _is_text(longest)(value) and not any(_is_control(char) for char in cast("str", value))


def _is_prose(longest: int) -> Callable[[object], bool]:
    return lambda value: (
        _is_text(longest)(value) and not any(_is_control(char) and char not in "\r\n\t" for char in cast("str", value))
    )


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Zl", "Zp")


def _is_unicode(value: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in value)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_number(value: object) -> bool:
    if type(value) not in (int, float):
        return False
    try:
        return math.isfinite(float(cast("float", value)))
    except OverflowError:  # an integer that no double can hold
        return False


def _is_size(value: object) -> bool:
    return _is_number(value) and cast("float", value) >= 0


def _is_sigma(value: object) -> bool:
    return isinstance(value, dict) and all(
        key in NAMES and _is_size(item) for key, item in cast("dict[str, object]", value).items()
    )


def _is_position(value: object) -> bool:
    if isinstance(value, dict):
        return all(_is_number(item) for item in cast("dict[str, object]", value).values())
    return value in (None, "now", "unknown")


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def unknown_key(key: str, known: Mapping[str, object], where: str = "") -> str:
    """Say that a key is unknown, and which was probably meant."""
    close = difflib.get_close_matches(key, known, n=1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    return f'unknown key "{where}{json_literal(key)[1:-1]}"{meant}: expected {" ".join(known)}'


def _provenance_problems(value: object) -> list[str]:
    values = cast("dict[str, object]", value)
    problems = [unknown_key(key, PROVENANCE, "provenance.") for key in values if key not in PROVENANCE]
    return problems + [
        problem
        for key, kind in PROVENANCE.items()
        if key in values
        for problem in kind.problems(f"provenance.{key}", values[key])
    ]


def _geometry_problems(value: object) -> list[str]:
    return unknown_names(cast("dict[str, object]", value))


def _label_problems(value: object) -> list[str]:
    problem = None if value is None else label_problem(value)
    return [problem] if problem else []


_METHODS = ("fit", "gui", "poni", "manual")

_LINE = Kind("a text in one line, without control characters", _is_line(4000))

_TEXT = Kind("a text without control characters", _is_prose(4000))

_SIZE = Kind("a number, 0 or more", _is_size)

_COUNT = Kind("a whole number, 0 or more", _is_int(0))

PROVENANCE: Mapping[str, Kind] = MappingProxyType(
    {
        "method": Kind(", ".join(_METHODS), lambda value: value in _METHODS),
        "calibrant": _LINE,
        "residual_px": _SIZE,
        "residual_rad": _SIZE,
        "n_points": _COUNT,
        "n_rings": _COUNT,
        "sigma": Kind("an object of numbers by the geometry's names", _is_sigma),
        "wavelength_from": _LINE,
        "run_uid": _LINE,
        "image_sha256": _LINE,
        "software": _LINE,
        "author": _LINE,
        "comment": _TEXT,
        "derived_from": Kind("a revision number", _is_int(1)),
    }
)
"""What a revision may say of where it came from."""

_NUMBER = Kind("the number of the revision that was wrong", _is_int(1), required=True)

_REASON = Kind("what was wrong, a text in one line of 1 to 400 bytes", _is_line(400), required=True)

_INSTANT = Kind(
    'an instant such as "2026-11-22T09:30:00Z", or null', lambda value: value is None or normalized(value) is not None
)

COMMON: dict[str, Kind] = {
    "v": Kind(f"the version, {VERSION}", lambda value: type(value) is int and value == VERSION, required=True),
    "request": Kind(f"an id of your own, a text of 1 to {MAX_ID_BYTES} bytes", _is_text(MAX_ID_BYTES), required=True),
    "op": Kind("what is asked", lambda value: isinstance(value, str), required=True),
    "author": Kind("a name, a text in one line of 1 to 200 bytes", _is_line(200)),
}

FIELDS: dict[str, dict[str, Kind]] = {
    "commit": {
        **COMMON,
        "geometry": Kind("an object of values", _is_object, required=True, details=_geometry_problems),
        "provenance": Kind("an object", _is_object, details=_provenance_problems),
        "label": Kind("a label", lambda value: value is None or isinstance(value, str), details=_label_problems),
        "position": Kind('an object of numbers by link, "now" or "unknown"', _is_position),
        "expect_revision": Kind("a revision number, 0 for none", _is_int(0)),
    },
    "activate": {
        **COMMON,
        "revision": Kind(
            "a revision number or a label",
            lambda value: _is_int(1)(value) or (isinstance(value, str) and label_problem(value) is None),
            required=True,
        ),
        "force": Kind("true or false", _is_bool),
    },
    "here": COMMON,
    "follow": {**COMMON, "on": Kind("true or false", _is_bool, required=True)},
    "supersede": {
        **COMMON,
        "revision": _NUMBER,
        "by": Kind("the number of the revision that is right", _is_int(1), required=True),
        "reason": _REASON,
        "since": _INSTANT,
        "until": _INSTANT,
    },
    "retract": {**COMMON, "revision": _NUMBER, "reason": _REASON},
}
