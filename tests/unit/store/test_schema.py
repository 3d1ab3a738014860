"""A store of an older schema version is upgraded completely, or left unchanged."""

import sqlite3
from pathlib import Path

import pytest

from ponikeeper.errors import DamagedStoreError, StoreError
from ponikeeper.store import schema
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import NAME, PREFIXES, commit, contents, digest, small_store, store_of_0_1

STEP = "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL); INSERT INTO note VALUES (1, 'brought up')"


@pytest.fixture
def old(quick_path) -> Path:
    """Write a store of today's schema version."""
    return small_store(quick_path / "state" / NAME)


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA user_version").fetchone()[0]
    finally:
        connection.close()


def test_older_store_is_brought_up_with_all_its_rows(old, monkeypatch):
    before = contents(old)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, STEP))
    assert contents(old) == before
    assert version_of(old) == len(schema.MIGRATIONS)
    connection = sqlite3.connect(old)
    assert connection.execute("SELECT text FROM note").fetchall() == [("brought up",)]
    connection.close()
    storage = SQLiteStorage(old)
    commit(storage, PREFIXES[0], 50)
    storage.close()


def test_store_of_0_1_is_read_with_its_words_for_causes(quick_path):
    path = store_of_0_1(quick_path / "state" / NAME)
    storage = SQLiteStorage(path)
    stored = storage.stored_state("P:")
    assert stored.revision is not None
    assert (stored.revision.number, stored.revision.label, stored.count) == (2, "near", 3)
    assert [each.by for each in stored.corrections] == [2]
    assert [each.cause for each in storage.records("P:", "activation", 1, 9)] == [
        "commit",
        "here",
        "commit",
        "activate",
    ]
    storage.close()
    assert version_of(path) == len(schema.MIGRATIONS)


def test_new_store_passes_through_the_same_steps(quick_path, monkeypatch, old):
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, STEP))
    SQLiteStorage(quick_path / "new" / NAME).close()
    SQLiteStorage(old).close()
    schemas = []
    for path in (quick_path / "new" / NAME, old):
        connection = sqlite3.connect(path)
        schemas.append(schema.schema_of(connection))
        connection.close()
    assert schemas[0] == schemas[1] == schema.expected_schema(len(schema.MIGRATIONS))


def test_newer_store_is_refused_with_advice_and_left_unchanged(old, monkeypatch):
    newest = len(schema.MIGRATIONS)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, STEP))
    SQLiteStorage(old).close()
    monkeypatch.undo()
    before = digest(old)
    with pytest.raises(StoreError) as refused:
        SQLiteStorage(old)
    assert str(refused.value) == (
        f"{old} has schema version {newest + 1}, this ponikeeper reads up to {newest}: "
        "start the newer ponikeeper that wrote it, or restore the backup that was made before it"
    )
    assert not isinstance(refused.value, DamagedStoreError)
    assert digest(old) == before


@pytest.mark.parametrize(
    "step", ["CREATE TABLE note (x); CREATE TABLE note (x)", "INSERT INTO detector VALUES (1, 'x')"]
)
def test_failing_step_leaves_the_old_store_as_it_was(old, monkeypatch, step):
    before, bytes_before = contents(old), digest(old)
    newest = len(schema.MIGRATIONS)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, STEP.replace("note", "first"), step))
        with pytest.raises(StoreError, match=f"stays at schema version {newest}, its migration to {newest + 2} failed"):
            SQLiteStorage(old)
    assert digest(old) == bytes_before
    assert contents(old) == before


def test_schema_version_that_its_tables_do_not_have_is_damage(old):
    connection = sqlite3.connect(old)
    connection.execute("DROP INDEX revision_label")
    connection.commit()
    connection.close()
    with pytest.raises(DamagedStoreError, match=f"its tables are not those of schema version {len(schema.MIGRATIONS)}"):
        SQLiteStorage(old)


def test_empty_file_is_no_store_to_begin_with(tmp_path):
    (tmp_path / NAME).touch()
    with pytest.raises(DamagedStoreError, match="it is empty"):
        SQLiteStorage(tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == b""
