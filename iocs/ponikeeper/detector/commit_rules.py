"""Decide which revision a commit creates, or why it is refused. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ponikeeper.detector.file_rules import decide_files
from ponikeeper.detector.integration_rules import decide_integration
from ponikeeper.detector.wavelength_rules import wavelength_problems
from ponikeeper.errors import GeometryError, RefusedError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.detectors import pixel_size
from ponikeeper.geometry.files import NO_FILES
from ponikeeper.geometry.parameters import NAMES, Limits
from ponikeeper.geometry.slips import slips
from ponikeeper.history import Position, Revision
from ponikeeper.protocol import (
    MAX_BYTES,
    AssumedErrors,
    Commit,
    LinkState,
    RequestedPosition,
    Snapshot,
    Status,
    label_problem,
    position_now,
)
from ponikeeper.protocol.findings import MAX_REASON, WHERE_TO_BEGIN
from ponikeeper.protocol.links import MAX_ERROR
from ponikeeper.protocol.request import MAX_LABEL_BYTES
from ponikeeper.store import Draft
from ponikeeper.text import strictjson

EditPosition = Literal["keep", "now"]
"""The position of an edited geometry: that of the revision that was edited, or that of the links."""


@dataclass(frozen=True, slots=True)
class Before:
    """What is known before a commit changes the detector.

    Parameters
    ----------
    values
        Pixels and configuration that the same client put just before; they are kept.
    pixels
        Pixel sizes of the newest revision with this detector (m), for one that is not in the table; None if none.
    """

    values: Mapping[str, object] = field(default_factory=dict[str, object])
    pixels: tuple[float, float] | None = None


NOTHING_BEFORE = Before()

_LONGEST_NUMBER = -1.2345678901234567e-300

_LONGER = 600
"""By how much the numbers that a model gives can be longer than those at its reference (bytes)."""


def decide_commit(
    active: Revision | None,
    commit: Commit,
    author: str,
    limits: Limits,
    units: Mapping[str, str],
    links: Sequence[LinkState] = (),
    edit_position: EditPosition = "keep",
    before: Before = NOTHING_BEFORE,
) -> Draft:
    """Check a commit and return the revision that is to be stored.

    Parameters
    ----------
    active
        The active revision with the label that it has now, None if the detector is UNSET.
    commit
        The request.
    author
        The author if the request names none.
    limits
        Tighter limits of this detector.
    units
        Units of each link in the configuration by its name.
    links
        The links as they are now; empty if nothing is known of them yet.
    edit_position
        The position of an edited geometry: ``keep`` that of the active revision, or that of the links ``now``.
    before
        What is known before another detector brings its pixels and configuration.

    Returns
    -------
    Draft

    Raises
    ------
    RefusedError
        With every problem.
    """
    wanted = edit_position if commit.edit else commit.position
    problems = [
        *_expectation_problems(active, commit),
        *_edit_problems(commit),
        *_label_rule_problems(commit),
        *_position_problems(commit, units),
    ]
    geometry, files = None, NO_FILES
    try:
        geometry = Geometry.parse(_merged(active, commit, before, problems), limits)
        problems += _slips(active, geometry, commit, limits)
        files, file_problems = decide_files(active, commit, geometry)
        problems += file_problems
        if wanted == "now" and not commit.force:
            problems += wavelength_problems(active, geometry, commit, links)
    except GeometryError as error:
        problems += [_problem_with_hint(problem, active, commit) for problem in error.problems]
    if geometry is None or problems:
        raise RefusedError(dict.fromkeys(problems))
    provenance = {**commit.provenance}
    provenance.setdefault("author", author)
    provenance.pop("files", None)
    provenance.pop("model", None)
    provenance.pop("integration", None)
    integration = decide_integration(active, commit, geometry)
    if integration is not None:
        provenance["integration"] = integration
    if files:
        provenance["files"] = files
    if commit.model is not None:
        provenance["model"] = strictjson.plain(commit.model)
    if commit.edit and active is not None:
        provenance["derived_from"] = active.number
    kept = commit.edit and edit_position == "keep"
    position = (active and active.position) if kept else _position(wanted, units, links)
    return Draft(geometry, provenance, commit.label, position)


def require_room(prefix: str, draft: Draft, links: Sequence[LinkState]) -> None:
    """Check that a snapshot of the draft fits its PV whatever its status, before it is stored.

    Raises
    ------
    RefusedError
        It does not fit.
    """
    status = max(Status.__members__, key=len)
    longest_links = [
        replace(
            link,
            value=_LONGEST_NUMBER,
            calibrated=_LONGEST_NUMBER,
            moving=False,
            connected=False,
            within=False,
            error="x" * (MAX_ERROR - 2),
            out_of_service="x" * (MAX_ERROR - 2),
        )
        for link in links
    ]
    text = Snapshot(
        prefix, status, "x" * MAX_REASON, 10**9, 10**9, "0" * 36, "sha256:" + "0" * 64, "x" * MAX_LABEL_BYTES, "0" * 27,
        draft.geometry, draft.position, draft.provenance,
        ((status, ""),) * 2 + tuple((status, link.name) for link in links for _ in range(2)), tuple(longest_links),
        AssumedErrors(_LONGEST_NUMBER, _LONGEST_NUMBER, _LONGEST_NUMBER),
    ).as_json()  # fmt: skip
    room = _LONGER if "model" in draft.provenance else 0
    excess = len(text) + room - MAX_BYTES + 1
    if excess > 0:
        shorter = "fit the model to fewer revisions, or shorten" if "model" in draft.provenance else "shorten"
        raise RefusedError(
            f"the snapshot could have {len(text)} bytes, less than {MAX_BYTES} fit: "
            f"{shorter} detector_config or the comment by {excess} bytes"
        )


def brings_detector(active: Revision | None, commit: Commit) -> str | None:
    """Return the name of the detector if a commit changes it, None otherwise."""
    name = commit.geometry.get("detector")
    if not isinstance(name, str) or not commit.inherit or active is None or active.geometry.detector == name:
        return None
    return name


def _merged(active: Revision | None, commit: Commit, before: Before, problems: list[str]) -> dict[str, object]:
    """Return the active values with the requested ones; another detector brings its own pixels and configuration."""
    requested = dict(commit.geometry)
    values: dict[str, object] = {"detector_config": {}}
    if commit.inherit and active is not None:
        values = active.geometry.as_dict()
    name = brings_detector(active, commit)
    if name is not None:
        values["detector_config"] = {}
        requested = {**before.values, **requested}
        given = [pixel in requested for pixel in ("pixel1", "pixel2")]
        pixels = pixel_size(name) or before.pixels
        if pixels is not None:
            values["pixel1"], values["pixel2"] = pixels
        elif not all(given):
            problems.append(
                f"detector {strictjson.dumps(name)} is not in the table of detectors, so its pixel sizes are unknown: "
                "give pixel1 and pixel2 with it (m)"
            )
    return {**values, **requested}


def _problem_with_hint(problem: str, active: Revision | None, commit: Commit) -> str:
    """Add to a missing value where to set it."""
    if problem.startswith("incomplete") and active is None and commit.inherit:
        missing = [name for name in NAMES if name not in commit.geometry]
        return f"no revision is active yet, {', '.join(missing)} missing: {WHERE_TO_BEGIN}"
    return problem


def _slips(active: Revision | None, geometry: Geometry, commit: Commit, limits: Limits) -> list[str]:
    """Find what was probably typed in another unit, among the values that change."""
    old = {} if active is None else active.geometry.as_dict()
    changed = [name for name in NAMES if old.get(name) != getattr(geometry, name)]
    return slips(geometry, changed, limits, single=commit.edit and len(commit.geometry) == 1)


def _expectation_problems(active: Revision | None, commit: Commit) -> list[str]:
    current = 0 if active is None else active.number
    if commit.expect_revision is None or commit.expect_revision == current:
        return []
    return [
        f"expect_revision {commit.expect_revision} is outdated: revision {current} is active; "
        "read the snapshot again, then send a new request"
    ]


def _edit_problems(commit: Commit) -> list[str]:
    if commit.edit and commit.position != "unknown":
        return ['an edit has no position of its own: leave "position" out']
    return []


def _label_rule_problems(commit: Commit) -> list[str]:
    problem = None if commit.label is None else label_problem(commit.label)
    return [problem] if problem else []


def _position_problems(commit: Commit, units: Mapping[str, str]) -> list[str]:
    if isinstance(commit.position, str):
        return []
    known = " ".join(units) if units else "none (the configuration has no links)"
    problems = [
        f"position names {strictjson.dumps(name)}, which is not a link: expected {known}"
        for name in commit.position
        if name not in units
    ]
    problems += [
        f"position.{name} is not finite" for name, value in commit.position.items() if not math.isfinite(value)
    ]
    return problems


def _position(
    requested: RequestedPosition | EditPosition, units: Mapping[str, str], links: Sequence[LinkState]
) -> Position | None:
    """Return the position as it is stored, with units; None if it is unknown."""
    if isinstance(requested, str):
        current = position_now(links) if requested == "now" else None
        used = units.keys() - {link.name for link in links if link.out_of_service is not None}
        if current is None or current.keys() != used:
            return None
        requested = current
    return {name: {"value": float(value), "units": units[name]} for name, value in requested.items()}
