"""A damaged row is detected by its checksum, and a missing row by its number."""

import sqlite3

import pytest

from ponikeeper.errors import DamagedStoreError
from ponikeeper.store import verify
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import NAME, PREFIXES, digest, small_store

PREFIX, OTHER = PREFIXES


def verify_all(storage: SQLiteStorage) -> None:
    while storage.verify_next():
        continue


def test_checksum_covers_every_column(path):
    small_store(path)
    for table, columns in (
        ("revision", "uid created label geometry position provenance"),
        ("activation", "revision time cause author"),
        ("answer", "digest op revision serial time"),
        ("judgement", "kind revision by since reason time author"),
        ("standing", "follow rested time author"),
    ):
        for column in columns.split():
            sound = path.read_bytes()
            connection = sqlite3.connect(path)
            connection.execute(f"UPDATE {table} SET {column} = {column} || '1' WHERE rowid = 1")
            connection.commit()
            connection.close()
            changed = digest(path)
            with pytest.raises(DamagedStoreError, match=f"the checksum of {table}"):
                SQLiteStorage(path)
            assert digest(path) == changed
            path.write_bytes(sound)
    SQLiteStorage(path).close()


@pytest.mark.parametrize("table", ["revision", "activation", "answer", "judgement", "standing"])
@pytest.mark.parametrize("which", ["min", "max"])
def test_missing_row_is_noticed(path, table, which):
    small_store(path)
    connection = sqlite3.connect(path)
    connection.execute(f"DELETE FROM {table} WHERE rowid = (SELECT {which}(rowid) FROM {table} WHERE detector = 1)")
    connection.commit()
    connection.close()
    with pytest.raises(DamagedStoreError, match="is damaged"):
        SQLiteStorage(path)


def test_old_rows_are_verified_behind_the_start(path, monkeypatch):
    monkeypatch.setattr(verify, "RECENT", 2)
    monkeypatch.setattr(verify, "_SLICE", 2)
    small_store(path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE revision SET uid = 'x' WHERE rowid = 1")
    connection.commit()
    connection.close()
    storage = SQLiteStorage(path)
    try:
        assert storage.active(PREFIX) is not None  # the newest rows are sound
        with pytest.raises(DamagedStoreError, match=f"{NAME} is damaged .the checksum of revision 1 of"):
            verify_all(storage)
        with pytest.raises(DamagedStoreError, match="the checksum of revision 1"):
            storage.revision(PREFIX, 1)
    finally:
        storage.close()
