"""Strict JSON: no NaN, no duplicate keys, ASCII only.

The standard library silently accepts ``NaN``, ``1e999`` and ``{"a": 1, "a": 2}``; in a geometry each of
them is a mistake that must be reported.
"""

import json
import math
from collections.abc import Mapping
from typing import NoReturn, cast

MAX_DEPTH = 32
"""Largest nesting of objects and arrays, small enough to never exhaust the stack."""

_LONGEST_INT = 4000
"""Digits of a whole number that Python reads (sys.set_int_max_str_digits)."""


def loads(text: str) -> object:
    """Parse one JSON text.

    Parameters
    ----------
    text
        JSON.

    Returns
    -------
    object
        Plain dicts, lists, texts, numbers, bools and None.

    Raises
    ------
    ValueError
        The text is not valid JSON, has a number that is not finite or a duplicate key, or is nested more than
        32 deep.
    """
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            parse_int=_short_int,
            object_pairs_hook=_unique_keys,
        )
    except RecursionError:
        raise ValueError(_too_deep(MAX_DEPTH)) from None
    return plain(value)


_LINE = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(", ", ": "))
"""Made once: `json.dumps` would make one for each value."""


def dumps(value: object) -> str:
    """Format a value as one line of ASCII; floats keep every bit."""
    return _LINE.encode(value)


def canonical(value: object) -> str:
    """Format a value so that equal values give equal texts: sorted keys, no spaces."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"), sort_keys=True)


def plain(value: object, depth: int = MAX_DEPTH) -> object:
    """Copy a value into plain dicts and lists, as ``loads(dumps(value))`` would return it.

    Parameters
    ----------
    value
        JSON values; mappings and tuples, too.
    depth
        Allowed nesting.

    Returns
    -------
    object
        The copy.

    Raises
    ------
    TypeError
        A key is not a string; converting it could make two keys equal.
    ValueError
        The value is nested more than `depth` deep (or contains itself).
    """
    try:
        return _plain(value, depth)
    except _TooDeepError:
        raise ValueError(_too_deep(depth)) from None


class _TooDeepError(Exception):
    """The value is nested too deeply."""


def _too_deep(depth: int) -> str:
    return f"nested too deeply: expected at most {depth} nested objects and arrays"


_SCALARS = frozenset({str, float, int, bool, type(None)})
"""Most values: comparing their type is much faster than asking an abstract class."""


def _plain(value: object, room: int) -> object:
    if type(value) in _SCALARS or not isinstance(value, (dict, list, tuple, Mapping)):
        return value
    if room == 0:
        raise _TooDeepError
    if not isinstance(value, Mapping):
        return [_plain(item, room - 1) for item in cast("list[object]", value)]
    copied: dict[str, object] = {}
    for key, item in cast("Mapping[object, object]", value).items():
        if not isinstance(key, str):
            raise TypeError(f"the key {key!a} is not a text")
        copied[key] = _plain(item, room - 1)
    return copied


def _refuse_constant(token: str) -> NoReturn:
    raise ValueError(f"{token} is not valid JSON: expected a finite number")


def _short_int(text: str) -> int:
    if len(text) > _LONGEST_INT:
        raise ValueError(f"{text[:20]}... has {len(text)} digits: expected at most {_LONGEST_INT}")
    return int(text)


def _finite_float(token: str) -> float:
    value = float(token)
    if not math.isfinite(value):
        raise ValueError(f"{token[:40]} is too large for a double: expected a finite number")
    return value


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values: dict[str, object] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {dumps(key)[:60]} is used twice in one object")
        values[key] = value
    return values
