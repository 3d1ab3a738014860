"""In which range of its links a model holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

MARGIN = 0.1
"""How far beyond the calibrated range a model holds, in spans of it."""

EXTENDED = 0.5
"""The same, where the configuration allows to extrapolate."""


_ROUNDING = 1e-9
"""Of a limit, relative to the range."""


class Reach(Enum):
    """Where a position is, relative to the range of a model."""

    INSIDE = "inside"
    MARGIN = "within 0.1 span of the calibrated range"
    EXTENDED = "within 0.5 span of the calibrated range"
    OUTSIDE = "outside"


@dataclass(frozen=True, slots=True)
class Span:
    """The range of one link.

    Parameters
    ----------
    low, high
        Smallest and largest value, in the units of the joint.
    declared
        Whether it was declared, and not calibrated: then it ends exactly there.
    """

    low: float
    high: float
    declared: bool = False

    def reach(self, value: float) -> Reach:
        """Return where a value is.

        Parameters
        ----------
        value
            In the units of the span.

        Returns
        -------
        Reach
        """
        slack = 0.0 if self.declared else _ROUNDING * (self.high - self.low)  # the limits themselves are in
        for reach in (Reach.INSIDE, Reach.MARGIN, Reach.EXTENDED):
            low, high = self.limits(reach)
            if low - slack <= value <= high + slack:
                return reach
        return Reach.OUTSIDE

    def limits(self, farthest: Reach) -> tuple[float, float]:
        """Return the smallest and largest value that is no farther outside than allowed.

        Parameters
        ----------
        farthest
            How far outside is allowed; no farther than `Reach.EXTENDED`.

        Returns
        -------
        tuple of float
            In the units of the span.
        """
        margin = 0.0 if self.declared else _MARGINS[farthest] * (self.high - self.low)
        return self.low - margin, self.high + margin


_MARGINS = {Reach.INSIDE: 0.0, Reach.MARGIN: MARGIN, Reach.EXTENDED: EXTENDED}


def reach_of(spans: Mapping[str, Span], position: Mapping[str, float]) -> Reach:
    """Return where a position is, by the link that is farthest outside.

    Parameters
    ----------
    spans
        By the names of the links.
    position
        The value of each of these links.

    Returns
    -------
    Reach
    """
    order = list(Reach)
    return max((span.reach(position[link]) for link, span in spans.items()), key=order.index, default=Reach.INSIDE)
