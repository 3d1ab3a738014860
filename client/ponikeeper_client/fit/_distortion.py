"""A smooth distortion of the panel: how it displaces control points, and how large the residuals show it.

The distortion is a random displacement of the pixels along either axis: a sum of Gaussian bumps with random heights.
It displaces neighbouring points together, so that the residuals of a fit vary smoothly over the panel.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from ponikeeper.protocol.assumed_errors import AssumedErrors
from ponikeeper_client.fit._control_points import ControlPoints
from ponikeeper_client.fit._forward_model import Floats, radius_per_angle, two_theta
from ponikeeper_client.fit._frame import Frame

_REACH = 3
"""How far beyond the panel the bumps lie, in units of their length: this makes the distortion uniform to 1e-4."""

_LEAST_HEIGHT = 1e-2
"""Bumps that are lower than this at each point are left out when the size is estimated."""

_ROUNDS = 2
_SLOW = 0.3
"""Distortion by which residuals are weighted when sizes are estimated, in units of the expected one: the less, the more
its slow variation counts, which depends less on the shape of the bumps."""

_LEAST_SIZE = 0.1
"""Least size that is expected in the second round, in units of the assumed one."""

_LEAST_SCATTER = 0.01
"""Least scatter of points that is expected (px)."""


@dataclass(frozen=True, slots=True)
class Field:
    """A smooth distortion at the control points.

    Parameters
    ----------
    rows, columns
        Heights of Gaussian bumps along axis 1 and axis 2 at each point, shape (n, bumps along the axis) each; the sums
        of their squares are 1.
    slopes
        Displacement of each point from its ring (px) if its pixel is displaced along axis 1 or 2 by the distortion
        that is assumed, shape (2, n).
    """

    rows: Floats
    columns: Floats
    slopes: Floats

    @classmethod
    def of(cls, frame: Frame, params: Floats, points: ControlPoints, lines: Floats, assumed: AssumedErrors) -> Self:
        """Build the distortion of a panel that is assumed.

        Parameters
        ----------
        frame
            The image.
        params
            Fit parameters, shape (5,).
        points
            The control points.
        lines
            Scattering angles of the calibrant, ascending (rad).
        assumed
            Its size and length.

        Returns
        -------
        Field
        """
        rows, columns = (
            _bumps(at, float(all_pixels.min()), float(all_pixels.max()), assumed.distortion_length)
            for at, all_pixels in zip((points.y, points.x), frame.lattice(), strict=True)
        )
        step = 1e-2 * frame.pixel
        size = radius_per_angle(params, lines[points.line]) * assumed.distortion / (2 * step)
        slopes = [
            size * (two_theta(params, points.y + dy, points.x + dx) - two_theta(params, points.y - dy, points.x - dx))
            for dy, dx in ((step, 0), (0, step))
        ]
        return cls(rows, columns, np.stack(slopes))

    def times(self, factors: Floats) -> Self:
        """Multiply the displacement of each point, shape (n,), as its weight does."""
        return replace(self, slopes=self.slopes * factors)

    def bumps(self) -> Floats:
        """Compute the displacement of each point by each bump (px), shape (n, bumps)."""
        heights = (self.rows[:, :, None] * self.columns[:, None, :]).reshape(len(self.rows), -1)
        heights = heights[:, heights.max(axis=0, initial=0) > _LEAST_HEIGHT]
        return np.hstack([heights * slope[:, None] for slope in self.slopes])

    def scores(self, columns: Floats) -> Floats:
        """Compute X^T K X of columns X, shape (n, k), where K is the covariance of the displacements (px^2)."""
        total = np.zeros((columns.shape[1],) * 2)
        for slope in self.slopes:
            scores = [(self.rows * (column * slope)[:, None]).T @ self.columns for column in columns.T]
            flat = np.stack(scores).reshape(len(scores), -1)
            total += flat @ flat.T
        return total


def shown_size(bumps: Floats, jacobian: Floats, residuals: Floats) -> float:
    """Estimate the size of a distortion from residuals: minimum norm quadratic unbiased estimation (C. R. Rao, 1971).

    The residuals have the covariance s^2 + t^2 B B^T, where s is the scatter of the points and t the size. Both are
    what makes two sums of squares, of the smooth part of the residuals and of the rest, as large as they are.

    Parameters
    ----------
    bumps
        B, the weighted displacement of each point by each bump of the assumed distortion (px), shape (n, m).
    jacobian
        Derivatives of the weighted residuals by the parameters, which absorb a part of both, shape (n, k).
    residuals
        Weighted distances of the points from their rings (px), shape (n,).

    Returns
    -------
    float
        In units of the assumed distortion; 0 if the residuals show none.
    """
    absorbed, _ = np.linalg.qr(jacobian)
    residuals = residuals - absorbed @ (absorbed.T @ residuals)
    bumps = bumps - absorbed @ (absorbed.T @ bumps)
    products, projected, square = bumps.T @ bumps, bumps.T @ residuals, float(residuals @ residuals)
    scatter, size = max(1.4826 * float(np.median(np.abs(residuals))), _LEAST_SCATTER), 1.0
    for _ in range(_ROUNDS):
        scatter, size = _sizes(products, projected, square, len(residuals) - jacobian.shape[1], scatter, size)
    return size


def _sizes(
    products: Floats, projected: Floats, square: float, degrees: int, scatter: float, size: float
) -> tuple[float, float]:
    """Estimate scatter and size from B^T B, B^T r and r^T r with the weights that are best for a scatter and a size."""
    unit = _SLOW * max(size, _LEAST_SIZE)
    products, projected, square = products * (unit / scatter) ** 2, projected * unit / scatter**2, square / scatter**2
    inverse = np.linalg.inv(products + np.eye(len(products)))  # weights: 1 - B (1 + B^T B)^-1 B^T (Woodbury's formula)
    heights = inverse @ projected
    seen = [float(heights @ heights), square - 2 * float(heights @ projected) + float(heights @ products @ heights)]
    trace, squares = float(np.trace(inverse)), float(np.sum(inverse * inverse))
    count, both = len(inverse), trace - squares
    expected = [[count - 2 * trace + squares, both], [both, degrees - count + squares]]
    of_bumps, of_scatter = np.sqrt(np.maximum(np.linalg.solve(expected, seen), 0))
    return max(scatter * float(of_scatter), _LEAST_SCATTER), unit * float(of_bumps)


def _bumps(at: Floats, low: float, high: float, part: float) -> Floats:
    """Compute Gaussian bumps along one axis at points (m), shape (n, bumps); the sum of their squares is 1."""
    length = part * (high - low)
    centres = np.arange(low - _REACH * length, high + (_REACH + 1) * length, length)
    bumps = np.exp(-0.5 * ((at[:, None] - centres) / length) ** 2)
    return bumps / np.pi**0.25
