"""Detectors of pyFAI whose pixels are not where a flat detector has them: described by files that pyFAI reads."""

import warnings
from collections.abc import Callable
from pathlib import Path

import fabio
import numpy as np
from pyFAI.detectors import Detector, NexusDetector, detector_factory
from pyFAI.integrator.azimuthal import AzimuthalIntegrator
from pyFAI.spline import Spline

PLACE = {"dist": 0.1, "poni1": 2e-3, "poni2": 3e-3, "rot1": 0.01, "rot2": -0.02, "rot3": 0.0, "wavelength": 1e-10}


def nexus(folder: Path, amplitude: float = 3.0) -> Detector:
    """Write a NeXus file of a detector with bent columns and rows, and load it."""
    plain = Detector(1e-4, 1.1e-4, max_shape=(60, 80))
    y, x = np.mgrid[0:61, 0:81].astype(float)
    plain.set_dx(amplitude * np.sin(y / 9.0))
    plain.set_dy(amplitude * np.cos(x / 11.0))
    path = folder / "detector.h5"
    path.unlink(missing_ok=True)
    plain.save(str(path))
    return NexusDetector(str(path))


def spline(folder: Path, amplitude: float = 3.0) -> Detector:
    """Write a spline file of Fit2D, and load a FReLoN that is corrected with it."""
    made = Spline()
    made.pixelSize, made.grid = (50.0, 50.0), 10.0
    y, x = np.mgrid[0:51, 0:61].astype(float)
    made.xDispArray, made.yDispArray = amplitude * np.sin(y / 9.0), amplitude * np.cos(x / 11.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pyFAI imports from a module that scipy renamed
        made.array2spline(smoothing=1e-3)
    made.write(str(folder / "taper.spline"))
    return detector_factory("FReLoN", {"splineFile": str(folder / "taper.spline")})


def offsets(folder: Path, amplitude: float = 3.0) -> Detector:
    """Write the offsets of a Pilatus 100k as two images, and load it."""
    y, x = np.mgrid[0:195, 0:487].astype(float)
    for name, values in (("x", np.sin(y / 9.0)), ("y", np.cos(x / 11.0))):
        fabio.edfimage.EdfImage(data=(100 * amplitude * values).astype(np.float32)).write(str(folder / f"{name}.edf"))
    paths = {f"{name}_offset_file": str(folder / f"{name}.edf") for name in ("x", "y")}
    return detector_factory("Pilatus100k", paths)


MAKERS: dict[str, Callable[..., Detector]] = {"nexus": nexus, "spline": spline, "offsets": offsets}


def saved(detector: Detector, folder: Path) -> Path:
    """Save a calibration with a detector as pyFAI does, and return the PONI file."""
    path = folder / "saved.poni"
    path.unlink(missing_ok=True)
    AzimuthalIntegrator(**PLACE, detector=detector).save(str(path))
    return path


def pixels(detector: Detector) -> np.ndarray:
    """Return where the centre of each pixel is, shape (2, y, x) (m)."""
    return np.array(detector.calc_cartesian_positions()[:2])
