"""Revisions, activations, corrections and results are stored unchanged and in order."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from ponikeeper.errors import StoreError
from ponikeeper.history import Activation
from ponikeeper.history.records import FOLLOWED, KINDS
from ponikeeper.store import Answer, FollowCandidate, FollowState, StoredState
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import NAME, PREFIXES, commit, corrections, draft, time_of

PREFIX, OTHER = PREFIXES


def verify_all(storage: SQLiteStorage) -> None:
    while storage.verify_next():
        continue


def reopened(storage: SQLiteStorage) -> SQLiteStorage:
    storage.close()
    storage.__init__(storage.path)
    return storage


def test_commit_is_in_force_and_survives_closing(storage):
    written = storage.commit(PREFIX, draft(1, "near"), time_of(1), "commit", "alice@here")
    assert storage.active(PREFIX) == written
    assert reopened(storage).active(PREFIX) == written
    revision, activation = written
    assert activation == Activation(1, 1, time_of(1), "commit", "alice@here")
    assert (revision.number, revision.label, revision.position) == (1, "near", {"z": {"value": 1.0, "units": "mm"}})


def test_activation_brings_an_old_revision_back_under_its_own_number(storage):
    for number in range(3):
        commit(storage, PREFIX, number)
    activation = storage.activate(PREFIX, 1, time_of(9), "activate", "bob@there")
    found = reopened(storage).active(PREFIX)
    assert found == (storage.revision(PREFIX, 1), activation)
    assert (activation.serial, storage.count(PREFIX)) == (4, 3)


def test_corrections_are_stored_in_their_order(storage):
    commit(storage, PREFIX, 1)
    written = [storage.add(PREFIX, replace(correction, number=0)) for correction in corrections(4)]
    assert written == corrections(4)
    assert reopened(storage).corrections(PREFIX) == written
    assert storage.corrections(OTHER) == []
    assert storage.stored_state(PREFIX).corrections == tuple(written)


def test_last_follow_state_is_stored_with_its_activation(storage):
    first, second = (FollowState(follow, {"z": {"value": 1.5, "units": "mm"}}) for follow in (True, False))
    storage.commit(PREFIX, draft(1), time_of(1), "commit", "a", follow_state=first)
    assert reopened(storage).follow_state(PREFIX) == first
    storage.set_follow_state(PREFIX, second, time_of(2), "alice", Answer("off", "d", "follow", 1, 1, time_of(2)))
    commit(storage, PREFIX, 3)
    assert reopened(storage).stored_state(PREFIX).follow_state == second
    assert storage.answer(PREFIX, "off").op == "follow"
    assert storage.follow_state(OTHER) is None
    with closing(sqlite3.connect(storage.path)) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM standing").fetchone()
    assert rows == 1  # a motor that rests a thousand times a day fills no disk


def test_follow_candidates_are_activations_that_were_not_followed_newest_first(storage):
    for number in range(3):
        commit(storage, PREFIX, number)
    storage.activate(PREFIX, 1, time_of(4), FOLLOWED, "links")
    storage.activate(PREFIX, 2, time_of(5), "activate", "bob")
    storage.activate(PREFIX, 3, time_of(6), FOLLOWED, "links")
    position = draft(1).position
    candidates = [FollowCandidate(*numbers, position) for numbers in ((5, 2), (3, 3), (2, 2), (1, 1))]
    assert storage.follow_candidates(PREFIX, None, 10) == candidates
    assert storage.follow_candidates(PREFIX, 5, 2) == candidates[1:3]
    assert storage.follow_candidates(OTHER, None, 10) == []


def test_records_of_another_store_are_appended_unchanged(tmp_path, storage):
    commit(storage, PREFIX, 0)
    storage.add(PREFIX, corrections(1)[0])
    records = [record for kind in KINDS for record in storage.records(PREFIX, kind)]
    other = SQLiteStorage(tmp_path / "other" / NAME)
    try:
        other.append(PREFIX, records, time_of(9), "import")
        assert [record for kind in KINDS for record in reopened(other).records(PREFIX, kind)] == records
        assert other.active(PREFIX) == storage.active(PREFIX)
        verify_all(other)
        revision, activation = other.commit(PREFIX, draft(5), time_of(10), "commit", "alice")
        assert (revision.number, activation.serial) == (2, 2)
        assert other.answer(PREFIX, "request-0") is None
    finally:
        other.close()


def test_records_that_do_not_follow_on_leave_nothing(tmp_path, storage):
    for number in range(3):
        commit(storage, PREFIX, number)
    first, _, third = storage.revisions(PREFIX, 1, 3)
    other = SQLiteStorage(tmp_path / "other" / NAME)
    try:
        with pytest.raises(StoreError, match=r"revision 3 of .* does not continue the history: expected revision 2"):
            other.append(PREFIX, [first, third], time_of(9), "import")
        assert reopened(other).stored_state(PREFIX) == StoredState()
    finally:
        other.close()


def test_where_the_links_rested_before_is_forgotten_when_records_are_added(tmp_path, storage):
    commit(storage, PREFIX, 0)
    other = SQLiteStorage(tmp_path / "other" / NAME)
    try:
        other.append(
            PREFIX, [record for kind in KINDS for record in storage.records(PREFIX, kind)], time_of(1), "import"
        )
        other.set_follow_state(PREFIX, FollowState(False, {"z": {"value": 1.5, "units": "mm"}}), time_of(2), "links")
        commit(storage, PREFIX, 1)
        other.append(
            PREFIX, [*storage.revisions(PREFIX, 2, 2), *storage.records(PREFIX, "activation", 2)], time_of(3), "i"
        )
        assert reopened(other).follow_state(PREFIX) == FollowState(False, {})
    finally:
        other.close()


def test_request_id_gets_the_answer_that_was_stored_with_its_row(storage):
    commit(storage, PREFIX, 3)
    assert reopened(storage).answer(PREFIX, "request-3") == Answer("request-3", f"{3:064x}", "commit", 1, 1, time_of(3))
    assert storage.answer(OTHER, "request-3") is None
    kept = Answer("again", "d" * 64, "commit", 1, 1, time_of(4))
    storage.store_answer(PREFIX, kept)
    assert reopened(storage).answer(PREFIX, "again") == kept


def test_id_that_is_there_already_is_not_written_twice(storage):
    commit(storage, PREFIX, 3)
    with pytest.raises(StoreError):
        commit(storage, PREFIX, 3)
    assert (storage.count(PREFIX), storage.active(PREFIX)[1].serial) == (1, 1)
