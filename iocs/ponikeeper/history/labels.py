"""Which label a revision has now, and which revision a label means. Pure.

A revision is committed with a label or without one; label records, which are added later, replace it.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ponikeeper.history.records import LabelRecord
from ponikeeper.history.revision import Revision


def latest_labels(labels: Sequence[LabelRecord]) -> Mapping[int, LabelRecord]:
    """Return the latest label record of each revision that has one, by the number of the revision."""
    return {record.revision: record for record in labels}


def label_of(revision: Revision, labels: Sequence[LabelRecord]) -> str | None:
    """Return the label that a revision has now.

    Parameters
    ----------
    revision
        As it was committed.
    labels
        All label records of the detector, in their order.

    Returns
    -------
    str or None
        None where it has none.
    """
    record = latest_labels(labels).get(revision.number)
    return revision.label if record is None else record.label


def with_label(revision: Revision, labels: Sequence[LabelRecord]) -> Revision:
    """Return a revision with the label that it has now; its checksum is that of the label that it was committed with.

    Parameters
    ----------
    revision
        As it was committed.
    labels
        All label records of the detector, in their order.

    Returns
    -------
    Revision
        To be shown; it cannot be stored.
    """
    return replace(revision, label=label_of(revision, labels))


def labelled(label: str, committed: Iterable[int], labels: Sequence[LabelRecord]) -> Iterator[tuple[int, int]]:
    """Find the revisions that have a label now, beginning with the one that got it last.

    Parameters
    ----------
    label
        The label.
    committed
        Numbers of the revisions that were committed with this label, newest first; read as far as needed.
    labels
        All label records of the detector, in their order.

    Yields
    ------
    tuple of int and int
        Number of the newest revision when it got the label, and its own number.
    """
    latest = latest_labels(labels)
    later = sorted(
        ((record.newest, record.number, record.revision) for record in latest.values() if record.label == label),
        reverse=True,
    )
    own = ((number, 0, number) for number in committed if number not in latest)
    for newest, _, revision in heapq.merge(later, own, reverse=True):
        yield newest, revision
