"""Calibrations of a detector that moves, with the errors that a fit has, as members of a model and as a history."""

import math
from dataclasses import dataclass, replace

import numpy as np

from chains import PANEL, WAVELENGTH, geometry
from ponikeeper.geometry.kinematics import Beam, Chain, Rotate, Translate
from ponikeeper.geometry.kinematics.place import value_slopes
from ponikeeper.history import Activation, Revision
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.records import checksum
from ponikeeper_client._geometry_errors import FITTED, GeometryErrors
from ponikeeper_client.model.fit import Setup
from ponikeeper_client.model.members import SHARED, member_of

PREFIX = "XF:28ID1-ES{Det:PE1}Calib:"
MIDDLE = (PANEL[0] / 2, PANEL[1] / 2)
WAVELENGTH_SIGMA = 1e-3
SIGMA = np.array([3e-6, 3e-6, 8e-6, 4e-5, 4e-5])
"""Of a place (m, rad): the distance is less certain than what is across the beam."""

RAIL = Translate("z", "mm", 1e-3, (3e-3, -2e-3, 1.0))
ARM = Rotate("tth", "deg", -math.pi / 180, 2, (2e-3, -1e-3), (1e-4, -2e-4))
ENERGY = Beam("energy", "keV")

STARTS = {
    "z": Translate("z", "mm", 1e-3, (0.0, 0.0, 0.0)),
    "x": Translate("x", "mm", 1e-3, (0.0, 0.0, 0.0)),
    "tth": Rotate("tth", "deg", math.pi / 180, 2),
    "energy": ENERGY,
}
"""With what a fit starts."""


@dataclass
class Travel:
    """A detector on a chain of joints, of which calibrations are made.

    Parameters
    ----------
    joints
        The true ones.
    seed
        Of all errors.
    reference
        Position at which it has its true geometry.
    values
        The true values there.
    wavelength_error
        By how much the wavelength of all calibrations is too long (relative).
    motor
        Standard deviation of the true position of each link about its readback, in its units: of all, or by link.
    bend
        How the true detector strays from the chain, as a function of the position (m, along the lab axes).
    """

    joints: tuple
    seed: int = 0
    values: tuple = (0.5, 0.2, 0.21, 4e-3, -3e-3, 0.0)
    wavelength_error: float = 0.0
    motor: object = 0.0
    bend: object = None
    sigma: np.ndarray = None

    def __post_init__(self):
        self.random = np.random.default_rng(self.seed)
        self.common = self.random.normal(size=5)  # the panel is distorted in the same way in each calibration
        reference = {joint.link: 20.0 if joint.link == "energy" else 0.0 for joint in self.joints}
        self.chain = Chain(self.values, WAVELENGTH, reference, self.joints)
        self.sigma = SIGMA if self.sigma is None else self.sigma

    def truth(self, position):
        """Return the true values at a position."""
        pose = self.chain.pose(position)
        if self.bend is not None:
            pose = replace(pose, origin=tuple(np.add(pose.origin, self.bend(position)).tolist()))
        return pose.values()

    def strayed(self, position):
        """Return where the links are in truth when they read a position."""
        motor = self.motor if isinstance(self.motor, dict) else dict.fromkeys(position, self.motor)
        return {link: value + motor.get(link, 0.0) * self.random.normal() for link, value in position.items()}

    def calibration(self, position, wrong=(0.0, 0.0, 0.0)):
        """Return a geometry with its errors, as a fit returns it; `wrong` displaces the detector (m)."""
        values = self.truth(self.strayed(position))
        inverse = np.array(value_slopes(values, MIDDLE)).T
        sigma = self.sigma * np.array([1, 1, values[0] / self.values[0], 1, 1])  # of the distance: relative to it
        drawn = math.sqrt(SHARED) * self.common + math.sqrt(1 - SHARED) * self.random.normal(size=5)
        noise = sigma * drawn + np.array([*wrong, 0.0, 0.0])
        length = values[0] / (math.cos(values[3]) * math.cos(values[4]))  # to the beam spot, which stays
        by_wavelength = inverse @ [0, 0, -length, 0, 0]
        measured = np.array(values[:5]) + inverse @ noise + by_wavelength * self.wavelength_error
        wavelength = self.chain.wavelength_at(position) * (1 + self.wavelength_error)
        at = replace(geometry(), **dict(zip(FITTED, measured.tolist(), strict=True)), wavelength=wavelength)
        whole = np.zeros((6, 6))
        whole[:5, :5] = inverse @ np.diag(sigma**2) @ inverse.T
        slopes = np.array([*by_wavelength, wavelength])
        return GeometryErrors(at, whole + np.outer(slopes, slopes) * WAVELENGTH_SIGMA**2)

    def revision(self, number, position, label=None, *, is_fit=True, **more):
        """Return a revision of this calibration."""
        errors = self.calibration(position, **more)
        return made(number, errors.geometry, position_of(self.joints, position), label, errors if is_fit else None)

    def members(self, positions, wrong=None):
        """Return members at positions; `wrong` has the displacement (m) of some by their index."""
        wrong = wrong or {}
        revisions = [
            self.revision(number, position, wrong=wrong.get(number - 1, (0.0, 0.0, 0.0)))
            for number, position in enumerate(positions, 1)
        ]
        return [
            member_of(each, f"revision {each.number}", position, MIDDLE)
            for each, position in zip(revisions, positions, strict=True)
        ]

    def history(self, positions, labels=()):
        """Return a history with a revision for each position."""
        labels = [*labels, *[None] * (len(positions) - len(labels))]
        pairs = zip(positions, labels, strict=True)
        return history_of([self.revision(number, *pair) for number, pair in enumerate(pairs, 1)])

    def setup(self, **more):
        """Return what a fit knows of the joints."""
        return Setup(tuple(STARTS[joint.link] for joint in self.joints), PANEL, **more)


def position_of(joints, position):
    """Return a position as a revision has it."""
    return {joint.link: {"value": float(position[joint.link]), "units": joint.units} for joint in joints}


def day(number):
    """Return an instant for the n-th record."""
    return f"2026-11-{1 + number // 24:02d}T{number % 24:02d}:30:00.250000Z"


def made(number, at, position, label=None, errors=None, provenance=None):
    """Return a revision with its checksum."""
    provenance = provenance or ({"method": "fit", "covariance": errors.record()} if errors else {"method": "manual"})
    bare = Revision(number, f"uid{number}", day(number), label, at, position, provenance, "")
    return replace(bare, checksum=checksum(PREFIX, "revision", bare.row()))


def history_of(revisions, **more):
    """Return a history in which each revision was activated when it was committed."""
    activations = tuple(Activation(each.number, each.number, each.created, "commit", "bob") for each in revisions)
    return ExportedHistory(PREFIX, day(700), tuple(revisions), activations, **more)


def along(*values):
    """Return positions of the rail (mm)."""
    return [{"z": float(value)} for value in values]
