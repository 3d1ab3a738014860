"""What is against the model of a revision where the links are. Pure."""

from collections.abc import Sequence

from ponikeeper.geometry.kinematics import Model, Reach
from ponikeeper.history import Correction, Revision
from ponikeeper.history.corrections import describe_correction
from ponikeeper.protocol.finding import Finding
from ponikeeper.protocol.link_values import calibrated_value, is_within
from ponikeeper.protocol.links import LinkState
from ponikeeper.protocol.models import (
    STEP_PX,
    UNCERTAIN_PX,
    ModelAnswer,
    answer_at,
    corrected_members,
    farthest_reach,
    joint_position,
    model_of,
    shift_px,
    usual_reach,
)
from ponikeeper.protocol.status import Status

_FIT_AGAIN = "fit the model again (ponikeeper model fit), or activate a calibrated revision"


def model_findings(
    revision: Revision,
    corrections: Sequence[Correction],
    links: Sequence[LinkState],
    instant: str | None = None,
    extrapolate: bool | None = None,
) -> list[Finding]:
    """Find every reason against the model of a revision; parameters as `ponikeeper.protocol.findings.findings_about`.

    Returns
    -------
    list of Finding
        Empty where the revision is no model.
    """
    model = model_of(revision)
    if model is None:
        return []
    findings = [*_member_findings(model, revision, corrections, instant), *_joint_findings(model, links)]
    here = joint_position(model, links)
    if here is not None:
        answer = answer_at(model, here, _farthest(model, revision, links, extrapolate))
        findings += _answer_findings(model, revision, answer)
    return findings


def _farthest(model: Model, revision: Revision, links: Sequence[LinkState], extrapolate: bool | None) -> Reach:
    """Return how far outside a model may be used; where it was computed the configuration of that time allowed it."""
    if extrapolate is not None:
        return usual_reach(extrapolate=extrapolate)
    joints = [link for link in links if link.name in model.reference]
    places = [(link, calibrated_value(link, revision.position)) for link in joints]
    is_there = all(
        value is not None and link.value is not None and is_within(link, link.value, value) for link, value in places
    )
    return farthest_reach(model, revision.position if is_there else None)


def _member_findings(
    model: Model, revision: Revision, corrections: Sequence[Correction], instant: str | None
) -> list[Finding]:
    """Find members of the model that turned out to be wrong."""
    return [
        Finding(
            Status.RETRACTED,
            "",
            f"revision {number}, to which the model of revision {revision.number} was fitted, was "
            f"{describe_correction(correction)}",
            _FIT_AGAIN,
        )
        for number, correction in corrected_members(model, corrections, instant).items()
    ]


def _joint_findings(model: Model, links: Sequence[LinkState]) -> list[Finding]:
    """Find joints that are not measured, so that the model cannot be evaluated."""
    by_name, findings = {link.name: link for link in links}, list[Finding]()
    for joint in model.joints:
        link, text, mend = by_name.get(joint.link), "", f"configure {joint.link} as it was"
        if link is None:
            text = f"the model needs the link {joint.link}, which is not configured"
        elif link.out_of_service is not None:
            text, mend = f"the model needs {link}, which is out of service", f"return {joint.link} to service"
        elif link.units != joint.units:
            text = (
                f"the model needs {link} in {joint.units or 'no units'}, the configuration has {link.units or 'none'}"
            )
        if text:
            findings.append(Finding(Status.UNKNOWN, joint.link, text, f"{mend}, or activate a calibrated revision"))
    return findings


def _answer_findings(model: Model, revision: Revision, answer: ModelAnswer) -> list[Finding]:
    if answer.evaluation is None or answer.problem:
        advice = "move the links into the range of the model, or calibrate here"
        return [Finding(Status.OUT_OF_RANGE, "", answer.problem, advice)]
    findings: list[Finding] = []
    if not answer.evaluation.rms_px <= UNCERTAIN_PX:
        text = f"the model is uncertain by {answer.evaluation.rms_px:.2g} px here, more than {UNCERTAIN_PX} px"
        findings.append(Finding(Status.UNCERTAIN, "", text, "calibrate here, and fit the model with it"))
    shift = shift_px(model, revision.geometry, answer.evaluation.geometry)
    if not shift <= STEP_PX:
        text = f"the active geometry was computed for another position, its rings are {shift:.2g} px away"
        findings.append(Finding(Status.MOVING, "", text, "wait until the geometry is computed for this position"))
    return findings
