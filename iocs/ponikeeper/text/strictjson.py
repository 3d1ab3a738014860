"""JSON as ponikeeper reads and writes it: no NaN, no doubled key, nothing but ASCII.

The standard library takes ``NaN``, ``1e999`` and ``{"a": 1, "a": 2}`` without a word; in a
geometry each of them is a mistake that somebody has to hear of.
"""

import json
import math
from collections.abc import Mapping
from typing import NoReturn, cast

MAX_DEPTH = 32
"""Objects and arrays in one another; few enough that no stack, however deep, is ever exhausted by them."""


def loads(text: str) -> object:
    """Read one JSON text.

    Raises
    ------
    ValueError
        The text is no JSON, holds a number that is not finite, names a key twice, or is nested
        more than 32 deep.
    """
    try:
        value = json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite_float, object_pairs_hook=_unique_keys
        )
    except RecursionError:
        raise ValueError(_too_deep(MAX_DEPTH)) from None
    return plain(value)


def dumps(value: object) -> str:
    """Write a value as one line of ASCII; floats survive bit-exact."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(", ", ": "))


def canonical(value: object) -> str:
    """Write a value so that equal values give equal texts: sorted keys, no spaces."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"), sort_keys=True)


def plain(value: object, depth: int = MAX_DEPTH) -> object:
    """Copy a value into plain dicts and lists, as ``loads(dumps(value))`` would give it.

    Raises
    ------
    TypeError
        A key is not a text; to make it one could let two keys become the same.
    ValueError
        The value is nested more than `depth` deep (or holds itself).
    """
    try:
        return _plain(value, depth)
    except _TooDeepError:
        raise ValueError(_too_deep(depth)) from None


class _TooDeepError(Exception):
    """There is no room left for what is nested."""


def _too_deep(depth: int) -> str:
    return f"nested too deeply: expected at most {depth} objects and arrays in one another"


def _plain(value: object, room: int) -> object:
    if not isinstance(value, (Mapping, list, tuple)):
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
    raise ValueError(f"{token} is no JSON: expected a finite number")


def _finite_float(token: str) -> float:
    value = float(token)
    if not math.isfinite(value):
        raise ValueError(f"{token[:40]} is too large for a double: expected a finite number")
    return value


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {dumps(key)[:60]} stands twice in one object")
        found[key] = value
    return found
