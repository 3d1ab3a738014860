"""A request: what one transaction is asked to do."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal

from ponikeeper.protocol.json_text import VERSION
from ponikeeper.text import strictjson
from ponikeeper.text.ascii import json_literal

_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

_MAX_LABEL_BYTES = 38

AskedPosition = Mapping[str, float] | Literal["now", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What every request may say.

    Parameters
    ----------
    request
        An id, by which its result is found, and by which it can be asked again.
    author
        Who asks, where it is somebody else than who puts it.
    digest
        Of its content, by which the same id with another content is told apart.
    """

    request: str | None = None
    author: str | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Commit(Asked):
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
    inherit: bool = True
    derived: bool = False


@dataclass(frozen=True, slots=True)
class Activate(Asked):
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


@dataclass(frozen=True, slots=True)
class Here(Asked):
    """Say that the geometry in force holds where the links stand now: it becomes a revision with that position."""

    op: ClassVar[str] = "here"


@dataclass(frozen=True, slots=True)
class Follow(Asked):
    """Switch on or off that the geometry follows the links to a known position."""

    op: ClassVar[str] = "follow"
    on: bool


@dataclass(frozen=True, slots=True)
class Supersede(Asked):
    """Say that a revision was wrong, and which one is right.

    Parameters
    ----------
    since, until
        For which time (UTC ISO-8601), from the first and before the second; None is open.
    """

    op: ClassVar[str] = "supersede"
    revision: int
    by: int
    reason: str
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Retract(Asked):
    """Say that a revision was wrong, and that nothing replaces it."""

    op: ClassVar[str] = "retract"
    revision: int
    reason: str


Request = Commit | Activate | Here | Follow | Supersede | Retract


def request_text(request: Request) -> str:
    """Write a request as the JSON text that `parse_request` reads."""
    values: dict[str, object] = {"v": VERSION, "request": request.request, "op": request.op}
    if request.author is not None:
        values["author"] = request.author
    if not isinstance(request, Commit):
        asked = [item.name for item in fields(request) if item.name not in Asked.__slots__]
        return strictjson.dumps(values | {name: getattr(request, name) for name in asked})
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
            f"label {json_literal(label)} is not allowed: expected a letter, then letters, digits, _ or -, "
            f"at most {_MAX_LABEL_BYTES}, such as near"
        )
    return None
