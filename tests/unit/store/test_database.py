"""One process at a time opens a store, and a transaction is stored whole or not at all."""

from contextlib import suppress

import pytest

from ponikeeper.errors import BusyStoreError, StoreError
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import GEOMETRY, PREFIXES, commit, draft

PREFIX, OTHER = PREFIXES


def reopened(storage: SQLiteStorage) -> SQLiteStorage:
    storage.close()
    storage.__init__(storage.path)
    return storage


def test_second_opening_of_one_directory_is_refused_until_the_first_is_closed(storage):
    with pytest.raises(BusyStoreError, match="is served by another ponikeeper"):
        SQLiteStorage(storage.path)
    storage.close()
    SQLiteStorage(storage.path).close()


def test_store_file_that_was_moved_away_accepts_no_commit_until_it_is_back(storage):
    commit(storage, PREFIX, 1)
    away = storage.path.with_name("away")
    storage.path.rename(away)
    with pytest.raises(StoreError, match=r"was moved, deleted or replaced while it was served: put it back"):
        commit(storage, PREFIX, 2)
    away.rename(storage.path)
    commit(storage, PREFIX, 3)
    assert reopened(storage).count(PREFIX) == 2


def test_failed_transaction_leaves_nothing(storage):
    commit(storage, PREFIX, 1)
    before = storage.active(PREFIX)
    with suppress(RuntimeError), storage._file.transaction() as connection:
        connection.execute("UPDATE revision SET uid = 'x'")
        raise RuntimeError("in the middle")
    assert storage.active(PREFIX) == before
    assert reopened(storage).active(PREFIX) == before


def test_probe_changes_nothing_of_the_history(storage):
    commit(storage, PREFIX, 1)
    before = storage.active(PREFIX)
    storage.probe()
    assert reopened(storage).active(PREFIX) == before
    assert before[0].geometry == draft(1).geometry != GEOMETRY
