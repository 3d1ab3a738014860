"""Build pyFAI's detector from files: all of them are used, or an error is raised; never a flat one in its place."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ponikeeper.errors import GeometryFileError, ShapeError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.files import FILE_KEYS, is_file_detector, named_files

_OF_THE_FILE = ("pixel1", "pixel2", "max_shape")
"""Keys that some classes take from their file only; pyFAI would log them as errors."""


def detector_of_files(geometry: Geometry, config: Mapping[str, Any], expected: tuple[int, int] | None) -> Any:
    """Build the detector of a geometry that names files.

    Parameters
    ----------
    geometry
        The geometry.
    config
        Its configuration with the pixel sizes, as pyFAI takes it.
    expected
        Shape (y, x) of the images in pixels, if it is known.

    Returns
    -------
    pyFAI.detectors.Detector
        The detector.

    Raises
    ------
    GeometryFileError
        pyFAI cannot build it, or does not use one of the files.
    ShapeError
        It has another shape or other pixels.
    """
    from pyFAI.detectors import Detector, NexusDetector, detector_factory

    kind = NexusDetector if is_file_detector(geometry.detector) else Detector.registry.get(_registered(geometry))
    if kind is None:
        raise GeometryFileError(
            f"pyFAI does not know the detector {geometry.detector}, which its files describe: a plain one cannot stand "
            "for it"
        )
    names = inspect.signature(kind.__init__).parameters
    given = {key: value for key, value in config.items() if key not in _OF_THE_FILE or key in names}
    try:
        built = detector_factory(kind.__name__, given)
    except Exception as error:  # the readers of such files raise errors of many types
        raise GeometryFileError(
            f"pyFAI cannot make {geometry.detector} from its files ({type(error).__name__}: {error})"
        ) from error
    _require_files(geometry, built)
    _require_same(geometry, built, expected)
    return built


def _registered(geometry: Geometry) -> str:
    return geometry.detector.lower().replace(" ", "_")


def _require_files(geometry: Geometry, built: Any) -> None:
    """Check that the detector was built with each file: pyFAI only logs the keys that it ignores."""
    for key, path in named_files(geometry.detector_config).items():
        used = getattr(built, key.lower(), None) if key.lower() in FILE_KEYS else None
        if used is None or Path(used).resolve() != Path(str(path)).resolve():
            raise GeometryFileError(
                f"pyFAI's detector {geometry.detector} does not use detector_config.{key}, the file {path}: a detector "
                "without it cannot stand for it"
            )
    if is_file_detector(geometry.detector) and built.filename is None:
        raise GeometryFileError(f"{geometry.detector} is described by a file: detector_config.filename is missing")
    if getattr(built, "x_offset_file", None) != getattr(built, "y_offset_file", None) and built.offset1 is None:
        raise GeometryFileError(
            f"{geometry.detector} has only one of x_offset_file and y_offset_file: pyFAI corrects with both"
        )


def _require_same(geometry: Geometry, built: Any, expected: tuple[int, int] | None) -> None:
    shape = None if built.shape is None else tuple(built.shape)
    if expected is not None and shape != expected:
        raise ShapeError(
            f"the images have the shape {expected}, the files of {geometry.detector} describe {shape} pixels: a plain "
            "detector cannot stand for it"
        )
    if (built.pixel1, built.pixel2) != (geometry.pixel1, geometry.pixel2):
        raise ShapeError(
            f"the files of {geometry.detector} describe pixels of {built.pixel1!r} m x {built.pixel2!r} m, recorded "
            f"are {geometry.pixel1!r} m x {geometry.pixel2!r} m"
        )
