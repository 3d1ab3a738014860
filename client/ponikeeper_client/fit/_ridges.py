"""Ridge detection: points on the rings of an image and their directions, without knowing any ring.

Source: C. Steger, "An unbiased detector of curvilinear structures", IEEE Trans. Pattern Anal. Mach.
Intell. 20, 113 (1998).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ponikeeper_client.fit._forward_model import Floats
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._smoothing import derivatives, smooth

_MIN_CURVATURE = 0.35
"""Least curvature across a ridge, in units of the noise around it."""

_MIN_ANISOTROPY = 0.3
"""Least relative difference between the curvatures across and along a ridge: excludes spots."""

_MAX_WEIGHT = 2.0
"""Upper limit of a point's weight: one bright ring must not dominate the fit."""


@dataclass(frozen=True, slots=True)
class RidgePoints:
    """Points on ridges.

    Parameters
    ----------
    y, x
        Coordinates on the detector (m), shape (n,).
    normal_y, normal_x
        Unit vector across the ridge, shape (n,).
    weight
        Height of the ridge in units of the noise, limited, shape (n,).
    """

    y: Floats
    x: Floats
    normal_y: Floats
    normal_x: Floats
    weight: Floats

    def __len__(self) -> int:
        return len(self.y)

    def sample(self, count: int, seed: int = 0) -> Self:
        """Draw at most `count` of the points, high ridges preferred; the same ones for the same seed."""
        if len(self) <= count:
            return self
        chance = np.minimum(self.weight, np.percentile(self.weight, 90))
        picked = np.random.default_rng(seed).choice(len(self), count, replace=False, p=chance / chance.sum())
        return type(self)(*(getattr(self, name)[picked] for name in ("y", "x", "normal_y", "normal_x", "weight")))


def find_ridges(frame: Frame, image: NDArray[np.float32], width: float) -> RidgePoints:
    """Find the ridge points of an image at one scale.

    Parameters
    ----------
    frame
        Pixel coordinates, and which pixels are valid.
    image
        Result of `Frame.stabilized`, shape (y, x).
    width
        Standard deviation of the smoothing (px): ridges of about twice this width are found.

    Returns
    -------
    RidgePoints
        One point for each pixel that contains the top of a ridge.
    """
    near = smooth(frame.valid.astype(np.float32), 1.5 * width)
    by = derivatives(image, width)
    by_y, by_x, by_yy, by_xx, by_xy = (by[orders] for orders in ((1, 0), (0, 1), (2, 0), (0, 2), (1, 1)))
    half, spread = (by_yy + by_xx) / 2, np.sqrt(((by_yy - by_xx) / 2) ** 2 + by_xy**2)
    across, along = half - spread, half + spread  # the curvatures; across a ridge it is negative
    height = -across * width**2 / _noise(image, width)
    anisotropy = (np.abs(across) - np.abs(along)) / (np.abs(across) + np.abs(along) + 1e-12)
    candidates = (across < 0) & (near > 0.97) & frame.valid & (height > _MIN_CURVATURE) & (anisotropy > _MIN_ANISOTROPY)
    edge = int(3 * width) + 1
    candidates[:edge] = candidates[-edge:] = False
    candidates[:, :edge] = candidates[:, -edge:] = False
    rows, columns = np.nonzero(candidates)
    picked = (rows, columns)
    normal_y, normal_x = _normals(across[picked], by_yy[picked], by_xx[picked], by_xy[picked])
    offset = -(by_y[picked] * normal_y + by_x[picked] * normal_x) / across[picked]
    on_top = (np.abs(offset * normal_y) <= 0.6) & (np.abs(offset * normal_x) <= 0.6)  # the top is in this pixel
    rows, columns, normal_y, normal_x, offset = (
        values[on_top] for values in (rows, columns, normal_y, normal_x, offset)
    )
    weight = np.minimum(height[rows, columns], _MAX_WEIGHT)
    return _on_the_detector(frame, rows, columns, normal_y, normal_x, offset, weight)


def _noise(image: NDArray[np.float32], width: float) -> NDArray[np.floating]:
    """Compute the local root mean square of the image without its smooth part, shape (y, x)."""
    rough = image - smooth(image, 4 * width)
    return np.sqrt(smooth(rough * rough, 10 * width)) + 1e-6


def _normals(across: Floats, by_yy: Floats, by_xx: Floats, by_xy: Floats) -> tuple[Floats, Floats]:
    """Compute the unit eigenvectors across the ridge; of the two equivalent formulas the longer result is used."""
    first, second = (across - by_xx, by_xy), (by_xy, across - by_yy)
    longer = np.hypot(*first) > np.hypot(*second)
    y, x = (np.where(longer, one, other) for one, other in zip(first, second, strict=True))
    size = np.hypot(y, x) + 1e-20
    return y / size, x / size


def _on_the_detector(
    frame: Frame, rows: NDArray[np.intp], columns: NDArray[np.intp], normal_y: Floats, normal_x: Floats,
    offset: Floats, weight: Floats,
) -> RidgePoints:  # fmt: skip
    """Convert points from pixels to metres; the pixel steps are uniform, except at gaps, and may be negative."""
    if len(rows) == 0:
        empty = np.zeros(0)
        return RidgePoints(empty, empty, empty, empty, empty)
    step_y = (frame.y[-1, 0] - frame.y[0, 0]) / (frame.y.shape[0] - 1)
    step_x = (frame.x[0, -1] - frame.x[0, 0]) / (frame.x.shape[1] - 1)
    y, x = frame.y[rows, columns] + offset * normal_y * step_y, frame.x[rows, columns] + offset * normal_x * step_x
    # a normal scales with the inverse of the step
    across_y, across_x = normal_y / step_y, normal_x / step_x
    size = np.hypot(across_y, across_x)
    return RidgePoints(*(np.asarray(values, float) for values in (y, x, across_y / size, across_x / size, weight)))
