"""A damaged row is detected by its checksum, and a missing row by its number."""

import sqlite3

import pytest

from ponikeeper.errors import DamagedStoreError
from ponikeeper.store import verify
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import NAME, PREFIXES, commit, digest, small_store

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
        ("service", "kind link reason time author"),
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


@pytest.mark.parametrize("table", ["revision", "activation", "answer", "judgement", "service", "standing"])
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


def test_byte_that_changes_on_the_disk_is_found_by_the_next_pass_though_sqlite_has_the_page_in_memory(path):
    sound = small_store(path).read_bytes()
    for text in (b'"dist"', b"number 1", b"alice@here", b"request-1", b"wavelength typed wrong", b"CREATE TABLE probe"):
        storage = SQLiteStorage(path)
        try:
            verify_all(storage)
            before = storage.stored_state(PREFIX)
            assert storage.stored_state(PREFIX) == before
            with path.open("r+b") as file:
                file.seek(sound.index(text))
                file.write(bytes([text[0] ^ 1]))
            with pytest.raises(DamagedStoreError, match=f"{NAME} is damaged"):
                verify_all(storage)
        finally:
            storage.close()
        path.write_bytes(sound)


def test_verification_begins_again_and_reads_what_was_written_meanwhile(path, monkeypatch):
    monkeypatch.setattr(verify, "_SLICE", 2)
    small_store(path)
    storage = SQLiteStorage(path)
    try:
        first = sum(1 for _ in iter(storage.verify_next, False))
        for number in range(10, 14):
            commit(storage, PREFIX, number)
        second = sum(1 for _ in iter(storage.verify_next, False))
        assert second == first + 3 * 2  # four rows each of revision, activation and answer
    finally:
        storage.close()
