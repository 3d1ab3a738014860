"""Which revisions were undone: those that no activation names any more which someone asked for and that stands."""

from ponikeeper.history import Activation, UndoRecord
from ponikeeper.history.undos import undo_lines, undone_revisions, undone_serials
from stores import time_of


def history(*steps):
    return [Activation(serial, number, time_of(serial), cause, "a") for serial, (cause, number) in enumerate(steps, 1)]


def test_revision_whose_only_activation_was_undone_is_undone():
    steps = history(("commit", 1), ("commit", 2), ("undo", 1))
    undos = [UndoRecord(1, 3, 2, 2)]
    assert undone_serials(undos) == {2}
    assert undone_revisions(steps, undos) == {2}
    assert undone_revisions(steps, []) == frozenset()


def test_old_revision_that_was_activated_by_mistake_is_not_undone():
    steps = history(("commit", 1), ("commit", 2), ("activate", 1), ("undo", 2))
    assert undone_revisions(steps, [UndoRecord(1, 4, 3, 1)]) == frozenset()


def test_revision_that_is_activated_by_name_counts_again_until_that_is_undone_too():
    steps = history(("commit", 1), ("commit", 2), ("undo", 1), ("activate", 2), ("undo", 1))
    undos = [UndoRecord(1, 3, 2, 2), UndoRecord(2, 5, 4, 2)]
    assert undone_revisions(steps[:4], undos[:1]) == frozenset()
    assert undone_revisions(steps, undos) == {2}


def test_following_and_undoing_are_no_reason_to_keep_a_revision():
    steps = history(("commit", 1), ("commit", 2), ("follow", 1), ("follow", 2), ("undo", 2), ("undo", 1))
    assert undone_revisions(steps, [UndoRecord(1, 6, 2, 2)]) == {2}


def test_undone_activations_are_listed_with_who_and_when():
    steps = history(("commit", 1), ("commit", 2), ("undo", 1), ("activate", 2), ("undo", 1))
    undos = [UndoRecord(1, 3, 2, 2), UndoRecord(2, 5, 4, 2)]
    first = f"its activation 2 (a, {time_of(2)}) was undone by 3 (a, {time_of(3)})"
    assert undo_lines(2, steps[:4], undos[:1]) == [first]
    second = f"its activation 4 (a, {time_of(4)}) was undone by 5 (a, {time_of(5)})"
    assert undo_lines(2, steps, undos) == [first, second]
    assert undo_lines(1, steps, undos) == []
