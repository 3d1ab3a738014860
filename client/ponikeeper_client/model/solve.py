"""The parameters of a chain of joints that fit calibrations best: generalised least squares, in place coordinates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ponikeeper.errors import FitError
from ponikeeper.geometry.kinematics import Chain
from ponikeeper.geometry.kinematics.model import LEVER
from ponikeeper.geometry.kinematics.place import Middle, place_of, place_slopes
from ponikeeper_client.model.members import Floats, Member, values_of

_STEPS = 80
_LEAST_GAIN, _LEAST_STEP = 1e-9, 1e-3
"""The fit ends where chi squared falls by less than this part, and the steps are less than this in sigma."""

_RANK = 1e-6
"""Singular values of the scaled Jacobian below this mean that the calibrations do not determine the parameters."""

_SMALLEST = 1e-9
"""Length of a column of the Jacobian that is 0."""

_SHARE = 0.05
"""Of a parameter in what is not determined, from which it is named."""

_LARGEST_TILT = 0.45

_SMALLEST_SCATTER, _LARGEST_SCATTER = 1e-8, 1e-2
"""(m)"""

_TILT_FIRST = [3, 4, 0, 1, 2]
"""Order of the coordinates of a place in the fit: then a free position leaves no residual, whatever the tilt."""

_PRECISION = 1.02
_QUANTILE = -0.9945
"""The 16 % quantile of a normal distribution."""

Prior = tuple[float, float]
"""A value with its standard deviation."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is to be fitted to what.

    Parameters
    ----------
    chain
        With start values.
    members
        The calibrations.
    middle
        The middle of the panel (m).
    priors
        What is known of parameters beforehand, by name.
    motor_sigma
        Standard deviation of the position of each link, in the units of its joint.
    """

    chain: Chain
    members: Sequence[Member]
    middle: Middle
    priors: Mapping[str, Prior] = field(default_factory=dict[str, Prior])
    motor_sigma: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def names(self) -> list[str]:
        """The parameters."""
        return list(self.chain.parameters())


@dataclass(frozen=True, slots=True)
class Solution:
    """Fitted parameters.

    Parameters
    ----------
    chain
        The chain with them.
    covariance
        Of the parameters, at the given wavelength, shape (n, n).
    by_wavelength
        Their change for a relative change of the wavelength, shape (n,).
    chi2, dof
        Chi squared, and its degrees of freedom.
    scatter
        How far the detector strays from the chain (m).
    checked
        How many of the degrees of freedom are about positions of the detector, not about its tilt.
    """

    chain: Chain
    covariance: Floats
    by_wavelength: Floats
    chi2: float
    dof: int
    scatter: float
    checked: float


def solve(problem: Problem, scatter: float | None = None) -> Solution:
    """Fit the parameters.

    Parameters
    ----------
    problem
        What is fitted to what.
    scatter
        How far the detector strays from the chain (m); None estimates it: the one that brings chi squared to its 16 %
        quantile, with which a scatter is underestimated in one case of six.

    Returns
    -------
    Solution

    Raises
    ------
    FitError
        The calibrations do not determine the parameters.
    """
    if scatter is not None:
        return _minimum(problem, scatter)
    without = _minimum(problem, 0.0)
    wanted = _chi2_quantile(without.dof)
    if without.chi2 <= wanted or without.dof == 0:
        return without
    low, high, best = _SMALLEST_SCATTER, _LARGEST_SCATTER, without
    while high / low > _PRECISION:
        middle = float(np.sqrt(low * high))
        best = _minimum(replace(problem, chain=best.chain), middle)
        low, high = (middle, high) if best.chi2 > wanted else (low, middle)
    return best


def _minimum(problem: Problem, scatter: float) -> Solution:
    """Find the minimum of chi squared with a given scatter: Levenberg-Marquardt."""
    chain, damping = problem.chain, 1e-3
    residual, jacobian = _whitened(problem, chain, scatter)
    for _ in range(_STEPS):
        size = _sizes(problem, jacobian)
        scaled = jacobian / size
        gradient, curvature = scaled.T @ residual, scaled.T @ scaled
        step = np.linalg.solve(curvature + damping * np.eye(len(size)), gradient)
        trial = _stepped(chain, problem.names, step / size)
        ahead = None if trial is None else _whitened(problem, trial, scatter)
        gain = -np.inf if ahead is None else float(residual @ residual - ahead[0] @ ahead[0])
        if trial is None or ahead is None or gain < -1e-12 * (1 + residual @ residual):
            damping *= 10
            if damping > 1e12:
                break
            continue
        is_small = gain < _LEAST_GAIN * (1 + float(residual @ residual)) and np.linalg.norm(scaled @ step) < _LEAST_STEP
        chain, (residual, jacobian), damping = trial, ahead, damping / 10
        if is_small:
            break
    return _solution(problem, chain, residual, jacobian, scatter)


def _solution(problem: Problem, chain: Chain, residual: Floats, jacobian: Floats, scatter: float) -> Solution:
    size = _sizes(problem, jacobian)
    scaled = jacobian / size
    inverse = np.linalg.inv(scaled.T @ scaled)
    leverage = np.einsum("ij,jk,ik->i", scaled, inverse, scaled)[: 5 * len(problem.members)]
    checked = float(np.sum(1 - leverage.reshape(-1, 5)[:, 2:]))
    response = inverse @ scaled.T @ _wavelength_changes(problem, chain, scatter, len(residual))
    chi2, dof = float(residual @ residual), len(residual) - len(size)
    return Solution(chain, inverse / np.outer(size, size), response / size, chi2, dof, scatter, checked)


def _sizes(problem: Problem, jacobian: Floats) -> Floats:
    """Return the lengths of the columns; raises `FitError` where the parameters are not determined."""
    size = np.linalg.norm(jacobian, axis=0)
    _, singular, directions = np.linalg.svd(jacobian / np.maximum(size, _SMALLEST))
    determined = int(np.count_nonzero(singular > _RANK))
    if determined == len(size):
        return size
    loose = np.flatnonzero(np.sum(directions[determined:] ** 2, axis=0) > _SHARE)
    undetermined, count = [problem.names[index] for index in loose], len(problem.members)
    raise FitError(
        f"{count} calibration{'s' * (count != 1)} cannot determine {', '.join(undetermined)}: a rail needs 2 different "
        "positions, each further stage one more that is not in line with them, an arm 3; with --nominal an arm needs 1"
    )


def _stepped(chain: Chain, names: Sequence[str], step: Floats) -> Chain | None:
    """Return the chain after a step; None where an axis would tilt too far."""
    parameters = chain.parameters()
    moved = {name: parameters[name] + change for name, change in zip(names, step.tolist(), strict=True)}
    tilts = [abs(value) for name, value in moved.items() if ".tilt" in name]
    if not all(np.isfinite(value) for value in moved.values()) or max(tilts, default=0.0) > _LARGEST_TILT:
        return None
    return chain.with_parameters(moved)


def _whitened(problem: Problem, chain: Chain, scatter: float) -> tuple[Floats, Floats]:
    """Compute residuals and slopes in units of the standard deviations; the rows of the priors are the last."""
    residuals, jacobians = [], []
    for member in problem.members:
        values, slopes = chain.slopes(member.position)
        white = _whitening(problem, member, chain, scatter)
        measured = member.values_at(chain.wavelength_at(member.position))
        difference = np.subtract(place_of(measured, problem.middle), place_of(values, problem.middle))
        difference[3:] = (difference[3:] + np.pi) % (2 * np.pi) - np.pi
        columns = np.array([slopes[name] for name in problem.names]).T
        residuals.append(white @ difference)
        jacobians.append(white @ np.array(place_slopes(values, problem.middle)) @ columns)
    parameters = chain.parameters()
    for name, (value, sigma) in problem.priors.items():
        residuals.append(np.array([(value - parameters[name]) / sigma]))
        jacobians.append(np.array([[float(each == name) / sigma for each in problem.names]]))
    return np.concatenate(residuals), np.vstack(jacobians)


def place_covariance(problem: Problem, member: Member, chain: Chain, scatter: float) -> Floats:
    """Compute the covariance of the place of a member, shape (5, 5): of its fit, the scatter and the motors.

    Parameters
    ----------
    problem
        What is fitted to what.
    member
        The member.
    chain
        The chain, by which the motors move the detector.
    scatter
        How far the detector strays from the chain (m).

    Returns
    -------
    ndarray, shape (5, 5)
        In m and rad.
    """
    slopes = np.array(place_slopes(values_of(member.geometry), problem.middle))
    covariance = slopes @ member.covariance @ slopes.T
    covariance += np.diag([scatter**2] * 3 + [(scatter / LEVER) ** 2] * 2)
    _, by_link = chain.slopes(member.position)
    for link, sigma in problem.motor_sigma.items():
        column = slopes @ np.array(by_link[link]) * sigma
        covariance += np.outer(column, column)
    return covariance


def _whitening(problem: Problem, member: Member, chain: Chain, scatter: float) -> Floats:
    """Return what makes differences of places uncorrelated: first the tilt, then the position given the tilt."""
    covariance = place_covariance(problem, member, chain, scatter)[np.ix_(_TILT_FIRST, _TILT_FIRST)]
    return np.linalg.inv(np.linalg.cholesky(covariance)) @ np.eye(5)[_TILT_FIRST]


def _wavelength_changes(problem: Problem, chain: Chain, scatter: float, rows: int) -> Floats:
    """Compute the change of the whitened measurements for a relative change of the wavelength."""
    changes = np.zeros(rows)
    for index, member in enumerate(problem.members):
        slopes = np.array(place_slopes(values_of(member.geometry), problem.middle)) @ member.by_wavelength
        changes[5 * index : 5 * index + 5] = _whitening(problem, member, chain, scatter) @ slopes
    return changes


def _chi2_quantile(dof: int) -> float:
    """Return the 16 % quantile of chi squared (Wilson and Hilferty, 1931)."""
    if dof == 0:
        return 0.0
    part = 2 / (9 * dof)
    return dof * max(1 - part + _QUANTILE * float(np.sqrt(part)), 0.0) ** 3
