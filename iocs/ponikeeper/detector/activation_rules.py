"""Refuse the activation of a revision that does not exist, or that was found wrong. Pure."""

from collections.abc import Sequence

from ponikeeper.errors import RefusedError
from ponikeeper.history import Correction, Revision
from ponikeeper.history.corrections import correction_of, describe_correction
from ponikeeper.protocol import Activate
from ponikeeper.protocol.models import corrected_members, model_of

MAX_NAMED = 20
"""Labels that a message names at the most."""


def no_revision(name: int | str, count: int, labels: Sequence[str], wrong: int | None) -> str:
    """Format why no revision can be found by its number or label.

    Parameters
    ----------
    name
        The number or the label.
    count
        Number of revisions in the history.
    labels
        The labels of the history, the newest first; at most `MAX_NAMED` of them are named.
    wrong
        The last revision with this label, if each of them was corrected or undone; else None.

    Returns
    -------
    str
        For the message of a refusal.
    """
    if wrong is not None:
        return (
            f"every revision labelled {name} was superseded, retracted or undone, the last one is {wrong}: "
            "to activate it, give its number"
        )
    known = f"revisions 1 to {count}" if count else "no revisions"
    if isinstance(name, str):
        named = [*sorted(labels[:MAX_NAMED]), *(["and others"] if len(labels) > MAX_NAMED else [])]
        known = f"labels {', '.join(named)}" if labels else f"no labels, and {known}"
    return f"there is no revision {name}: the history has {known}"


def require_right(request: Activate, revision: Revision, corrections: Sequence[Correction]) -> None:
    """Check that a revision may be activated.

    Parameters
    ----------
    request
        The request, which can force it.
    revision
        The revision that it means.
    corrections
        All corrections of the detector's revisions.

    Raises
    ------
    RefusedError
        The revision was corrected, or one to which its model was fitted.
    """
    if request.force:
        return
    model, own = model_of(revision), correction_of(corrections, revision.number)
    wrong = {} if own is None else {revision.number: own}
    if model is not None:
        wrong |= corrected_members(model, corrections)
    if not wrong:
        return
    number, correction = next(iter(wrong.items()))
    whose = "" if number == revision.number else f", to which the model of revision {revision.number} was fitted,"
    raise RefusedError(
        f"revision {number}{whose} was {describe_correction(correction)}; activate one that is right, "
        'or this one anyway with "force": true (ponikeeper activate --force)'
    )
