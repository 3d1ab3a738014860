"""The model of a revision: which geometry it gives where the links are, and whether it holds there. Pure.

The IOC decides with it what is active, and recall what was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import degrees
from typing import cast

from ponikeeper.errors import GeometryError, ModelError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.kinematics import Evaluation, Model, Reach
from ponikeeper.geometry.kinematics.panel import Panel, geometry_shift_px
from ponikeeper.geometry.kinematics.spans import reach_of
from ponikeeper.history import Correction, DerivedGeometry, Position, Revision
from ponikeeper.history.corrections import correction_of
from ponikeeper.protocol.link_values import calibrated_value, is_within, quantity, recorded_value
from ponikeeper.protocol.links import LinkState, in_service
from ponikeeper.protocol.model_revisions import Source

UNCERTAIN_PX, REFUSED_PX = 0.3, 0.5
"""Standard deviations of ring positions, rms over the panel (px): a model is uncertain beyond the first one, and gives
no geometry beyond the second one."""

STEP_PX = 0.02
"""A geometry is computed again where the rings would be farther than this from those of the active one (px)."""

_ORDER = list(Reach)


@dataclass(frozen=True, slots=True)
class _Written:
    """The JSON object of the model of a revision, which never changes."""

    uid: str
    values: Mapping[str, object] = field(compare=False)


def model_of(revision: Source) -> Model | None:
    """Return the model of a revision.

    Parameters
    ----------
    revision
        The revision, or a snapshot.

    Returns
    -------
    Model or None
        None where it is no model, or one of a newer version: its geometry then holds at its position only.
    """
    values = revision.provenance.get("model")
    return None if values is None else _parsed(_Written(revision.uid or "", cast("Mapping[str, object]", values)))


def joints_of(revision: Revision) -> frozenset[str]:
    """Return the names of the links that a revision is a model of; empty for a geometry at one position."""
    model = model_of(revision)
    return frozenset() if model is None else frozenset(joint.link for joint in model.joints)


@lru_cache(maxsize=256)
def _parsed(written: _Written) -> Model | None:
    try:
        return Model.parse(written.values)
    except ModelError:
        return None


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """What a model gives for one position.

    Parameters
    ----------
    position
        The value of each joint's link, in the units of the joint.
    evaluation
        The geometry with its uncertainty; None where there is none.
    problem
        Why the model does not hold there, for a person; empty where it does.
    """

    position: Mapping[str, float]
    evaluation: Evaluation | None
    problem: str


def answer_at(model: Model, position: Mapping[str, float], farthest: Reach) -> ModelAnswer:
    """Evaluate a model, and decide whether it holds.

    Parameters
    ----------
    model
        The model.
    position
        The value of each joint's link, in the units of the joint.
    farthest
        How far outside of its calibrated range it may be used.

    Returns
    -------
    ModelAnswer
    """
    reach = reach_of(model.spans, position)
    if not is_allowed(reach, farthest):
        return ModelAnswer(position, None, _outside_text(model, position, farthest))
    try:
        evaluation = _evaluated(_Same(model), tuple(position.items()))
    except (GeometryError, ModelError) as error:
        return ModelAnswer(position, None, f"the model gives no geometry here: {'; '.join(error.problems)}")
    except (ArithmeticError, ValueError) as error:  # of the numbers of a model that nothing was fitted to
        return ModelAnswer(position, None, f"the model gives no geometry here: {error}")
    if not evaluation.rms_px <= REFUSED_PX:
        text = f"the model is uncertain by {evaluation.rms_px:.2g} px here, more than {REFUSED_PX} px"
        return ModelAnswer(position, evaluation, text)
    return ModelAnswer(position, evaluation, "")


class _Same:
    """A model, equal to itself only, as a key of a cache: to compare models would take longer than to evaluate one."""

    __slots__ = ("model",)

    def __init__(self, model: Model) -> None:
        self.model = model

    def __hash__(self) -> int:
        return id(self.model)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.model is self.model


@lru_cache(maxsize=256)
def _evaluated(same: _Same, position: tuple[tuple[str, float], ...]) -> Evaluation:
    """Evaluate a model; the IOC asks several times for one position: what to compute, and the status."""
    return same.model.evaluate(dict(position))


def is_allowed(reach: Reach, farthest: Reach) -> bool:
    """Return whether a position is no farther outside of a range than allowed.

    Parameters
    ----------
    reach
        Where the position is.
    farthest
        How far outside is allowed.

    Returns
    -------
    bool
    """
    return _ORDER.index(reach) <= _ORDER.index(farthest)


def joint_position(model: Model, links: Sequence[LinkState]) -> dict[str, float] | None:
    """Return where the joints of a model are.

    Parameters
    ----------
    model
        The model.
    links
        The links of the detector.

    Returns
    -------
    dict or None
        The value of each joint's link; None unless all of these are in service, connected, at rest, and have the
        units of the joints.
    """
    by_name = {link.name: link for link in in_service(links)}
    position: dict[str, float] = {}
    for joint in model.joints:
        link = by_name.get(joint.link)
        if link is None or link.value is None or link.unknown_because or link.units != joint.units:
            return None
        position[joint.link] = link.value
    return position


def recorded_joints(model: Model, position: Position | None) -> dict[str, float]:
    """Return the values of joints' links in a position.

    Parameters
    ----------
    model
        The model.
    position
        A recorded position.

    Returns
    -------
    dict
        In the units of the joints; a link that was not recorded, or in units that cannot be converted, is left out.
    """
    values = {
        joint.link: recorded_value(position, joint.link, joint.units, measures_beam=joint.kind == "beam")
        for joint in model.joints
    }
    return {link: value for link, value in values.items() if value is not None}


def usual_reach(*, extrapolate: bool) -> Reach:
    """Return how far outside of its range a model may be used by the configuration."""
    return Reach.EXTENDED if extrapolate else Reach.MARGIN


def farthest_reach(model: Model, position: Position | None) -> Reach:
    """Return how far outside of its range a model may be used.

    Parameters
    ----------
    model
        The model.
    position
        The position for which its active geometry was computed: there it was allowed.

    Returns
    -------
    Reach
    """
    values = recorded_joints(model, position)
    if len(values) < len(model.joints):
        return Reach.MARGIN
    return max(Reach.MARGIN, min(reach_of(model.spans, values), Reach.EXTENDED, key=_ORDER.index), key=_ORDER.index)


def derive(
    model: Model, position: Position | None, links: Sequence[LinkState], *, extrapolate: bool = False
) -> DerivedGeometry | None:
    """Compute what a model gives where the links are.

    Parameters
    ----------
    model
        The model.
    position
        The position of its revision, from which links that are no joints are taken.
    links
        The links as they are now.
    extrapolate
        Whether the configuration allows to extrapolate.

    Returns
    -------
    DerivedGeometry or None
        Without its numbers; None where the joints are not at rest, or the model does not hold.
    """
    here = joint_position(model, links)
    if here is None:
        return None
    answer = answer_at(model, here, usual_reach(extrapolate=extrapolate))
    return None if answer.evaluation is None or answer.problem else given(model, position, here, answer.evaluation)


def given(
    model: Model, position: Position | None, values: Mapping[str, float], evaluation: Evaluation
) -> DerivedGeometry:
    """Return the record of what a model gives for a position.

    Parameters
    ----------
    model
        The model.
    position
        The position of its revision, from which links that are no joints are taken.
    values
        The value of each joint's link, in the units of the joint.
    evaluation
        What the model gives there.

    Returns
    -------
    DerivedGeometry
        Without its numbers.
    """
    joints = {joint.link: {"value": values[joint.link], "units": joint.units} for joint in model.joints}
    others = {name: dict(item) for name, item in (position or {}).items()}
    return DerivedGeometry(0, 0, 0, evaluation.geometry, {**others, **joints}, certainty_of(evaluation))


def certainty_of(evaluation: Evaluation) -> dict[str, object]:
    """Return the keys of a provenance that say how sure a geometry is.

    Parameters
    ----------
    evaluation
        What a model gives for a position.

    Returns
    -------
    dict
        ``sigma``, ``covariance`` (m, rad), ``accuracy_deg`` and ``uncertainty_px``; plain JSON values.
    """
    sigma = evaluation.sigma
    lower = [value for number, row in enumerate(evaluation.covariance) for value in row[: number + 1]]
    return {
        "sigma": sigma,
        "covariance": {"names": list(sigma), "lower": lower},
        "accuracy_deg": degrees(evaluation.accuracy),
        "uncertainty_px": evaluation.rms_px,
    }


def is_current(model: Model, revision: Revision, derived: DerivedGeometry, links: Sequence[LinkState]) -> bool:
    """Return whether the active geometry still is what its model gives.

    Parameters
    ----------
    model
        The model.
    revision
        The active revision, with the geometry that the model gave before.
    derived
        What it gives now.
    links
        The links as they are now.

    Returns
    -------
    bool
        Whether the joints are within their tolerances of where it was computed, and the rings within `STEP_PX`.
    """
    joints = {joint.link for joint in model.joints}
    for link in links:
        before = calibrated_value(link, revision.position) if link.name in joints else None
        if link.name in joints and (before is None or link.value is None or not is_within(link, link.value, before)):
            return False
    return shift_px(model, revision.geometry, derived.geometry) <= STEP_PX


def shift_px(model: Model, one: Geometry, other: Geometry) -> float:
    """Return the largest distance of the rings of two geometries on the panel of a model (px)."""
    return 0.0 if one == other else geometry_shift_px(one, other, Panel.of(one, model.panel))


def members_of(model: Model) -> list[tuple[int, str]]:
    """Return number and uid of the revisions to which a model was fitted; empty for one that was not fitted here."""
    members = cast("Sequence[Mapping[str, object]]", model.fit.get("members", ()))
    return [(cast("int", member["revision"]), str(member["uid"])) for member in members]


def corrected_members(
    model: Model, corrections: Sequence[Correction], instant: str | None = None
) -> dict[int, Correction]:
    """Return which members of a model turned out to be wrong.

    Parameters
    ----------
    model
        The model.
    corrections
        All corrections of the detector's revisions.
    instant
        The time in question, UTC ISO 8601; None is now.

    Returns
    -------
    dict
        The correction that decides on each, by its number.
    """
    found = {number: correction_of(corrections, number, instant) for number, _ in members_of(model)}
    return {number: correction for number, correction in found.items() if correction is not None}


def range_text(model: Model, farthest: Reach = Reach.MARGIN) -> str:
    """Format the range in which a model holds: ``z 400 to 800 mm (calibrated), 360 to 840 mm (allowed)``."""
    return "; ".join(_range_of(model, joint.link, joint.units, farthest) for joint in model.joints)


def model_text(model: Model, position: Position | None) -> str:
    """Format for which position the geometry of a model was computed, where it holds, and whether that was checked.

    Parameters
    ----------
    model
        The model.
    position
        That position.

    Returns
    -------
    str
        For a person.
    """
    values = recorded_joints(model, position)
    places = [
        f"{joint.link} {quantity(values[joint.link], joint.units)}" for joint in model.joints if joint.link in values
    ]
    checked = "; unchecked: no calibration is left that tests it" if model.fit.get("unchecked") else ""
    return f"computed for {', '.join(places)}; holds for {range_text(model, farthest_reach(model, position))}{checked}"


def _range_of(model: Model, link: str, units: str, farthest: Reach) -> str:
    span = model.spans[link]
    if span.declared or farthest is Reach.INSIDE:
        return f"{link} {span.low:.7g} to {span.high:.7g} {units}".rstrip()
    low, high = span.limits(farthest)
    text = f"{link} {low:.7g} to {high:.7g} {units}".rstrip()
    return f"{text} (calibrated {span.low:.7g} to {span.high:.7g})"


def _outside_text(model: Model, position: Mapping[str, float], farthest: Reach) -> str:
    outside = [
        f"{joint.link} is at {position[joint.link]:.10g} {joint.units}, the model holds for "
        f"{_range_of(model, joint.link, joint.units, farthest)}"
        for joint in model.joints
        if not is_allowed(model.spans[joint.link].reach(position[joint.link]), farthest)
    ]
    return "; ".join(outside)
