"""A model that is fitted to revisions of a history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ponikeeper.errors import ConfigError, FitError
from ponikeeper.geometry.kinematics import Beam
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.protocol import LinkState
from ponikeeper_client.model.fit import FittedModel, Setup, fit_model
from ponikeeper_client.model.members import member_of, panel_of
from ponikeeper_client.model.motion import Motion, position_of, require_beam, wavelength_problems
from ponikeeper_client.model.option_rules import sigma_problem, span_problem
from ponikeeper_client.model.selection import Selected, other_links, require_links, select, units_of


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known of the motors beforehand.

    Parameters
    ----------
    nominal
        Whether the axes of the arms are as designed.
    motor_sigma
        Standard deviation of the position of each link, in its units.
    scale_sigma
        Relative standard deviation of the scale of each motor.
    ranges
        Declared ranges of links, in their units.
    """

    nominal: bool = False
    motor_sigma: Mapping[str, float] = field(default_factory=dict[str, float])
    scale_sigma: Mapping[str, float] = field(default_factory=dict[str, float])
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])

    def with_scales(self, links: Mapping[str, LinkState], joints: Sequence[str]) -> "Knowledge":
        """Return this with the scales of motors that are configured, where none is given."""
        configured = {name: links[name].scale_sigma for name in joints if name in links}
        scales = {name: sigma for name, sigma in configured.items() if sigma is not None}
        return replace(self, scale_sigma={**scales, **self.scale_sigma})

    def require_for(self, motion: Motion) -> None:
        """Check that only joints are named, and that a model can have every value; raises `ConfigError`."""
        options = {"--sigma": self.motor_sigma, "--scale-sigma": self.scale_sigma, "--range": self.ranges}
        for option, given in options.items():
            if unknown := [link for link in given if link not in motion.links]:
                raise ConfigError(
                    f"{option} {unknown[0]}=...: {unknown[0]} is no joint, expected one of {' '.join(motion.links)}"
                )
        problems = [
            *(sigma_problem("--sigma", link, sigma) for link, sigma in self.motor_sigma.items()),
            *(sigma_problem("--scale-sigma", link, sigma) for link, sigma in self.scale_sigma.items()),
            *(span_problem(link, *span, is_beam=link == motion.beam) for link, span in self.ranges.items()),
        ]
        if found := [problem for problem in problems if problem]:
            raise ConfigError(found)


@dataclass(frozen=True, slots=True)
class HistoryFit:
    """A model that was fitted to revisions of a history.

    Parameters
    ----------
    fitted
        The model.
    members
        The revisions.
    notes
        What a person should know of them.
    """

    fitted: FittedModel
    members: Sequence[Selected]
    notes: Sequence[str]


def fit_history(
    history: ExportedHistory, words: str, motion: Motion, known: Knowledge, links: Sequence[LinkState] = ()
) -> HistoryFit:
    """Fit a model to revisions of a history.

    Parameters
    ----------
    history
        Of the detector.
    words
        Which revisions: labels and numbers with commas between, or ``all``.
    motion
        How the detector moves.
    known
        What is known of the motors.
    links
        All links of the detector as the IOC has them: the joints get their units, and the scale of a motor is as
        certain as is configured there; empty if that is not known.

    Returns
    -------
    HistoryFit

    Raises
    ------
    FitError
        The revisions cannot be members of one model, or do not determine it.
    ConfigError
        An option names a link that is no joint, or has a value that no model can have.
    """
    known.require_for(motion)
    configured = {link.name: link for link in links}
    require_links(history, motion.links, configured)
    selected = select(history, words, motion.links)
    units = {link: configured[link].units if link in configured else units_of(selected, link) for link in motion.links}
    setup = _setup(selected, motion, known.with_scales(configured, motion.links), units)
    positions = {each.name: position_of(each, units) for each in selected}
    require_beam(motion, units, positions)
    members = [member_of(each.revision, each.name, positions[each.name], setup.middle) for each in selected]
    beam = next((joint for joint in setup.joints if isinstance(joint, Beam)), None)
    if wrong := wavelength_problems(members, beam):
        raise FitError(wrong)
    return HistoryFit(fit_model(setup, members), selected, _other_notes(selected, motion))


def _setup(selected: Sequence[Selected], motion: Motion, known: Knowledge, units: Mapping[str, str]) -> Setup:
    geometry = selected[-1].revision.geometry
    panel = panel_of(geometry)
    if panel is None:
        raise FitError(
            f"the size of the detector {geometry.detector} is not known: commit its geometry with "
            '"max_shape": [rows, columns] in detector_config'
        )
    nominal = [link for link, _ in motion.arms] if known.nominal else []
    return Setup(motion.joints(units), panel, nominal, known.motor_sigma, known.scale_sigma, known.ranges)


def _other_notes(selected: Sequence[Selected], motion: Motion) -> list[str]:
    return [
        f"{link} was at {low:.6g} to {high:.6g} {units}".rstrip() + ", and is no joint of this model"
        for link, (low, high, units) in other_links(selected, motion.links).items()
    ]
