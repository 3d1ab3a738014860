"""The keys of every request, with the allowed values."""

import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import cast

from ponikeeper.geometry import unknown_names
from ponikeeper.geometry.covariance import is_covariance
from ponikeeper.geometry.files import files_problems, is_sha256
from ponikeeper.geometry.parameters import NAMES, PARAMETERS
from ponikeeper.protocol.assumed_errors import LIMITS as ASSUMED
from ponikeeper.protocol.assumed_errors import is_allowed
from ponikeeper.protocol.integration import EXAMPLE, integration_problems
from ponikeeper.protocol.json_text import VERSION
from ponikeeper.protocol.request import label_problem
from ponikeeper.text import strictjson
from ponikeeper.text.schema import Field, is_integer, is_number, object_problems
from ponikeeper.text.timestamps import normalized

MAX_ID_BYTES = 100


def _is_text(longest: int) -> Callable[[object], bool]:
    # half of a surrogate pair, which JSON can express, cannot be stored as text
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


_is_number = is_number()
_is_size = is_number(lowest=0)


def _is_sigma(value: object) -> bool:
    return isinstance(value, dict) and all(
        key in NAMES and _is_size(item) for key, item in cast("dict[str, object]", value).items()
    )


def _is_covariance(value: object) -> bool:
    if not isinstance(value, dict) or set(table := cast("dict[str, object]", value)) != {"names", "lower"}:
        return False
    names, lower = table["names"], table["lower"]
    if not isinstance(names, list) or not isinstance(lower, list):
        return False
    named, numbers = cast("list[object]", names), cast("list[object]", lower)
    count = len(named)
    known = all(isinstance(name, str) and name in PARAMETERS for name in named) and len(set(named)) == count > 0
    complete = len(numbers) == count * (count + 1) // 2 and all(_is_number(item) for item in numbers)
    return known and complete and is_covariance(cast("list[float]", numbers))


def _has_numbers(*names: str) -> Callable[[object], bool]:
    return lambda value: (
        isinstance(value, dict)
        and set(table := cast("dict[str, object]", value)) == set(names)
        and all(_is_number(item) for item in table.values())
    )


def _is_mask(value: object) -> bool:
    if not isinstance(value, dict) or set(table := cast("dict[str, object]", value)) != {"shape", "sha256"}:
        return False
    shape = table["shape"]
    sides = cast("list[object]", shape) if isinstance(shape, list) else []
    return len(sides) == 2 and all(map(is_integer(1), sides)) and is_sha256(table["sha256"])


def _is_assumed(value: object) -> bool:
    return isinstance(value, dict) and all(
        key in ASSUMED and is_allowed(key, item) for key, item in cast("dict[str, object]", value).items()
    )


def _is_position(value: object) -> bool:
    if isinstance(value, dict):
        return all(_is_number(item) for item in cast("dict[str, object]", value).values())
    return value in (None, "now", "unknown")


def _is_number_or_null(value: object) -> bool:
    return value is None or is_integer(1)(value)


def _is_serial_or_null(value: object) -> bool:
    return value is None or is_integer(0)(value)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _provenance_problems(value: object) -> list[str]:
    return object_problems(cast("dict[str, object]", value), PROVENANCE, "provenance.")


def _settings_problems(value: object) -> list[str]:
    return [] if value is None else integration_problems(value, "provenance.integration.")


def _geometry_problems(value: object) -> list[str]:
    return unknown_names(cast("dict[str, object]", value))


def _label_problems(value: object) -> list[str]:
    problem = None if value is None else label_problem(value)
    return [problem] if problem else []


_METHODS = ("fit", "gui", "poni", "manual", "model")

_LINE = Field("a text in one line, without control characters", _is_line(4000))

_TEXT = Field("a text without control characters", _is_prose(4000))

_SIZE = Field("a number, 0 or more", _is_size)

_COUNT = Field("a whole number, 0 or more", is_integer(0))

