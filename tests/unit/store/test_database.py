"""One process at a time opens a store, and a transaction is stored whole or not at all."""

import sqlite3
from contextlib import suppress

import pytest

from ponikeeper.errors import BusyStoreError, DamagedStoreError, StoreError
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


def test_old_copy_that_was_put_over_the_file_accepts_no_commit(storage):
    commit(storage, PREFIX, 1)
    old = storage.path.read_bytes()
    commit(storage, PREFIX, 2)
    new = storage.path.read_bytes()
    storage.path.write_bytes(old)  # as cp does: the file is the same, its content is another
    for _ in range(2):
        with pytest.raises(StoreError, match="was changed by another program while it was served: put it back"):
            commit(storage, PREFIX, 3)
    assert storage.path.read_bytes() == old
    storage.path.write_bytes(new)
    commit(storage, PREFIX, 3)
    assert reopened(storage).count(PREFIX) == 3


def test_number_of_the_next_revision_is_the_one_that_is_expected(storage):
    commit(storage, PREFIX, 1)
    with pytest.raises(StoreError, match=r"the next revision of .* would be 2, not 6: the file is not the one"):
        storage.commit(PREFIX, draft(2), "2026-11-22T10:00:00.000000Z", "commit", "a", count=5)
    storage.commit(PREFIX, draft(2), "2026-11-22T10:00:00.000000Z", "commit", "a", count=1)
    assert storage.count(PREFIX) == 2


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


def test_writes_of_a_group_are_stored_together(storage):
    with storage.group():
        commit(storage, PREFIX, 1)
        commit(storage, OTHER, 1)
        commit(storage, PREFIX, 2)
    assert [reopened(storage).count(prefix) for prefix in (PREFIX, OTHER)] == [2, 1]


def test_write_of_a_group_that_fails_by_itself_leaves_the_others(storage):
    with storage.group():
        commit(storage, PREFIX, 1)
        with pytest.raises(StoreError, match="would be 2, not 8"):
            storage.commit(PREFIX, draft(2), "2026-11-22T10:00:00.000000Z", "commit", "a", count=7)
        commit(storage, OTHER, 1)
    assert [reopened(storage).count(prefix) for prefix in (PREFIX, OTHER)] == [1, 1]


def test_group_that_fails_leaves_nothing(storage):
    commit(storage, PREFIX, 1)
    before = storage.active(PREFIX)
    with suppress(RuntimeError), storage.group():
        commit(storage, PREFIX, 2)
        commit(storage, OTHER, 1)
        raise RuntimeError
    assert (reopened(storage).active(PREFIX), storage.count(OTHER)) == (before, 0)


def test_error_of_the_disk_within_a_group_fails_all_of_it(storage):
    """After some errors SQLite has rolled back the whole transaction; nothing after that may be stored on its own."""
    commit(storage, PREFIX, 1)
    group = storage.group()
    group.__enter__()
    commit(storage, PREFIX, 2)
    storage._file.connection().execute("ROLLBACK")  # what SQLite does
    for _ in range(2):
        with pytest.raises(StoreError, match="everything was rolled back"):
            commit(storage, OTHER, 1)
    with pytest.raises(StoreError, match="everything was rolled back"):
        group.__exit__(None, None, None)
    assert [reopened(storage).count(prefix) for prefix in (PREFIX, OTHER)] == [1, 0]
    commit(storage, PREFIX, 2)
    assert reopened(storage).count(PREFIX) == 2


def malformed() -> sqlite3.DatabaseError:
    """Make the error that SQLite raises for a damaged file, and also where a read fails with EIO."""
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def fails_in_a_read(storage: SQLiteStorage) -> None:
    with storage._file.translated_errors():
        raise malformed()


def fails_in_a_transaction(storage: SQLiteStorage) -> None:
    with storage._file.transaction():
        raise malformed()


def fails_in_a_group(storage: SQLiteStorage) -> None:
    with storage._file.group():
        commit(storage, PREFIX, 1)
        with suppress(StoreError):
            fails_in_a_transaction(storage)
        commit(storage, PREFIX, 2)


@pytest.mark.parametrize("fail", [fails_in_a_read, fails_in_a_transaction, fails_in_a_group])
def test_read_that_fails_once_is_no_damage(storage, fail):
    with pytest.raises(StoreError, match=r"could not be read .* and can be read now") as raised:
        fail(storage)
    assert not isinstance(raised.value, DamagedStoreError)
    assert storage.count(PREFIX) == 0
    commit(storage, PREFIX, 3)
    assert storage.count(PREFIX) == 1


@pytest.mark.parametrize("fail", [fails_in_a_read, fails_in_a_transaction, fails_in_a_group])
def test_file_that_is_malformed_is_damaged(storage, fail):
    commit(storage, PREFIX, 9)
    with storage.path.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(bytes(4096))
    with pytest.raises(DamagedStoreError, match="is damaged"):
        fail(storage)
