"""Read the attributes of the frames of an HDF5 file that areaDetector wrote: the PVs of ponikeeper, and the times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ponikeeper.errors import NoGeometryError
from ponikeeper.protocol.frame_attributes import ATTRIBUTES, HEADER
from ponikeeper_client._image_files.hdf5 import DAMAGED, open_file, size_of_images

_EPICS_EPOCH = 631152000
"""Seconds from 1970 to 1990, when the time of EPICS begins."""

_SECONDS, _NANOSECONDS = "NDArrayEpicsTSSec", "NDArrayEpicsTSnSec"
"""The time of a frame: the HDF5 plugin adds these attributes to all others."""

_MAX_FRAMES = 2_000_000
"""More frames than a file has: a damaged one can claim billions."""

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
    missing: list[str] = []
    by_prefix: dict[str, dict[str, _Attribute]] = {}
    try:
        with open_file(path) as file:
            for dataset in _datasets(file, missing):
                name, prefix = _attribute_of(dataset)
                if name in _SUFFIXES.values() or name in (_SECONDS, _NANOSECONDS):
                    _add(by_prefix.setdefault(prefix, {}), name, dataset, path)
            images = size_of_images(file, path)
    except NoGeometryError:
        raise
    except DAMAGED as error:
        raise NoGeometryError(f"{path} cannot be read: {error}; expected an HDF5 file of areaDetector") from error
    times = {name: each.column for name, each in by_prefix.get("", {}).items()}
    stamps = _times(times)
    found = {
        prefix: {name: each.column for name, each in columns.items()}
        for prefix, columns in by_prefix.items()
        if HEADER.name in columns
    }
    if not found:
        names = ", ".join(dict.fromkeys(missing))
        linked = f"; {names}, to which it refers, cannot be read" if missing else ""
        raise NoGeometryError(
            f"{path} has no attribute {HEADER.name}: expected a file of areaDetector whose driver reads the attributes "
            f"that ponikeeper export areadetector writes{linked}"
        )
    if images:
        _require_possible(images[0], "its images", path)
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


def _require_possible(count: int, what: str, path: Path) -> None:
    """Check a number of frames; raise `NoGeometryError`."""
    if count > _MAX_FRAMES:
        raise NoGeometryError(
            f"{path} cannot be read: {what} claim {count} frames, at most {_MAX_FRAMES} are read: expected a file of "
            "areaDetector that is not damaged"
        )


@dataclass(frozen=True, slots=True)
class _Attribute:
    """An attribute, and where it was found."""

    place: str
    column: Column


def _datasets(file: Any, missing: list[str]) -> list[Any]:
    """Return the datasets of a file, also those in other files to which it refers; add the files that are not there."""
    import h5py

    datasets: list[Any] = []

    def collect(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            datasets.append(item)

    def follow(name: str, link: Any) -> None:
        if not isinstance(link, h5py.ExternalLink):
            return
        try:
            target = file[name]
        except (KeyError, OSError):
            missing.append(link.filename)
            return
        collect(name, target)
        if isinstance(target, h5py.Group):
            target.visititems(collect)

    file.visititems(collect)
    file.visititems_links(follow)
    return datasets


def _add(columns: dict[str, _Attribute], name: str, dataset: Any, path: Path) -> None:
    """Add an attribute; raise `NoGeometryError` if there is another one of the same PV, with other values."""
    _require_possible(dataset.size or 0, f"the values of {name}", path)
    place = dataset.name if Path(dataset.file.filename) == path else f"{dataset.file.filename}::{dataset.name}"
    added = columns.setdefault(name, attribute := _Attribute(place, _column(dataset)))
    if added is not attribute and repr(added.column) != repr(attribute.column):  # NaN is the same as NaN
        raise NoGeometryError(
            f"{path} has {name} twice, with different values: {added.place} and {place}; expected one acquisition, and "
            "NDAttrSource at the attributes of several detectors: read the original files one by one"
        )


def _attribute_of(dataset: Any) -> tuple[str, str]:
    """Return the name of the attribute that a dataset has, and the prefix of its PV; empty where they are unknown."""
    own = dataset.name.rpartition("/")[2]
    name, source = _text(dataset.attrs.get("NDAttrName", own)), _text(dataset.attrs.get("NDAttrSource", ""))
    for suffix, known in _SUFFIXES.items():
        if source.endswith(suffix) and name.lower() == known.lower():
            return known, source.removesuffix(suffix)
    return _NAMES.get(name.lower(), name), ""


def _column(dataset: Any) -> Column:
    values = np.ravel(dataset[()]) if dataset.shape is not None else np.empty(0)
    if values.dtype.kind in "SOU":
        listed = values.tolist()
        texts = {value: _text(value) for value in {*listed}}  # few of them differ
        return Column("str", [texts[value] for value in listed])
    return Column(str(values.dtype), values.tolist())


def _times(parts: Mapping[str, Column]) -> list[float]:
    if not {_SECONDS, _NANOSECONDS} <= parts.keys() or any(parts[name].is_text for name in (_SECONDS, _NANOSECONDS)):
        return []
    pairs = zip(parts[_SECONDS].values, parts[_NANOSECONDS].values, strict=False)
    return [_EPICS_EPOCH + seconds + 1e-9 * nanoseconds for seconds, nanoseconds in pairs]


def _text(value: Any) -> str:
    """Return a text up to its NUL; of bytes that are no ASCII each as one character."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return text.partition("\0")[0]
