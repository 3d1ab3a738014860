"""Fit of a model: from calibrations at several positions to a geometry at every position."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from ponikeeper.errors import FitError, GeometryError
from ponikeeper.geometry.kinematics import AnyJoint, Beam, Chain, Model, Rotate, Span, Translate
from ponikeeper.geometry.kinematics.panel import Panel, ring_shift_px
from ponikeeper_client.model.left_out import LEAST_PX, LeftOut, culprit, leave_out
from ponikeeper_client.model.members import INFLATION, Member, values_of
from ponikeeper_client.model.nominal import axis_notes, priors_of
from ponikeeper_client.model.solve import Problem, Solution, solve
from ponikeeper_client.model.travel import TravelWavelength, wavelength_from_travel

ENERGY_RANGE = 0.02
"""How far a model holds from the energy of calibrations that do not span more (relative)."""

_CHECKED = 0.5
"""Fewer degrees of freedom about positions than this test nothing."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How a detector moves, and what is known of it.

    Parameters
    ----------
    joints
        From the floor to the detector; direction, tilt and offset are where the fit starts. Of an arm that is not
        nominal, it finds the sense of rotation.
    panel
        Sides of the panel (m).
    nominal
        Names of arms whose axes are known beforehand, as `priors_of` says.
    motor_sigma
        Standard deviation of the position of each link, in the units of its joint.
    scale_sigma
        Relative standard deviation of the scale of each motor.
    ranges
        Declared ranges of links; those of the others are calibrated.
    """

    joints: tuple[AnyJoint, ...]
    panel: tuple[float, float]
    nominal: Sequence[str] = ()
    motor_sigma: Mapping[str, float] = field(default_factory=dict[str, float])
    scale_sigma: Mapping[str, float] = field(default_factory=dict[str, float])
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])

    @property
    def middle(self) -> tuple[float, float]:
        """The middle of the panel (m)."""
        return self.panel[0] / 2, self.panel[1] / 2


@dataclass(frozen=True, slots=True)
class Residual:
    """How well a model fits one of its members.

    Parameters
    ----------
    member
        The member.
    shift_px
        Distance of its rings from those of the model (px rms over the panel).
    left_out
        What the others say of it; None where they do not determine the model.
    """

    member: Member
    shift_px: float
    left_out: LeftOut | None


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A model with what the fit says of it.

    Parameters
    ----------
    model
        The model.
    residuals
        Of its members, in their order.
    problems
        Why it should not be used; empty where nothing is against it.
    notes
        What else a person should know.
    travel
        What the travel of stages says of the wavelength.
    """

    model: Model
    residuals: tuple[Residual, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    travel: tuple[TravelWavelength, ...]

    def require_accepted(self) -> Model:
        """Return the model if nothing is against it.

        Returns
        -------
        Model

        Raises
        ------
        FitError
            With every problem.
        """
        if self.problems:
            raise FitError(self.problems)
        return self.model


def fit_model(setup: Setup, members: Sequence[Member]) -> FittedModel:
    """Fit a model to calibrations.

    Parameters
    ----------
    setup
        How the detector moves.
    members
        The calibrations.

    Returns
    -------
    FittedModel

    Raises
    ------
    FitError
        The calibrations do not determine the model, or the standard deviations cannot be computed with.
    """
    panel = Panel.of(members[0].geometry, setup.panel)
    try:
        problem, solution = _best(setup, members)
        left_out = leave_out(replace(problem, chain=solution.chain), solution, panel)
    except np.linalg.LinAlgError as error:  # standard deviations that differ by more than the digits of a number
        raise FitError(
            f"the model cannot be computed: {error}; the standard deviations of motors (--sigma) or of the "
            "calibrations are too large or too small"
        ) from error
    residuals = tuple(
        Residual(member, _shift_px(solution.chain, member, panel), one)
        for member, one in zip(members, left_out, strict=True)
    )
    stages = [joint for joint in solution.chain.joints if isinstance(joint, Translate)]
    travels = (
        wavelength_from_travel(solution.chain, solution.covariance, joint, setup.scale_sigma.get(joint.link, 0.0))
        for joint in stages
    )
    travel = tuple(each for each in travels if each is not None)
    unchecked = solution.checked < _CHECKED
    model = _model(setup, solution, members, residuals, unchecked)
    problems, deviations = _deviations(residuals)
    notes = (*_notes(members, unchecked, travel), *deviations, *axis_notes(setup.joints, setup.nominal, solution.chain))
    return FittedModel(model, residuals, problems, notes, travel)


def _best(setup: Setup, members: Sequence[Member]) -> tuple[Problem, Solution]:
    """Fit with each sense of rotation of the arms that are not nominal, and return the best."""
    free = [joint.link for joint in setup.joints if isinstance(joint, Rotate) and joint.link not in setup.nominal]
    priors = priors_of(setup.joints, setup.nominal)
    attempts: list[tuple[Solution, Problem]] = []
    problems: list[str] = []
    for senses in product((1, -1), repeat=len(free)):
        sense = dict(zip(free, senses, strict=True))
        joints = tuple(
            replace(joint, factor=joint.factor * sense.get(joint.link, 1)) if isinstance(joint, Rotate) else joint
            for joint in setup.joints
        )
        problem = Problem(_start(joints, members), members, setup.middle, priors, setup.motor_sigma)
        try:
            attempts.append((solve(problem, 0.0), problem))
        except GeometryError as error:  # with the wrong sense a detector can come to stand along the beam
            problems += error.problems
    if not attempts:
        raise FitError(f"the model cannot be fitted: {problem}" for problem in dict.fromkeys(problems))
    bare, problem = min(attempts, key=lambda attempt: attempt[0].chi2)
    return problem, solve(replace(problem, chain=bare.chain))


def _start(joints: tuple[AnyJoint, ...], members: Sequence[Member]) -> Chain:
    """Return the chain at the member that is nearest to the middle of all positions."""
    links = [joint.link for joint in joints]
    places = np.array([[member.position[link] for link in links] for member in members])
    width = np.maximum(np.ptp(places, axis=0), 1e-300)
    middle = members[int(np.argmin(np.abs((places - places.mean(axis=0)) / width).sum(axis=1)))]
    reference = {link: middle.position[link] for link in links}
    chain = Chain(values_of(middle.geometry), middle.geometry.wavelength, reference, joints)
    ratios = [member.geometry.wavelength / chain.wavelength_at(member.position) for member in members]
    if all(ratio == 1 for ratio in ratios):
        return chain
    return replace(chain, wavelength=chain.wavelength * float(np.exp(np.mean(np.log(ratios)))))


def _shift_px(chain: Chain, member: Member, panel: Panel) -> float:
    measured = member.values_at(chain.wavelength_at(member.position))
    return ring_shift_px(chain.pose(member.position).values(), measured, panel)[0]


def _model(
    setup: Setup, solution: Solution, members: Sequence[Member], residuals: Sequence[Residual], unchecked: bool
) -> Model:
    chain = solution.chain
    dist, poni1, poni2, rot1, rot2, rot3 = chain.values
    geometry = replace(
        members[0].geometry, dist=dist, poni1=poni1, poni2=poni2, rot1=rot1, rot2=rot2, rot3=rot3,
        wavelength=chain.wavelength,
    )  # fmt: skip
    names = tuple(chain.parameters())
    lower = solution.covariance[np.tril_indices(len(names))]
    return Model(
        geometry=geometry,
        panel=setup.panel,
        reference=chain.reference,
        joints=chain.joints,
        free=names,
        covariance=tuple(lower.tolist()),
        by_wavelength=tuple(solution.by_wavelength.tolist()),
        wavelength_sigma=max(member.wavelength_sigma for member in members),
        scatter=solution.scatter,
        spans={joint.link: _span(setup, joint, members) for joint in chain.joints},
        motor_sigma=setup.motor_sigma,
        fit={
            "chi2": solution.chi2,
            "dof": solution.dof,
            "inflation": INFLATION,
            "unchecked": unchecked,
            "members": [_record(residual) for residual in residuals],
        },
    )


def _record(residual: Residual) -> dict[str, object]:
    member, left_out = residual.member, residual.left_out
    record: dict[str, object] = {
        "revision": member.revision,
        "uid": member.uid,
        "name": member.name,
        "position": dict(member.position),
        "assumed": member.assumed,
        "residual_px": residual.shift_px,
    }
    if left_out is not None:
        record |= {"left_out_px": left_out.shift_px, "left_out_probability": left_out.probability}
    return record


def _span(setup: Setup, joint: AnyJoint, members: Sequence[Member]) -> Span:
    """Return the declared or calibrated range of a link; raises `FitError` where there is none."""
    if joint.link in setup.ranges:
        return Span(*setup.ranges[joint.link], declared=True)
    values = [member.position[joint.link] for member in members]
    low, high = min(values), max(values)
    if isinstance(joint, Beam):
        middle = (low + high) / 2
        if high - low < 2 * ENERGY_RANGE * middle:
            return Span(middle * (1 - ENERGY_RANGE), middle * (1 + ENERGY_RANGE), declared=True)
    elif low == high:
        raise FitError(
            f"all calibrations were at {joint.link} {low:g} {joint.units}, so it is not known in which range the model "
            f"holds: give one, such as --range {joint.link}=0,40"
        )
    return Span(low, high)


def _deviations(residuals: Sequence[Residual]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the problems and the notes about members that deviate from what the others predict."""
    accused = [each.member.name for each in residuals if each.left_out is not None and each.left_out.contradicts]
    index = culprit([each.left_out for each in residuals])
    result = None if index is None else residuals[index].left_out
    if index is None or result is None:
        problem = (
            f"the calibrations contradict each other: one of {', '.join(accused)} is wrong, and it cannot be told "
            "which; calibrate at one position more"
        )
        return ((problem,) if accused else ()), ()
    name = residuals[index].member.name
    size = f"its rings are {result.shift_px:.2f} px from what they predict (p {result.probability_text()})"
    if accused:
        return (f"{name} contradicts the others: {size}; supersede or retract it, or fit without it",), ()
    return (), (f"{name} deviates from the others: {size}; a model is refused from {LEAST_PX:g} px on, so check it",)


def _notes(members: Sequence[Member], unchecked: bool, travel: Sequence[TravelWavelength]) -> tuple[str, ...]:
    notes = []
    if unchecked:
        notes.append("unchecked: no calibration is left that tests the model; calibrate at one position more")
    if assumed := [member.name for member in members if member.assumed]:
        notes.append(
            f"{', '.join(assumed)}: without a covariance; standard deviations of 10 um and 100 urad are assumed"
        )
    notes += [each.text() for each in travel if each.is_reported]
    return tuple(notes)
