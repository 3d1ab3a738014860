"""Requests: the changes that a client can ask for, each stored whole or not at all."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal

from ponikeeper.geometry.files import Files
from ponikeeper.history.record_form import IN_SERVICE, OUT_OF_SERVICE
from ponikeeper.protocol.json_text import VERSION
from ponikeeper.text import strictjson
from ponikeeper.text.ascii import json_literal

_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")

MAX_LABEL_BYTES = 38
"""Length of the longest label."""

RequestedPosition = Mapping[str, float] | Literal["now", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestBase:
    """What all requests have in common.

    Parameters
    ----------
    request
        An id, by which the client finds the result, and may safely repeat the request.
    author
        The author, where it is not the user who puts the request.
    digest
        Hash of the content, which detects an id that is used again for another content.
    """

    request: str | None = None
    author: str | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Commit(RequestBase):
    """Request to store a geometry as a new revision and to activate it.

    Parameters
    ----------
    geometry
        The values to set (m, rad), ``detector`` and ``detector_config``.
    provenance
        Where the geometry comes from; the keys are those of `PROVENANCE`.
    label
        A name for the revision, such as ``near``; None for none.
    inherit
        Whether omitted values are taken from the active revision.
    edit
        Whether single values of the active revision are changed, as by a put to a setpoint. The new revision names
        it as ``derived_from``, keeps its position (or, if the configuration of the detector says so, has that of the
        links now), and has no label but the given one. Values that are active already change nothing.
    values_only
        Whether values that are active already change nothing, without being an edit: a put to ``Poni``.
    position
        Values of the links in the units of the configuration, ``"now"`` or ``"unknown"``; not for an edit.
    expect_revision
        The revision that must be active; 0 means none.
    files
        Path and SHA-256 of each file that the configuration of the detector names, by its key, and of ``mask``.
    force
        Whether to accept a wavelength that contradicts the energy or wavelength of a link.
    model
        JSON object of a model, which makes the geometry a function of the position of the links; None for a geometry.
        `geometry` is left out, and `position` is the reference of the model and the position of the other links.
    expect_serial
        Serial of the activation that must be the newest one; None for any.
    """

    op: ClassVar[str] = "commit"
    geometry: Mapping[str, object]
    provenance: Mapping[str, object] = field(default_factory=dict[str, object])
    label: str | None = None
    position: RequestedPosition = "unknown"
    expect_revision: int | None = None
    inherit: bool = True
    files: Files = field(default_factory=dict[str, Mapping[str, str]])
    edit: bool = False
    values_only: bool = False
    force: bool = False
    model: Mapping[str, object] | None = None
    expect_serial: int | None = None


@dataclass(frozen=True, slots=True)
class Activate(RequestBase):
    """Request to activate an old revision again.

    Parameters
    ----------
    revision
        Number of the revision, or a label, which means the newest revision with that label.
    force
        Whether to activate it although a correction says that it is wrong.
    """

    op: ClassVar[str] = "activate"
    revision: int | str
    force: bool = False


@dataclass(frozen=True, slots=True)
class RecordPosition(RequestBase):
    """Request to commit the active geometry for the present position: it applies there, too.

    Parameters
    ----------
    force
        Whether to accept that its wavelength contradicts the energy or wavelength of a link.
    """

    op: ClassVar[str] = "record_position"
    force: bool = False


@dataclass(frozen=True, slots=True)
class Undo(RequestBase):
    """Request to undo the newest activation that a person or a client asked for and that is neither undone nor an undo.

    Parameters
    ----------
    expect_serial
        Serial of the activation that must be the newest one; None for any.
    """

    op: ClassVar[str] = "undo"
    expect_serial: int | None = None


@dataclass(frozen=True, slots=True)
class Label(RequestBase):
    """Request to label a revision.

    Parameters
    ----------
    label
        Its new label, such as ``near``; None removes the one that it has.
    revision
        Number of the revision; None is the active one.
    """

    op: ClassVar[str] = "label"
    label: str | None
    revision: int | None = None


@dataclass(frozen=True, slots=True)
class Follow(RequestBase):
    """Request to follow the links, or to stop following them.

    Parameters
    ----------
    on
        Whether the IOC activates the revision that belongs to the position at which the links come to rest.
    """

    op: ClassVar[str] = "follow"
    on: bool


@dataclass(frozen=True, slots=True)
class Supersede(RequestBase):
    """Correction: a revision was wrong, and another one replaces it.

    Parameters
    ----------
    revision
        Number of the revision that was wrong.
    by
        Number of the revision that is right.
    reason
        What was wrong, in one line of at most 400 bytes.
    since, until
        The time for which this counts (UTC ISO 8601), from the first on and before the second; None is unlimited.
    """

    op: ClassVar[str] = "supersede"
    revision: int
    by: int
    reason: str
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class Retract(RequestBase):
    """Correction: a revision was wrong, and nothing replaces it.

    Parameters
    ----------
    revision
        Number of the revision that was wrong.
    reason
        What was wrong, in one line of at most 400 bytes.
    """

    op: ClassVar[str] = "retract"
    revision: int
    reason: str


@dataclass(frozen=True, slots=True)
class OutOfService(RequestBase):
    """Request to take a link out of service: it is compared with no geometry until it returns to service.

    Parameters
    ----------
    link
        Name of the link.
    reason
        Why, in one line of at most 400 bytes.
    """

    op: ClassVar[str] = OUT_OF_SERVICE
    link: str
    reason: str


@dataclass(frozen=True, slots=True)
class InService(RequestBase):
    """Request to return a link to service.

    Parameters
    ----------
    link
        Name of the link.
    reason
        Why, in one line of at most 400 bytes; may be empty.
    """

    op: ClassVar[str] = IN_SERVICE
    link: str
    reason: str = ""


Request = Commit | Activate | RecordPosition | Undo | Label | Follow | Supersede | Retract | OutOfService | InService
"""Any request. Each also takes the keywords `request` (an id, by which the client finds the result), `author` (where
it is not the user who puts the request) and `digest` (hash of the content, set by `parse_request`)."""


def request_text(request: Request) -> str:
    """Format a request as the JSON text that `parse_request` parses.

    Parameters
    ----------
    request
        Any request.

    Returns
    -------
    str
        The text for the PV ``Request``.
    """
    values: dict[str, object] = {"v": VERSION, "request": request.request, "op": request.op}
    if request.author is not None:
        values["author"] = request.author
    if not isinstance(request, Commit):
        names = [item.name for item in fields(request) if item.name not in RequestBase.__slots__]
        return strictjson.dumps(values | {name: getattr(request, name) for name in names})
    values["geometry"] = strictjson.plain(request.geometry)
    if request.provenance:
        values["provenance"] = strictjson.plain(request.provenance)
    if request.model is not None:
        values["model"] = strictjson.plain(request.model)
    if request.files:
        values["files"] = strictjson.plain(request.files)
    if request.label is not None:
        values["label"] = request.label
    if request.edit:
        values["edit"] = True
    if request.position != "unknown" or not request.edit:
        values["position"] = strictjson.plain(request.position)
    if request.expect_revision is not None:
        values["expect_revision"] = request.expect_revision
    if request.expect_serial is not None:
        values["expect_serial"] = request.expect_serial
    if request.force:
        values["force"] = True
    return strictjson.dumps(values)


def label_problem(label: object) -> str | None:
    """Check a label.

    Parameters
    ----------
    label
        Any object.

    Returns
    -------
    str or None
        What is wrong with it; None if nothing is.
    """
    if not isinstance(label, str) or not _LABEL.fullmatch(label) or len(label) > MAX_LABEL_BYTES:
        return (
            f"label {json_literal(label)} is not allowed: expected a letter, then letters, digits, _ or -, "
            f"at most {MAX_LABEL_BYTES}, such as near"
        )
    return None
