"""Passes over all pixels of an image: by NumPy, or compiled if numba is installed and the image is large."""

import functools
import importlib.util
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ponikeeper_client.fit import _profile_sums
from ponikeeper_client.fit._forward_model import Floats
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._profile_sums import Passes, ProfileSums

_COMPILED_FROM = 2_000_000
"""Number of pixels from which on compiled code is used: for a smaller image it takes longer to import numba."""


def sum_profiles(
    frame: Frame, params: Floats, lines: Floats, reaches: Floats, sectors: NDArray[np.intp], bins: int
) -> ProfileSums:
    """Sum the pixels near lines, by sector of azimuth and by distance from the line.

    Parameters
    ----------
    frame
        The image.
    params
        Fit parameters, shape (5,).
    lines
        Scattering angles of the calibrant, ascending (rad), shape (n,).
    reaches
        How far the profile of each line goes to both sides (px), shape (n,); 0 if it is not measured. A pixel can
        belong to two of them.
    sectors
        Number of sectors of each line, shape (n,).
    bins
        Number of bins of a profile.

    Returns
    -------
    ProfileSums
        The sectors of the first line, then those of the second, and so on.
    """
    return _passes(frame).sum_profiles(frame, params, lines, reaches, sectors, bins)


def sum_by_radius(frame: Frame, params: Floats, highest: float) -> tuple[Floats, Floats]:
    """Sum the pixels by radius, on a detector perpendicular to the beam, in steps of 1 px.

    Parameters
    ----------
    frame
        The image.
    params
        Fit parameters, shape (5,).
    highest
        Larger intensities count as this one (counts).

    Returns
    -------
    counts, sums : ndarray, shape (n,)
        Number of pixels, and sum of their intensities (counts), up to the last radius with pixels.
    """
    return _passes(frame).sum_by_radius(frame, params, highest)


def _passes(frame: Frame) -> Passes:
    return (compiled_passes() if frame.image.size >= _COMPILED_FROM else None) or cast("Passes", _profile_sums)


@functools.cache
def compiled_passes() -> Passes | None:
    """Return the compiled counterpart of `_profile_sums`; None if numba is not installed."""
    if importlib.util.find_spec("numba") is None:
        return None
    from ponikeeper_client.fit import _compiled

    return cast("Passes", _compiled)
