"""Decide which correction a request adds, or why it is refused; and refuse a commit that would undo one. Pure."""

from collections.abc import Sequence

from ponikeeper.errors import RefusedError
from ponikeeper.geometry.parameters import NAMES
from ponikeeper.history import Correction, Revision
from ponikeeper.history.corrections import correction_of, correction_problems, describe_correction
from ponikeeper.protocol import Commit, Retract, Supersede
from ponikeeper.store import Draft, StoredState


def decide_correction(request: Supersede | Retract, stored: StoredState, time: str, author: str) -> Correction:
    """Check a request to correct a revision, and return its record.

    Parameters
    ----------
    request
        The request.
    stored
        What the store has of the detector.
    time
        Of the record, UTC ISO-8601.
    author
        Of the record.

    Returns
    -------
    Correction
        Without its number.

    Raises
    ------
    RefusedError
        With every problem.
    """
    by, since, until = None, None, None
    if isinstance(request, Supersede):
        by, since, until = request.by, request.since, request.until
    correction = Correction(0, request.op, request.revision, by, since, until, request.reason, time, author)
    problems = correction_problems(stored.corrections, correction, stored.count, time)
    if problems:
        raise RefusedError(problems)
    return correction


def require_other_values(
    active: Revision | None, corrections: Sequence[Correction], commit: Commit, draft: Draft
) -> None:
    """Check that a commit does not store the values of a corrected revision again without giving them.

    Parameters
    ----------
    active
        The active revision, None if the detector is UNSET.
    corrections
        All corrections of the detector's revisions.
    commit
        The request; one that gives all values states that they are right.
    draft
        The revision that it leads to.

    Raises
    ------
    RefusedError
        It takes all values from the active revision, which was superseded or retracted.
    """
    if active is None or commit.edit or commit.geometry.keys() >= {*NAMES} or active.geometry != draft.geometry:
        return
    correction = correction_of(corrections, active.number)
    if correction is not None:
        raise RefusedError(
            f"revision {active.number} was {describe_correction(correction)}, and this commit has the same geometry: "
            "activate a revision that is right; if this one is, give all its values"
        )
