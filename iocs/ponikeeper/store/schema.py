"""The tables of the store, and their migration to a newer schema; the names of the files next to it."""

import sqlite3
from functools import cache
from pathlib import Path

APPLICATION_ID = 0x504F4E49  # "PONI"

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
    """
    CREATE TABLE service (
        detector INTEGER NOT NULL REFERENCES detector(id), number INTEGER NOT NULL, kind TEXT NOT NULL,
        link TEXT NOT NULL, reason TEXT NOT NULL, time TEXT NOT NULL, author TEXT NOT NULL, checksum TEXT NOT NULL,
        UNIQUE (detector, number));
    """,
    """
    CREATE TABLE undo (
        detector INTEGER NOT NULL REFERENCES detector(id), number INTEGER NOT NULL, serial INTEGER NOT NULL,
        undone INTEGER NOT NULL, revision INTEGER NOT NULL, checksum TEXT NOT NULL, UNIQUE (detector, number),
        UNIQUE (detector, undone));
    CREATE TABLE label (
        detector INTEGER NOT NULL REFERENCES detector(id), number INTEGER NOT NULL, revision INTEGER NOT NULL,
        label TEXT, newest INTEGER NOT NULL, time TEXT NOT NULL, author TEXT NOT NULL, checksum TEXT NOT NULL,
        UNIQUE (detector, number));
    """,
    """
    CREATE TABLE derived (
        detector INTEGER NOT NULL REFERENCES detector(id), number INTEGER NOT NULL, serial INTEGER NOT NULL,
        revision INTEGER NOT NULL, geometry TEXT NOT NULL, position TEXT NOT NULL, certainty TEXT NOT NULL,
        checksum TEXT NOT NULL, UNIQUE (detector, number), UNIQUE (detector, serial));
    """,
    """
    CREATE TABLE rename (
        detector INTEGER NOT NULL REFERENCES detector(id), number INTEGER NOT NULL, old TEXT NOT NULL,
        new TEXT NOT NULL, time TEXT NOT NULL, author TEXT NOT NULL, checksum TEXT NOT NULL, UNIQUE (detector, number));
    """,
)
"""The SQL that migrates a store from each schema version to the next; the length is the current version.

A step adds tables, indices or columns, and keeps the rowid of every row: they are numbered from 1 on
without a gap. It does not rename: how SQLite changes the SQL text of a renamed table depends on its
release, and those texts are compared with the ones that these steps produce.
"""


def apply_steps(connection: sqlite3.Connection, version: int, target: int | None = None) -> None:
    """Run, inside the open transaction, the migrations from `version` to `target` (None: the current version)."""
    target = len(MIGRATIONS) if target is None else target
    for script in MIGRATIONS[version:target]:
        for statement in filter(str.strip, script.split(";")):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {target}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def schema_of(connection: sqlite3.Connection) -> frozenset[tuple[str, ...]]:
    """Return the tables and indices with the SQL that created them."""
    return frozenset(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))


@cache
def expected_schema(version: int) -> frozenset[tuple[str, ...]]:
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
