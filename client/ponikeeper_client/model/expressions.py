"""The formulas of a model, as pyFAI's goniometer has them: expressions of the positions, for numexpr.

Each entry of the detector's rotation is a polynomial of cosines and sines of the arms, and so are dist, poni1 and
poni2, with the travel of stages. A polynomial is a dict: coefficients by the tuple of its factors.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ponikeeper.geometry.kinematics import AnyJoint, Beam, Model, Rotate, Translate
from ponikeeper.geometry.kinematics.rigid import Pose
from ponikeeper_client.model.members import Floats, values_of

Polynomial = dict[tuple[str, ...], float]
Polynomials = list[Polynomial]


def expressions(model: Model, names: Mapping[str, str]) -> dict[str, str]:
    """Return the expression of each value.

    Parameters
    ----------
    model
        The model.
    names
        The name of each joint's link in the expressions.

    Returns
    -------
    dict
        ``dist_expr`` and so on (m, rad), and ``wavelength_expr`` (m) where a joint changes the wavelength.
    """
    pose = Pose.of(values_of(model.geometry))
    rotation = [[{(): value} for value in row] for row in pose.rotation]
    origin = (np.array(pose.rotation).T @ pose.origin).tolist()
    place: Polynomials = [{(): value} for value in origin]  # the origin of the lab, seen from the detector
    wavelength = f"{model.geometry.wavelength!r}"
    for joint in reversed(model.joints):
        name, reference = names[joint.link], model.reference[joint.link]
        if isinstance(joint, Beam):
            ratio = f"{reference!r} / {name}" if joint.quantity == "energy" else f"{name} / {reference!r}"
            wavelength = f"{wavelength} * ({ratio})"
        else:
            rotation, place = _moved(joint, f"({name} - {_number(reference)})", rotation, place)
    texts = {
        "dist_expr": _text(place[2]),
        "poni1_expr": f"-({_text(place[0])})",
        "poni2_expr": f"-({_text(place[1])})",
        **_rotations(rotation),
    }
    has_beam = any(isinstance(joint, Beam) for joint in model.joints)
    return {**texts, "wavelength_expr": wavelength} if has_beam else texts


def _moved(
    joint: AnyJoint, travel: str, rotation: list[Polynomials], place: Polynomials
) -> tuple[list[Polynomials], Polynomials]:
    """Return rotation and place after a joint: a stage adds ``R^T u m``, an arm ``(A R - R)^T c``."""
    if isinstance(joint, Translate):
        shift = [{(travel,): value * joint.factor} for value in joint.direction]
        return rotation, [_sum(here, *_row(rotation, shift, axis)) for axis, here in enumerate(place)]
    assert isinstance(joint, Rotate)
    angle, axis = f"({travel} * {_number(joint.factor)})", np.array(joint.axis)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    along = np.outer(axis, axis)
    parts = {(): along, (f"cos({angle})",): np.eye(3) - along, (f"sin({angle})",): cross}
    turned = [[_sum(*_entry(parts, rotation, row, column)) for column in range(3)] for row in range(3)]
    centre: Floats = np.zeros(3)
    centre[[joint.about % 3, (joint.about + 1) % 3]] = joint.offset
    shift = [{(): float(value)} for value in centre]
    back = [{(): -float(value)} for value in centre]
    return turned, [
        _sum(here, *_row(turned, shift, column), *_row(rotation, back, column)) for column, here in enumerate(place)
    ]


def _entry(
    parts: Mapping[tuple[str, ...], Floats], rotation: Sequence[Polynomials], row: int, column: int
) -> list[Polynomial]:
    """Return the terms of one entry of ``A R``."""
    return [
        _times(rotation[inner][column], {factors: float(part[row, inner])})
        for factors, part in parts.items()
        for inner in range(3)
    ]


def _row(rotation: Sequence[Polynomials], vector: Polynomials, column: int) -> list[Polynomial]:
    """Return the terms of one component of ``R^T v``."""
    return [_times(rotation[row][column], vector[row]) for row in range(3)]


def _rotations(rotation: Sequence[Polynomials]) -> dict[str, str]:
    first, second, third = rotation
    across = f"sqrt(({_text(third[1])})**2 + ({_text(third[2])})**2)"
    return {
        "rot1_expr": f"arctan2(-({_text(third[1])}), {_text(third[2])})",
        "rot2_expr": f"arctan2({_text(third[0])}, {across})",
        "rot3_expr": f"arctan2({_text(second[0])}, {_text(first[0])})",
    }


def _sum(*terms: Polynomial) -> Polynomial:
    total: Polynomial = {}
    for term in terms:
        for factors, value in term.items():
            total[factors] = total.get(factors, 0.0) + value
    return total


def _times(one: Polynomial, other: Polynomial) -> Polynomial:
    return _sum(
        *({tuple(sorted((*a, *b))): x * y} for a, x in one.items() for b, y in other.items()),
    )


def _text(polynomial: Polynomial) -> str:
    terms = [" * ".join((_number(value), *factors)) for factors, value in polynomial.items() if value != 0]
    return " + ".join(terms) or "0.0"


def _number(value: float) -> str:
    return f"({value!r})" if value < 0 else f"{value!r}"
