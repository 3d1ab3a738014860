"""A detector on a rail: its model, the calibrations to which it was fitted, and where it is."""

import math
from dataclasses import replace

from chains import PANEL, WAVELENGTH, geometry
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.kinematics import Chain, Model, Span, Translate
from ponikeeper.protocol import Commit

PITCH = 3e-3
"""Angle between the rail and the beam (rad)."""

NEAR, MIDDLE, FAR = 1000.0, 1200.0, 1400.0
"""Where the detector was calibrated (mm)."""


def rail(link: str = "z", reference: float = MIDDLE, sigma: float = 2e-6, members: tuple = ()) -> Model:
    """Return a model of a detector on a rail, calibrated from `NEAR` to `FAR`."""
    joint = Translate(link, "mm", 1e-3, (math.sin(PITCH), 0.0, math.cos(PITCH)))
    at = geometry(dist=0.7)
    chain = Chain((at.dist, at.poni1, at.poni2, at.rot1, at.rot2, at.rot3), WAVELENGTH, {link: reference}, (joint,))
    names = tuple(chain.parameters())
    lower = tuple(sigma**2 if row == column else 0.0 for row in range(len(names)) for column in range(row + 1))
    found = [{"revision": number, "uid": uid, "name": f"revision {number}"} for number, uid in members]
    return Model(
        at, PANEL, chain.reference, chain.joints, names, lower, (0.0,) * len(names), 1e-3, 0.0,
        {link: Span(NEAR, FAR)}, {link: 5e-3}, {"members": found, "unchecked": False},
    )  # fmt: skip


def commit_of(model: Model, position: dict[str, float] | None = None, **more: object) -> Commit:
    """Return the request that commits a model; `position` has the links that are no joints."""
    return Commit(
        {}, {"method": "model"}, position={**model.reference, **(position or {})}, model=model.as_dict(), **more
    )  # type: ignore[arg-type]


def at(model: Model, place: float) -> Geometry:
    """Return what a model gives for a place on the rail."""
    (link,) = model.reference
    return model.geometry_at({link: place})


def calibration(model: Model, place: float) -> dict[str, object]:
    """Return the geometry of a calibration at a place on the rail, 3 um off."""
    there = at(model, place)
    return replace(there, dist=there.dist + 3e-6).as_dict()
