"""Requests, results and snapshots: the JSON texts that cross Channel Access, version 1.

A request asks for one transaction, a result tells how it ended, and a snapshot holds all that is in
force: the only atomic read that CA offers. `EXAMPLES` has one of each.
"""

import difflib
import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from json import JSONDecodeError
from types import MappingProxyType
from typing import ClassVar, Literal, cast

from ponikeeper import strictjson
from ponikeeper.errors import MessageError
from ponikeeper.geometry import NAMES, Geometry, unknown_names

VERSION = 1
MAX_BYTES = 16_000
"""The length of every text PV; clients with old array limits drop what is longer."""

MAX_RESULTS = 32
MAX_STRING_BYTES = 39
"""What a CA string holds."""

_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_MAX_LABEL_BYTES = 38
_MAX_ID_BYTES = 100
_MAX_ERRORS = 16
_MAX_ERROR_LENGTH = 400

Position = Mapping[str, Mapping[str, object]]
"""The links' readbacks when the image was taken: ``{"z": {"value": 1000.01, "units": "mm"}}``."""

AskedPosition = Mapping[str, float] | Literal["now", "unknown"]
Outcome = Literal["accepted", "refused", "undetermined"]


@dataclass(frozen=True, slots=True)
class Commit:
    """Ask that a geometry be stored as a new revision and put in force.

    Parameters
    ----------
    geometry
        The values to set (m, rad, and the two texts).
    inherit
        Whether values that are left out come from the geometry in force.
    derived
        Whether this edits the geometry in force by hand: its label is kept, and it is named in
        ``derived_from``.
    position
        The links' readbacks in the units of the configuration, ``"now"`` or ``"unknown"``.
    expect_revision
        The revision that must be in force; 0 means none.
    """

    op: ClassVar[str] = "commit"
    geometry: Mapping[str, object]
    provenance: Mapping[str, object] = field(default_factory=dict[str, object])
    label: str | None = None
    position: AskedPosition = "unknown"
    expect_revision: int | None = None
    request: str | None = None
    author: str | None = None
    inherit: bool = True
    derived: bool = False
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Activate:
    """Ask that an old revision be put in force again.

    Parameters
    ----------
    revision
        Its number, or a label: then the newest revision with that label is meant.
    force
        Activate it although it was judged wrong.
    """

    op: ClassVar[str] = "activate"
    revision: int | str
    force: bool = False
    request: str | None = None
    author: str | None = None
    digest: str = ""


Request = Commit | Activate