PROVENANCE: Mapping[str, Field] = MappingProxyType(
    {
        "method": Field(", ".join(_METHODS), lambda value: value in _METHODS),
        "calibrant": _LINE,
        "residual_px": _SIZE,
        "residual_rad": _SIZE,
        "n_points": _COUNT,
        "n_rings": _COUNT,
        "sigma": Field("an object of numbers by the names of the geometry", _is_sigma),
        "covariance": Field(
            'an object of "names" of values and "lower", the triangle of their covariance, row by row: no variance is '
            "negative, no correlation beyond 1",
            _is_covariance,
        ),
        "accuracy_deg": _SIZE,
        "uncertainty_px": _SIZE,
        "distortion_px": _SIZE,
        "assumed": Field(f"an object of numbers by {', '.join(ASSUMED)}", _is_assumed),
        "preferred_wavelength": Field(
            'an object of the numbers "wavelength" and "sigma"', _has_numbers("wavelength", "sigma")
        ),
        "valid_within": Field('an object of the numbers "y", "x" and "radius"', _has_numbers("y", "x", "radius")),
        "wavelength_from": _LINE,
        "run_uid": _LINE,
        "image": _LINE,
        "image_sha256": _LINE,
        "dark": _LINE,
        "dark_sha256": _LINE,
        "mask_array": Field(
            'an object of "shape" (y, x) and "sha256" of a mask that was no file: one byte for each pixel, 1 is masked',
            _is_mask,
        ),
        "integration": Field(
            f"the settings of an integration, such as {strictjson.dumps(strictjson.plain(EXAMPLE))}, or null for none",
            lambda value: value is None or _is_object(value),
            details=_settings_problems,
        ),
        "software": _LINE,
        "author": _LINE,
        "comment": _TEXT,
        "derived_from": Field("a revision number", is_integer(1)),
    }
)
"""The keys of the provenance of a revision."""

_NUMBER = Field("the number of the revision that was wrong", is_integer(1), required=True)

_REASON = Field("what was wrong, a text in one line of 1 to 400 bytes", _is_line(400), required=True)

_LINK = Field("the name of a link", _is_line(200), required=True)

_INSTANT = Field(
    'a time such as "2026-11-22T09:30:00Z", or null', lambda value: value is None or normalized(value) is not None
)

COMMON: dict[str, Field] = {
    "v": Field(f"the version, {VERSION}", lambda value: type(value) is int and value == VERSION, required=True),
    "request": Field(f"an id of your own, a text of 1 to {MAX_ID_BYTES} bytes", _is_text(MAX_ID_BYTES), required=True),
    "op": Field("the name of an operation", lambda value: isinstance(value, str), required=True),
    "author": Field("a name, a text in one line of 1 to 200 bytes", _is_line(200)),
}

FIELDS: dict[str, dict[str, Field]] = {
    "commit": {
        **COMMON,
        "geometry": Field("an object of values", _is_object, required=True, details=_geometry_problems),
        "provenance": Field("an object", _is_object, details=_provenance_problems),
        "files": Field(
            'an object of {"path": ..., "sha256": ...} by "filename", "splineFile", "x_offset_file", "y_offset_file" '
            '(the key of `detector_config` that names the file; "detector" where it names one only) and "mask"',
            _is_object,
            details=files_problems,
        ),
        "model": Field("an object, a model as ponikeeper model fit writes it", _is_object),
        "label": Field("a label", lambda value: value is None or isinstance(value, str), details=_label_problems),
        "position": Field('an object of numbers by link, "now" or "unknown"', _is_position),
        "expect_revision": Field("a revision number, 0 for none", is_integer(0)),
        "expect_serial": Field("the serial of an activation, 0 for none, or null for any", _is_serial_or_null),
        "edit": Field("true or false", _is_bool),
        "force": Field("true or false", _is_bool),
    },
    "activate": {
        **COMMON,
        "revision": Field(
            "a revision number or a label",
            lambda value: is_integer(1)(value) or (isinstance(value, str) and label_problem(value) is None),
            required=True,
        ),
        "force": Field("true or false", _is_bool),
    },
    "record_position": {**COMMON, "force": Field("true or false", _is_bool)},
    "undo": {**COMMON, "expect_serial": Field("the serial of an activation, or null", _is_number_or_null)},
    "label": {
        **COMMON,
        "label": Field(
            "a label, or null to remove it",
            lambda value: value is None or isinstance(value, str),
            required=True,
            details=_label_problems,
        ),
        "revision": Field("a revision number, or null for the active one", _is_number_or_null),
    },
    "follow": {**COMMON, "on": Field("true or false", _is_bool, required=True)},
    "supersede": {
        **COMMON,
        "revision": _NUMBER,
        "by": Field("the number of the revision that is right", is_integer(1), required=True),
        "reason": _REASON,
        "since": _INSTANT,
        "until": _INSTANT,
    },
    "retract": {**COMMON, "revision": _NUMBER, "reason": _REASON},
    "out_of_service": {
        **COMMON,
        "link": _LINK,
        "reason": Field("why, a text in one line of 1 to 400 bytes", _is_line(400), required=True),
    },
    "in_service": {
        **COMMON,
        "link": _LINK,
        "reason": Field(
            "why, a text in one line of up to 400 bytes", lambda value: value == "" or _is_line(400)(value)
        ),
    },
}
