"""Which labels a screen offers as buttons. Pure.

A button of a screen can only put a constant, its number. So a label keeps its button as long as it is among those
offered, and a button whose label has just changed is refused: its label was another one when the person looked at it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ponikeeper.errors import RefusedError

COUNT = 6
"""Number of buttons."""

_GRACE = 10.0
"""Seconds for which a button is refused whose label was replaced by another one."""


@dataclass(frozen=True, slots=True)
class LabelButtons:
    """The labels of the buttons.

    Parameters
    ----------
    labels
        Label of each button; empty where the button is not used.
    replaced
        When the label of each button replaced another one (s, a monotonic clock).
    """

    labels: tuple[str, ...] = ("",) * COUNT
    replaced: tuple[float, ...] = (-math.inf,) * COUNT

    def updated(self, labels: Sequence[str], now: float) -> "LabelButtons":
        """Compute the buttons for the labels that exist now.

        Parameters
        ----------
        labels
            The labels, that of the newest revision first; as many as there are buttons are offered.
        now
            The present time (s, the same clock).

        Returns
        -------
        LabelButtons
            A label that had a button has the same one.
        """
        offered = list(labels[:COUNT])
        kept = [label if label in offered else "" for label in self.labels]
        added = iter([label for label in offered if label not in kept])
        filled = tuple(label or next(added, "") for label in kept)
        changes = zip(self.labels, filled, self.replaced, strict=True)
        return LabelButtons(filled, tuple(now if old and old != new else then for old, new, then in changes))

    def label(self, number: int, now: float) -> str:
        """Return the label of a button.

        Parameters
        ----------
        number
            Number of the button, from 1.
        now
            The present time (s, the same clock).

        Raises
        ------
        RefusedError
            There is no such button, it has no label, or its label has just changed.
        """
        label = self.labels[number - 1] if 1 <= number <= COUNT else ""
        if not label:
            used = [str(place) for place, label in enumerate(self.labels, 1) if label]
            expected = f"one of {', '.join(used)}" if used else "a label, which no revision has"
            raise RefusedError(f"label button {number} has no label: expected {expected}, or type a label in Activate")
        if now < self.replaced[number - 1] + _GRACE:
            raise RefusedError(f"label button {number} has just become {label}: click again if that is what you want")
        return label
