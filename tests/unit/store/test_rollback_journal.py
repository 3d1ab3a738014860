"""A transaction that a crash interrupted is undone completely at the next opening, or the store is refused."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from live import wait_for
from ponikeeper.errors import DamagedStoreError, StoreError
from ponikeeper.store import schema
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import NAME, contents, digest, small_store

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


SLOW_STEP = """
    UPDATE answer SET time = time || 'x';
    UPDATE revision SET uid = uid || 'x';
    CREATE TABLE endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n
"""


CHILD = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from ponikeeper.store import schema
    from ponikeeper.store.sqlite_storage import SQLiteStorage
    schema.MIGRATIONS = (*schema.MIGRATIONS, sys.argv[2])
    SQLiteStorage(Path(sys.argv[1]))
    """
)


def killed_in_migration(path: Path) -> None:
    """Start a migration in another process and kill it when part of it lies in the store already."""
    small = path.stat().st_size
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path), SLOW_STEP])
    try:
        wait_for(lambda: child.poll() is not None or path.stat().st_size > 20 * small, what="the migration")
        assert child.poll() is None
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()


def test_sigkill_in_the_middle_of_a_migration_loses_nothing(old, monkeypatch):
    before, newest = contents(old), len(schema.MIGRATIONS)
    killed_in_migration(old)
    journal = schema.journal_of(old)
    assert journal.stat().st_size > 0  # what is half done is to be undone
    shutil.copytree(old.parent, old.parent.with_name("again"))
    assert contents(old) == before
    assert version_of(old) == newest
    assert not journal.exists()
    again = old.parent.with_name("again") / NAME
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, STEP))
    assert contents(again) == before
    assert version_of(again) == newest + 1


@pytest.fixture(scope="module")
def half_done(tmp_path_factory) -> Path:
    """Build a store with the journal of a transaction that a SIGKILL interrupted."""
    path = small_store(tmp_path_factory.mktemp("half") / "state" / NAME)
    killed_in_migration(path)
    return path.parent


@pytest.fixture
def left(half_done, quick_path) -> Path:
    """Copy the store, so that one test can damage it."""
    return Path(shutil.copytree(half_done, quick_path / "left")) / NAME


def test_damaged_header_of_a_journal_is_refused_and_both_files_kept(left):
    journal = schema.journal_of(left)
    sound = journal.read_bytes()
    refused = 0
    for position in range(28):
        for pattern in (0x01, 0x80, sound[position] or 0xFF):
            damaged = bytearray(sound)
            damaged[position] ^= pattern
            journal.write_bytes(damaged)
            before = digest(left), digest(journal)
            with pytest.raises(DamagedStoreError, match=r"-journal is damaged .* both files were left unchanged"):
                SQLiteStorage(left)
            assert (digest(left), digest(journal)) == before
            refused += 1
    assert refused == 84


def test_truncated_journal_is_refused_and_both_files_kept(left):
    journal = schema.journal_of(left)
    sound = journal.read_bytes()
    for length in (*range(1, 28), 511, 512, 513, 4096, 5000, 512 + 4104 * 2, 512 + 4104 * 2 + 4100):
        assert length < len(sound)
        journal.write_bytes(sound[:length])
        before = digest(left), digest(journal)
        with pytest.raises(DamagedStoreError, match="-journal is damaged"):
            SQLiteStorage(left)
        assert (digest(left), digest(journal)) == before


def verdict_on(path: Path, truth: dict[str, object]) -> str:
    try:
        return "sound" if contents(path) == truth else "falsified"
    except StoreError as error:
        return "refused" if NAME in str(error) else str(error)


def test_flipped_byte_in_a_journal_falsifies_nothing(half_done, left):
    journal = schema.journal_of(left)
    sound, store = journal.read_bytes(), left.read_bytes()
    truth = contents(left)
    verdicts = set()
    for position in range(28, len(sound), 101):
        damaged = bytearray(sound)
        damaged[position] ^= 0x55
        left.write_bytes(store)
        journal.write_bytes(damaged)
        verdicts.add(verdict_on(left, truth))
    assert verdicts == {"sound", "refused"}


@pytest.mark.parametrize("content", [b"garbage", os.urandom(10_000), b"\0" * 3 + os.urandom(9000)])
def test_garbage_in_place_of_a_journal_is_refused_and_kept(old, content):
    schema.journal_of(old).write_bytes(content)
    before = digest(old)
    with pytest.raises(DamagedStoreError, match=r"-journal is damaged .there is no header at byte 0"):
        SQLiteStorage(old)
    assert digest(old) == before
    assert schema.journal_of(old).read_bytes() == content


@pytest.mark.parametrize("content", [b"", bytes(512), bytes(12) + os.urandom(20) + bytes(480) + os.urandom(4104)])
def test_journal_that_was_never_synced_undoes_nothing(old, content):
    before = contents(old)
    schema.journal_of(old).write_bytes(content)
    assert contents(old) == before


@pytest.mark.parametrize("suffix", ["-journal", "-wal"])
def test_missing_store_with_a_journal_is_not_replaced_by_an_empty_one(left, suffix):
    left.unlink()
    schema.journal_of(left).rename(left.with_name(NAME + suffix))
    for _ in range(2):
        with pytest.raises(DamagedStoreError, match=f"is gone, but its journal {NAME}{suffix} is still there"):
            SQLiteStorage(left)
    assert not left.exists()


def test_log_of_another_program_is_not_played_into_the_store(old):
    schema.wal_of(old).write_bytes(os.urandom(5000))
    before = digest(old)
    with pytest.raises(DamagedStoreError, match="was left by another program"):
        SQLiteStorage(old)
    assert digest(old) == before
