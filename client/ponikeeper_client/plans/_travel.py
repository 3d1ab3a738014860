"""Where a detector is calibrated on its way, and what is known before it moves: links, joints, positions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bluesky.protocols import Movable

from ponikeeper.errors import CalibrationError, ConfigError, FitError
from ponikeeper.protocol import LinkState, label_problem, measures_beam
from ponikeeper.protocol.link_values import quantity
from ponikeeper.protocol.links import in_service
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.model.history_fit import Knowledge
from ponikeeper_client.model.motion import Motion, is_angle
from ponikeeper_client.model.rehearsal import require_determined
from ponikeeper_client.plans.arrival import in_units_of_link, linked_readbacks

Position = float | Mapping[str, float]
"""Where a stage goes, or each motor of several by the name of its link."""

Positions = Sequence[Position] | Mapping[str, Position]
"""Where a detector is calibrated; of a mapping the names are the labels of the calibrations."""

_EXPECTED = (
    'expected such as [300.0, 500.0, 700.0], or {"near": 300.0, "far": 700.0}; of several motors, '
    '[{"z": 300.0, "x": 0.0}, ...]'
)


@dataclass(frozen=True, slots=True)
class Stop:
    """One position at which detectors are calibrated.

    Parameters
    ----------
    label
        Label of the calibrations there; None for none.
    places
        Where each motor goes (its units), by its key in `Travel.motors`.
    """

    label: str | None
    places: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Travel:
    """The motors, and where they go.

    Parameters
    ----------
    motors
        By the names of the links; a single stage, whose link is found by its PV, by an empty text.
    stops
        The positions, in their order.
    """

    motors: Mapping[str, Any]
    stops: tuple[Stop, ...]

    def targets(self, stop: Stop) -> list[tuple[Any, float]]:
        """Return each motor, and where it goes (its units)."""
        return [(self.motors[key], place) for key, place in stop.places.items()]


def travel_of(stage: Any, positions: Any) -> Travel:
    """Check the motors and the positions that a user gives.

    Parameters
    ----------
    stage
        A motor, or motors by the names of their links.
    positions
        As `Positions`.

    Returns
    -------
    Travel

    Raises
    ------
    CalibrationError
        Something cannot be moved, or is no position, or is beyond the limits of a motor.
    """
    motors = dict(stage) if isinstance(stage, Mapping) else {"": stage}
    for name, motor in motors.items():
        if not isinstance(motor, Movable):
            text = f"stage={motor!r}" if not name else f"stage[{name!r}]={motor!r}"
            raise CalibrationError(f"{text} cannot be moved: expected a device such as det_z, not its name")
    if hasattr(positions, "tolist"):  # an array
        positions = positions.tolist()
    if not positions or not isinstance(positions, (Mapping, Sequence)) or isinstance(positions, str):
        raise CalibrationError(f"positions={positions!r} are no positions: {_EXPECTED}")
    named = isinstance(positions, Mapping)
    pairs = list(positions.items()) if named else [(None, position) for position in positions]
    stops = tuple(Stop(label, _places(motors, position)) for label, position in pairs)
    for stop in stops:
        if stop.label is not None and (problem := label_problem(stop.label)):
            raise CalibrationError(problem)
    if len({tuple(stop.places.items()) for stop in stops}) < len(stops):
        raise CalibrationError(f"positions={positions!r}: a position is given twice, expected each once")
    return Travel(motors, stops)


def _places(motors: Mapping[str, Any], position: Any) -> dict[str, float]:
    """Return where each motor goes; raises `CalibrationError`."""
    places = dict(position) if isinstance(position, Mapping) else {"": position}
    if places.keys() != motors.keys():
        raise CalibrationError(f"{position!r} is no position of {_names(motors)}: {_EXPECTED}")
    for key, place in places.items():
        if isinstance(place, (bool, str, bytes)) or not _is_finite(place):
            raise CalibrationError(f"{place!r} is no position: {_EXPECTED}")
        check = getattr(motors[key], "check_value", None)
        if check is not None:
            try:
                check(place)
            except Exception as error:  # each kind of motor has its own
                raise CalibrationError(f"{motors[key].name} cannot go to {place:g}: {error}") from error
    return {key: float(place) for key, place in places.items()}


def _names(motors: Mapping[str, Any]) -> str:
    return ", ".join(key or motor.name for key, motor in motors.items())


def _is_finite(place: Any) -> bool:
    try:
        return math.isfinite(place)
    except TypeError:
        return False


@dataclass(frozen=True, slots=True)
class Joints:
    """The joints of one detector.

    Parameters
    ----------
    links
        Name of the link of each motor, by its key in `Travel.motors`.
    motion
        How they move the detector.
    """

    links: Mapping[str, str]
    motion: Motion

    def position(self, stop: Stop) -> dict[str, float]:
        """Return a position by the names of the links (the motors' units)."""
        return {self.links[key]: place for key, place in stop.places.items()}

    def place_text(self, stop: Stop) -> str:
        """Format a position for people: ``z 300``."""
        return ", ".join(f"{link} {place:g}" for link, place in self.position(stop).items())


def joints_of(
    calib: CalibrationData,
    travel: Travel,
    axis: int | Mapping[str, int] | None,
    order: Sequence[str],
    known: Knowledge,
) -> Joints:
    """Find out how the motors move a detector, and check that its positions determine the joints.

    Parameters
    ----------
    calib
        The calibration of the detector.
    travel
        The motors, and where they go.
    axis
        Lab axis of each arm, by its link; one for all.
    order
        All links from the floor to the detector; empty for arms, stages, beam.
    known
        What is known of the motors.

    Returns
    -------
    Joints

    Raises
    ------
    CalibrationError
        A motor is not linked, has units of no joint, or lacks its axis; or the positions do not determine the joints.
    """
    links = {link.name: link for link in in_service(calib.read_links())}
    names = {key: _link_of(calib, key, motor, links) for key, motor in travel.motors.items()}
    used = [links[name] for name in names.values()]
    arms = [link.name for link in used if not measures_beam(link) and is_angle(link.units)]
    beam = next((link.name for link in used if measures_beam(link)), None)
    axes = {name: axis.get(name) if isinstance(axis, Mapping) else axis for name in arms}
    if missing := [name for name, each in axes.items() if each is None]:
        raise CalibrationError(
            f"{calib.name}: {missing[0]} is an arm, since its units are {links[missing[0]].units}: give the lab axis "
            f"to which its axis is parallel, axis={{{missing[0]!r}: 2}}: 1 (up), 2 (horizontal) or 3 (beam), negative "
            "for left-handed; nothing has moved"
        )
    stages = tuple(link.name for link in used if link.name not in arms and link.name != beam)
    try:
        motion = Motion(stages, tuple((name, each) for name, each in axes.items() if each), beam, tuple(order))
        known.require_for(motion)
        joints = Joints(names, motion)
        _require_positions(
            motion, links, [_in_units_of_links(travel, joints, links, stop) for stop in travel.stops], known
        )
    except (ConfigError, FitError) as error:
        raise CalibrationError(
            f"{calib.name}: {problem}; nothing has moved, and nothing was exposed" for problem in error.problems
        ) from error
    return joints


def _in_units_of_links(travel: Travel, joints: Joints, links: Mapping[str, LinkState], stop: Stop) -> dict[str, float]:
    """Return a position by the names of the links, in their units as far as those of the motors are known."""
    position: dict[str, float] = {}
    for key, place in stop.places.items():
        link = links[joints.links[key]]
        signal = linked_readbacks(travel.motors[key], [link]).get(link.name)
        position[link.name] = in_units_of_link(place, signal, link)
    return position


def _require_positions(
    motion: Motion, links: Mapping[str, LinkState], positions: Sequence[Mapping[str, float]], known: Knowledge
) -> None:
    """Check that positions determine the joints; raises `FitError`."""
    for link, _ in motion.arms:
        is_one_place = len({position[link] for position in positions}) == 1
        if is_one_place and known.nominal and link not in known.ranges:
            place = quantity(positions[0][link], links[link].units)
            problem = f"all positions are at {link} {place}"
            raise FitError(f"{problem}: give others, or the range of the link, ranges={{{link!r}: (0, 40)}}")
    units = {link: links[link].units for link in motion.links}
    require_determined(motion, units, positions, nominal=known.nominal, ranges=known.ranges)


def _link_of(calib: CalibrationData, key: str, motor: Any, links: Mapping[str, LinkState]) -> str:
    """Return the name of the link that a motor moves; raises `CalibrationError`."""
    by_pv = list(linked_readbacks(motor, list(links.values())))
    listed = ", ".join(str(link) for link in links.values()) or "none"
    if key in links and (not by_pv or key in by_pv):
        return key
    if not key and len(by_pv) == 1:
        return by_pv[0]
    if key:
        what = f"{key} is the link of another motor than {motor.name}" if key in links else f"{key} is no link"
    else:
        what = f"no link is a PV of {motor.name}" if not by_pv else f"{', '.join(by_pv)} are PVs of {motor.name}"
    raise CalibrationError(
        f"{calib.name}: {what}; the links in service are {listed}: configure the link in the IOC, or name it, "
        "stage={'z': det_z}; nothing has moved"
    )
