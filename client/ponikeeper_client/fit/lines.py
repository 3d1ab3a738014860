"""The lines of a standard as ascending angles: which is the nearest, and how far they are apart."""

import numpy as np
from numpy.typing import NDArray

from ponikeeper_client.fit.rays import Floats


def nearest_index(ascending: Floats, values: Floats) -> NDArray[np.intp]:
    """Give the index of the nearest of some ascending numbers."""
    return np.searchsorted((ascending[1:] + ascending[:-1]) / 2, values)


def spacing(lines: Floats) -> Floats:
    """Give each line's distance to its nearest neighbour (rad)."""
    if len(lines) == 1:
        return np.array([np.pi])
    gaps = np.diff(lines)
    return np.minimum(np.r_[gaps[0], gaps], np.r_[gaps, gaps[-1]])
