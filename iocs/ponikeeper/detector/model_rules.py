"""Decide on the models of one detector: which may be committed, and when the geometry is to be computed. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from ponikeeper.detector.follow_rules import is_at_model
from ponikeeper.errors import ModelError, RefusedError
from ponikeeper.geometry.kinematics import Model, Reach
from ponikeeper.history import Correction, DerivedGeometry, Revision
from ponikeeper.history.corrections import describe_correction
from ponikeeper.protocol import Commit, LinkState
from ponikeeper.protocol.models import (
    answer_at,
    certainty_of,
    corrected_members,
    derive,
    is_current,
    members_of,
    model_of,
)
from ponikeeper.store import Draft
from ponikeeper.text import strictjson
from ponikeeper.text.schema import is_integer

_SAME = ("detector", "pixel1", "pixel2", "orientation", "rot3")
"""What a model has in common with its members."""


def result_of(
    revision: Revision | Draft, links: Sequence[LinkState], *, extrapolate: bool = False
) -> DerivedGeometry | None:
    """Compute what the model of a revision gives where the links are.

    Parameters
    ----------
    revision
        The revision, or its draft.
    links
        The links as they are now.
    extrapolate
        Whether the configuration allows to extrapolate.

    Returns
    -------
    DerivedGeometry or None
        None where it is no model, or does not hold.
    """
    model = model_of(revision) if isinstance(revision, Revision) else _model_of_draft(revision)
    return None if model is None else derive(model, revision.position, links, extrapolate=extrapolate)


def _model_of_draft(draft: Draft) -> Model | None:
    values = draft.provenance.get("model")
    return None if values is None else Model.parse(cast("Mapping[str, object]", values))


def is_to_compute(active: Revision | None, links: Sequence[LinkState], *, extrapolate: bool = False) -> bool:
    """Return whether the active model gives another geometry where the links are now; parameters as `result_of`."""
    model = None if active is None else model_of(active)
    if active is None or model is None:
        return False
    derived = derive(model, active.position, links, extrapolate=extrapolate)
    return derived is not None and not is_current(model, active, derived, links)


def holds_at(
    revision: Revision, corrections: Sequence[Correction], links: Sequence[LinkState], *, extrapolate: bool = False
) -> bool:
    """Return whether a revision is a model that holds where the links are, and of which no member was corrected.

    Parameters
    ----------
    revision
        The revision.
    corrections
        All corrections of the detector's revisions.
    links
        The links as they are now.
    extrapolate
        Whether the configuration allows to extrapolate.

    Returns
    -------
    bool
    """
    model = model_of(revision)
    if model is None or corrected_members(model, corrections):
        return False
    if not is_at_model(links, revision.position, {joint.link for joint in model.joints}):
        return False
    return derive(model, revision.position, links, extrapolate=extrapolate) is not None


def checked_model(
    commit: Commit, units: Mapping[str, str], members: Sequence[Revision], corrections: Sequence[Correction]
) -> Model:
    """Check the model of a commit.

    Parameters
    ----------
    commit
        A commit with a model.
    units
        Units of each link in the configuration by its name.
    members
        Those of its members that the history has.
    corrections
        All corrections of the detector's revisions.

    Returns
    -------
    Model

    Raises
    ------
    RefusedError
        With every problem.
    """
    assert commit.model is not None
    try:
        model = Model.parse(commit.model)
    except ModelError as error:
        raise RefusedError(f"model: {problem}" for problem in error.problems) from None
    problems = [*_joint_problems(model, commit, units), *_member_problems(model, members, corrections)]
    if commit.geometry and strictjson.canonical(dict(commit.geometry)) != strictjson.canonical(
        model.geometry.as_dict()
    ):
        problems.append('the geometry is not that of the model: leave it out, "geometry": {}')
    if commit.edit:
        problems.append("an edit has no model: commit the model by itself")
    answer = answer_at(model, model.reference, Reach.OUTSIDE)
    if answer.problem:
        problems.append(f"at its own reference, {answer.problem}")
    if problems:
        raise RefusedError(problems)
    return model


def with_model(commit: Commit, model: Model) -> Commit:
    """Return a commit with the geometry of its model at the reference position, and how sure that is."""
    certainty = certainty_of(model.evaluate(model.reference))
    provenance = {"method": "model", **commit.provenance, **certainty}
    return replace(commit, geometry=model.geometry.as_dict(), provenance=provenance, inherit=False)


def _joint_problems(model: Model, commit: Commit, units: Mapping[str, str]) -> list[str]:
    problems = [
        f"the model needs the link {joint.link} in {joint.units or 'no units'}: "
        + (f"it is configured in {units[joint.link] or 'none'}" if joint.link in units else "it is not configured")
        for joint in model.joints
        if units.get(joint.link) != joint.units
    ]
    position = dict[str, float]() if isinstance(commit.position, str) else commit.position
    wrong = {link: value for link, value in model.reference.items() if position.get(link) != value}
    if wrong:
        problems.append(
            "the position of a model is its reference: expected "
            + ", ".join(f'"{link}": {strictjson.dumps(value)}' for link, value in wrong.items())
        )
    return problems


def _member_problems(model: Model, members: Sequence[Revision], corrections: Sequence[Correction]) -> list[str]:
    by_number, problems = {member.number: member for member in members}, list[str]()
    corrected = corrected_members(model, corrections)
    for number, uid in members_of(model):
        member, correction = by_number.get(number), corrected.get(number)
        if member is None or member.uid != uid:
            problems.append(
                f"the model was fitted to revision {number} with uid {uid}, which this history does not have"
            )
        elif correction is not None:
            problems.append(f"revision {number}, a member, was {describe_correction(correction)}: fit without it")
        else:
            problems += [
                f"{name} of the model is {getattr(model.geometry, name)!r}, that of revision {number} is "
                f"{getattr(member.geometry, name)!r}"
                for name in _SAME
                if getattr(model.geometry, name) != getattr(member.geometry, name)
            ]
    return problems


def member_numbers(values: Mapping[str, object]) -> list[int]:
    """Return the numbers of the members that the JSON object of a model names, before it is checked."""
    fit = values.get("fit")
    members = cast("Mapping[str, object]", fit).get("members") if isinstance(fit, Mapping) else None
    items = cast("Sequence[object]", members) if isinstance(members, list | tuple) else ()
    numbers = [cast("Mapping[str, object]", item).get("revision") for item in items if isinstance(item, Mapping)]
    return [cast("int", number) for number in numbers if is_integer(1)(number)]
