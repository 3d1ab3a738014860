"""Whether numbers can be a covariance: none of its variances is negative, whatever is computed with it."""

from collections.abc import Sequence
from math import isfinite, sqrt

_ROUNDING = 1e-6
"""Largest negative part of a pivot that is rounding, relative to its variance: fits correlate by up to 0.999999."""


def is_covariance(lower: Sequence[float]) -> bool:
    """Check whether a lower triangle is a covariance.

    Parameters
    ----------
    lower
        The lower triangle, row by row.

    Returns
    -------
    bool
        Whether the matrix is positive semidefinite, but for rounding: its Cholesky decomposition, scaled by the
        standard deviations, has no negative pivot.
    """
    size = 0
    while size * (size + 1) // 2 < len(lower):
        size += 1
    if size * (size + 1) // 2 != len(lower):
        return False
    variances = [lower[row * (row + 1) // 2 + row] for row in range(size)]
    if not all(isfinite(value) for value in lower) or any(variance < 0.0 for variance in variances):
        return False
    deviations = [sqrt(variance) for variance in variances]
    factors: list[list[float]] = []
    for row in range(size):
        factor: list[float] = []
        for column in range(row + 1):
            value = lower[row * (row + 1) // 2 + column]
            scale = deviations[row] * deviations[column]
            if scale == 0.0:
                if value != 0.0:
                    return False
                factor.append(0.0)
                continue
            rest = value / scale
            other = factor if column == row else factors[column]
            for index in range(column):
                rest -= factor[index] * other[index]
            if column < row:
                pivot = other[column]
                if pivot == 0.0 and abs(rest) > sqrt(_ROUNDING):
                    return False
                factor.append(rest / pivot if pivot > 0.0 else 0.0)
                continue
            if rest < -_ROUNDING:
                return False
            factor.append(sqrt(rest) if rest > _ROUNDING * _ROUNDING else 0.0)
        factors.append(factor)
    return True
