"""Leave-one-out: what the other calibrations say where one was taken, and which of them is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import erfc, exp, pi, sqrt

import numpy as np

from ponikeeper.errors import FitError
from ponikeeper.geometry.kinematics.panel import Panel, ring_shift_px
from ponikeeper.geometry.kinematics.place import place_slopes
from ponikeeper_client.model.members import Member
from ponikeeper_client.model.solve import Problem, Solution, place_covariance, place_difference, solve

LEAST_PROBABILITY = 1e-3
"""A left-out member deviates from the others if that is less probable."""

LEAST_PX = 0.2
"""And it contradicts them, so that the model is refused, from so much on (px rms over the panel)."""

_LEAST_SHOWN = 1e-9

_CLEARLY = 10.8
"""By how much chi squared of the others must be lower than without any other member (p = 0.001 for one)."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What the others say of one member.

    Parameters
    ----------
    chi2
        Squared deviation of its five values, in their common standard deviations.
    shift_px
        Distance of its rings from those that are predicted (px rms over the panel).
    rest_chi2
        Chi squared of the others, without scatter.
    """

    chi2: float
    shift_px: float
    rest_chi2: float

    @property
    def probability(self) -> float:
        """Of a deviation that is at least as large: that of chi squared with 5 degrees of freedom."""
        x = self.chi2
        return erfc(sqrt(x / 2)) + sqrt(2 * x / pi) * exp(-x / 2) * (1 + x / 3)

    def probability_text(self) -> str:
        """Format the probability for people: ``= 0.02``, or ``< 1e-09``."""
        return probability_text(self.probability)

    @property
    def deviates(self) -> bool:
        """Whether the difference from the others is more than scatter."""
        return self.probability < LEAST_PROBABILITY

    @property
    def contradicts(self) -> bool:
        """Whether the member deviates so much that the model is refused."""
        return self.deviates and self.shift_px > LEAST_PX


def probability_text(probability: float) -> str:
    """Format a probability for people: ``= 0.02``, or ``< 1e-09``."""
    return f"= {probability:.2g}" if probability > _LEAST_SHOWN else f"< {_LEAST_SHOWN:.0e}"


def leave_out(problem: Problem, whole: Solution, panel: Panel) -> list[LeftOut | None]:
    """Predict each member from the others.

    Parameters
    ----------
    problem
        With all members.
    whole
        Its solution.
    panel
        The panel.

    Returns
    -------
    list of LeftOut or None
        For each member; None where the others do not determine the model.
    """
    return [_of_one(problem, whole, panel, index) for index in range(len(problem.members))]


def culprit(results: Sequence[LeftOut | None]) -> int | None:
    """Return which member is wrong.

    Parameters
    ----------
    results
        Of all members.

    Returns
    -------
    int or None
        Its index; None where none deviates from the others, or it cannot be told which one is wrong: chi squared of
        the others is about the same without another one.
    """
    known = {index: result for index, result in enumerate(results) if result is not None}
    order = sorted(known, key=lambda index: known[index].rest_chi2)
    if not order or not known[order[0]].deviates:
        return None
    if len(order) > 1 and known[order[1]].rest_chi2 - known[order[0]].rest_chi2 < _CLEARLY:
        return None
    return order[0]


def _of_one(problem: Problem, whole: Solution, panel: Panel, index: int) -> LeftOut | None:
    members = list(problem.members)
    member = members.pop(index)
    if not members:
        return None
    others = replace(problem, members=members, chain=whole.chain)
    try:
        bare = solve(others, 0.0)
        rest = solve(replace(others, chain=bare.chain))
    except FitError:
        return None
    values, _ = rest.chain.slopes(member.position)
    measured = member.values_at(rest.chain.wavelength_at(member.position))
    shift = ring_shift_px(values, measured, panel)[0]
    return LeftOut(_chi2(replace(others, members=[*members, member]), rest, member), shift, bare.chi2)


def _chi2(problem: Problem, rest: Solution, member: Member) -> float:
    """Compute the squared deviation of a member, the last of the problem, from what the others say."""
    values, slopes = rest.chain.slopes(member.position)
    difference = place_difference(problem, member, rest.chain, values)
    columns = np.array(place_slopes(values, problem.middle)) @ np.array([slopes[name] for name in problem.names]).T
    errors = place_covariance(problem, rest.chain, rest.scatter)
    shared = columns @ rest.gain @ errors[:-5, -5:]  # the member and what the others predict have errors in common
    covariance = columns @ rest.covariance @ columns.T + errors[-5:, -5:] - shared - shared.T
    return float(difference @ np.linalg.solve(covariance, difference))
