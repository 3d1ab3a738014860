"""Start of a fit: the active geometry, a PONI file, a geometry, a nominal distance, or nothing but the detector."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ponikeeper.errors import CalibrationError, ProblemsError
from ponikeeper.geometry import DEFAULT_ORIENTATION, Geometry, poni
from ponikeeper.geometry.detectors import pixel_size
from ponikeeper_client.fit._acceptance import BLIND_START, CALIBRATED_START, NOMINAL_START, StartTolerance
from ponikeeper_client.fit._forward_model import geometry_of
from ponikeeper_client.fit._panel import GENERIC, image_shape, point_of


@dataclass(frozen=True, slots=True)
class Nominal:
    """A nominal distance, if one is known, and what else is known about the detector.

    Parameters
    ----------
    dist
        Distance from the sample to the detector (m), correct to about 25 %. None if it is unknown: then the fit tries
        all distances from 0.03 to 20 m, every centre, and tilts up to 60 degrees.
    detector
        pyFAI's name of the detector; if omitted, that of the active geometry.
    centre
        Centre of the rings in the image as it is stored, (y, x) (px); if omitted, the middle of the image.
    pixel
        Pixel size along axes 1 and 2 (m); if omitted, that of the active geometry if it has the same
        detector, else that in the table of detectors.
    orientation
        pyFAI's orientation of the image, 1 to 4, which one image does not determine; if omitted, that of the
        active geometry, or 3.
    tilt
        Rotations 1 and 2 of the detector (rad), correct to about 20 degrees. The distance is that along the beam.
    """

    dist: float | None = None
    detector: str | None = None
    centre: tuple[float, float] | None = None
    pixel: tuple[float, float] | None = None
    orientation: int | None = None
    tilt: tuple[float, float] = (0.0, 0.0)


Start = Nominal | Geometry | Literal["blind"] | str | Path
"""``"blind"`` is `Nominal()`: only the detector of the active geometry is known. Other strings name a PONI file."""

_ANY_DISTANCE = 1.0
"""Distance of a start whose distance is unknown (m): the fit does not use it."""


@dataclass(frozen=True, slots=True)
class ResolvedStart:
    """The geometry at which a fit starts, and how far its result may be from there.

    Parameters
    ----------
    geometry
        With the wavelength of the fit.
    tolerance
        How far the result may be from `geometry`.
    source
        Where the geometry comes from, for people and for the provenance.
    """

    geometry: Geometry
    tolerance: StartTolerance
    source: str


def resolve_start(
    start: Start | None, active: Geometry | None, wavelength: float | None, shape: tuple[int, int]
) -> ResolvedStart:
    """Resolve a user's start to a geometry.

    Parameters
    ----------
    start
        As given by the user; None is the active geometry.
    active
        The active geometry; None if the detector has none.
    wavelength
        The wavelength of the fit (m); None is that of the start.
    shape
        Shape of the image (y, x).

    Returns
    -------
    ResolvedStart
        The geometry, its tolerance and its source.

    Raises
    ------
    CalibrationError
        No start is given and no geometry is active, or the file cannot be read; the message says what to give.
    ShapeError
        The detector cannot have images of this shape.
    """
    start = named_start(start)
    check_start(start, active)
    if start is None:
        assert active is not None
        return ResolvedStart(_with_wavelength(active, wavelength), CALIBRATED_START, "the active geometry")
    if isinstance(start, Nominal):
        geometry = _nominal_geometry(start, active, wavelength, shape)
        if start.dist is None:
            return ResolvedStart(geometry, BLIND_START, "no distance")
        return ResolvedStart(geometry, NOMINAL_START, f"a nominal distance of {start.dist:g} m")
    if isinstance(start, Geometry):
        return ResolvedStart(_with_wavelength(start, wavelength), CALIBRATED_START, "the given geometry")
    return ResolvedStart(_with_wavelength(read_poni(Path(start)), wavelength), CALIBRATED_START, str(start))


def planned_start(
    start: Start | None, active: Geometry | None, wavelength: float | None, shape: tuple[int, int] | None = None
) -> tuple[Geometry, tuple[int, int]] | None:
    """Resolve a user's start before there is an image.

    Parameters
    ----------
    start, active, wavelength
        As for `resolve_start`, and so are the errors.
    shape
        Shape of the images (y, x); None is that of the detector.

    Returns
    -------
    tuple of Geometry and shape, or None
        Where the panel will stand, and the shape of its images (y, x); None if either is not known.
    """
    start = named_start(start)
    if isinstance(start, Nominal):
        shape = shape or image_shape(_nominal_panel(start, active, wavelength))
        if shape is None or start.dist is None:
            return None
        return resolve_start(start, active, wavelength, shape).geometry, shape
    geometry = resolve_start(start, active, wavelength, shape or (1, 1)).geometry
    shape = shape or image_shape(geometry)
    return None if shape is None else (geometry, shape)


def check_start(start: Start | None, active: Geometry | None) -> None:
    """Check that a fit has a start.

    Parameters
    ----------
    start, active
        As for `resolve_start`.

    Raises
    ------
    CalibrationError
        It has none; the message says what to give.
    """
    if start is None and active is None:
        raise CalibrationError(
            "no geometry is active yet, so the fit needs a start: give start=Nominal(dist=0.25, "
            'detector="Perkin"), without dist if the distance is unknown, start="some.poni", or method="gui"'
        )
    if isinstance(start, Nominal) and start.detector is None and active is None:
        raise CalibrationError(
            "a nominal start needs a detector, because no geometry is active: "
            'give start=Nominal(dist=0.25, detector="Perkin"), without dist if the distance is unknown'
        )


def named_start(start: Start | None) -> Nominal | Geometry | str | Path | None:
    """Return the start that the word ``"blind"`` stands for: `Nominal()`; any other start as it is."""
    return Nominal() if start == "blind" else start


def read_poni(path: Path) -> Geometry:
    """Read the geometry of a PONI file.

    Parameters
    ----------
    path
        A PONI file of any version.

    Returns
    -------
    Geometry
        All ten values.

    Raises
    ------
    CalibrationError
        The file cannot be read, or does not hold one complete geometry.
    """
    try:
        return poni.read(path.read_bytes())
    except OSError as error:
        raise CalibrationError(f"{path}: {error.strerror}: expected a PONI file") from error
    except ProblemsError as error:
        raise CalibrationError(f"{path}: {problem}" for problem in error.problems) from error


def _with_wavelength(geometry: Geometry, wavelength: float | None) -> Geometry:
    return geometry if wavelength is None else replace(geometry, wavelength=wavelength)


def _nominal_geometry(
    start: Nominal, active: Geometry | None, wavelength: float | None, shape: tuple[int, int]
) -> Geometry:
    """Build a geometry whose direct beam meets the detector at the centre of the rings."""
    panel = _nominal_panel(start, active, wavelength)
    if panel.detector == GENERIC and "max_shape" not in panel.detector_config:  # or nothing tells where the panel ends
        panel = replace(panel, detector_config={**panel.detector_config, "max_shape": list(shape)})
    centre = start.centre or ((shape[0] - 1) / 2, (shape[1] - 1) / 2)
    spot = point_of(panel, shape, centre)
    return geometry_of(np.array([panel.dist, *spot, *start.tilt]), panel)


def _nominal_panel(start: Nominal, active: Geometry | None, wavelength: float | None) -> Geometry:
    """Build a geometry of the detector at the nominal distance, its origin in the beam."""
    name = start.detector or (active.detector if active else None)
    if name is None or wavelength is None:
        raise CalibrationError("a nominal start needs a detector and a wavelength")
    same = active is not None and active.detector == name
    config = dict(active.detector_config) if same and active else {}
    config["orientation"] = start.orientation or config.get("orientation", DEFAULT_ORIENTATION)
    pixel = start.pixel or ((active.pixel1, active.pixel2) if same and active else pixel_size(name))
    if pixel is None:
        raise CalibrationError(f"detector {name} is not in the table of detectors: give pixel=(2e-4, 2e-4) too (m)")
    dist = _ANY_DISTANCE if start.dist is None else start.dist
    return Geometry(dist, 0, 0, 0, 0, 0, *pixel, wavelength, name, config)
