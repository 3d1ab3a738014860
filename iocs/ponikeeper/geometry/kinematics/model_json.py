"""The JSON object of a model: which keys it has, what each may hold, and the parts of a model made of it."""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import cast

from ponikeeper.geometry.kinematics.joints import AnyJoint, Beam, Rotate, Translate
from ponikeeper.geometry.kinematics.spans import Span
from ponikeeper.text import strictjson
from ponikeeper.text.schema import Field, is_integer, object_problems

VERSION = 1
_WHAT = "ponikeeper model"
_STEEPEST = 0.5
"""Largest component of a tilted axis: one that is farther from `about` is nearer to another lab axis."""


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return isfinite(float(value))
    except OverflowError:  # a whole number with hundreds of digits
        return False


def _is_size(value: object) -> bool:
    return _is_number(value) and cast("float", value) >= 0


def _are_numbers(value: object, count: int | None = None) -> bool:
    items = cast("Sequence[object]", value)
    return isinstance(value, list | tuple) and count in (None, len(items)) and all(map(_is_number, items))


def _numbers(expected: str, count: int | None = None, more: Callable[[object], bool] = lambda _: True) -> Field:
    return Field(expected, lambda value: _are_numbers(value, count) and more(value), required=True)


def _is_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in cast("list[object]", value))


def _by_link(allows: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, Mapping) and all(map(allows, cast("Mapping[str, object]", value).values()))


def _is_small(value: object) -> bool:
    return all(abs(item) < _STEEPEST for item in cast("Sequence[float]", value))


_LINK = Field("the name of a link", lambda value: isinstance(value, str) and value != "", required=True)
_UNITS = Field("units, a text", lambda value: isinstance(value, str), required=True)
_FACTOR = Field("a number other than 0", lambda value: _is_number(value) and value != 0, required=True)
_KIND = Field("translate, rotate or beam", lambda _: True, required=True)

_JOINTS: Mapping[str, Mapping[str, Field]] = {
    Translate.kind: {
        "kind": _KIND,
        "link": _LINK,
        "units": _UNITS,
        "factor": _FACTOR,
        "direction": _numbers("three numbers", 3),
    },
    Rotate.kind: {
        "kind": _KIND,
        "link": _LINK,
        "units": _UNITS,
        "factor": _FACTOR,
        "about": Field("1, 2 or 3", lambda value: type(value) is int and value in (1, 2, 3), required=True),
        "tilt": _numbers(f"two numbers from -{_STEEPEST} to {_STEEPEST}", 2, _is_small),
        "offset": _numbers("two numbers (m)", 2),
    },
    Beam.kind: {
        "kind": _KIND,
        "link": _LINK,
        "units": _UNITS,
        "quantity": Field("energy or wavelength", lambda value: value in ("energy", "wavelength"), required=True),
    },
}

_SPAN: Mapping[str, Field] = {
    "low": Field("a number", _is_number, required=True),
    "high": Field("a number", _is_number, required=True),
    "declared": Field("true or false", lambda value: isinstance(value, bool), required=True),
}


def _joint_problems(value: object) -> list[str]:
    problems: list[str] = []
    for number, item in enumerate(cast("list[object]", value)):
        kind = cast("Mapping[str, object]", item).get("kind") if isinstance(item, Mapping) else None
        if not isinstance(kind, str) or kind not in _JOINTS:
            problems.append(f'"joints" has no known joint at {number}: expected a "kind" of {", ".join(_JOINTS)}')
        else:
            problems += object_problems(cast("Mapping[str, object]", item), _JOINTS[kind], f"joints[{number}].")
    return problems


def _span_problems(value: object) -> list[str]:
    problems: list[str] = []
    for link, item in cast("Mapping[str, object]", value).items():
        if not isinstance(item, Mapping):
            problems.append(f'"spans.{link}" is no object: expected "low", "high" and "declared"')
            continue
        span = cast("Mapping[str, object]", item)
        wrong = object_problems(span, _SPAN, f"spans.{link}.")
        if not wrong and cast("float", span["low"]) > cast("float", span["high"]):
            wrong = [f'"spans.{link}" is from {span["low"]!r} to {span["high"]!r}: expected "low" below "high"']
        problems += wrong
    return problems


