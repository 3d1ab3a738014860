"""The parameters of a chain of joints that fit calibrations best: generalised least squares, in place coordinates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ponikeeper.errors import FitError, GeometryError
from ponikeeper.geometry.kinematics import Chain
from ponikeeper.geometry.kinematics.model import LEVER
from ponikeeper.geometry.kinematics.place import Middle, place_of, place_slopes
from ponikeeper.geometry.kinematics.rigid import Values
from ponikeeper_client._least_squares import minimize
from ponikeeper_client.model.members import SHARED, Floats, Member, values_of

_STEPS = 80

_RANK = 1e-6
"""Singular values of the scaled Jacobian below this mean that the calibrations do not determine the parameters."""

_SMALLEST = 1e-9
"""Length of a column of the Jacobian that is 0."""

_SHARE = 0.05
"""Of a parameter in what is not determined, from which it is named."""

_LARGEST_TILT = 0.45

_SMALLEST_SCATTER, _LARGEST_SCATTER = 1e-8, 1e-2
"""(m)"""

_POSITION, _TILT = (0, 1, 2), (3, 4)
"""Coordinates of a place. The fit takes the tilts first: then a free position leaves no residual, whatever the tilt."""

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
    gain
        Change of the parameters with the places of the members, shape (n, 5 members).
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
    gain: Floats
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
        quantile, with which a scatter is underestimated in one case of six. What is known beforehand has no part in
        that where the calibrations determine all: if it is wrong, the detector does not stray.

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
    if problem.priors:
        try:
            alone = solve(replace(problem, priors={}))
        except (FitError, GeometryError, np.linalg.LinAlgError):  # only what is known beforehand determines all
            pass
        else:
            return _minimum(problem, alone.scatter)
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
    """Find the minimum of chi squared with a given scatter."""
    names, parameters = problem.names, problem.chain.parameters()
    white = _whitening(problem, problem.chain, scatter)
    start, largest = (
        np.array([each[name] for name in names])
        for each in (parameters, {name: _LARGEST_TILT if ".tilt" in name else np.inf for name in names})
    )

    def chain(values: Floats) -> Chain:
        return problem.chain.with_parameters(dict(zip(names, values.tolist(), strict=True)))

    def model(values: Floats) -> tuple[Floats, Floats]:
        residual, jacobian = _whitened(problem, chain(values), white)
        return residual, -jacobian

    _sizes(problem, model(start)[1])
    best = minimize(model, start, steps=_STEPS, limits=(-largest, largest))
    return _solution(problem, chain(best.params), (best.residuals, -best.jacobian, white), scatter)


def _solution(problem: Problem, chain: Chain, found: tuple[Floats, Floats, Floats], scatter: float) -> Solution:
    residual, jacobian, white = found
    size, places = _sizes(problem, jacobian), len(white)
    scaled = jacobian / size
    inverse = np.linalg.inv(scaled.T @ scaled)
    leverage = np.einsum("ij,jk,ik->i", scaled, inverse, scaled)
    of_positions = leverage[2 * len(problem.members) : places]
    gain = inverse @ scaled[:places].T @ white / size[:, None]
    return Solution(
        chain=chain,
        covariance=inverse / np.outer(size, size),
        gain=gain,
        by_wavelength=gain @ np.concatenate([_wavelength_change(problem, member) for member in problem.members]),
        chi2=float(residual @ residual),
        dof=len(residual) - len(size),
        scatter=scatter,
        checked=float(np.sum(1 - of_positions)),
    )


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


def _whitened(problem: Problem, chain: Chain, white: Floats) -> tuple[Floats, Floats]:
    """Compute residuals and slopes in units of the standard deviations; the rows of the priors are the last."""
    differences, columns = [], []
    for member in problem.members:
        values, slopes = chain.slopes(member.position)
        differences.append(place_difference(problem, member, chain, values))
        columns.append(
            np.array(place_slopes(values, problem.middle)) @ np.array([slopes[name] for name in problem.names]).T
        )
    parameters = chain.parameters()
    known = [(value - parameters[name]) / sigma for name, (value, sigma) in problem.priors.items()]
    rows = [[float(each == name) / sigma for each in problem.names] for name, (_, sigma) in problem.priors.items()]
    residual = np.concatenate([white @ np.concatenate(differences), np.array(known)])
    return residual, np.vstack([white @ np.vstack(columns), np.array(rows).reshape(-1, len(problem.names))])


def place_difference(problem: Problem, member: Member, chain: Chain, values: Values) -> Floats:
    """Compute how far a member is from the chain.

    Parameters
    ----------
    problem
        With the middle of the panel.
    member
        The member.
    chain
        The chain, which determines the wavelength.
    values
        What the chain says for the member's position.

    Returns
    -------
    ndarray, shape (5,)
        Difference of the places (m, rad).
    """
    measured = member.values_at(chain.wavelength_at(member.position))
    difference = np.subtract(place_of(measured, problem.middle), place_of(values, problem.middle))
    difference[3:] = (difference[3:] + np.pi) % (2 * np.pi) - np.pi
    return difference


def place_covariance(problem: Problem, chain: Chain, scatter: float) -> Floats:
    """Compute the covariance of the places of all members: of their fits, the scatter and the motors.

    Calibrations of one detector see the same distortion of its panel, so that their errors are correlated.

    Parameters
    ----------
    problem
        With the members.
    chain
        The chain, by which the motors move the detector.
    scatter
        How far the detector strays from the chain (m).

    Returns
    -------
    ndarray, shape (5 members, 5 members)
        In m and rad.
    """
    size = 5 * len(problem.members)
    total, shared = np.zeros((size, size)), np.zeros((size, 5))
    for index, member in enumerate(problem.members):
        slopes, here = (
            np.array(place_slopes(values_of(member.geometry), problem.middle)),
            slice(5 * index, 5 * index + 5),
        )
        covariance = slopes @ member.covariance @ slopes.T
        part = 0.0 if member.assumed else SHARED
        shared[here] = np.linalg.cholesky(covariance) * np.sqrt(part)
        total[here, here] = covariance * (1 - part) + np.diag([scatter**2] * 3 + [(scatter / LEVER) ** 2] * 2)
        _, by_link = chain.slopes(member.position)
        for link, sigma in problem.motor_sigma.items():
            column = slopes @ np.array(by_link[link]) * sigma
            total[here, here] += np.outer(column, column)
    return total + shared @ shared.T


def _whitening(problem: Problem, chain: Chain, scatter: float) -> Floats:
    """Return what makes the places uncorrelated: first the tilts, then the positions given the tilts."""
    count = len(problem.members)
    order = [5 * index + axis for axes in (_TILT, _POSITION) for index in range(count) for axis in axes]
    covariance = place_covariance(problem, chain, scatter)[np.ix_(order, order)]
    return np.linalg.inv(np.linalg.cholesky(covariance)) @ np.eye(5 * count)[order]


def _wavelength_change(problem: Problem, member: Member) -> Floats:
    """Compute the change of a place for a relative change of the wavelength, shape (5,)."""
    return np.array(place_slopes(values_of(member.geometry), problem.middle)) @ member.by_wavelength


def _chi2_quantile(dof: int) -> float:
    """Return the 16 % quantile of chi squared (Wilson and Hilferty, 1931)."""
    if dof == 0:
        return 0.0
    part = 2 / (9 * dof)
    return dof * max(1 - part + _QUANTILE * float(np.sqrt(part)), 0.0) ** 3
