"""What a request makes of the geometry in force: pure decisions, every problem collected."""

import math
from collections.abc import Mapping, Sequence
from typing import cast

from ponikeeper.errors import GeometryError, RefusedError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.detectors import pixel_size
from ponikeeper.geometry.parameters import NAMES, Limits
from ponikeeper.history import Correction, Position, Revision
from ponikeeper.history.corrections import correction_of, told
from ponikeeper.protocol import MAX_BYTES, Commit, LinkState, Snapshot, is_within, label_problem, position_now
from ponikeeper.store import Draft
from ponikeeper.text import strictjson

WHERE_TO_BEGIN = "give all of them at once: a PONI, a Request, the Stage: fields, or seed in the configuration"

MAX_REASON = 1000
"""Characters of a status's reason; a snapshot has to have room for it whatever happens."""

_ROOM = 200 + MAX_REASON
"""Bytes by which the status's part of a snapshot may grow after the commit (reason, serial)."""


def decide_commit(
    in_force: Revision | None,
    commit: Commit,
    author: str,
    limits: Limits,
    links: Mapping[str, str],
    readings: Sequence[LinkState] = (),
) -> Draft:
    """Judge a commit, and make of it the revision that is to be stored.

    Parameters
    ----------
    in_force
        The revision in force, None where the detector is UNSET.
    author
        Who asks, where the request does not say.
    limits
        Tighter limits of this detector.
    links
        Name and units of each link in the configuration.
    readings
        The links as they stand now; while nothing is known of them, none.

    Raises
    ------
    RefusedError
        With every problem.
    """
    problems = [*_expectation_problems(in_force, commit), *_label_problems(commit), *_position_problems(commit, links)]
    geometry = None
    try:
        geometry = Geometry.parse(_merged(in_force, commit, problems), limits)
    except GeometryError as error:
        problems += [_told(problem, in_force, commit) for problem in error.problems]
    if geometry is None or problems:
        raise RefusedError(dict.fromkeys(problems))
    provenance = {**commit.provenance}
    provenance.setdefault("author", author)
    if commit.derived and in_force is not None:
        provenance["derived_from"] = in_force.number
    label = in_force.label if commit.derived and in_force is not None else commit.label
    return Draft(geometry, provenance, label, _position(commit, links, readings))


def decide_here(revision: Revision | None, corrections: Sequence[Correction], readings: Sequence[LinkState]) -> Commit:
    """Judge that the geometry in force holds where the links stand now, and make of it what is to be committed.

    Raises
    ------
    RefusedError
        It is not known where they stand, or there is no geometry that could hold.
    """
    if revision is None:
        raise RefusedError(f"nothing is in force yet, so nothing can hold here: {WHERE_TO_BEGIN}")
    problems = [f"where the links stand is not known: {link.doubt}" for link in readings if link.doubt]
    if not readings:
        problems.append("the configuration has no links, so there is no position that Here could record")
    correction = correction_of(corrections, revision.number)
    if correction is not None:
        problems.append(f"revision {revision.number} was {told(correction)}: put one in force that is right")
    if problems:
        raise RefusedError(problems)
    provenance = {key: value for key, value in revision.provenance.items() if key != "author"}
    return Commit({}, provenance, position="now", derived=True)


def is_unchanged(in_force: Revision | None, draft: Draft, derived: bool, readings: Sequence[LinkState] = ()) -> bool:
    """Tell whether a draft says nothing that the revision in force does not say already.

    For an edit by hand `derived_from` says nothing new: it always names the revision in force. Nor do
    positions that are within the tolerances of the links (`readings`).
    """
    if in_force is None or in_force.geometry != draft.geometry:
        return False
    ignored = {"derived_from"} if derived else set[str]()
    old, new = ({k: v for k, v in p.items() if k not in ignored} for p in (in_force.provenance, draft.provenance))
    said, says = (
        strictjson.canonical([geometry.as_dict(), label, strictjson.plain(provenance)])
        for geometry, label, provenance in (
            (in_force.geometry, in_force.label, old),
            (draft.geometry, draft.label, new),
        )
    )  # as texts: to Python 1 is True and 0.0 is -0.0
    return said == says and _same_position(in_force.position, draft.position, readings)


def is_repetition(
    in_force: Revision | None,
    corrections: Sequence[Correction],
    draft: Draft,
    derived: bool,
    readings: Sequence[LinkState] = (),
) -> bool:
    """Return whether a commit would store the active revision again; if that was corrected, a new one is needed.

    Raises
    ------
    RefusedError
        The active revision was corrected, and an edit by hand changes nothing of its geometry.
    """
    correction = in_force and correction_of(corrections, in_force.number)
    if not in_force or not correction:
        return is_unchanged(in_force, draft, derived, readings)
    if derived and draft.geometry == in_force.geometry:
        raise RefusedError(
            f"revision {correction.revision} was {told(correction)}, and this changes nothing of it: "
            "put in force one that is right, or commit all values anew"
        )
    return False


