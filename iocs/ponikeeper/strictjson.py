"""JSON as ponikeeper reads and writes it: no NaN, no doubled key, nothing but ASCII.

The standard library takes ``NaN``, ``1e999`` and ``{"a": 1, "a": 2}`` without a word; in a
geometry each of them is a mistake that somebody has to hear of.
"""

import json
import math
from collections.abc import Mapping
from typing import NoReturn


def loads(text: str) -> object:
    """Read one JSON text.

    Raises
    ------
    ValueError
        The text is no JSON, holds a number that is not finite, or names a key twice.
    """
    try:
        return json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite_float, object_pairs_hook=_unique_keys
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def dumps(value: object) -> str:
    """Write a value as one line of ASCII; floats survive bit-exact."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(", ", ": "))


def canonical(value: object) -> str:
    """Write a value so that equal values give equal texts: sorted keys, no spaces."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"), sort_keys=True)


def plain(value: object) -> object:
    """Copy a value into plain dicts and lists, as ``loads(dumps(value))`` would give it."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _refuse_constant(token: str) -> NoReturn:
    raise ValueError(f"{token} is no JSON: expected a finite number")


def _finite_float(token: str) -> float:
    value = float(token)
    if not math.isfinite(value):
        raise ValueError(f"{token} is too large for a double: expected a finite number")
    return value


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f'the key "{key}" stands twice in one object')
        found[key] = value
    return found
