"""Weighing of control points that share errors: generalized least squares with a smooth distortion of the panel.

Points near each other are displaced together by a distortion, so many of them say little more than one does. Their
covariance is V = W + D D^T, W of their scatter and D of `displacements`. The best estimate moves the parameters by
-A H^T r: r the distances from the rings, J their Jacobian, H = V^-1 J and A = (H^T J)^-1. Its covariance is
A (S + F) A: F = H^T D D^T H for the distortion, S for the scatter, summed over rings and over sectors of azimuth.
Source: A. C. Aitken, Proc. R. Soc. Edinburgh 55, 42 (1936).
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ponikeeper.protocol import AssumedErrors
from ponikeeper_client.fit._distortion import displacements, length_of
from ponikeeper_client.fit._forward_model import DISTANCE, Floats, radius_per_angle, two_theta_jacobian
from ponikeeper_client.fit._frame import Frame
from ponikeeper_client.fit._refine import Refined, evaluate

_PER_BLOCK = 0.5
"""Length of the part of a ring whose points are averaged, in units of that of the distortion."""

_SECTORS = 12
"""Sectors of azimuth whose points are taken to share an error."""

_ADDED_SCATTER = 2.0
"""Scatter that is added to that of the points, in units of the distortion: else small differences between points that
hardly scatter would decide, also where the panel has no distortion."""

_SINGULAR = 1e-10
_TINY = 1e-6
_STEPS = 2


@dataclass(frozen=True, slots=True)
class Weighing:
    """Weights of the control points of a fit, in blocks of points that are near each other.

    Parameters
    ----------
    block
        Index of the block of each point, shape (n,).
    share
        Weight of each point in the mean of its block, shape (n,).
    jacobian
        Change of the distance from the ring, of each block (px), by the fit parameters and by the relative wavelength,
        shape (m, 6).
    weighted
        H of the module's description, shape (m, 6).
    distortion
        D of the module's description, shape (m, k).
    precision
        Weight of each block (1/px^2): the diagonal of W^-1, shape (m,).
    line
        Index of the line of each block, shape (m,).
    sector
        Sector of azimuth of each block, shape (m,).
    """

    block: NDArray[np.intp]
    share: Floats
    jacobian: Floats
    weighted: Floats
    distortion: Floats
    precision: Floats
    line: NDArray[np.intp]
    sector: NDArray[np.intp]

    @classmethod
    def of(cls, frame: Frame, refined: Refined, weights: Floats, lines: Floats, assumed: AssumedErrors) -> Self:
        """Weigh the points of a fit.

        Parameters
        ----------
        frame
            The image.
        refined
            Parameters with their control points.
        weights
            Weights of these, shape (n,).
        lines
            Scattering angles of the calibrant, ascending (rad).
        assumed
            Size and length of the distortion.

        Returns
        -------
        Weighing
        """
        points, target = refined.points, lines[refined.points.line]
        per_angle = radius_per_angle(refined.params, target) / frame.pixel
        block = _blocks(
            points.line, points.azimuth, refined.params[DISTANCE] * np.tan(target), length_of(frame, assumed)
        )
        total = _sums(block, weights**2)
        share = weights**2 / total[block]
        by_params = two_theta_jacobian(refined.params, points.y, points.x)
        jacobian = np.c_[by_params, -2 * np.tan(target / 2)] * per_angle[:, None]
        y, x, per_angle_of_block, *columns = (
            _sums(block, values * share) for values in (points.y, points.x, per_angle, *jacobian.T)
        )
        jacobian = np.stack(columns, axis=1)
        first = np.unique(block, return_index=True)[1]
        azimuth = points.azimuth[first]
        sector = ((azimuth / (2 * np.pi) + 0.5) * _SECTORS).astype(np.intp) % _SECTORS
        scatter = (
            np.mean((refined.residuals * per_angle * weights) ** 2) + (_ADDED_SCATTER * assumed.distortion) ** 2 + _TINY
        )
        distortion = displacements(frame, refined.params, y, x, per_angle_of_block, assumed)
        precision = total / scatter
        weighted = _weighted(jacobian, distortion, precision)
        return cls(block, share, jacobian, weighted, distortion, precision, points.line[first], sector)

    def shift(self, residuals: Floats, wavelength: bool = False) -> Floats | None:
        """Compute by how much the parameters change.

        Parameters
        ----------
        residuals
            Distances of the points from their rings (px), shape (n,).
        wavelength
            Whether the relative wavelength is fitted, too.

        Returns
        -------
        ndarray, shape (5,) or (6,), or None
            None if the points do not determine the parameters.
        """
        inverse = self.inverse(wavelength)
        if inverse is None:
            return None
        return -inverse @ self.weighted[:, : len(inverse)].T @ self.mean(residuals)

    def mean(self, values: Floats) -> Floats:
        """Average values of the points, shape (n,), in each block, shape (m,)."""
        return _sums(self.block, values * self.share)

    def inverse(self, wavelength: bool = False) -> Floats | None:
        """Compute A, shape (5, 5) or, with the wavelength, (6, 6); None if the points do not determine that."""
        count = 6 if wavelength else 5
        normal = self.weighted[:, :count].T @ self.jacobian[:, :count]
        sizes = np.sqrt(np.diag(normal))
        if not (np.isfinite(sizes).all() and sizes.all()):
            return None
        normal = normal / np.outer(sizes, sizes)
        if np.linalg.eigvalsh(normal)[0] < _SINGULAR:
            return None
        return np.linalg.inv(normal) / np.outer(sizes, sizes)

    def spread(self, residuals: Floats) -> Floats:
        """Compute S + F, shape (6, 6), for distances of the points from their rings (px), shape (n,).

        S has what is left of the distances without the most probable distortion, since F has that.
        """
        left = _weighted(self.mean(residuals)[:, None], self.distortion, self.precision) / self.precision[:, None]
        scores, moved = self.weighted * left, self.weighted.T @ self.distortion
        return _clustered(scores, self.line) + _clustered(scores, self.sector) + moved @ moved.T


def weighed(frame: Frame, refined: Refined, lines: Floats, assumed: AssumedErrors) -> Refined:
    """Move fitted parameters to the best estimate where points share a distortion.

    Parameters
    ----------
    frame
        The image.
    refined
        Fitted parameters with their control points and weights.
    lines
        Scattering angles of the calibrant, ascending (rad).
    assumed
        Size and length of the distortion.

    Returns
    -------
    Refined
        `refined` itself if its parameters were not fitted, or the points do not determine them.
    """
    if refined.weights is None:
        return refined
    weighing = Weighing.of(frame, refined, refined.weights, lines, assumed)
    best, per_angle = refined, radius_per_angle(refined.params, lines[refined.points.line]) / frame.pixel
    for _ in range(_STEPS):
        shift = weighing.shift(best.residuals * per_angle)
        if shift is None:
            return refined
        best = evaluate(best.params + shift, refined.points, lines, frame.pixel)
    return replace(refined, params=best.params, residuals=best.residuals, residual_px=best.residual_px)


def _blocks(line: NDArray[np.intp], azimuth: Floats, radius: Floats, length: float) -> NDArray[np.intp]:
    """Return the block of each point, numbered: points of one ring that are near each other along it."""
    parts = np.maximum(2 * np.pi * radius / (_PER_BLOCK * length), 1).astype(np.intp)
    part = np.clip(((azimuth / (2 * np.pi) + 0.5) * parts).astype(np.intp), 0, parts - 1)
    return np.unique(line * (parts.max(initial=0) + 1) + part, return_inverse=True)[1]


def _weighted(jacobian: Floats, distortion: Floats, precision: Floats) -> Floats:
    """Compute V^-1 J for V = diag(1 / precision) + D D^T, by the formula of Woodbury."""
    by_scatter = jacobian * precision[:, None]
    projected = distortion.T * precision
    inner = projected @ distortion
    inner.flat[:: len(inner) + 1] += 1
    return by_scatter - projected.T @ np.linalg.solve(inner, distortion.T @ by_scatter)


def _clustered(scores: Floats, cluster: NDArray[np.intp]) -> Floats:
    """Sum the scores of each cluster, and compute their outer products, shape (6, 6)."""
    _, index = np.unique(cluster, return_inverse=True)
    sums = np.stack([_sums(index, column) for column in scores.T], axis=1)
    count, used = len(sums), len(scores)
    correction = count / max(count - 1, 1) * (used - 1) / max(used - scores.shape[1], 1)
    return correction * sums.T @ sums


def _sums(group: NDArray[np.intp], values: Floats) -> Floats:
    """Sum the values of each group."""
    return np.bincount(group, values).astype(np.float64, copy=False)
