"""Find and read images in HDF5 files: a dataset by its path, NeXus' default one, or the data of an Eiger master."""

import contextlib
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponikeeper.errors import ImageError, MissingExtraError

SUFFIXES = (".h5", ".hdf5", ".hdf", ".nxs", ".nx5", ".nexus", ".cxi")

DAMAGED = (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, OverflowError, SystemError)
"""What h5py raises for files that are damaged, or have what it cannot convert."""

_EIGER = re.compile(r"data_\d+")
_MAX_LISTED = 8


@contextlib.contextmanager
def open_file(path: Path, extra: str = "fit") -> Iterator[Any]:
    """Open an HDF5 file for reading, also one that is still written to, with the compressions of detectors.

    Parameters
    ----------
    path
        The file.
    extra
        The extra of this project that brings h5py.

    Yields
    ------
    h5py.File
        The open file.

    Raises
    ------
    OSError
        It cannot be opened.
    MissingExtraError
        h5py is not installed.
    """
    try:
        import h5py
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "h5py", extra) from error
    with contextlib.suppress(ModuleNotFoundError):
        import hdf5plugin  # noqa: F401  # the compressions that detectors write
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise
    except OSError as error:
        if not _is_being_written(path):
            raise
        try:
            file = h5py.File(path, "r", swmr=True)
        except OSError:
            raise error from None
    with file:
        yield file


def _is_being_written(path: Path) -> bool:
    """Return whether the superblock says that a writer has a file open for SWMR, and the file is not cut.

    HDF5 reads what is missing of a file in SWMR mode again and again, for hours.
    """
    try:
        with path.open("rb") as file:
            block = file.read(36)
    except OSError:
        return False
    if len(block) < 36 or block[8] < 3 or not block[11] & 0x04:
        return False
    return path.stat().st_size >= int.from_bytes(block[28:36], "little")


def require_written(dataset: Any, start: int, stop: int, path: Path) -> None:
    """Check that rows of a dataset are in the file: HDF5 would return zeros for them.

    Parameters
    ----------
    dataset
        An h5py dataset.
    start, stop
        The rows.
    path
        The file of the dataset.

    Raises
    ------
    ValueError
        A row is not written.
    FileNotFoundError
        A file of which a virtual dataset is made is not there.
    """
    if dataset.is_virtual:
        for source in dataset.virtual_sources():
            if source.file_name != "." and not (path.parent / source.file_name).exists():
                raise FileNotFoundError(f"{path.parent / source.file_name}, of which it is made, is not there")
        return
    size = path.stat().st_size
    if dataset.chunks is None:
        begin, length = dataset.id.get_offset(), dataset.id.get_storage_size()
        if not length or (begin is not None and begin + length > size):
            raise ValueError(f"{dataset.name} is not written")
        return
    rows, *others = dataset.chunks
    first = range(start - start % rows, stop, rows)
    rest = (range(0, length, chunk) for length, chunk in zip(dataset.shape[1:], others, strict=True))
    for corner in _corners(first, *rest):
        chunk = dataset.id.get_chunk_info_by_coord(corner)
        if chunk.byte_offset is None or chunk.byte_offset + chunk.size > size:
            raise ValueError(f"row {max(corner[0], start)} of {dataset.name} is not written")


def _corners(first: range, *rest: range) -> Iterator[tuple[int, ...]]:
    """Yield what `itertools.product` does, without a list of the ranges: a damaged file can claim billions of rows."""
    for index in first:
        yield from ((index, *others) for others in (_corners(*rest) if rest else [()]))


def read_frames(path: Path, name: str | None) -> Iterator[NDArray[Any]]:
    """Read the frames of an HDF5 file one at a time; pixels of the detector's own mask get the largest value.

    Parameters
    ----------
    path
        The file.
    name
        Path in the file of a dataset, or of a group that has one as its NeXus signal; None finds the images.

    Yields
    ------
    ndarray, shape (y, x)
        In the stored type.

    Raises
    ------
    ImageError
        The file or the dataset cannot be read, or there are no images, or several; the message lists them.
    MissingExtraError
        h5py is not installed.
    """
    try:
        with open_file(path) as file:
            datasets = _datasets(file, path, name)
            hidden = _pixel_mask(file, datasets[0])
            for dataset in datasets:
                for frame in _frames(dataset, path):
                    yield frame if hidden is None else _flagged(frame, hidden)
    except ImageError:
        raise
    except DAMAGED as error:
        raise ImageError(f"{path} cannot be read: {error}; expected a complete HDF5 file") from error


def files_of(path: Path, name: str | None) -> list[Path]:
    """List the files that hold the frames: the given one, and those that it refers to.

    Parameters
    ----------
    path, name
        As for `read_frames`, and so are the errors.

    Returns
    -------
    list of Path
        The given file is the first.
    """
    try:
        with open_file(path) as file:
            datasets = _datasets(file, path, name)
            holders = [Path(dataset.file.filename) for dataset in datasets]
            for dataset in datasets:
                sources = dataset.virtual_sources() if dataset.is_virtual else ()
                holders += [holders[0].parent / source.file_name for source in sources if source.file_name != "."]
    except ImageError:
        raise
    except DAMAGED as error:
        raise ImageError(f"{path} cannot be read: {error}; expected a complete HDF5 file") from error
    return list(dict.fromkeys([path, *holders]))


