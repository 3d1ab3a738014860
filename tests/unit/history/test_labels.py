"""The label that a revision has now, and the revision that a label means."""

from dataclasses import replace

from ponikeeper.history import LabelRecord, Revision
from ponikeeper.history.labels import label_of, labelled, with_label
from stores import GEOMETRY, time_of


def revision(number, label):
    return Revision(number, "uid", time_of(number), label, GEOMETRY, None, {}, "sha256:1")


def record(number, revision, label, newest):
    return LabelRecord(number, revision, label, newest, time_of(number), "bob")


def test_latest_label_of_a_revision_is_the_one_that_it_has():
    one = revision(1, "near")
    assert label_of(one, []) == "near"
    later = [record(1, 1, "far", 3), record(2, 2, "middle", 3)]
    assert label_of(one, later) == "far"
    assert with_label(one, later) == replace(one, label="far")
    assert label_of(one, [*later, record(3, 1, None, 3)]) is None
    assert label_of(revision(4, None), later) is None


def test_label_means_the_revision_that_got_it_last_whatever_its_number():
    assert list(labelled("near", [5, 2], [])) == [(5, 5), (2, 2)]
    later = [record(1, 3, "near", 4)]  # before revision 5 was committed with this label
    assert list(labelled("near", [5, 2], later)) == [(5, 5), (4, 3), (2, 2)]
    later = [*later, record(2, 1, "near", 5), record(3, 5, "far", 6)]
    assert list(labelled("near", [5, 2], later)) == [(5, 1), (4, 3), (2, 2)]
    assert list(labelled("far", [], later)) == [(6, 5)]


def test_no_more_revisions_are_read_than_needed():
    def committed():
        yield 9
        raise AssertionError("the next one was read too")

    assert next(labelled("near", committed(), [])) == (9, 9)
