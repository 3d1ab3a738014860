"""Read images and masks from files."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponikeeper.errors import ImageError, MissingExtraError


def read_image(path: Path) -> NDArray[Any]:
    """Read an image; several frames are averaged.

    Parameters
    ----------
    path
        A .npy file, or any format of fabio: TIFF, EDF, CBF, ...

    Returns
    -------
    ndarray, shape (y, x)
        A single frame in its stored type, the mean of several in double precision.

    Raises
    ------
    ImageError
        The file is not an image.
    MissingExtraError
        fabio is not installed.
    """
    frames = _frames(path)
    if frames.ndim == 2:
        return frames
    if frames.ndim != 3 or len(frames) == 0:
        raise ImageError(f"{path} holds an array of shape {frames.shape}: expected (y, x), or (n, y, x)")
    return frames[0] if len(frames) == 1 else frames.mean(axis=0, dtype=float)


def read_mask(path: str | Path) -> NDArray[np.bool_]:
    """Read a mask, shape (y, x): nonzero is masked; raises as `read_image`."""
    return np.asarray(read_image(Path(path))) != 0


def _frames(path: Path) -> NDArray[Any]:
    """Read a file, shape (y, x) or (n, y, x)."""
    try:
        if path.suffix == ".npy":
            loaded = np.load(path, allow_pickle=False)
            if not isinstance(loaded, np.ndarray):
                raise ImageError(f"{path} is an archive of arrays: expected one array, as numpy.save writes it")
            return loaded
        import fabio
    except ModuleNotFoundError as error:
        raise MissingExtraError("fit", "fabio") from error
    except (OSError, ValueError, EOFError) as error:
        raise ImageError(f"{path} cannot be read: {error}; expected an array as numpy.save writes it") from error
    try:
        with fabio.open(path) as file:
            if file.nframes > 1:
                return np.array([file.getframe(number).data for number in range(file.nframes)])
            return np.array(file.data)
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror or error}; expected an image file") from error
    except Exception as error:  # the readers of fabio raise errors of many types
        raise ImageError(f"{path} is not a readable image ({type(error).__name__}: {error})") from error
