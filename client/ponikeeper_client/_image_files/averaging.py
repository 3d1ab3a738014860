"""Average the frames of a detector over their valid pixels, and subtract a dark; NaN where no frame is valid. Pure.

Detectors mark pixels without an intensity by a value: -1, or the largest of the type. An average turns such a
value into a plausible number, so the valid pixels are found in each frame before it is averaged.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponikeeper.errors import ImageError, ShapeError

Image = NDArray[np.float64]
"""Shape (y, x), counts; NaN where there is no intensity."""

_SHARED = 20
"""If more pixels than this share the largest value, they may be saturated."""

_NEAR_TOP = 0.95
"""Saturated pixels are more than those with values from this part of the largest one on."""

_MAX_FLAGS = 3
"""A detector marks pixels with at most so many values below zero; noise has more."""

_FAR_BELOW = 10.0
"""How far an intensity can be below the others, in units of their spread."""

_PEDESTAL = 20.0
"""If all but 1 % of the pixels have more counts than this, a pixel without any is dead."""

_SAMPLE = 4
"""The spread is that of every so many-th pixel along both axes."""


def valid_pixels(frame: NDArray[Any], *, dark: bool = False) -> NDArray[np.bool_]:
    """Find the pixels of one frame that hold an intensity.

    Not valid are values that are not finite, the two largest of an integer type, a largest value that many
    pixels share (saturated), negative values that mark pixels, zeros in an image on a pedestal, and values far
    below all others.

    Parameters
    ----------
    frame
        As the detector wrote it, or with the dark subtracted, shape (y, x).
    dark
        Whether it was taken without the beam: many pixels of a dark can share its largest value.

    Returns
    -------
    ndarray of bool
        Shape (y, x).
    """
    if frame.dtype.kind == "b":
        return np.ones(frame.shape, bool)
    valid = np.isfinite(frame) if frame.dtype.kind == "f" else frame < np.iinfo(frame.dtype).max - 1
    if not valid.any():
        return valid
    whole = frame.dtype.kind != "f" or _is_whole(frame[::_SAMPLE, ::_SAMPLE])
    if not dark:
        valid &= ~_saturated(frame, valid, whole)
    if whole and frame.dtype.kind != "u":
        negative = valid & (frame < 0)
        if _is_flag(frame[negative]):
            valid &= ~negative
    sample = frame[::_SAMPLE, ::_SAMPLE][valid[::_SAMPLE, ::_SAMPLE]]
    if not sample.size:
        return valid
    low, middle = (float(value) for value in np.percentile(sample, (1, 50)))
    valid &= frame > _lowest(low, middle)
    return valid & ~_dead(frame, low) if whole and low >= _PEDESTAL else valid


def mean_image(frames: Iterable[NDArray[Any]], *, dark: bool = False) -> Image:
    """Average frames, each over its valid pixels, in double precision: a sum of uint16 would overflow.

    Parameters
    ----------
    frames
        Each of shape (y, x); one at a time is in memory.
    dark
        Whether they were taken without the beam.

    Returns
    -------
    ndarray, shape (y, x)
        NaN where no frame is valid.

    Raises
    ------
    ImageError
        There are no frames.
    ShapeError
        Frames differ in shape.
    """
    total: Image | None = None
    count: NDArray[np.int32] | None = None
    for frame in frames:
        if total is None or count is None:
            total, count = np.zeros(frame.shape), np.zeros(frame.shape, np.int32)
        if frame.shape != total.shape:
            raise ShapeError(f"frames have the shapes {total.shape} and {frame.shape}: expected the same")
        valid = valid_pixels(frame, dark=dark)
        np.add(total, frame, out=total, where=valid)
        count += valid
    if total is None or count is None:
        raise ImageError("there are no frames to be averaged: expected at least one")
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


def subtract_dark(image: Image, dark: Image | None) -> Image:
    """Subtract a dark; a pixel that is not valid in either is not valid in the difference.

    Parameters
    ----------
    image, dark
        Averages, shape (y, x).

    Returns
    -------
    ndarray, shape (y, x)
        The image itself without a dark.

    Raises
    ------
    ShapeError
        They differ in shape.
    """
    if dark is None:
        return image
    if dark.shape != image.shape:
        raise ShapeError(f"the dark has shape {dark.shape} and the image {image.shape}: expected the same")
    return image - dark


def _is_whole(sample: NDArray[Any]) -> bool:
    """Check whether floats are whole numbers, such as counts."""
    finite = sample[np.isfinite(sample)]
    return bool((finite == np.round(finite)).all())


def _saturated(frame: NDArray[Any], valid: NDArray[np.bool_], whole: bool) -> NDArray[np.bool_]:
    """Find the pixels with the largest value, if so many share it that it cannot be their intensity."""
    top = float(frame[valid].max())
    at_top = valid & (frame == top)
    shared = int(np.count_nonzero(at_top))
    if top <= 0 or shared <= _SHARED or 2 * shared > np.count_nonzero(valid):
        return np.zeros(frame.shape, bool)
    lower = min(top - 1, _NEAR_TOP * top) if whole else _NEAR_TOP * top
    just_below = np.count_nonzero(valid & (frame >= lower)) - shared
    return at_top if shared > just_below else np.zeros(frame.shape, bool)


def _is_flag(negative: NDArray[Any]) -> bool:
    """Check whether negative whole numbers mark pixels: they are few different ones."""
    step = max(1, len(negative) // 5000)
    return len(negative) > 0 and len(np.unique(negative[::step])) <= _MAX_FLAGS


def _lowest(low: float, middle: float) -> float:
    """Compute the value down to which intensities are plausible; their spread is at least that of counts."""
    spread = max(middle - low, np.sqrt(max(middle, 0.0)))
    return low - _FAR_BELOW * spread if spread > 0 else -np.inf


def _dead(frame: NDArray[Any], low: float) -> NDArray[np.bool_]:
    """Find the zeros of a frame on a pedestal, unless a shadow has the values between them and the others."""
    zero = frame == 0
    between = np.count_nonzero((frame > 0) & (frame < low / 2))
    return zero if np.count_nonzero(zero) > between else np.zeros(frame.shape, bool)
