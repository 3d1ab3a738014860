"""Robust least squares with a few parameters, by Levenberg and Marquardt's method.

It finds the minima that `scipy.optimize.least_squares` finds. Importing that takes as long as a fit.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


_EXACT = 1e-9

_LEAST_DAMPING, _FIRST_DAMPING, _LARGEST_DAMPING = 1e-12, 1e-4, 1e8
_DAMPING_FACTOR = 10.0

Model = Callable[[Floats], tuple[Floats, Floats]]
"""Returns the residuals at parameters, shape (n,), and their derivatives by these, shape (n, parameters)."""

Limits = tuple[Floats, Floats]


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss, by the square z of a residual: its value and its derivative, which is 1 at 0."""

    value: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]


SOFT_L1 = Loss(lambda z: 2 * (np.sqrt(1 + z) - 1), lambda z: 1 / np.sqrt(1 + z))
"""Grows linearly with a large residual."""

CAUCHY = Loss(np.log1p, lambda z: 1 / (1 + z))
"""Grows with the logarithm of a large residual."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A minimum.

    Parameters
    ----------
    params
        The parameters, shape (p,).
    residuals
        Shape (n,).
    jacobian
        Derivatives of the residuals, shape (n, p).
    cost
        Half of the sum of the squared residuals; of their losses if large ones count less.
    """

    params: Floats
    residuals: Floats
    jacobian: Floats
    cost: float


def minimize(
    model: Model, start: Floats, *, soft: float | None = None, loss: Loss = SOFT_L1, enough: float = _EXACT,
    steps: int = 40, limits: Limits | None = None,
) -> Solution:  # fmt: skip
    """Find the parameters with the least residuals.

    Parameters
    ----------
    model
        Residuals and their derivatives.
    start
        The parameters to begin at, shape (p,).
    soft
        Residuals above this count less; None for plain least squares.
    loss
        How much less.
    enough
        Expected relative decrease of the cost from which on the minimum is reached.
    steps
        Largest number of steps that are tried.
    limits
        Least and largest parameters, shape (p,) each; None for none.

    Returns
    -------
    Solution
        The best one that was found.
    """
    best, damping = _solution(model, start, soft, loss), _FIRST_DAMPING
    for _ in range(steps):
        gradient, curvature = _derivatives(best, soft, loss)
        if limits is not None:  # a parameter stays at its limit if it would be better beyond that
            gradient = np.where(np.where(gradient > 0, best.params <= limits[0], best.params >= limits[1]), 0, gradient)
        step = _step(gradient, curvature, damping)
        if not -gradient @ step / 2 > enough * best.cost or damping > _LARGEST_DAMPING:
            break
        params = best.params + step
        tried = _solution(model, params if limits is None else np.clip(params, *limits), soft, loss)
        if tried.cost < best.cost:  # false where it is not a number
            best, damping = tried, max(damping / _DAMPING_FACTOR, _LEAST_DAMPING)
        else:
            damping *= _DAMPING_FACTOR
    return best


def _step(gradient: Floats, curvature: Floats, damping: float) -> Floats:
    """Compute the step to the least cost, shape (p,); 0 for a parameter whose gradient is 0."""
    free = gradient != 0
    if not free.all():
        step = np.zeros(len(gradient))
        if free.any():
            step[free] = _step(gradient[free], curvature[np.ix_(free, free)], damping)
        return step
    sizes = np.sqrt(curvature.diagonal())
    scaled = curvature / (sizes[:, None] * sizes)
    scaled.flat[:: len(sizes) + 1] += damping
    return -np.linalg.solve(scaled, gradient / sizes) / sizes


def _solution(model: Model, params: Floats, soft: float | None, loss: Loss) -> Solution:
    residuals, jacobian = model(params)
    losses = residuals**2 if soft is None else soft**2 * loss.value((residuals / soft) ** 2)
    return Solution(params, residuals, jacobian, float(losses.sum()) / 2)


def _derivatives(at: Solution, soft: float | None, loss: Loss) -> tuple[Floats, Floats]:
    """Compute gradient and curvature of the cost, shape (p,) and (p, p), with the weights of the residuals."""
    weighted = at.jacobian.T
    if soft is not None:  # the curvature of reweighted least squares is never too small, so steps are not too long
        weighted = weighted * loss.slope((at.residuals / soft) ** 2)
    return weighted @ at.residuals, weighted @ at.jacobian
