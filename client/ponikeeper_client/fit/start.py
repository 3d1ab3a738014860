"""Where a fit begins: a geometry that was calibrated, or what somebody read off a scale."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ponikeeper.errors import CalibrationError, ProblemsError
from ponikeeper.geometry import DEFAULT_ORIENTATION, Geometry, poni
from ponikeeper.geometry.detectors import pixel_size
from ponikeeper_client.documents import azimuthal_integrator
from ponikeeper_client.fit._acceptance import NEAR, NOMINAL, Reach


@dataclass(frozen=True, slots=True)
class Nominal:
    """A distance that is roughly known, and the rest of what a geometry needs.

    Parameters
    ----------
    dist
        From the sample to the detector (m), good to about 25 %.
    detector
        pyFAI's name of the detector; left out, that of the geometry in force.
    centre
        Of the rings in the image as it is stored (y, x) (px); left out, the image's middle.
    pixel
        Size along axes 1 and 2 (m); left out, the detector's, or half as many pixels each twice as
        large where the image says that it is binned.
    orientation
        Of the image, as pyFAI counts: one image cannot tell it. Left out, that in force, or 3.
    """

    dist: float
    detector: str | None = None
    centre: tuple[float, float] | None = None
    pixel: tuple[float, float] | None = None
    orientation: int | None = None


Start = Nominal | Geometry | str | Path


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a fit begins, and how far from there its result may be.

    Parameters
    ----------
    told
        What to say of it.
    """

    geometry: Geometry
    reach: Reach
    told: str


def beginning(
    start: Start | None, in_force: Geometry | None, wavelength: float | None, shape: tuple[int, int]
) -> Beginning:
    """Settle where a fit begins.

    Parameters
    ----------
    start
        As the user said it; None is the geometry in force.
    wavelength
        To fit with (m); None is that of the start.
    shape
        Of the image (y, x).

    Raises
    ------
    CalibrationError
        There is nothing to begin with, or it cannot be read; says what to give.
    ShapeError
        The detector cannot have such images.
    """
    require_beginning(start, in_force)
    if start is None:
        assert in_force is not None
        return Beginning(_with(in_force, wavelength), NEAR, "the geometry in force")
    if isinstance(start, Nominal):
        told = f"a nominal distance of {start.dist:g} m"
        return Beginning(_nominal(start, in_force, wavelength, shape), NOMINAL, told)
    if isinstance(start, Geometry):
        return Beginning(_with(start, wavelength), NEAR, "the geometry that was given")
    return Beginning(_with(read_poni(Path(start)), wavelength), NEAR, str(start))


def require_beginning(start: Start | None, in_force: Geometry | None) -> None:
    """See that there is something to begin with.

    Raises
    ------
    CalibrationError
        There is nothing; says what to give.
    """
    if start is None and in_force is None:
        raise CalibrationError(
            "nothing is in force yet, so the fit does not know where to begin: give start=Nominal(dist=0.25, "
            'detector="Perkin"), start="some.poni", or method="gui"'
        )
    if isinstance(start, Nominal) and start.detector is None and in_force is None:
        raise CalibrationError("a nominal start needs the detector too: nothing is in force that would say it")


def read_poni(path: Path) -> Geometry:
    """Read a PONI file to the geometry in it.

    Raises
    ------
    CalibrationError
        It cannot be read to one whole geometry.
    """
    try:
        return poni.read(path.read_bytes())
    except OSError as error:
        raise CalibrationError(f"{path}: {error.strerror}: expected a PONI file") from error
    except ProblemsError as error:
        raise CalibrationError(f"{path}: {problem}" for problem in error.problems) from error


def _with(geometry: Geometry, wavelength: float | None) -> Geometry:
    return geometry if wavelength is None else replace(geometry, wavelength=wavelength)


def _nominal(start: Nominal, in_force: Geometry | None, wavelength: float | None, shape: tuple[int, int]) -> Geometry:
    name = start.detector or (in_force.detector if in_force else None)
    if name is None or wavelength is None:
        raise CalibrationError("a nominal start needs a detector and a wavelength")
    same = in_force is not None and in_force.detector == name
    config = dict(in_force.detector_config) if same and in_force else {}
    config["orientation"] = start.orientation or config.get("orientation", DEFAULT_ORIENTATION)
    pixel = start.pixel or ((in_force.pixel1, in_force.pixel2) if same and in_force else pixel_size(name))
    if pixel is None:
        raise CalibrationError(f"detector {name} is not in the table of detectors: give pixel=(2e-4, 2e-4) too (m)")
    middle = Geometry(start.dist, 0, 0, 0, 0, 0, *pixel, wavelength, name, config)
    y, x = start.centre or ((shape[0] - 1) / 2, (shape[1] - 1) / 2)
    detector = azimuthal_integrator(middle, shape=shape).detector
    poni1, poni2, _ = detector.calc_cartesian_positions(np.array([y], float), np.array([x], float))
    return replace(middle, poni1=float(poni1[0]), poni2=float(poni2[0]))
