"""The files that a geometry names: those of the detector in its configuration, and a mask. Pure: none is opened.

The content of such a file decides where the pixels are, so a geometry with files is complete only with the SHA-256
of each.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import cast

from ponikeeper.errors import GeometryError
from ponikeeper.geometry.geometry import Geometry
from ponikeeper.text.ascii import json_literal

Files = Mapping[str, Mapping[str, str]]
"""Path and SHA-256 of each file by its name: a key of the configuration, or ``mask``."""

MASK = "mask"
"""The name of the file whose nonzero pixels are masked."""

DETECTOR = "detector"
"""A name for the file of a configuration that names one file only."""

NO_FILES: Files = MappingProxyType({})

FILE_KEYS = ("filename", "splinefile", "x_offset_file", "y_offset_file")
"""The keys of pyFAI's configurations that name a file, in lower case: pyFAI ignores the case."""

FILE_DETECTOR = "NexusDetector"
"""pyFAI's detector that is nothing but its file."""

REMEDY = "commit it with a client that can read the file and computes its SHA-256: ponikeeper put PREFIX FILE.poni"

_SHA256 = re.compile("[0-9a-f]{64}")
_PATH = re.compile(r".*[/\\].*|.*\.[A-Za-z]\w*", re.DOTALL)
_MAX_PATH_BYTES = 1000


def is_file_detector(detector: str) -> bool:
    """Return whether a detector is nothing but its file."""
    return detector.lower() == FILE_DETECTOR.lower()


def files_of(provenance: Mapping[str, object]) -> Files:
    """Return the files of a revision, from its provenance."""
    return cast("Files", provenance.get("files") or {})


def named_files(config: Mapping[str, object]) -> dict[str, object]:
    """Return what a configuration names as files.

    Parameters
    ----------
    config
        The `detector_config` of a geometry.

    Returns
    -------
    dict
        The values by key, ``a.b`` for the key b of the object a: the keys of pyFAI that name a file, other keys
        that end like them, and every text that looks like a path.
    """
    return {key: value for key, value in _items(config) if _is_file(key, value)}


def is_sha256(value: object) -> bool:
    """Return whether an object is a SHA-256: 64 hexadecimal digits in lower case."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def path_problem(path: object) -> str | None:
    """Check the path of a file.

    Parameters
    ----------
    path
        Any object.

    Returns
    -------
    str or None
        What is wrong with it; None if nothing is.
    """
    expected = 'expected an absolute path such as "/data/detector.h5"'
    if not isinstance(path, str) or not path.isprintable():
        return f"{json_literal(path)} is not the path of a file: {expected}"
    if len(path.encode()) > _MAX_PATH_BYTES:
        return f"{json_literal(path)[:60]}... has {len(path.encode())} bytes, at most {_MAX_PATH_BYTES} are allowed"
    if not (PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()):
        return f"{json_literal(path)} is another file in each folder: {expected}"
    return None


def files_problems(files: object) -> list[str]:
    """Check the form of named files.

    Parameters
    ----------
    files
        An object of objects with ``path`` and ``sha256``.

    Returns
    -------
    list of str
        Empty if the form is right.
    """
    problems: list[str] = []
    for name, value in cast("Mapping[str, object]", files).items():
        if not isinstance(value, Mapping) or set(cast("Mapping[str, object]", value)) != {"path", "sha256"}:
            problems.append(f'files.{name} is not allowed: expected {{"path": "/data/detector.h5", "sha256": "..."}}')
            continue
        entry = cast("Mapping[str, object]", value)
        problem = path_problem(entry["path"])
        if problem:
            problems.append(f"files.{name}.path {problem}")
        if not is_sha256(entry["sha256"]):
            problems.append(
                f"files.{name}.sha256 {json_literal(entry['sha256'])[:80]} is not allowed: expected the SHA-256 of the "
                "content, 64 hexadecimal digits in lower case"
            )
    return problems


def entry_of(files: Files, key: str, keys: Sequence[str]) -> Mapping[str, str] | None:
    """Return the entry of a file of a configuration.

    Parameters
    ----------
    files
        The named files.
    key
        The key of the configuration.
    keys
        All keys of the configuration that name files.

    Returns
    -------
    Mapping or None
        Path and SHA-256; None where `files` lacks it.
    """
    return files.get(key) or (files.get(DETECTOR) if len(keys) == 1 else None)


def without_files(geometry: Geometry) -> Geometry:
    """Return a geometry that comes without the SHA-256 of files, if it names none.

    Parameters
    ----------
    geometry
        The geometry.

    Returns
    -------
    Geometry
        The same geometry.

    Raises
    ------
    GeometryError
        With every file that it names.
    """
    problems = missing_hashes(geometry, NO_FILES)
    if problems:
        raise GeometryError(problems)
    return geometry


def missing_hashes(geometry: Geometry, files: Files) -> list[str]:
    """Return a message for each file of a geometry whose content is not known, and for each that fits no name.

    Parameters
    ----------
    geometry
        The geometry.
    files
        Path and SHA-256 of files, of the form that `files_problems` accepts.

    Returns
    -------
    list of str
        Empty where every file that the detector consists of has its SHA-256.
    """
    named = named_files(geometry.detector_config)
    problems = _detector_problems(geometry.detector, named)
    for key, value in named.items():
        problem = path_problem(value)
        entry = entry_of(files, key, tuple(named))
        if problem:
            problems.append(f"detector_config.{key} {problem}")
        elif entry is None:
            problems.append(f"detector_config.{key} names the file {value} without its SHA-256: {REMEDY}")
        elif entry["path"] != value:
            problems.append(f"detector_config.{key} is {value}, files has the SHA-256 of {entry['path']}")
    known = {*named, MASK, *([DETECTOR] if len(named) == 1 else [])}
    problems += [
        f"files.{name} fits no file: expected {' or '.join(sorted(known))}" for name in files if name not in known
    ]
    return problems


def _detector_problems(detector: str, named: Mapping[str, object]) -> list[str]:
    if _PATH.fullmatch(detector):
        return [
            f"detector {json_literal(detector)} is a file: write the detector {FILE_DETECTOR}, and "
            f'{{"filename": {json_literal(detector)}}} in detector_config'
        ]
    if is_file_detector(detector) and "filename" not in named:
        return [f"detector {detector} is described by a file: detector_config.filename is missing; {REMEDY}"]
    return []


def _items(config: Mapping[str, object], place: str = "") -> Iterator[tuple[str, object]]:
    """Yield every value of an object, those of the objects and arrays in it by their dotted keys."""
    for name, value in config.items():
        key = f"{place}{name}"
        if isinstance(value, Mapping):
            yield from _items(cast("Mapping[str, object]", value), f"{key}.")
        elif isinstance(value, list | tuple) and not _is_file_key(key):
            inner = {str(number): item for number, item in enumerate(cast("Sequence[object]", value))}
            yield from _items(inner, f"{key}.")
        else:
            yield key, value


def _is_file_key(key: str) -> bool:
    last = key.rpartition(".")[2].lower()
    return last in FILE_KEYS or last.endswith(("file", "filename", "path"))


def _is_file(key: str, value: object) -> bool:
    if value is None:
        return False
    return _is_file_key(key) or (isinstance(value, str) and _PATH.fullmatch(value) is not None)
