"""How a detector moves, as a person says it: stages, arms, the beam; made into the joints of a chain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ponikeeper.errors import ConfigError, FitError
from ponikeeper.geometry.kinematics import AnyJoint, Beam, Rotate, Translate
from ponikeeper.protocol.link_kinds import LINK_KINDS
from ponikeeper.protocol.link_units import Egu, conversion
from ponikeeper.protocol.link_values import quantity
from ponikeeper_client.model.members import Member
from ponikeeper_client.model.selection import Selected

_AXES = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Motion:
    """The links that move a detector or change the wavelength.

    Parameters
    ----------
    stages
        Links of straight stages and rails.
    arms
        Links of arms and rotary stages, each with the lab axis to which its axis is parallel: 1, 2 or 3; negative for
        a left-handed one.
    beam
        The link of the energy or the wavelength; None for a fixed one.
    order
        All of these from the floor to the detector; empty for arms, stages, beam.
    """

    stages: tuple[str, ...]
    arms: tuple[tuple[str, int], ...]
    beam: str | None
    order: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        links = self._links()
        if not links:
            raise ConfigError("nothing moves: expected at least one of --along, --arm and --energy")
        if len(set(links)) != len(links):
            raise ConfigError(f"a link is given twice: {' '.join(links)}")
        if self.order and sorted(self.order) != sorted(links):
            raise ConfigError(f"--order {','.join(self.order)}: {self._order_problem(links)}")
        if wrong := [axis for _, axis in self.arms if abs(axis) not in _AXES]:
            raise ConfigError(
                f"--axis {wrong[0]} is no lab axis: expected 1 (up), 2 (horizontal) or 3 (beam), or -1, -2 or -3 for a "
                "left-handed arm"
            )

    @property
    def links(self) -> tuple[str, ...]:
        """All links, from the floor to the detector."""
        return self.order or self._links()

    def _links(self) -> tuple[str, ...]:
        return (*(link for link, _ in self.arms), *self.stages, *(() if self.beam is None else (self.beam,)))

    def _order_problem(self, links: Sequence[str]) -> str:
        expected = f"expected each of {' '.join(links)} once"
        if unknown := [link for link in self.order if link not in links]:
            return f"{', '.join(unknown)} is no joint that was given with --along, --arm or --energy: {expected}"
        missing = [link for link in links if link not in self.order]
        return f"{', '.join(missing)} is missing: {expected}" if missing else f"a link is there twice: {expected}"

    def joints(self, units: Mapping[str, str]) -> tuple[AnyJoint, ...]:
        """Build the joints, with the values from which a fit starts.

        Parameters
        ----------
        units
            Of each link.

        Returns
        -------
        tuple of joints
            From the floor to the detector.

        Raises
        ------
        FitError
            The units are no length, no angle, or none of the beam.
        """
        return tuple(self._joint(link, units[link]) for link in self.links)

    def _joint(self, link: str, units: str) -> AnyJoint:
        arms = dict(self.arms)
        if link == self.beam:
            kinds = ("energy", "wavelength")
            for kind in kinds:
                beam = LINK_KINDS[kind].beam
                if beam is not None and units in beam.units:
                    return Beam(link, units, kind)
            raise FitError(
                f"{link} has the units {units!r}, which are no energy and no wavelength: expected keV, eV, ..."
            )
        if link in arms:
            sign = 1 if arms[link] > 0 else -1
            about = {1: 1, 2: 2, 3: 3}[abs(arms[link])]
            return Rotate(link, units, sign * factor_of(link, units, "rad"), about)  # type: ignore[arg-type]  # 1, 2 or 3
        return Translate(link, units, factor_of(link, units, "m"), (0.0, 0.0, 0.0))


def factor_of(link: str, units: str, wanted: str) -> float:
    """Return the factor from the units of a link to SI.

    Parameters
    ----------
    link
        Name of the link, for messages.
    units
        Its units.
    wanted
        ``m`` for a stage, ``rad`` for an arm.

    Returns
    -------
    float

    Raises
    ------
    FitError
        The units are none of that kind.
    """
    factor = conversion(Egu(units), wanted, measures_beam=False) if units else None
    if factor is None:
        what = {"m": "length: expected such as mm", "rad": "angle: expected such as deg"}[wanted]
        raise FitError(f"{link} has the units {units!r}, which are no {what}")
    return float(factor)


def is_angle(units: str) -> bool:
    """Return whether units are those of an angle: then a link is an arm or a rotary stage."""
    return bool(units) and conversion(Egu(units), "rad", measures_beam=False) is not None


def position_of(member: Selected, units: Mapping[str, str]) -> dict[str, float]:
    """Return the position of a revision.

    Parameters
    ----------
    member
        The revision.
    units
        Of each joint's link.

    Returns
    -------
    dict
        Values by link, in these units.

    Raises
    ------
    FitError
        It was recorded in units that cannot be converted.
    """
    values = {link: member.value(link, unit) for link, unit in units.items()}
    for link, value in values.items():
        if value is None:
            recorded = (member.revision.position or {})[link].get("units")
            raise FitError(f"{member.name} has {link} in {recorded!r}, which cannot be converted to {units[link]!r}")
    return {link: value for link, value in values.items() if value is not None}


def require_beam(motion: Motion, units: Mapping[str, str], positions: Mapping[str, Mapping[str, float]]) -> None:
    """Check that the energy or the wavelength is possible at every position.

    Parameters
    ----------
    motion
        How the detector moves.
    units
        Of each joint's link.
    positions
        Values by link, in these units, by what a person calls the position.

    Raises
    ------
    FitError
        It is 0 or less.
    """
    beam = motion.beam
    if beam is None:
        return
    wrong = {name: position[beam] for name, position in positions.items() if not position[beam] > 0}
    if wrong:
        raise FitError(
            f"{name} has {beam} at {quantity(value, units[beam])}: expected more than 0"
            for name, value in wrong.items()
        )


def wavelength_problems(members: Sequence[Member], beam: Beam | None) -> list[str]:
    """Return which wavelengths differ by more than their standard deviation.

    Parameters
    ----------
    members
        The members.
    beam
        The joint by which the wavelength changes; None for a fixed wavelength.

    Returns
    -------
    list of str
        A message for each member that differs from the first; empty where they agree.
    """
    first, problems = members[0], []
    for member in members[1:]:
        expected = first.geometry.wavelength
        if beam is not None:
            expected = beam.wavelength(expected, first.position[beam.link], member.position[beam.link])
        allowed = max(member.wavelength_sigma, first.wavelength_sigma)
        difference = member.geometry.wavelength / expected - 1
        if abs(difference) > max(allowed, 1e-12):
            cause = "add the energy, --energy LINK" if beam is None else f"{beam.link} does not explain that"
            problems.append(
                f"the wavelength of {member.name} differs from that of {first.name} by {100 * difference:+.3g} %, more "
                f"than its standard deviation of {100 * allowed:.2g} %: {cause}, or choose calibrations of one beam"
            )
    return problems
