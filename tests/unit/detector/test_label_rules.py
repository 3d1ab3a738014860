"""Which label records are added, and which requests are refused."""

import pytest

from ponikeeper.detector.label_rules import decide_label, is_labelled
from ponikeeper.errors import RefusedError
from ponikeeper.history import Activation, LabelRecord, Revision
from ponikeeper.protocol import Label
from ponikeeper.store import StoredState
from stores import GEOMETRY, time_of

NEAR = Revision(2, "uid", time_of(2), "near", GEOMETRY, None, {}, "sha256:1")
LATER = LabelRecord(1, 2, "spare", 5, time_of(6), "a")


def stored(labels=()):
    return StoredState(NEAR, Activation(3, 2, time_of(3), "commit", "a"), 5, labels=tuple(labels))


def test_record_names_the_active_revision_unless_the_request_names_one():
    assert decide_label(Label("far"), stored(), time_of(9), "b") == LabelRecord(0, 2, "far", 5, time_of(9), "b")
    assert decide_label(Label(None, 4), stored(), time_of(9), "b") == LabelRecord(0, 4, None, 5, time_of(9), "b")


def test_label_that_is_not_allowed_and_no_revision_are_refused():
    with pytest.raises(RefusedError, match='label "7" is not allowed: expected a letter'):
        decide_label(Label("7"), StoredState(), time_of(9), "b")
    with pytest.raises(RefusedError, match="no revision is active yet, so there is none that could be labelled"):
        decide_label(Label("near"), StoredState(), time_of(9), "b")


@pytest.mark.parametrize(
    ("label", "labels", "meant", "same"),
    [
        ("near", [], 2, True),
        ("near", [], 4, False),  # a later revision has the label, too: this one gets it back
        ("near", [LATER], None, False),
        ("spare", [LATER], 2, True),
        ("far", [], None, False),
        (None, [], None, False),
        (None, [LabelRecord(1, 2, None, 5, time_of(6), "a")], None, True),
    ],
)
def test_record_changes_nothing_where_the_label_means_the_revision_already(label, labels, meant, same):
    record = decide_label(Label(label), stored(labels), time_of(9), "b")
    assert is_labelled(record, NEAR, stored(labels), meant) is same
