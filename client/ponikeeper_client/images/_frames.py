"""Find the data key of a detector's images, and check the shape of frames. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ponikeeper.errors import ImageError

Frames = NDArray[Any]
"""Raw frames of one detector, shape (n, y, x), of the type that the detector wrote."""


def as_frames(values: ArrayLike, what: str) -> Frames:
    """Convert one image, or several, to frames.

    Parameters
    ----------
    values
        Shape (y, x) or (n, y, x).
    what
        Description of the images for the error message: ``"the images of pe1_image in run 5f0c"``.

    Returns
    -------
    Frames
        Shape (n, y, x), n >= 1; a view of `values` where that is possible.

    Raises
    ------
    ImageError
        The values are not numbers, have another shape, or are empty.
    """
    try:
        frames = np.asarray(values)
    except ValueError as error:
        raise ImageError(f"{what} differ in shape: expected frames of one shape (y, x)") from error
    if frames.dtype.kind not in "biuf":
        raise ImageError(f"{what} are of type {frames.dtype}: expected an array of integers or floats")
    if frames.ndim == 2:
        frames = frames[np.newaxis]
    if frames.ndim != 3:
        raise ImageError(f"{what} have the shape {frames.shape}: expected (y, x) or (n, y, x)")
    if 0 in frames.shape:
        raise ImageError(f"{what} have the shape {frames.shape}: not one frame is there")
    return frames


def image_key(descriptor: Mapping[str, Any], detector: str, key: str | None = None) -> str:
    """Return the data key of a detector's images.

    Parameters
    ----------
    descriptor
        An event descriptor.
    detector
        Name of the detector, as the descriptor has it.
    key
        The data key to use; required if the detector has images under several keys.

    Returns
    -------
    str
        The data key.

    Raises
    ------
    ImageError
        The detector is not in the descriptor, has no images, or has several and `key` is omitted; or
        `key` is not one of its images.
    """
    objects: Mapping[str, Any] = descriptor.get("object_keys") or {}
    if detector not in objects:
        raise ImageError(f"{detector} was not read in this run: its detectors are {_listed(objects)}")
    data_keys: Mapping[str, Any] = descriptor.get("data_keys") or {}
    candidates = [name for name in objects[detector] if _is_image(data_keys.get(name) or {})]
    if key is not None:
        if key not in candidates:
            raise ImageError(f"key={key!r} is no image of {detector}: its images are {_listed(candidates)}")
        return key
    if len(candidates) > 1:
        raise ImageError(f"{detector} has several images: select one with key=, one of {_listed(candidates)}")
    if not candidates:
        shapes = [f"{name} {tuple((data_keys.get(name) or {}).get('shape', ()))}" for name in objects[detector]]
        raise ImageError(
            f"{detector} recorded no image: expected an array with two dimensions longer than 1, found "
            f"{_listed(shapes)}"
        )
    return candidates[0]


def described_image_shape(data_key: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the shape (y, x) of the images of a data key; None if its shape is not that of images."""
    shape: list[Any] = list(data_key.get("shape") or ())
    if len(shape) < 2:
        return None
    y, x = shape[-2:]
    return (int(y), int(x)) if y and x and min(y, x) > 1 else None


def require_shape(frames: Frames, count: int | None, image: tuple[int, int] | None) -> None:
    """Raise `ValueError` if the number or the shape (y, x) of the frames differs from those in the documents."""
    if count is not None and len(frames) != count:
        raise ValueError(f"{len(frames)} of {count} frames are there")
    if image is not None and frames.shape[1:] != image:
        raise ValueError(f"frames have the shape {frames.shape[1:]}, the run says {image}")


def _is_image(data_key: Mapping[str, Any]) -> bool:
    shape = data_key.get("shape") or ()
    long = sum(length is None or length > 1 for length in shape)  # None: a length that may vary
    return data_key.get("dtype") == "array" and long >= 2


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
