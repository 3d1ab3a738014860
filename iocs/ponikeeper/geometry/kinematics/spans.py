"""In which range of its links a model holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

MARGIN = 0.1
"""How far beyond the calibrated range a model holds, in spans of it."""

EXTENDED = 0.5
"""The same, where the configuration allows to extrapolate."""


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

    def beyond(self, value: float) -> float:
        """Compute how far a value is outside.

        Parameters
        ----------
        value
            In the units of the span.

        Returns
        -------
        float
            In spans; 0 inside, infinite outside a span of no length.
        """
        outside = max(self.low - value, value - self.high, 0.0)
        if outside == 0.0:
            return 0.0
        return outside / (self.high - self.low) if self.high > self.low else float("inf")

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
        beyond = self.beyond(value)
        if beyond == 0.0:
            return Reach.INSIDE
        if self.declared or not beyond <= EXTENDED:
            return Reach.OUTSIDE
        return Reach.MARGIN if beyond <= MARGIN else Reach.EXTENDED

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
