"""One process at a time opens a store, and a transaction is stored whole or not at all."""

from contextlib import suppress

import pytest

from ponikeeper.errors import BusyStoreError, StoreError
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import GEOMETRY, PREFIXES, commit, draft

PREFIX, OTHER = PREFIXES


def reopened(history: SQLiteStorage) -> SQLiteStorage:
    history.close()
    history.__init__(history.path)
    return history


def test_second_opening_of_one_directory_is_refused_until_the_first_is_closed(history):
    with pytest.raises(BusyStoreError, match="is served by another ponikeeper"):
        SQLiteStorage(history.path)
    history.close()
    SQLiteStorage(history.path).close()


def test_store_file_that_was_moved_away_accepts_no_commit_until_it_is_back(history):
    commit(history, PREFIX, 1)
    away = history.path.with_name("away")
    history.path.rename(away)
    with pytest.raises(StoreError, match=r"was moved, deleted or replaced while it was served: put it back"):
        commit(history, PREFIX, 2)
    away.rename(history.path)
    commit(history, PREFIX, 3)
    assert reopened(history).count(PREFIX) == 2


def test_failed_transaction_leaves_nothing(history):
    commit(history, PREFIX, 1)
    before = history.active(PREFIX)
    with suppress(RuntimeError), history._file.transaction() as connection:
        connection.execute("UPDATE revision SET uid = 'x'")
        raise RuntimeError("in the middle")
    assert history.active(PREFIX) == before
    assert reopened(history).active(PREFIX) == before


def test_probe_changes_nothing_of_the_history(history):
    commit(history, PREFIX, 1)
    before = history.active(PREFIX)
    history.probe()
    assert reopened(history).active(PREFIX) == before
    assert before[0].geometry == draft(1).geometry != GEOMETRY