def position_note(commit: Commit, draft: Draft, readings: Sequence[LinkState]) -> str:
    """Explain, for the message about a commit, why the position that it asked for is unknown."""
    if commit.position != "now" or draft.position is not None:
        return ""
    return f", position unknown: {'; '.join(link.doubt for link in readings if link.doubt)}"


def _same_position(old: Position | None, new: Position | None, readings: Sequence[LinkState]) -> bool:
    if old is None or new is None:
        return old is new
    links = {link.name: link for link in readings}
    return old.keys() == new.keys() and all(_same_place(links.get(name), old[name], new[name]) for name in old)


def _same_place(link: LinkState | None, old: Mapping[str, object], new: Mapping[str, object]) -> bool:
    if link is None or old["units"] != new["units"]:
        return dict(old) == dict(new)
    return is_within(link, cast("float", new["value"]), cast("float", old["value"]))


def require_room(prefix: str, draft: Draft) -> None:
    """See that a snapshot of the draft fits its PV, before it is stored.

    Raises
    ------
    RefusedError
        It would not fit.
    """
    text = Snapshot(
        prefix, "CONDEMNED", "", 10**9, 10**9, "0" * 36, "sha256:" + "0" * 64, draft.label, "0" * 27,
        draft.geometry, draft.position, draft.provenance,
    ).as_json()  # fmt: skip
    if len(text) + _ROOM > MAX_BYTES:
        raise RefusedError(
            f"the snapshot would have {len(text)} bytes, at most {MAX_BYTES - _ROOM} fit: "
            "shorten detector_config or the comment"
        )


def _merged(in_force: Revision | None, commit: Commit, problems: list[str]) -> dict[str, object]:
    """Lay the asked values over those in force; a change of detector brings its own pixels and configuration."""
    values: dict[str, object] = {"detector_config": {}}
    if commit.inherit and in_force is not None:
        values = in_force.geometry.as_dict()
    asked = dict(commit.geometry)
    name = asked.get("detector")
    if isinstance(name, str) and values.get("detector", name) != name:
        values["detector_config"] = {}
        given = [pixel in asked for pixel in ("pixel1", "pixel2")]
        pixels = pixel_size(name)
        if pixels is not None:
            values["pixel1"], values["pixel2"] = pixels
        elif not all(given):
            problems.append(
                f"detector {strictjson.dumps(name)} is not in the table of detectors, so its pixels are not known: "
                "give pixel1 and pixel2 with it (m)"
            )
    return {**values, **asked}


def _told(problem: str, in_force: Revision | None, commit: Commit) -> str:
    """Add to what is missing where to give it."""
    if problem.startswith("incomplete") and in_force is None and commit.inherit:
        missing = [name for name in NAMES if name not in commit.geometry]
        return f"nothing is in force yet and {', '.join(missing)} missing: {WHERE_TO_BEGIN}"
    return problem


def _expectation_problems(in_force: Revision | None, commit: Commit) -> list[str]:
    current = 0 if in_force is None else in_force.number
    if commit.expect_revision is None or commit.expect_revision == current:
        return []
    return [
        f"expect_revision {commit.expect_revision} is outdated: revision {current} is in force; "
        "read the snapshot again and decide anew"
    ]


def _label_problems(commit: Commit) -> list[str]:
    problem = None if commit.label is None else label_problem(commit.label)
    return [problem] if problem else []


def _position_problems(commit: Commit, links: Mapping[str, str]) -> list[str]:
    if isinstance(commit.position, str):
        return []
    known = " ".join(links) if links else "none (the configuration has no links)"
    problems = [
        f"position names {strictjson.dumps(name)}, which is no link: expected {known}"
        for name in commit.position
        if name not in links
    ]
    problems += [
        f"position.{name} is not finite" for name, value in commit.position.items() if not math.isfinite(value)
    ]
    return problems


def _position(commit: Commit, links: Mapping[str, str], readings: Sequence[LinkState]) -> Position | None:
    """Give the position as it is stored: with units; None where it is unknown."""
    asked = commit.position
    if isinstance(asked, str):
        standing = position_now(readings) if asked == "now" else None
        if standing is None or standing.keys() != links.keys():
            return None
        asked = standing
    return {name: {"value": float(value), "units": links[name]} for name, value in asked.items()}
