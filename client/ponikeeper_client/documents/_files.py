"""Verify the files that belong to a geometry, before anything is built from them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ponikeeper.errors import GeometryFileError, MissingExtraError, ShapeError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.detectors import panel_shape
from ponikeeper.geometry.files import MASK, Files, entry_of, missing_hashes, named_files
from ponikeeper.system.file_hash import sha256_of


def verify_files(geometry: Geometry, files: Files) -> None:
    """Check that every file of a geometry is there, with the content that it had when the geometry was committed.

    Parameters
    ----------
    geometry
        The geometry.
    files
        Path and SHA-256 of its files, as they were committed.

    Raises
    ------
    GeometryFileError
        A file is missing, has another content, or its content was never recorded.
    """
    problems = list(_problems(geometry, files))
    if problems:
        raise GeometryFileError("; ".join(problems))


def check_mask(path: str | Path, geometry: Mapping[str, Any]) -> None:
    """Check that a file is a mask, of the shape of the detector, before it is committed.

    Parameters
    ----------
    path
        The file. Where the library for its format is not installed, it is not checked.
    geometry
        The values of the geometry. The shape of a detector that pyFAI does not know, or that a file describes, is not
        checked.

    Raises
    ------
    ImageError
        The file is no image.
    ShapeError
        The mask does not have the shape of the detector.
    """
    from ponikeeper_client._image_files.reading import read_mask

    try:
        shape = read_mask(path).shape
    except MissingExtraError:
        return
    expected = panel_shape(str(geometry.get("detector", "")), (geometry.get("pixel1"), geometry.get("pixel2")))
    if expected is not None and shape != expected and not named_files(geometry.get("detector_config") or {}):
        raise ShapeError(
            f"the mask {path} has the shape {shape}: expected {expected}, that of the detector {geometry['detector']}"
        )


def set_mask(detector: Any, files: Files) -> None:
    """Mask the pixels of the mask of a geometry, in addition to the gaps of its detector.

    Parameters
    ----------
    detector
        pyFAI's detector, which is changed.
    files
        The verified files of the geometry; without a mask nothing is changed.

    Raises
    ------
    ShapeError
        The mask does not have the shape of the detector.
    ImageError
        The file is no image.
    """
    if MASK not in files:
        return
    import numpy as np

    from ponikeeper_client._image_files.reading import read_mask

    path = files[MASK]["path"]
    mask = read_mask(path)
    if detector.shape is not None and mask.shape != tuple(detector.shape):
        raise ShapeError(f"the mask {path} has the shape {mask.shape}, the detector {tuple(detector.shape)}")
    own = detector.mask
    detector.mask = np.asarray(mask if own is None else mask | (np.asarray(own) != 0), np.int8)


def _problems(geometry: Geometry, files: Files) -> Iterator[str]:
    named = named_files(geometry.detector_config)
    entries = {key: entry_of(files, key, tuple(named)) for key in named}
    unknown = [key for key, entry in entries.items() if entry is None or entry["path"] != named[key]]
    for key in unknown:
        yield (
            f"detector_config.{key} is the file {named[key]}, of which no SHA-256 was recorded: it is not known "
            "whether it is still the file of the calibration"
        )
    if not unknown:
        yield from missing_hashes(geometry, files)
    for name, entry in (*entries.items(), (MASK, files.get(MASK))):
        if entry is not None and name not in unknown:
            yield from _content_problems(name, entry["path"], entry["sha256"])


def _content_problems(name: str, path: str, expected: str) -> Iterator[str]:
    try:
        actual = sha256_of(path)
    except GeometryFileError as error:
        yield f"{error} with the SHA-256 {expected}"
    else:
        if actual != expected:
            yield (
                f"the file {path} ({name}) has the SHA-256 {actual}, the geometry was committed with {expected}: it is "
                "another file now; restore the file, or calibrate with the new one"
            )
