"""Check before anything is calibrated whether calibrations at some positions will determine a model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ponikeeper.errors import FitError, GeometryError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.kinematics import AnyJoint, Chain, Translate
from ponikeeper.geometry.kinematics.place import value_slopes
from ponikeeper_client.model.fit import Setup, fit_model
from ponikeeper_client.model.members import ASSUMED_PLACE, ASSUMED_TILT, Member, values_of
from ponikeeper_client.model.motion import Motion, require_beam

_PANEL = (0.4, 0.4)
_GEOMETRY = Geometry(
    dist=1.0, poni1=0.19, poni2=0.21, rot1=0.01, rot2=-0.02, rot3=0.0, pixel1=2e-4, pixel2=2e-4, wavelength=1.7e-11,
    detector="Detector",
)  # fmt: skip
"""Of any detector: which parameters are determined depends on the positions only."""


def require_determined(
    motion: Motion,
    units: Mapping[str, str],
    positions: Sequence[Mapping[str, float]],
    *,
    nominal: bool = False,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """Check that calibrations at some positions determine a model: fit one to simulated ones.

    Parameters
    ----------
    motion
        How the detector moves.
    units
        Of each joint's link.
    positions
        Values by link, in these units.
    nominal
        Whether the axes of the arms are as designed.
    ranges
        Declared ranges of links.

    Raises
    ------
    FitError
        The positions do not determine the model, or a link has no range; the message names what is missing.
    """
    joints = motion.joints(units)
    require_beam(motion, units, {f"position {number}": each for number, each in enumerate(positions, 1)})
    arms = [link for link, _ in motion.arms] if nominal else []
    setup = Setup(joints, _PANEL, arms, ranges=ranges or {})
    travel = sum(_length(joint, positions) for joint in joints)
    dist, *others = values_of(_GEOMETRY)
    moving = tuple(replace(each, direction=(0.1, 0.2, 0.9)) if isinstance(each, Translate) else each for each in joints)
    start = (dist + travel, *others)
    chain = Chain(start, _GEOMETRY.wavelength, dict(positions[0]), moving)  # type: ignore[arg-type]  # six values
    try:
        fit_model(setup, [_member(chain, number, position) for number, position in enumerate(positions, 1)])
    except GeometryError as error:
        raise FitError(f"no geometry of a detector belongs to these positions: {error}") from error


def _length(joint: AnyJoint, positions: Sequence[Mapping[str, float]]) -> float:
    """Return how far a stage travels (m): a detector must not come to be behind the sample."""
    values = [position[joint.link] for position in positions]
    return joint.factor * (max(values) - min(values)) if isinstance(joint, Translate) else 0.0


def _member(chain: Chain, number: int, position: Mapping[str, float]) -> Member:
    dist, poni1, poni2, rot1, rot2, rot3 = values = chain.pose(position).values()
    geometry = replace(
        _GEOMETRY, dist=dist, poni1=poni1, poni2=poni2, rot1=rot1, rot2=rot2, rot3=rot3,
        wavelength=chain.wavelength_at(position),
    )  # fmt: skip
    sigma = np.array([ASSUMED_PLACE] * 3 + [ASSUMED_TILT] * 2)
    root = np.array(value_slopes(values, (_PANEL[0] / 2, _PANEL[1] / 2))).T * sigma
    return Member(number, "", f"position {number}", geometry, position, root @ root.T, np.zeros(5), 1e-3, assumed=True)
