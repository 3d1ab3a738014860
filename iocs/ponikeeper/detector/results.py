"""The results of requests. Pure."""

from collections.abc import Sequence

from ponikeeper.protocol import Label, Request, Result, Retract, Supersede, shortened
from ponikeeper.store import Answer, StoredState


def accepted(request: Request, stored: StoredState, time: str) -> Result:
    """Make the result of an accepted request.

    Parameters
    ----------
    request
        The request.
    stored
        What the store has of the detector afterwards.
    time
        Of the result, UTC ISO-8601.

    Returns
    -------
    Result
        It names the revision that was corrected or labelled, else the active one.
    """
    named = request.revision if isinstance(request, Supersede | Retract | Label) else None
    return Result(request.request, request.op, "accepted", named or stored.number, stored.serial, (), time)


def repeated(request: Request, answer: Answer) -> Result:
    """Make the result of a request that was executed before: the same as then."""
    return Result(request.request, request.op, "accepted", answer.revision, answer.serial, (), answer.time)


def refused(request: str | None, op: str, problems: Sequence[str], time: str) -> Result:
    """Make the result of a request that was refused.

    Parameters
    ----------
    request
        Its id; None where it has none.
    op
        What was requested, such as ``commit``.
    problems
        Every reason; long ones are cut.
    time
        Of the result, UTC ISO-8601.

    Returns
    -------
    Result
    """
    return Result(request, op, "refused", None, None, shortened(problems), time)


def undetermined(request: Request, why: str, time: str) -> Result:
    """Make the result of a request of which is not known yet whether it is stored."""
    return Result(request.request, request.op, "undetermined", None, None, (why,), time)
