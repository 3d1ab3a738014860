"""Decide which label record a request adds, or why it is refused. Pure."""

from ponikeeper.errors import RefusedError
from ponikeeper.history import LabelRecord, Revision
from ponikeeper.history.labels import label_of
from ponikeeper.protocol import Label, label_problem
from ponikeeper.store import StoredState


def decide_label(request: Label, stored: StoredState, time: str, author: str) -> LabelRecord:
    """Check a request to label a revision, and return its record.

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
    LabelRecord
        Without its number. Whether the history has the revision is not checked.

    Raises
    ------
    RefusedError
        The label is not allowed, or no revision is active that it could mean.
    """
    problem = None if request.label is None else label_problem(request.label)
    number = stored.number if request.revision is None else request.revision
    if problem is None and not number:
        problem = "no revision is active yet, so there is none that could be labelled: commit a geometry first"
    if problem:
        raise RefusedError(problem)
    return LabelRecord(0, number, request.label, stored.count, time, author)


def is_labelled(record: LabelRecord, revision: Revision, stored: StoredState, meant: int | None) -> bool:
    """Return whether a label record would change nothing.

    Parameters
    ----------
    record
        The record.
    revision
        The revision that it labels, as it was committed.
    stored
        What the store has of the detector.
    meant
        Number of the revision that the label means now; None where it means none, or is removed.

    Returns
    -------
    bool
    """
    if label_of(revision, stored.labels) != record.label:
        return False
    return record.label is None or meant == record.revision
