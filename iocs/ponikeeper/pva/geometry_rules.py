"""Decide which request a put to the structure ``Geometry`` is, or why it is refused. Pure.

Values, label, provenance and position that are put become those of the geometry; the other fields can only be read. A
client that reads the structure, changes a field and puts it back marks every field as changed, so those that can only
be read are accepted as they were read; and ``revision`` and ``serial``, which it puts back too, are what it expects to
be active.
"""

import math
from collections.abc import Callable, Mapping
from typing import cast

from ponikeeper.errors import RefusedError
from ponikeeper.geometry.parameters import NAMES
from ponikeeper.protocol import Commit, Label, RequestedPosition
from ponikeeper.protocol.geometry_structure import EXPECTED, NAME, PUT_TEXTS, VALUES
from ponikeeper.protocol.schema import FIELDS
from ponikeeper.text import strictjson
from ponikeeper.text.schema import object_problems

_WRITABLE = (*VALUES, *PUT_TEXTS, *EXPECTED)

_MANUAL = {"method": "manual"}


def decide_put(
    changed: Mapping[str, object], present: Mapping[str, object], was_published: Callable[[str, object], bool]
) -> Commit | Label:
    """Return the request that a put is.

    Parameters
    ----------
    changed
        The fields that the client marked as changed, by name; those of structures as ``sigma.dist``.
    present
        The present structure, in the same form.
    was_published
        Whether a field had a value a short time ago: what changes by itself has moved on when the client puts it back.

    Returns
    -------
    Commit or Label
        A `Label` where the label is all that is new.

    Raises
    ------
    RefusedError
        A field cannot be put, or has no valid value.
    """
    problems = [
        _read_only_text(name, present[name])
        for name, value in changed.items()
        if name not in _WRITABLE and not is_same(value, present[name]) and not was_published(name, value)
    ]
    if not any(name in changed for name in (*VALUES, *PUT_TEXTS)):
        problems.append(f"{NAME}: nothing is put: expected one of {' '.join((*VALUES, *PUT_TEXTS))}")
    geometry: dict[str, object] = {name: changed[name] for name in NAMES if name in changed}
    if "detector_config" in changed:
        geometry["detector_config"] = _json("detector_config", changed["detector_config"], problems)
    provenance = _new_json("provenance", changed, present, problems)
    position = _new_json("position", changed, present, problems)
    parts = {name: part for name, part in (("provenance", provenance), ("position", position)) if part is not None}
    problems += object_problems(parts, {name: FIELDS["commit"][name] for name in parts})
    if problems:
        raise RefusedError(dict.fromkeys(problems))
    label = cast("str | None", changed.get("label") or None)
    is_value_new = any(not is_same(changed[name], present[name]) for name in VALUES if name in changed)
    is_label_new = "label" in changed and changed["label"] != present["label"]
    if is_label_new and not (is_value_new or parts):
        _require_expected(changed, present)
        return Label(label, revision=cast("int | None", present["revision"]) or None)
    expected = {f"expect_{name}": cast("int | None", changed.get(name)) for name in EXPECTED}
    if not parts:
        return Commit(geometry, _MANUAL, label, edit=True, **expected)  # type: ignore[arg-type]
    return Commit(
        geometry,
        cast("Mapping[str, object]", provenance or _MANUAL),
        label,
        cast("RequestedPosition", position or "unknown"),
        **expected,  # type: ignore[arg-type]
    )


def flat(fields: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of a structure with those of its structures, as ``sigma.dist``.

    Parameters
    ----------
    fields
        By name.

    Returns
    -------
    dict
        Values that are no structures.
    """
    values: dict[str, object] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping):
            inner = cast("Mapping[str, object]", value)
            values |= {f"{name}.{each}": item for each, item in inner.items()}
        else:
            values[name] = value
    return values


def is_same(value: object, other: object) -> bool:
    """Return whether two values of a field are the same; NaN is the same as NaN."""
    if isinstance(value, float) and isinstance(other, float) and math.isnan(value):
        return math.isnan(other)
    return value == other


def _read_only_text(name: str, value: object) -> str:
    return f"{NAME}: {name} can only be read, and is {strictjson.dumps(_finite(value))}: leave it out"


def _finite(value: object) -> object:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _require_expected(changed: Mapping[str, object], present: Mapping[str, object]) -> None:
    problems = [
        f"expect_{name} {changed[name]} is outdated: {name} {present[name]} is active; read {NAME} again"
        for name in EXPECTED
        if name in changed and changed[name] != present[name]
    ]
    if problems:
        raise RefusedError(problems)


def _new_json(name: str, changed: Mapping[str, object], present: Mapping[str, object], problems: list[str]) -> object:
    """Return the value of a JSON text that is not the present one; None where it is, or is not put."""
    text = changed.get(name, present[name])
    if text in ("", present[name]):
        return None
    if name == "position" and text in ("now", "unknown"):
        return text
    value = _json(name, text, problems)
    present_text = cast("str", present[name])
    if strictjson.canonical(value) == strictjson.canonical(strictjson.loads(present_text)):
        return None
    return "unknown" if value is None else value


def _json(name: str, text: object, problems: list[str]) -> object:
    """Parse a JSON text; add a problem if that fails."""
    try:
        return strictjson.loads(cast("str", text))
    except ValueError as error:
        problems.append(f"{NAME}: {name} is not valid JSON: {error}")
        return {}
