"""Read the attributes of the frames of an HDF5 file that areaDetector wrote: the PVs of ponikeeper, and the times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ponikeeper.errors import NoGeometryError
from ponikeeper.protocol.frame_attributes import ATTRIBUTES, HEADER
from ponikeeper_client._image_files.hdf5 import open_file, size_of_images

_EPICS_EPOCH = 631152000
"""Seconds from 1970 to 1990, when the time of EPICS begins."""

_SECONDS, _NANOSECONDS = "NDArrayEpicsTSSec", "NDArrayEpicsTSnSec"
"""The time of a frame: the HDF5 plugin adds these attributes to all others."""

_NAMES = {attribute.name.lower(): attribute.name for attribute in ATTRIBUTES}
_SUFFIXES = {attribute.pv.suffix: attribute.name for attribute in ATTRIBUTES}


@dataclass(frozen=True, slots=True)
class Column:
    """The values of one attribute.

    Parameters
    ----------
    kind
        Type of the dataset, as NumPy names it; ``str`` for texts.
    values
        One for each frame.
    """

    kind: str
    values: Sequence[Any]

    @property
    def is_text(self) -> bool:
        """Whether the values are texts."""
        return self.kind == "str"


@dataclass(frozen=True, slots=True)
class FrameAttributes:
    """What a file has of one detector of ponikeeper.

    Parameters
    ----------
    prefix
        PV prefix of the detector; empty where the file does not say of which PVs the attributes are.
    columns
        By name of the attribute, as `ponikeeper.protocol.frame_attributes` has it.
    times
        When each frame was taken, by the clock of the detector's IOC (s since 1970).
    count
        Number of frames.
    image_shape
        Shape (y, x) of the frames in pixels; None where it is not found.
    """

    prefix: str
    columns: Mapping[str, Column]
    times: Sequence[float]
    count: int
    image_shape: tuple[int, int] | None


def read_attributes(path: Path) -> list[FrameAttributes]:
    """Read the attributes of the frames of a file.

    Parameters
    ----------
    path
        An HDF5 file of areaDetector, in any layout.

    Returns
    -------
    list of FrameAttributes
        One for each detector of ponikeeper whose header the file has.

    Raises
    ------
    NoGeometryError
        The file cannot be read, or it has no header.
    MissingExtraError
        h5py is not installed.
    """
    try:
        with open_file(path) as file:
            datasets: list[Any] = []
            file.visititems(lambda _, item: datasets.append(item) if hasattr(item, "dtype") else None)
            by_prefix: dict[str, dict[str, Column]] = {}
            times: dict[str, Any] = {}
            for dataset in datasets:
                name, prefix = _attribute_of(dataset)
                if name in _SUFFIXES.values():
                    by_prefix.setdefault(prefix, {}).setdefault(name, _column(dataset))
                elif name in (_SECONDS, _NANOSECONDS):
                    times.setdefault(name, np.ravel(dataset[()]))
            images = size_of_images(file, path)
    except OSError as error:
        raise NoGeometryError(f"{path} cannot be read: {error}; expected an HDF5 file of areaDetector") from error
    stamps = _times(times)
    found = {prefix: columns for prefix, columns in by_prefix.items() if HEADER.name in columns}
    if not found:
        raise NoGeometryError(
            f"{path} has no attribute {HEADER.name}: expected a file of areaDetector whose driver reads the attributes "
            "that ponikeeper export areadetector writes"
        )
    return [
        FrameAttributes(
            prefix,
            columns,
            stamps,
            images[0] if images else max(len(stamps), len(columns[HEADER.name].values)),
            images and images[1],
        )
        for prefix, columns in found.items()
    ]


def _attribute_of(dataset: Any) -> tuple[str, str]:
    """Return the name of the attribute that a dataset has, and the prefix of its PV; empty where they are unknown."""
    own = dataset.name.rpartition("/")[2]
    name, source = _text(dataset.attrs.get("NDAttrName", own)), _text(dataset.attrs.get("NDAttrSource", ""))
    for suffix, known in _SUFFIXES.items():
        if source.endswith(suffix) and name.lower() == known.lower():
            return known, source.removesuffix(suffix)
    return _NAMES.get(name.lower(), name), ""


def _column(dataset: Any) -> Column:
    values = np.ravel(dataset[()])
    if values.dtype.kind in "SOU":
        return Column("str", [_text(value) for value in values])
    return Column(str(values.dtype), values.tolist())


def _times(parts: Mapping[str, Any]) -> list[float]:
    if parts.keys() != {_SECONDS, _NANOSECONDS}:
        return []
    pairs = zip(parts[_SECONDS].tolist(), parts[_NANOSECONDS].tolist(), strict=False)
    return [_EPICS_EPOCH + seconds + 1e-9 * nanoseconds for seconds, nanoseconds in pairs]


def _text(value: Any) -> str:
    """Return a text up to its NUL; of bytes that are no ASCII each as one character."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return text.partition("\0")[0]