def size_of_images(file: Any, path: Path) -> tuple[int, tuple[int, int]] | None:
    """Return how many frames an open file has, and their shape.

    Parameters
    ----------
    file
        An open h5py file.
    path
        Its path.

    Returns
    -------
    tuple or None
        The number of frames and their shape (y, x) in pixels; None where the images are not found.
    """
    try:
        datasets = _datasets(file, path, None)
    except (ImageError, OSError):
        return None
    rows, columns = datasets[0].shape[-2:]
    return sum(math.prod(dataset.shape[:-2]) for dataset in datasets), (int(rows), int(columns))


def _datasets(file: Any, path: Path, name: str | None) -> list[Any]:
    """Find the datasets that hold the images, in order."""
    node = file if name is None else _node(file, path, name)
    if _is_dataset(node):
        if not _holds_images(node):
            raise ImageError(
                f"{path}::{name} has the shape {node.shape} and the type {node.dtype}: expected images, (y, x), "
                "(n, y, x) or (n, m, y, x)"
            )
        return [node]
    found = _of_group(_default(node), path)
    if found:
        return found
    every: list[Any] = []
    node.visititems(lambda _, item: every.append(item) if _is_dataset(item) and _holds_images(item) else None)
    images = [item for item in every if "mask" not in item.name.lower()]
    if len(images) == 1:
        return images
    listed = ", ".join(f"{path.name}::{item.name} {item.shape}" for item in images[:_MAX_LISTED]) or "none"
    raise ImageError(f"{path} has {len(images)} datasets that may be the images ({listed}): name one, FILE::/path")


def _node(file: Any, path: Path, name: str) -> Any:
    """Return the object at a path."""
    try:
        return file[name]
    except KeyError:
        there = ", ".join(f"/{key}" for key in file) or "nothing"
        raise ImageError(f"{path} has no {name}: expected the path of a dataset; at its root are {there}") from None


def _default(node: Any) -> Any:
    """Follow NeXus' attribute `default` from the root, or an entry, down to the plotted data.

    Source: NeXus manual, "Find the plottable data", version 3.
    """
    seen = 0
    while isinstance(default := _text(node.attrs.get("default")), str) and default in node and seen < 8:
        node, seen = node[default], seen + 1
    if _text(node.attrs.get("NX_class")) != "NXdata":
        for key in ("entry/data", "data"):  # where Eiger masters and areaDetector's NeXus files have it
            with contextlib.suppress(KeyError):  # it may be in a file that is not there
                if not _is_dataset(node[key]):
                    return node[key]
    return node


def _of_group(group: Any, path: Path) -> list[Any]:
    """Return the images of one group: the parts of an Eiger, or its signal; empty if it has neither."""
    parts = sorted(name for name in group if _EIGER.fullmatch(name))
    signal = _text(group.attrs.get("signal"))
    names = parts if parts and (signal is None or _EIGER.fullmatch(signal)) else [signal or "data"]
    if not all(name in list(group) for name in names):
        return []
    found = [_linked(group, name, path) for name in names]
    return found if all(_is_dataset(item) and _holds_images(item) for item in found) else []


def _linked(group: Any, name: str, path: Path) -> Any:
    """Return what a group has by a name; raise `ImageError` if that is in a file that is not there."""
    try:
        return group[name]
    except (KeyError, OSError) as error:
        where = path.parent / str(getattr(group.get(name, getlink=True), "filename", name))
        raise ImageError(
            f"{path}: {group.name}/{name} is in {where}, which is not there: keep the files together"
        ) from error


def _frames(dataset: Any, path: Path) -> Iterator[NDArray[Any]]:
    """Yield the frames of a dataset of 2, 3 or 4 dimensions."""
    holder = Path(dataset.file.filename)
    if dataset.ndim == 2:
        require_written(dataset, 0, len(dataset), holder)
        yield dataset[()]
        return
    if 0 in dataset.shape:
        raise ImageError(f"{path}::{dataset.name} has the shape {dataset.shape}: not one frame is there")
    require_written(dataset, 0, len(dataset), holder)
    for index in range(len(dataset)):
        rows = dataset[index]
        yield from rows.reshape(-1, *rows.shape[-2:])


def _pixel_mask(file: Any, dataset: Any) -> NDArray[np.bool_] | None:
    """Read the detector's own mask, as Eiger masters and NeXus have it: nonzero pixels are not used."""
    masks: list[Any] = []

    def collect(name: str, item: Any) -> None:
        if name.rpartition("/")[2] == "pixel_mask" and _is_dataset(item) and item.shape == dataset.shape[-2:]:
            masks.append(item)

    file.visititems(collect)
    return np.asarray(masks[0][()]) != 0 if len(masks) == 1 else None


def _flagged(frame: NDArray[Any], hidden: NDArray[np.bool_]) -> NDArray[Any]:
    """Return a frame whose hidden pixels have a value that is no intensity."""
    flag = np.nan if frame.dtype.kind == "f" else np.iinfo(frame.dtype).max
    return np.where(hidden, np.asarray(flag, frame.dtype), frame)


def _is_dataset(node: Any) -> bool:
    return hasattr(node, "dtype") and hasattr(node, "shape")


def _holds_images(dataset: Any) -> bool:
    shape: Sequence[int] = dataset.shape or ()
    return dataset.dtype.kind in "iuf" and 2 <= len(shape) <= 4 and min(shape[-2:]) > 1


def _text(value: Any) -> str | None:
    """Return an attribute as a text; None if it is none."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else None