@dataclass(frozen=True, slots=True)
class Result:
    """How one transaction ended."""

    request: str | None
    op: str
    outcome: Outcome
    revision: int | None
    serial: int | None
    errors: tuple[str, ...]
    time: str

    def as_dict(self) -> dict[str, object]:
        """Give the JSON object."""
        return {
            "request": self.request,
            "op": self.op,
            "outcome": self.outcome,
            "revision": self.revision,
            "serial": self.serial,
            "errors": list(self.errors),
            "time": self.time,
        }


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is in force on one detector, at one instant.

    `geometry` is None, and `revision` and `serial` are 0, where the status is UNSET. `position` is
    None where it was never recorded.
    """

    prefix: str
    status: str
    reason: str
    serial: int = 0
    revision: int = 0
    uid: str | None = None
    checksum: str | None = None
    label: str | None = None
    activated: str | None = None
    geometry: Geometry | None = None
    position: Position | None = None
    provenance: Mapping[str, object] = field(default_factory=dict[str, object])

    def as_json(self) -> str:
        """Write the text of ``Snapshot_RBV``."""
        return strictjson.dumps(
            {
                "v": VERSION,
                "prefix": self.prefix,
                "status": self.status,
                "reason": self.reason,
                "serial": self.serial,
                "revision": self.revision,
                "uid": self.uid,
                "checksum": self.checksum,
                "label": self.label,
                "activated": self.activated,
                "geometry": self.geometry and self.geometry.as_dict(),
                "position": strictjson.plain(self.position),
                "provenance": strictjson.plain(self.provenance),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "Snapshot":
        """Read the text of ``Snapshot_RBV``.

        Raises
        ------
        MessageError
            The text is no snapshot of version 1.
        """
        values = _object(text, "snapshot")
        if values.pop("v", None) != VERSION:
            raise MessageError(f'this is no snapshot of version {VERSION}: expected "v": {VERSION}')
        known = {name: values[name] for name in cls.__slots__ if name in values}  # a newer IOC may say more
        geometry = known.pop("geometry", None)
        try:
            parsed = None if geometry is None else Geometry.parse(cast("dict[str, object]", geometry))
            return cls(geometry=parsed, **known)  # type: ignore[arg-type]  # checked by the server that wrote it
        except (TypeError, ValueError) as error:
            raise MessageError(f"this is no snapshot: {error}") from None


def results_json(results: Sequence[Result], limit: int = MAX_BYTES) -> str:
    """Write the text of ``Results_RBV``: up to 32, newest first, as many as fit.

    Parameters
    ----------
    limit
        Length of the PV (bytes).
    """
    rows: list[str] = []
    size = len(strictjson.dumps({"v": VERSION, "results": []}))
    for result in results[:MAX_RESULTS]:
        row = strictjson.dumps(result.as_dict())
        size += len(row) + 2
        if size > limit:
            break
        rows.append(row)
    return f'{{"v": {VERSION}, "results": [{", ".join(rows)}]}}'


def parse_results(text: str) -> list[Result]:
    """Read the text of ``Results_RBV``.

    Raises
    ------
    MessageError
        The text holds no results of version 1.
    """
    try:
        rows = cast("list[dict[str, object]]", _object(text, "results")["results"])
        return [Result(**{**row, "errors": tuple(cast("list[str]", row["errors"]))}) for row in rows]  # type: ignore[arg-type]
    except (KeyError, TypeError) as error:
        raise MessageError(f"these are no results: {error}") from None


def shortened(errors: Sequence[str]) -> tuple[str, ...]:
    """Cut a list of reasons so that a result with them fits its PV, and say that it was cut."""
    kept = [error if len(error) <= _MAX_ERROR_LENGTH else error[: _MAX_ERROR_LENGTH - 3] + "..." for error in errors]
    if len(kept) > _MAX_ERRORS:
        kept[_MAX_ERRORS - 1 :] = [f"and {len(kept) - _MAX_ERRORS + 1} more problems"]
    return tuple(error.encode("ascii", "backslashreplace").decode("ascii") for error in kept)


def parse_request(text: str | bytes) -> Request:
    """Read and check the text of one request.

    Parameters
    ----------
    text
        One JSON object, UTF-8.

    Raises
    ------
    MessageError
        With every problem, and with the request id wherever it can be read.
    """
    try:
        require_whole(text, "request")
        values = _object(_decoded(text), "request")
    except MessageError as error:
        found = _rescued(text if isinstance(text, str) else text.decode("utf-8", "replace"))
        raise MessageError(error.problems, found.get("request"), found.get("op")) from None
    request, op = _text_or_none(values.get("request")), _text_or_none(values.get("op"))
    fields = _FIELDS.get(op or "")
    problems: list[str] = []
    if fields is None:
        problems.append(f"op {strictjson.dumps(values.get('op'))} is unknown: expected {' or '.join(_FIELDS)}")
        fields = _COMMON
    problems += [_unknown_key(key, fields) for key in values if key not in fields]
    problems += [
        f'"{key}" is missing: expected {kind.expected}'
        for key, kind in fields.items()
        if kind.required and key not in values
    ]
    problems += [
        problem for key, kind in fields.items() if key in values for problem in kind.problems(key, values[key])
    ]
    if problems:
        raise MessageError(problems, request, op)
    digest = hashlib.sha256(strictjson.canonical(values).encode()).hexdigest()
    return _made(cast("str", op), values, digest)


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


def request_text(request: Request) -> str:
    """Write a request as the JSON text that `parse_request` reads."""
    values: dict[str, object] = {"v": VERSION, "request": request.request, "op": request.op}
    if request.author is not None:
        values["author"] = request.author
    if isinstance(request, Activate):
        values.update(revision=request.revision, force=request.force)
        return strictjson.dumps(values)
    values["geometry"] = strictjson.plain(request.geometry)
    if request.provenance:
        values["provenance"] = strictjson.plain(request.provenance)
    if request.label is not None:
        values["label"] = request.label
    values["position"] = strictjson.plain(request.position)
    if request.expect_revision is not None:
        values["expect_revision"] = request.expect_revision
    return strictjson.dumps(values)


def label_problem(label: object) -> str | None:
    """Say what is wrong with a label, or None."""
    if not isinstance(label, str) or not _LABEL.fullmatch(label) or len(label) > _MAX_LABEL_BYTES:
        return (
            f"label {_shown(label)} is not allowed: expected a letter, then letters, digits, _ or -, "
            f"at most {_MAX_LABEL_BYTES}, such as near"
        )
    return None


def _made(op: str, values: Mapping[str, object], digest: str) -> Request:
    request, author = cast("str", values["request"]), cast("str | None", values.get("author"))
    if op == Activate.op:
        revision = cast("int | str", values["revision"])
        return Activate(revision, bool(values.get("force", False)), request, author, digest)
    position = values.get("position")
    return Commit(
        geometry=cast("dict[str, object]", values["geometry"]),
        provenance=cast("dict[str, object]", values.get("provenance", {})),
        label=cast("str | None", values.get("label")),
        position="unknown" if position is None else cast("AskedPosition", position),
        expect_revision=cast("int | None", values.get("expect_revision")),
        request=request,
        author=author,
        digest=digest,
    )


@dataclass(frozen=True, slots=True)
class _Kind:
    """What one key of a request may hold."""

    expected: str
    allows: Callable[[object], bool]
    required: bool = False
    details: Callable[[object], list[str]] | None = None

    def problems(self, key: str, value: object) -> list[str]:
        if not self.allows(value):
            return [f'"{key}": {_shown(value)} is not allowed: expected {self.expected}']
        return self.details(value) if self.details else []


def _is_int(lowest: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and lowest <= value < 2**53


def _is_text(longest: int) -> Callable[[object], bool]:
    # half of a surrogate pair, which JSON can hold, is no text: nothing can store it
    return lambda value: isinstance(value, str) and _is_unicode(value) and 0 < len(value.encode()) <= longest


def _is_unicode(value: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in value)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(cast("float", value))


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


def _provenance_problems(value: object) -> list[str]:
    values = cast("dict[str, object]", value)
    problems = [_unknown_key(key, PROVENANCE, "provenance.") for key in values if key not in PROVENANCE]
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
_TEXT = _Kind("a text", _is_text(4000))
_SIZE = _Kind("a number, 0 or more", _is_size)
_COUNT = _Kind("a whole number, 0 or more", _is_int(0))

PROVENANCE: Mapping[str, _Kind] = MappingProxyType(
    {
        "method": _Kind(", ".join(_METHODS), lambda value: value in _METHODS),
        "calibrant": _TEXT,
        "residual_px": _SIZE,
        "residual_rad": _SIZE,
        "n_points": _COUNT,
        "n_rings": _COUNT,
        "sigma": _Kind("an object of numbers by the geometry's names", _is_sigma),
        "wavelength_from": _TEXT,
        "run_uid": _TEXT,
        "image_sha256": _TEXT,
        "software": _TEXT,
        "author": _TEXT,
        "comment": _TEXT,
        "derived_from": _Kind("a revision number", _is_int(1)),
    }
)
"""What a revision may say of where it came from."""

_COMMON: dict[str, _Kind] = {
    "v": _Kind(f"the version, {VERSION}", lambda value: type(value) is int and value == VERSION, required=True),
    "request": _Kind(
        f"an id of your own, a text of 1 to {_MAX_ID_BYTES} bytes", _is_text(_MAX_ID_BYTES), required=True
    ),
    "op": _Kind("commit or activate", lambda value: isinstance(value, str), required=True),
    "author": _Kind("a name, a text of 1 to 200 bytes", _is_text(200)),
}

_FIELDS: dict[str, dict[str, _Kind]] = {
    "commit": {
        **_COMMON,
        "geometry": _Kind("an object of values", _is_object, required=True, details=_geometry_problems),
        "provenance": _Kind("an object", _is_object, details=_provenance_problems),
        "label": _Kind("a label", lambda value: value is None or isinstance(value, str), details=_label_problems),
        "position": _Kind('an object of numbers by link, "now" or "unknown"', _is_position),
        "expect_revision": _Kind("a revision number, 0 for none", _is_int(0)),
    },
    "activate": {
        **_COMMON,
        "revision": _Kind(
            "a revision number or a label",
            lambda value: _is_int(1)(value) or (isinstance(value, str) and label_problem(value) is None),
            required=True,
        ),
        "force": _Kind("true or false", lambda value: isinstance(value, bool)),
    },
}


def _decoded(text: str | bytes) -> str:
    try:
        return text if isinstance(text, str) else text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MessageError(
            f"the request is not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}"
        ) from None


def _object(text: str, what: str) -> dict[str, object]:
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


def _rescued(text: str) -> dict[str, str]:
    """Read the ids out of a text that is bad elsewhere, so that its client finds the refusal."""
    found: dict[str, str] = {}
    for key in ("request", "op"):
        match = re.search(rf'"{key}"\s*:\s*"([^"\\]{{1,{_MAX_ID_BYTES}}})"', text)
        if match:
            found[key] = match.group(1)
    return found


def _unknown_key(key: str, known: Mapping[str, object], where: str = "") -> str:
    close = difflib.get_close_matches(key, known, n=1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    return f'unknown key "{where}{_shown(key)[1:-1]}"{meant}: expected {" ".join(known)}'


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= _MAX_ID_BYTES else None


def _shown(value: object) -> str:
    text = strictjson.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


_EXAMPLE_GEOMETRY = Geometry(
    dist=0.2345, poni1=0.1, poni2=0.1, rot1=0.002, rot2=0.001, rot3=0.0, pixel1=0.0002, pixel2=0.0002,
    wavelength=1.66e-11, detector="Perkin", detector_config={"orientation": 3},
)  # fmt: skip

EXAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "commit": request_text(
            Commit(
                {"dist": 0.2345},
                {"method": "fit", "calibrant": "Ni", "residual_px": 0.04},
                "near",
                {"z": 1000.01},
                12,
                "5f0c2c1e",
                "alice",
            )
        ),
        "activate": request_text(Activate(12, request="9a41b7d0")),
        "results": results_json([Result("5f0c2c1e", "commit", "accepted", 13, 31, (), "2026-11-22T09:30:01.250000Z")]),
        "snapshot": Snapshot(
            prefix="XF:28ID1-ES{Det:PE1}Calib:",
            status="VALID",
            reason="",
            serial=31,
            revision=13,
            uid="0d1f7c52-7d0a-4c8e-9a39-0a3f8a5f5d11",
            checksum="sha256:" + "0" * 64,
            label="near",
            activated="2026-11-22T09:30:01.250000Z",
            geometry=_EXAMPLE_GEOMETRY,
            position={"z": {"value": 1000.01, "units": "mm"}},
            provenance={"method": "fit", "calibrant": "Ni"},
        ).as_json(),
    }
)
"""One text of each kind, as the documentation shows it."""