def _is_member(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    member = cast("Mapping[str, object]", value)
    return is_integer(1)(member.get("revision")) and isinstance(member.get("uid"), str)


def _fit_problems(value: object) -> list[str]:
    members = cast("Mapping[str, object]", value).get("members", [])
    if not isinstance(members, list | tuple) or not all(map(_is_member, cast("list[object]", members))):
        return ['"fit.members" is no list of members: expected objects with a "revision" (its number) and its "uid"']
    numbers = [member["revision"] for member in cast("list[Mapping[str, object]]", members)]
    if len(set(numbers)) < len(numbers):
        return ['"fit.members" names a revision twice: expected each member once']
    return []


_FIELDS: Mapping[str, Field] = {
    "v": Field(f"{VERSION}", lambda value: value == VERSION and type(value) is int, required=True),
    "what": Field(f'"{_WHAT}"', lambda value: value == _WHAT, required=True),
    "geometry": Field("an object, the ten values", lambda value: isinstance(value, Mapping), required=True),
    "panel": _numbers("two sides, more than 0 (m)", 2, lambda value: min(cast("list[float]", value)) > 0),
    "reference": Field("an object of numbers by link", _by_link(_is_number), required=True),
    "joints": Field("a list of joints", lambda value: isinstance(value, list | tuple), True, _joint_problems),
    "free": Field("a list of names of parameters", _is_texts, required=True),
    "covariance": _numbers("a list of numbers, the lower triangle"),
    "by_wavelength": _numbers("a list of numbers"),
    "wavelength_sigma": Field("a number, 0 or more", _is_size, required=True),
    "motor_sigma": Field("an object of numbers, 0 or more, by link", _by_link(_is_size), required=True),
    "scatter": Field("a number, 0 or more (m)", _is_size, required=True),
    "spans": Field("an object of ranges by link", lambda value: isinstance(value, Mapping), True, _span_problems),
    "fit": Field("an object", lambda value: isinstance(value, Mapping), True, _fit_problems),
}


def problems(values: Mapping[str, object]) -> list[str]:
    """Return every problem of the JSON object of a model, but those of its geometry.

    Parameters
    ----------
    values
        The object.

    Returns
    -------
    list of str
        Empty where it can be read.
    """
    return object_problems(values, _FIELDS)


def parts(values: Mapping[str, object]) -> dict[str, object]:
    """Return the parts of a model, but its geometry.

    Parameters
    ----------
    values
        An object without problems.

    Returns
    -------
    dict
        By the names of the parameters of `Model`.
    """
    spans = cast("Mapping[str, Mapping[str, float]]", values["spans"])
    return {
        "panel": _floats(values["panel"]),
        "reference": _by_name(values["reference"]),
        "joints": tuple(_joint(item) for item in cast("list[Mapping[str, object]]", values["joints"])),
        "free": tuple(cast("list[str]", values["free"])),
        "covariance": _floats(values["covariance"]),
        "by_wavelength": _floats(values["by_wavelength"]),
        "wavelength_sigma": float(cast("float", values["wavelength_sigma"])),
        "motor_sigma": _by_name(values["motor_sigma"]),
        "scatter": float(cast("float", values["scatter"])),
        "spans": {
            link: Span(float(span["low"]), float(span["high"]), bool(span["declared"])) for link, span in spans.items()
        },
        "fit": strictjson.plain(values["fit"]),
    }


def as_object(
    *, joints: Sequence[AnyJoint], spans: Mapping[str, Span], fit: object, **plain: object
) -> dict[str, object]:
    """Return the JSON object of a model.

    Parameters
    ----------
    joints, spans, fit
        As `Model` has them.
    plain
        All other parts, as plain JSON values.

    Returns
    -------
    dict
    """
    made: dict[str, object] = {
        "v": VERSION,
        "what": _WHAT,
        **plain,
        "joints": [_joint_object(joint) for joint in joints],
        "spans": {
            link: {"low": span.low, "high": span.high, "declared": span.declared} for link, span in spans.items()
        },
        "fit": strictjson.plain(fit),
    }
    return {name: made[name] for name in _FIELDS}


def _joint_object(joint: AnyJoint) -> dict[str, object]:
    fields = _JOINTS[joint.kind]
    return {name: strictjson.plain(getattr(joint, name)) for name in fields}


def _joint(values: Mapping[str, object]) -> AnyJoint:
    given = {key: value for key, value in values.items() if key != "kind"}
    if values["kind"] == Beam.kind:
        return Beam(**given)  # type: ignore[arg-type]  # checked by `problems`
    given["factor"] = float(cast("float", given["factor"]))
    if values["kind"] == Translate.kind:
        return Translate(**{**given, "direction": _floats(given["direction"])})  # type: ignore[arg-type]
    tilt, offset = _floats(given["tilt"]), _floats(given["offset"])
    return Rotate(**{**given, "tilt": tilt, "offset": offset})  # type: ignore[arg-type]


def _floats(value: object) -> tuple[float, ...]:
    return tuple(float(item) for item in cast("Sequence[float]", value))


def _by_name(value: object) -> dict[str, float]:
    return {name: float(item) for name, item in cast("Mapping[str, float]", value).items()}
