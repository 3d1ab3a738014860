"""The joints of a chain: what the motion of one linked PV does to the detector, or to the wavelength."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt
from typing import ClassVar, Literal, Self

from ponikeeper.geometry.kinematics.rigid import (
    ZERO,
    Displacement,
    Matrix,
    Pose,
    Vector,
    add,
    apply,
    cross,
    product,
    scale,
    subtract,
    turn_about,
)

Displacements = dict[str, Displacement]
"""How a pose changes, by the name of what changes it."""


@dataclass(frozen=True, slots=True)
class Translate:
    """A straight stage or rail.

    Parameters
    ----------
    link
        Name of the link.
    units
        Units of its values.
    factor
        Metres in one of these units.
    direction
        Displacement of the detector in the lab for 1 m of travel by the motor's scale: the direction of the rail, and
        the scale of the motor relative to that of the calibrations.
    """

    kind: ClassVar[str] = "translate"

    link: str
    units: str
    factor: float
    direction: Vector

    def parameters(self) -> dict[str, float]:
        """Return the parameters by name: ``z.direction1`` and so on for the link z.

        Returns
        -------
        dict
        """
        return dict(zip(_names(self.link, "direction", 3), self.direction, strict=True))

    def with_parameters(self, values: Mapping[str, float]) -> Self:
        """Return the joint with parameters by name, of which it takes its own.

        Parameters
        ----------
        values
            Of all joints, by name.

        Returns
        -------
        same type
        """
        one, two, three = (values[name] for name in _names(self.link, "direction", 3))
        return replace(self, direction=(one, two, three))

    def move(self, pose: Pose, displacements: Displacements, travel: float) -> tuple[Pose, Displacements]:
        """Move the detector, and what displaces it.

        Parameters
        ----------
        pose
            The pose before this joint moves.
        displacements
            Displacements of that pose by the joints nearer to the detector.
        travel
            Difference of the link from its reference, in its units.

        Returns
        -------
        Pose, dict
            The pose after it, and displacements of that pose: the given ones, those by the parameters of this joint,
            and that by the link itself, per unit, under the name of the link.
        """
        metres = travel * self.factor
        moved = Pose(pose.rotation, add(pose.origin, scale(self.direction, metres)))
        units: tuple[Vector, ...] = ((metres, 0.0, 0.0), (0.0, metres, 0.0), (0.0, 0.0, metres))
        own = zip(_names(self.link, "direction", 3), map(Displacement, units), strict=True)
        by_link = Displacement(scale(self.direction, self.factor))
        return moved, {**displacements, **dict(own), self.link: by_link}


@dataclass(frozen=True, slots=True)
class Rotate:
    """An arm or a rotary stage: a rotation about an axis that need not pass through the sample.

    Parameters
    ----------
    link
        Name of the link.
    units
        Units of its values.
    factor
        Radians in one of these units; negative for a motor that turns left-handed about `about`.
    about
        Lab axis to which the axis is nearly parallel: 1, 2 or 3.
    tilt
        Components of the unit vector of the axis along the two next lab axes, in cyclic order.
    offset
        Where the axis passes the sample: coordinates along the same two lab axes (m).
    """

    kind: ClassVar[str] = "rotate"

    link: str
    units: str
    factor: float
    about: Literal[1, 2, 3]
    tilt: tuple[float, float] = (0.0, 0.0)
    offset: tuple[float, float] = (0.0, 0.0)

    @property
    def axis(self) -> Vector:
        """The unit vector of the axis."""
        a, b = self.tilt
        return self._placed(sqrt(1.0 - a * a - b * b), a, b)

    def parameters(self) -> dict[str, float]:
        """Return the parameters by name: ``tth.tilt1``, ``tth.offset1`` and so on for the link tth.

        Returns
        -------
        dict
        """
        names = (*_names(self.link, "tilt", 2), *_names(self.link, "offset", 2))
        return dict(zip(names, (*self.tilt, *self.offset), strict=True))

    def with_parameters(self, values: Mapping[str, float]) -> Self:
        """Return the joint with parameters by name, of which it takes its own.

        Parameters
        ----------
        values
            Of all joints, by name.

        Returns
        -------
        same type
        """
        tilt1, tilt2 = (values[name] for name in _names(self.link, "tilt", 2))
        offset1, offset2 = (values[name] for name in _names(self.link, "offset", 2))
        return replace(self, tilt=(tilt1, tilt2), offset=(offset1, offset2))

    def move(self, pose: Pose, displacements: Displacements, travel: float) -> tuple[Pose, Displacements]:
        """Move the detector, and what displaces it.

        Parameters
        ----------
        pose, displacements, travel
            As for `Translate.move`.

        Returns
        -------
        Pose, dict
        """
        axis, centre = self.axis, self._placed(0.0, *self.offset)
        turned = turn_about(axis, travel * self.factor)
        arm = apply(turned, subtract(pose.origin, centre))
        moved = Pose(product(turned, pose.rotation), add(arm, centre))
        carried = {name: each.turned(turned) for name, each in displacements.items()}
        carried |= self._by_parameters(axis, turned, arm)
        by_link = scale(axis, self.factor)
        carried[self.link] = Displacement(cross(by_link, arm), by_link)
        return moved, carried

    def _by_parameters(self, axis: Vector, turned: Matrix, arm: Vector) -> Displacements:
        """Compute the displacements by the parameters; `arm` leads from the axis to the detector's origin (m).

        A small rotation e of the axis n changes the rotation A to ``(1 + e) A (1 - e)``, a rotation by ``e - A e``;
        for a change dn of the axis, e is ``n x dn``. An axis that is shifted by dc shifts all by ``dc - A dc``.
        """
        (a, b), along = self.tilt, sqrt(1.0 - self.tilt[0] * self.tilt[0] - self.tilt[1] * self.tilt[1])
        changes = (self._placed(-a / along, 1.0, 0.0), self._placed(-b / along, 0.0, 1.0))
        result: Displacements = {}
        for name, change in zip(_names(self.link, "tilt", 2), changes, strict=True):
            small = cross(axis, change)
            turn = subtract(small, apply(turned, small))
            result[name] = Displacement(cross(turn, arm), turn)
        shifts = (self._placed(0.0, 1.0, 0.0), self._placed(0.0, 0.0, 1.0))
        for name, shift in zip(_names(self.link, "offset", 2), shifts, strict=True):
            result[name] = Displacement(subtract(shift, apply(turned, shift)), ZERO)
        return result

    def _placed(self, along: float, first: float, second: float) -> Vector:
        """Return the vector with these components along `about` and the two next lab axes."""
        if self.about == 1:
            return (along, first, second)
        return (second, along, first) if self.about == 2 else (first, second, along)


@dataclass(frozen=True, slots=True)
class Beam:
    """The energy or the wavelength of the beam: it moves nothing, and determines the wavelength.

    Parameters
    ----------
    link
        Name of the link.
    units
        Units of its values, which are more than 0.
    quantity
        ``energy``: the wavelength is proportional to 1 / value; ``wavelength``: to the value.
    """

    kind: ClassVar[str] = "beam"

    link: str
    units: str
    quantity: Literal["energy", "wavelength"] = "energy"

    def parameters(self) -> dict[str, float]:
        """Return no parameters: the factor is in the wavelength at the reference.

        Returns
        -------
        dict
        """
        return {}

    def with_parameters(self, values: Mapping[str, float]) -> Self:  # noqa: ARG002  # as the other joints
        """Return the joint itself.

        Parameters
        ----------
        values
            Of all joints, by name.

        Returns
        -------
        same type
        """
        return self

    def move(self, pose: Pose, displacements: Displacements, travel: float) -> tuple[Pose, Displacements]:  # noqa: ARG002
        """Return the pose and the displacements unchanged.

        Parameters
        ----------
        pose, displacements, travel
            As for `Translate.move`.

        Returns
        -------
        Pose, dict
        """
        return pose, displacements

    def wavelength(self, reference: float, value_there: float, value: float) -> float:
        """Compute the wavelength.

        Parameters
        ----------
        reference
            The wavelength at the reference position (m).
        value_there, value
            The link at the reference position, and now.

        Returns
        -------
        float
            In m.
        """
        return reference * (value_there / value if self.quantity == "energy" else value / value_there)


AnyJoint = Translate | Rotate | Beam
"""A joint of any kind."""


def _names(link: str, what: str, count: int) -> tuple[str, ...]:
    return tuple(f"{link}.{what}{number}" for number in range(1, count + 1))
