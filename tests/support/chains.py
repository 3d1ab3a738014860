"""Chains of joints at random, positions for them, and the same motion computed in another way."""

import math
import random

import numpy as np

from ponikeeper.geometry import Geometry
from ponikeeper.geometry.kinematics import Beam, Chain, Model, Rotate, Span, Translate

PANEL = (0.4096, 0.4096)
WAVELENGTH = 1.663e-11
KINDS = ("rail", "stages", "arm", "rail on an arm", "arm on a rail", "energy", "two arms")


def geometry(**values):
    """Return a geometry on a flat panel of 41 cm."""
    given = {"dist": 0.5, "poni1": 0.2, "poni2": 0.21, "rot1": 4e-3, "rot2": -3e-3, "rot3": 0.0} | values
    return Geometry(**given, pixel1=2e-4, pixel2=2e-4, wavelength=WAVELENGTH, detector="Perkin")


def joints_of(kind, source):
    """Draw the joints of a kind."""
    small = source.uniform

    def rail(link, axis=3):
        direction = [small(-0.02, 0.02) for _ in range(3)]
        direction[axis - 1] += 1.0
        return Translate(link, "mm", 1e-3, tuple(direction))

    def arm(link):
        factor = source.choice((-1, 1)) * math.pi / 180
        tilt, offset = [(small(-0.05, 0.05), small(-0.05, 0.05)) for _ in range(2)]
        return Rotate(link, "deg", factor, source.choice((1, 2, 3)), tilt, offset)

    return {
        "rail": lambda: (rail("z"),),
        "stages": lambda: (rail("x", 2), rail("y", 1), rail("z")),
        "arm": lambda: (arm("tth"),),
        "rail on an arm": lambda: (arm("tth"), rail("z")),
        "arm on a rail": lambda: (rail("z"), arm("tth")),
        "energy": lambda: (rail("z"), Beam("energy", "keV")),
        "two arms": lambda: (arm("nu"), arm("delta"), rail("z")),
    }[kind]()


def chain(kind, seed):
    """Draw a chain of a kind."""
    source = random.Random(f"{kind} {seed}")
    values = (
        source.uniform(0.1, 2.0), source.uniform(-0.1, 0.5), source.uniform(-0.1, 0.5),
        source.uniform(-0.3, 0.3), source.uniform(-0.3, 0.3), source.uniform(-3.0, 3.0),
    )  # fmt: skip
    joints = joints_of(kind, source)
    reference = {joint.link: source.uniform(10.0, 30.0) for joint in joints}
    return Chain(values, WAVELENGTH, reference, joints)


def positions(chain, seed, count=5):
    """Draw positions: up to 100 mm, 40 deg or 1 keV from the reference."""
    source = random.Random(seed)
    widths = {"translate": 100.0, "rotate": 40.0, "beam": 1.0}
    return [
        {joint.link: chain.reference[joint.link] + source.uniform(-1, 1) * widths[joint.kind] for joint in chain.joints}
        for _ in range(count)
    ]


def lab_points(values, points):
    """Compute where points of a detector are in the lab, by pyFAI's formula in NumPy: shape (n, 3)."""
    dist, poni1, poni2, *rotations = values
    turned = points - np.array([poni1, poni2, -dist])
    for axis, angle in enumerate(rotations):
        turned = turn(turned, np.eye(3)[axis] * (1 if axis == 2 else -1), angle)
    return turned


def turn(points, axis, angle):
    """Turn points about an axis through the origin, by quaternions."""
    w, u = math.cos(angle / 2), math.sin(angle / 2) * np.asarray(axis) / np.linalg.norm(axis)
    return points + 2 * w * np.cross(u, points) + 2 * np.cross(u, np.cross(u, points))


def moved_points(chain, position, points):
    """Move points of a detector from the reference position, one joint after the other: shape (n, 3)."""
    moved = lab_points(chain.values, points)
    for joint in reversed(chain.joints):
        travel = position[joint.link] - chain.reference[joint.link]
        if isinstance(joint, Translate):
            moved = moved + np.array(joint.direction) * (travel * joint.factor)
        elif isinstance(joint, Rotate):
            first, second, third = joint.about - 1, joint.about % 3, (joint.about + 1) % 3
            axis, centre = np.zeros(3), np.zeros(3)
            axis[[second, third]], centre[[second, third]] = joint.tilt, joint.offset
            axis[first] = math.sqrt(1 - np.dot(joint.tilt, joint.tilt))
            moved = centre + turn(moved - centre, axis, travel * joint.factor)
    return moved


def model(chain, sigma=1e-6, **more):
    """Return a model with a chain, and a covariance of its parameters that correlates neighbours."""
    names = tuple(chain.parameters())
    near = {0: 1.0, 1: 0.3}
    lower = [sigma**2 * near.get(row - column, 0.0) for row in range(len(names)) for column in range(row + 1)]
    dist, poni1, poni2, rot1, rot2, rot3 = chain.values
    given = {
        "by_wavelength": tuple(-dist if name == "dist" else 0.0 for name in names),
        "wavelength_sigma": 1e-3,
        "scatter": 2e-6,
        "covariance": tuple(lower),
        "motor_sigma": dict.fromkeys(chain.reference, 1e-3),
        "spans": {joint.link: _span(joint, chain.reference[joint.link]) for joint in chain.joints},
        "fit": {"chi2": 3.2},
    } | more
    at = geometry(dist=dist, poni1=poni1, poni2=poni2, rot1=rot1, rot2=rot2, rot3=rot3)
    return Model(at, PANEL, chain.reference, chain.joints, names, **given)


def _span(joint, value):
    return Span(value / 2 if isinstance(joint, Beam) else value - 100, value + 100)
