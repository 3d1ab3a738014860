"""Passes over all pixels of an image: by NumPy, or compiled if numba is installed and the image is large."""

import functools
import importlib.util

import numpy as np
from numpy.typing import NDArray

from ponikeeper_client.fit._forward_model import Floats
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._profile_sums import ProfileSums, Summing, sum_by_numpy

_COMPILED_FROM = 2_000_000
"""Number of pixels from which on compiled code is used: for a smaller image it takes longer to import numba."""


def sum_profiles(
    frame: Frame, params: Floats, lines: Floats, widths: Floats, sectors: NDArray[np.intp], bins: int
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
    widths
        Half width of the profile of each line (px), shape (n,); 0 if it is not measured.
    sectors
        Number of sectors of each line, shape (n,).
    bins
        Number of bins of a profile.

    Returns
    -------
    ProfileSums
        The sectors of the first line, then those of the second, and so on.
    """
    summing = compiled_summing() if frame.image.size >= _COMPILED_FROM else None
    return (summing or sum_by_numpy)(frame, params, lines, widths, sectors, bins)


@functools.cache
def compiled_summing() -> Summing | None:
    """Return the compiled counterpart of `sum_by_numpy`; None if numba is not installed."""
    if importlib.util.find_spec("numba") is None:
        return None
    from ponikeeper_client.fit import _compiled

    return _compiled.sum_profiles
