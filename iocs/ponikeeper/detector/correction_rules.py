"""Decide which correction a request adds, or why it is refused. Pure."""

from ponikeeper.errors import RefusedError
from ponikeeper.history import Correction
from ponikeeper.history.corrections import correction_problems
from ponikeeper.protocol import Retract, Supersede
from ponikeeper.store import StoredState


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
