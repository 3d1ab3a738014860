"""The SQLite file: how it is locked, created, opened, and migrated to a newer schema."""

import fcntl
import os
import sqlite3
from pathlib import Path

from ponikeeper.errors import BusyStoreError, DamagedStoreError, StoreError

APPLICATION_ID = 0x504F4E49  # "PONI"
_BUSY_TIMEOUT = 5.0

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE detector (id INTEGER PRIMARY KEY, prefix TEXT NOT NULL UNIQUE);
    CREATE TABLE revision (
        detector INTEGER NOT NULL REFERENCES detector(id), number INTEGER NOT NULL, uid TEXT NOT NULL,
        created TEXT NOT NULL, label TEXT, geometry TEXT NOT NULL, position TEXT NOT NULL,
        provenance TEXT NOT NULL, checksum TEXT NOT NULL, UNIQUE (detector, number));
    CREATE INDEX revision_label ON revision (detector, label, number);
    CREATE TABLE activation (
        detector INTEGER NOT NULL REFERENCES detector(id), serial INTEGER NOT NULL, revision INTEGER NOT NULL,
        time TEXT NOT NULL, cause TEXT NOT NULL, author TEXT NOT NULL, checksum TEXT NOT NULL,
        UNIQUE (detector, serial));
    CREATE TABLE judgement (
        detector INTEGER NOT NULL REFERENCES detector(id), number INTEGER NOT NULL, kind TEXT NOT NULL,
        revision INTEGER NOT NULL, by INTEGER, since TEXT, until TEXT, reason TEXT NOT NULL, time TEXT NOT NULL,
        author TEXT NOT NULL, checksum TEXT NOT NULL, UNIQUE (detector, number));
    CREATE TABLE answer (
        detector INTEGER NOT NULL REFERENCES detector(id), request TEXT NOT NULL, digest TEXT NOT NULL,
        op TEXT NOT NULL, revision INTEGER NOT NULL, serial INTEGER NOT NULL, time TEXT NOT NULL,
        checksum TEXT NOT NULL, UNIQUE (detector, request));
    CREATE TABLE probe (id INTEGER PRIMARY KEY CHECK (id = 1), written INTEGER NOT NULL);
    INSERT INTO probe VALUES (1, 0);
    """,
    """
    CREATE TABLE standing (
        detector INTEGER NOT NULL REFERENCES detector(id), follow INTEGER NOT NULL, rested TEXT NOT NULL,
        time TEXT NOT NULL, author TEXT NOT NULL, checksum TEXT NOT NULL, UNIQUE (detector));
    """,
)
"""The SQL that migrates a store from each schema version to the next; the length is the current version.

A step adds tables, indices or columns, and keeps the rowid of every row: they are numbered from 1 on
without a gap. It does not rename: how SQLite changes the SQL text of a renamed table depends on its
release, and those texts are compared with the ones that these steps produce.
"""


def lock_directory(directory: Path) -> int:
    """Lock a directory against a second server; the kernel releases the lock when the process ends.

    Parameters
    ----------
    directory
        Created if it does not exist.

    Returns
    -------
    int
        The file descriptor that holds the lock.

    Raises
    ------
    BusyStoreError
        Another process has it.
    StoreError
        It cannot be created or opened.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StoreError(
            f"{directory} cannot be used as state_dir: {error.strerror}; expected a directory that this user may write"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise BusyStoreError(
            f"{directory} is served by another ponikeeper: stop it, or give each its own state_dir"
        ) from error
    return lock


def create(path: Path) -> None:
    """Create an empty store under another name and rename it, so that it is never seen half made.

    Parameters
    ----------
    path
        The file; it must not exist.

    Raises
    ------
    DamagedStoreError
        A journal without its store shows that there was one; SQLite would apply it to the new store.
    StoreError
        It cannot be created.
    """
    journals = [name for name in (journal_of(path), wal_of(path)) if os.path.lexists(name)]
    if journals:
        raise DamagedStoreError(
            f"{path} is gone, but its journal {journals[0].name} is still there: "
            "bring the store back, or move the journal away to start with an empty history"
        )
    unfinished = path.with_name(path.name + ".new")
    try:
        for leftover in (unfinished, journal_of(unfinished)):
            leftover.unlink(missing_ok=True)
        connection = connect(unfinished)
        try:
            connection.execute("BEGIN IMMEDIATE")
            apply_steps(connection, 0)
            connection.execute("COMMIT")
        finally:
            connection.close()
        unfinished.rename(path)
        _sync_directory(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path} cannot be created: {error}; expected a directory that accepts writes") from error


def connect(path: Path) -> sqlite3.Connection:
    """Open a file with the settings of the store.

    The journal mode is ``DELETE`` with ``synchronous=EXTRA``: of the modes that were tested with power cuts
    and failing fsyncs it is the one that neither lost an acknowledged commit nor brought back a refused one.

    Parameters
    ----------
    path
        The file; created if it does not exist.

    Returns
    -------
    sqlite3.Connection
    """
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    try:
        # text that is not UTF-8 is damage, which the checksum must detect: no two byte strings decode to the same text
        connection.text_factory = _text
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA synchronous=EXTRA")
        connection.execute("PRAGMA cell_size_check=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def apply_steps(connection: sqlite3.Connection, version: int, target: int | None = None) -> None:
    """Run, inside the open transaction, the migrations from `version` to `target` (None: the current version)."""
    target = len(MIGRATIONS) if target is None else target
    for script in MIGRATIONS[version:target]:
        for statement in filter(str.strip, script.split(";")):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {target}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def schema_of(connection: sqlite3.Connection) -> set[tuple[str, ...]]:
    """Return the tables and indices with the SQL that created them."""
    return set(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))


def expected_schema(version: int) -> set[tuple[str, ...]]:
    """Return what `schema_of` returns for an undamaged store of a schema version."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        apply_steps(connection, 0, version)
        return schema_of(connection)
    finally:
        connection.close()


def journal_of(path: Path) -> Path:
    """Return the path of a store's rollback journal."""
    return path.with_name(path.name + "-journal")


def wal_of(path: Path) -> Path:
    """Return the path of the write-ahead log that a program leaves if it opened the store in WAL mode."""
    return path.with_name(path.name + "-wal")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
