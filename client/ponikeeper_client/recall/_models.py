"""What a revision of a history gives at a position: a calibration is the same everywhere, a model computes. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from ponikeeper.errors import ModelError
from ponikeeper.geometry.kinematics import Evaluation, Model, Reach
from ponikeeper.history import DerivedGeometry, Position, Revision
from ponikeeper.history.derived import with_derived
from ponikeeper.protocol import Status
from ponikeeper.protocol.link_values import quantity
from ponikeeper.protocol.models import REFUSED_PX, UNCERTAIN_PX, answer_at, given, model_of, recorded_joints
from ponikeeper.text import strictjson
from ponikeeper_client.documents import Applicability
from ponikeeper_client.recall._places import difference
from ponikeeper_client.recall._values import Recorded


@dataclass(frozen=True, slots=True)
class Computed:
    """What a model gives for a position.

    Parameters
    ----------
    revision
        The revision with this geometry, its position and its uncertainty; the bare one where there is none.
    text
        The position, for a person: ``z = 523 mm``.
    evaluation
        The geometry with its uncertainty, also outside of the range; None where there is none, such as behind the
        sample.
    problem
        Why the model does not hold there; empty where it does.
    """

    revision: Revision
    text: str
    evaluation: Evaluation | None
    problem: str

    def applied_to(self, applicability: Applicability) -> Applicability:
        """Return whether the geometry applies: not where the model does not hold, whatever else there is to say."""
        if self.problem:
            return Applicability(Status.OUT_OF_RANGE.name, self.problem, applicability.links)
        if applicability.permits_use and self.evaluation is not None and not self.evaluation.rms_px <= UNCERTAIN_PX:
            text = f"the model is uncertain by {self.evaluation.rms_px:.2g} px for {self.text}"
            return replace(applicability, status=Status.UNCERTAIN.name, reason=text)
        return applicability


def computed_at(
    revision: Revision, values: Mapping[str, float], farthest: Reach, travel: Mapping[str, float]
) -> Computed:
    """Compute what the model of a revision gives for a position.

    Parameters
    ----------
    revision
        A model.
    values
        The value of each joint's link, in the units of the joint.
    farthest
        How far outside of its range it may be used.
    travel
        How far links moved during the exposure, in the same units: evenly, which is a standard deviation of
        ``travel / sqrt(12)``.

    Returns
    -------
    Computed
    """
    model = cast("Model", model_of(revision))
    text = ", ".join(f"{joint.link} = {quantity(values[joint.link], joint.units)}" for joint in model.joints)
    sigma = {
        joint.link: (model.motor_sigma.get(joint.link, 0.0) ** 2 + travel.get(joint.link, 0.0) ** 2 / 12.0) ** 0.5
        for joint in model.joints
        if travel.get(joint.link)
    }
    moved = replace(model, motor_sigma={**model.motor_sigma, **sigma}) if sigma else model
    answer = answer_at(moved, values, farthest)
    problem = answer.problem
    if sigma and answer.evaluation is not None and not answer.evaluation.rms_px <= REFUSED_PX:
        units = {joint.link: joint.units for joint in model.joints}
        far = [f"{link} by {quantity(travel[link], units[link])}" for link in sigma]
        problem = f"{problem}; during the exposure it moved along {', '.join(far)}"
    evaluation = answer.evaluation or answer_at(moved, values, Reach.OUTSIDE).evaluation
    if evaluation is None:
        return Computed(revision, text, None, problem)
    here = given(model, revision.position, values, evaluation)
    return Computed(with_derived(revision, here), text, evaluation, problem)


def joints_at(model: Model, position: Position | None) -> dict[str, float] | None:
    """Return the value of each joint's link in a position, in the units of the joint; None where one is missing."""
    values = recorded_joints(model, position)
    return values if len(values) == len(model.joints) else None


def verified_model(recorded: Recorded, revision: Revision, derived: DerivedGeometry | None) -> Revision:
    """Return a model as it was active when a run recorded it, and check that its geometry is what the run recorded.

    Parameters
    ----------
    recorded
        What the run recorded.
    revision
        The model, by the history.
    derived
        What it gave for the recorded activation, by the history; None where the history ends before.

    Returns
    -------
    Revision
        With the recorded geometry, and the position for which that was computed.

    Raises
    ------
    ModelError
        The run recorded another model or another geometry, or the geometry is not what the model gives.
    """
    model, written = cast("Model", model_of(revision)), recorded.model
    known = written is not None and not written.problem
    if written is not None and known and _text(written.values) != _text(revision.provenance["model"]):
        raise ModelError("the model differs")
    active = with_derived(revision, derived)
    if derived is None and written is not None and known:
        active = computed_at(revision, written.joints, Reach.OUTSIDE, {}).revision
        active = replace(active, geometry=recorded.geometry or active.geometry)
    if recorded.geometry not in (None, active.geometry):
        raise ModelError("geometry differs")
    values = joints_at(model, active.position)
    problem = "" if values is None else difference(active.geometry, model.geometry_at(values))
    if problem:
        raise ModelError(problem)
    return active


def _text(values: object) -> str:
    return strictjson.canonical(strictjson.plain(values))
