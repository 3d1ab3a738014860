"""Read images and masks from files: .npy, HDF5 and NeXus, and every format of fabio."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponikeeper.errors import ImageError, MissingExtraError, ShapeError
from ponikeeper_client._image_files import hdf5
from ponikeeper_client._image_files.averaging import Image, mean_image

Source = str | Path
"""A file, or ``file.h5::/path`` for a dataset in an HDF5 file."""


def read_image(sources: Source | Iterable[Source], *, dark: bool = False) -> Image:
    """Read images and average all of their frames, each over its valid pixels.

    Parameters
    ----------
    sources
        One or more files with frames of one shape: .npy, HDF5 (also ``file.h5::/path``), or any format of fabio.
    dark
        Whether they were taken without the beam.

    Returns
    -------
    ndarray, shape (y, x)
        NaN where no frame has an intensity.

    Raises
    ------
    ImageError
        A file is not an image, or the frames differ in shape.
    MissingExtraError
        fabio or h5py is not installed.
    """
    several = [sources] if isinstance(sources, str | Path) else list(sources)
    try:
        return mean_image((frame for source in several for frame in read_frames(source)), dark=dark)
    except ShapeError as error:
        names = ", ".join(str(source) for source in several)
        raise ImageError(f"{names}: {error}") from error


def read_mask(path: Source) -> NDArray[np.bool_]:
    """Read a mask, shape (y, x): nonzero in any frame is masked; raises as `read_image`."""
    mask: NDArray[np.bool_] | None = None
    for frame in read_frames(path):
        mask = frame != 0 if mask is None else mask | (frame != 0)
    assert mask is not None, "a file without frames is refused"
    return np.asarray(mask)


def read_frames(source: Source) -> Iterator[NDArray[Any]]:
    """Read the frames of a file one at a time, in their stored type.

    Parameters
    ----------
    source
        As for `read_image`, and so are the errors.

    Yields
    ------
    ndarray, shape (y, x)
        Integers, floats, or truth values.
    """
    path, name = split_source(source)
    if name is not None or path.suffix.lower() in hdf5.SUFFIXES:
        yield from hdf5.read_frames(path, name)
        return
    frames = _npy_frames(path) if path.suffix == ".npy" else _fabio_frames(path)
    for frame in frames:
        if frame.ndim != 2 or 0 in frame.shape or frame.dtype.kind not in "biuf":
            raise ImageError(
                f"{path} holds an array of shape {frame.shape} and type {frame.dtype}: expected (y, x), or (n, y, x), "
                "of numbers"
            )
        yield frame


def files_of(sources: Iterable[Source]) -> list[Path]:
    """List the files that hold the frames, also those to which an HDF5 file refers; raises as `read_image`."""
    files: list[Path] = []
    for source in sources:
        path, name = split_source(source)
        is_hdf5 = name is not None or path.suffix.lower() in hdf5.SUFFIXES
        files += hdf5.files_of(path, name) if is_hdf5 else [path]
    return list(dict.fromkeys(files))


def split_source(source: Source) -> tuple[Path, str | None]:
    """Split ``file.h5::/path`` into the file and the path in it; None without a path."""
    file, separator, name = str(source).partition("::")
    return Path(file), (name or "/") if separator else None


def _npy_frames(path: Path) -> Iterator[NDArray[Any]]:
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ImageError(f"{path} cannot be read: {error}; expected an array as numpy.save writes it") from error
    if not isinstance(loaded, np.ndarray):
        raise ImageError(f"{path} is an archive of arrays: expected one array, as numpy.save writes it")
    if loaded.ndim != 3 or len(loaded) == 0:
        yield loaded
    else:
        yield from loaded


def _fabio_frames(path: Path) -> Iterator[NDArray[Any]]:
    try:
        import fabio
    except ModuleNotFoundError as error:
        raise MissingExtraError("fabio") from error
    try:
        with fabio.open(path) as file:
            for number in range(file.nframes):
                yield np.asarray(file.getframe(number).data if file.nframes > 1 else file.data)
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror or error}; expected an image file") from error
    except Exception as error:  # the readers of fabio raise errors of many types
        raise ImageError(f"{path} is not a readable image ({type(error).__name__}: {error})") from error
