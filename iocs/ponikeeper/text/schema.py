"""A small schema for JSON objects: what each key may hold, and every problem of an object at once.

Requests (`ponikeeper.protocol.schema`) and records (`ponikeeper.history.records`) are tables of `Field`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast

from ponikeeper.text.ascii import json_literal
from ponikeeper.text.suggestions import MAX_NAMES, suggestion

Predicate = Callable[[object], bool]


@dataclass(frozen=True, slots=True)
class Field:
    """What one key of an object may hold.

    Parameters
    ----------
    expected
        The allowed values, as an error message names them.
    allows
        Whether a value is allowed.
    required
        Whether the key must be there.
    details
        Further problems of an allowed value, for what is nested in it.
    """

    expected: str
    allows: Predicate
    required: bool = False
    details: Callable[[object], list[str]] | None = None

    def or_null(self) -> "Field":
        """Return the same field that may also be null."""

        def allows(value: object) -> bool:
            return value is None or self.allows(value)

        return replace(self, expected=f"{self.expected}, or null", allows=allows)

    def problems(self, name: str, value: object) -> list[str]:
        """Return what is wrong with the value of a key; empty where it is allowed."""
        if not self.allows(value):
            return [f'"{name}": {json_literal(value)} is not allowed: expected {self.expected}']
        return self.details(value) if self.details else []


def object_problems(values: Mapping[str, object], fields: Mapping[str, Field], path: str = "") -> list[str]:
    """Return every problem of an object: unknown keys, missing keys, values that are not allowed.

    Parameters
    ----------
    values
        The object.
    fields
        All keys that it may have.
    path
        Where the object is nested, such as ``provenance.``; it precedes each key in the messages.
    """
    unknown = [key for key in values if key not in fields]
    problems = [_unknown_key(key, fields, path) for key in unknown[:MAX_NAMES]]
    if len(unknown) > MAX_NAMES:
        problems.append(f"{len(unknown) - MAX_NAMES} more unknown keys")
    problems += [
        f'"{path}{key}" is missing: expected {field.expected}'
        for key, field in fields.items()
        if field.required and key not in values
    ]
    for key, field in fields.items():
        if key in values:
            problems += field.problems(f"{path}{key}", values[key])
    return problems


def _unknown_key(key: str, fields: Mapping[str, Field], path: str) -> str:
    return f'unknown key "{path}{json_literal(key)[1:-1]}"{suggestion(key, fields)}: expected {" ".join(fields)}'


def is_integer(lowest: int) -> Predicate:
    """Return a predicate for whole numbers from `lowest` on that a double holds exactly; a bool is not one."""
    return lambda value: type(value) is int and lowest <= value < 2**53


def is_number(lowest: float = -math.inf, highest: float = math.inf) -> Predicate:
    """Return a predicate for numbers between two limits that a double can hold; a bool is not one."""

    def allows(value: object) -> bool:
        if type(value) not in (int, float):
            return False
        try:
            number = float(cast("float", value))
        except OverflowError:
            return False
        return math.isfinite(number) and lowest <= number <= highest

    return allows
