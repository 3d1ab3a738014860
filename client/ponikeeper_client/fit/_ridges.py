"""Points on the rings, found without knowing any ring: the crests of the image, and their directions.

Source: C. Steger, "An unbiased detector of curvilinear structures", IEEE Trans. Pattern Anal. Mach.
Intell. 20, 113 (1998).
"""

from dataclasses import dataclass
from typing import Self, cast

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ponikeeper_client.fit._forward_model import Floats
from ponikeeper_client.fit._frame import Frame

_SIGNIFICANT = 0.35
"""Least curvature of a crest, in units of the noise around it."""

_LONG = 0.3
"""Least difference between the curvatures across and along: a crest is no spot."""

_STRONGEST = 2.0
"""No crest counts more than this: one bright ring must not decide alone."""


@dataclass(frozen=True, slots=True)
class Ridges:
    """Points on crests.

    Parameters
    ----------
    y, x
        On the detector (m), shape (n,).
    normal_y, normal_x
        Direction across the crest, of length 1, shape (n,).
    weight
        How much each stands out, shape (n,).
    """

    y: Floats
    x: Floats
    normal_y: Floats
    normal_x: Floats
    weight: Floats

    def __len__(self) -> int:
        return len(self.y)

    def some(self, count: int, seed: int = 0) -> Self:
        """Give at most `count` of them, those that stand out preferred, the same ones each time."""
        if len(self) <= count:
            return self
        chance = np.minimum(self.weight, np.percentile(self.weight, 90))
        picked = np.random.default_rng(seed).choice(len(self), count, replace=False, p=chance / chance.sum())
        return type(self)(*(getattr(self, name)[picked] for name in ("y", "x", "normal_y", "normal_x", "weight")))


def find_ridges(frame: Frame, image: NDArray[np.float32], width: float) -> Ridges:
    """Find the crests of a width.

    Parameters
    ----------
    frame
        Where the pixels lie, and which count.
    image
        What `Frame.flattened` gives.
    width
        Standard deviation of the smoothing (px): crests of about twice that are found.
    """
    near = ndimage.gaussian_filter(frame.valid.astype(np.float32), 1.5 * width)
    by_y, by_x, by_yy, by_xx, by_xy = (
        ndimage.gaussian_filter(image, width, order=cast("int", order))
        for order in ((1, 0), (0, 1), (2, 0), (0, 2), (1, 1))
    )
    half, spread = (by_yy + by_xx) / 2, np.sqrt(((by_yy - by_xx) / 2) ** 2 + by_xy**2)
    across, along = half - spread, half + spread  # the curvatures; across a crest it is negative
    rough = image - ndimage.gaussian_filter(image, 4 * width)
    noise = np.sqrt(ndimage.gaussian_filter(rough * rough, 10 * width)) + 1e-6
    height = -across * width**2 / noise
    length = (np.abs(across) - np.abs(along)) / (np.abs(across) + np.abs(along) + 1e-12)

    candidates = (across < 0) & (near > 0.97) & frame.valid & (height > _SIGNIFICANT) & (length > _LONG)
    edge = int(3 * width) + 1
    candidates[:edge] = candidates[-edge:] = False
    candidates[:, :edge] = candidates[:, -edge:] = False
    rows, columns = np.nonzero(candidates)
    picked = (rows, columns)
    normal_y, normal_x = _normals(across[picked], by_yy[picked], by_xx[picked], by_xy[picked])
    offset = -(by_y[picked] * normal_y + by_x[picked] * normal_x) / across[picked]
    on_top = (np.abs(offset * normal_y) <= 0.6) & (np.abs(offset * normal_x) <= 0.6)  # the crest is in this pixel
    rows, columns, normal_y, normal_x, offset = (
        values[on_top] for values in (rows, columns, normal_y, normal_x, offset)
    )
    weight = np.minimum(height[rows, columns], _STRONGEST)
    return _on_the_detector(frame, rows, columns, normal_y, normal_x, offset, weight)


def _normals(across: Floats, by_yy: Floats, by_xx: Floats, by_xy: Floats) -> tuple[Floats, Floats]:
    """Give the eigenvectors across the crest; of the two ways to write them the longer one."""
    first, second = (across - by_xx, by_xy), (by_xy, across - by_yy)
    longer = np.hypot(*first) > np.hypot(*second)
    y, x = (np.where(longer, one, other) for one, other in zip(first, second, strict=True))
    size = np.hypot(y, x) + 1e-20
    return y / size, x / size


def _on_the_detector(
    frame: Frame, rows: NDArray[np.intp], columns: NDArray[np.intp], normal_y: Floats, normal_x: Floats,
    offset: Floats, weight: Floats,
) -> Ridges:  # fmt: skip
    """Carry points from pixels to metres; the steps between pixels are even, but for gaps and signs."""
    if len(rows) == 0:
        nothing = np.zeros(0)
        return Ridges(nothing, nothing, nothing, nothing, nothing)
    step_y = (frame.y[-1, 0] - frame.y[0, 0]) / (frame.y.shape[0] - 1)
    step_x = (frame.x[0, -1] - frame.x[0, 0]) / (frame.x.shape[1] - 1)
    y, x = frame.y[rows, columns] + offset * normal_y * step_y, frame.x[rows, columns] + offset * normal_x * step_x
    # a normal stretches the other way round than a step
    across_y, across_x = normal_y / step_y, normal_x / step_x
    size = np.hypot(across_y, across_x)
    return Ridges(*(np.asarray(values, float) for values in (y, x, across_y / size, across_x / size, weight)))
