"""A chain of joints from the floor to the detector: the pose of the detector at any position of its links."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Self

from ponikeeper.geometry.kinematics.joints import AnyJoint, Beam, Displacements
from ponikeeper.geometry.kinematics.rigid import Displacement, Pose, Slopes, Values, apply, cross, pyfai_rotation, scale

FREE: tuple[str, ...] = ("dist", "poni1", "poni2", "rot1", "rot2")
"""The values of a geometry that calibrations determine, in the order of `Slopes`."""


@dataclass(frozen=True, slots=True)
class Chain:
    """The pose of a detector as a function of the position of its links.

    Parameters
    ----------
    values
        dist, poni1, poni2 (m), rot1, rot2, rot3 (rad) at the reference position.
    wavelength
        Wavelength at the reference position (m).
    reference
        The reference position: the value of each joint's link.
    joints
        From the floor to the detector.
    """

    values: Values
    wavelength: float
    reference: Mapping[str, float]
    joints: tuple[AnyJoint, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "reference", MappingProxyType(dict(self.reference)))

    def __reduce__(self) -> tuple[object, ...]:  # a frozen mapping can be neither copied nor pickled by itself
        return type(self), (self.values, self.wavelength, dict(self.reference), self.joints)

    def parameters(self) -> dict[str, float]:
        """Return the parameters by name: those of `FREE` at the reference position, and those of the joints.

        Returns
        -------
        dict
            In m, rad, and m per m.
        """
        parameters = dict(zip(FREE, self.values, strict=False))
        for joint in self.joints:
            parameters |= joint.parameters()
        return parameters

    def with_parameters(self, parameters: Mapping[str, float]) -> Self:
        """Return the chain with other parameters.

        Parameters
        ----------
        parameters
            All of them, as `parameters` returns them.

        Returns
        -------
        Chain
        """
        dist, poni1, poni2, rot1, rot2 = (parameters[name] for name in FREE)
        joints = tuple(joint.with_parameters(parameters) for joint in self.joints)
        return replace(self, values=(dist, poni1, poni2, rot1, rot2, self.values[5]), joints=joints)

    def pose(self, position: Mapping[str, float]) -> Pose:
        """Compute the pose of the detector.

        Parameters
        ----------
        position
            The value of each joint's link, in the units of the joint.

        Returns
        -------
        Pose
        """
        pose = Pose.of(self.values)
        for joint in reversed(self.joints):
            pose, _ = joint.move(pose, {}, position[joint.link] - self.reference[joint.link])
        return pose

    def wavelength_at(self, position: Mapping[str, float]) -> float:
        """Compute the wavelength at a position.

        Parameters
        ----------
        position
            As for `pose`.

        Returns
        -------
        float
            In m.
        """
        wavelength = self.wavelength
        for joint in self.joints:
            if isinstance(joint, Beam):
                wavelength = joint.wavelength(wavelength, self.reference[joint.link], position[joint.link])
        return wavelength

    def slopes(self, position: Mapping[str, float]) -> tuple[Values, dict[str, Slopes]]:
        """Compute the values at a position, and how they change with every parameter and every link.

        Parameters
        ----------
        position
            The value of each joint's link, in the units of the joint.

        Returns
        -------
        values, slopes
            The six values (m, rad), and by the name of a parameter or link the changes of the five of `FREE`, per
            unit of the parameter or link.

        Raises
        ------
        GeometryError
            rot2 is 90 degrees, where the slopes do not exist.
        """
        pose = Pose.of(self.values)
        displacements = _by_values(self.values, pose)
        for joint in reversed(self.joints):
            travel = position[joint.link] - self.reference[joint.link]
            pose, displacements = joint.move(pose, displacements, travel)
        return pose.values(), {name: pose.slopes(each) for name, each in displacements.items()}


def _by_values(values: Values, pose: Pose) -> Displacements:
    """Compute the displacements of a pose by the values of `FREE`."""
    turned = pyfai_rotation(0.0, values[4], values[5])
    about1 = scale(apply(turned, (1.0, 0.0, 0.0)), -1.0)
    about2 = scale(apply(pyfai_rotation(0.0, 0.0, values[5]), (0.0, 1.0, 0.0)), -1.0)
    return {
        "dist": Displacement(apply(pose.rotation, (0.0, 0.0, 1.0))),
        "poni1": Displacement(apply(pose.rotation, (-1.0, 0.0, 0.0))),
        "poni2": Displacement(apply(pose.rotation, (0.0, -1.0, 0.0))),
        "rot1": Displacement(cross(about1, pose.origin), about1),
        "rot2": Displacement(cross(about2, pose.origin), about2),
    }
