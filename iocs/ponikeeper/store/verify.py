"""Check that a store is what was written: SQLite's structures, and each row by its checksum.

SQLite's own check detects neither a wrong entry of an index nor a row that an index has lost; so tables
and indices are counted, and each row is looked up in every index.
"""

import sqlite3
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from ponikeeper.history.records import KINDS
from ponikeeper.store import schema
from ponikeeper.store.rows import CHECKED, verify_row

MAGIC = b"SQLite format 3\0"
"""The first bytes of an SQLite file."""

RECENT = 4000
"""Newest rows of each table that are verified before the IOC serves."""

_SLICE = 500
_INDICES = {
    "revision": {"sqlite_autoindex_revision_1": "number", "revision_label": "label"},
    "activation": {"sqlite_autoindex_activation_1": "serial"},
    "judgement": {"sqlite_autoindex_judgement_1": "number"},
    "service": {"sqlite_autoindex_service_1": "number"},
    "undo": {"sqlite_autoindex_undo_1": "number", "sqlite_autoindex_undo_2": "undone"},
    "label": {"sqlite_autoindex_label_1": "number"},
    "derived": {"sqlite_autoindex_derived_1": "number", "sqlite_autoindex_derived_2": "serial"},
    "rename": {"sqlite_autoindex_rename_1": "number"},
    "answer": {"sqlite_autoindex_answer_1": "request"},
    "standing": {"sqlite_autoindex_standing_1": "detector"},
}
"""The indices of each table, with the column that identifies a row within a detector."""

_NUMBERED = tuple(KINDS)


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows of one table that are to be verified.

    Parameters
    ----------
    table
        Name of the table.
    first, last
        The rowids, both inclusive.
    depth
        Number of newer rows.
    """

    table: str
    first: int
    last: int
    depth: int


def check_structure(connection: sqlite3.Connection) -> int:
    """Check that the file has the structure of its schema version.

    A version that is newer than this program's is not checked.

    Parameters
    ----------
    connection
        The open file.

    Returns
    -------
    int
        The schema version.

    Raises
    ------
    sqlite3.DatabaseError
        The file is no store, or is damaged.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != schema.APPLICATION_ID:
        raise sqlite3.DatabaseError("it is not a ponikeeper store")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(schema.MIGRATIONS):
        return version
    if version < 1:
        raise sqlite3.DatabaseError(f"schema version {version} does not exist")
    # quick_check does not compare indices with tables: that takes longer the longer the history, and is done in slices
    _expect_ok(connection, "PRAGMA quick_check(1)")
    check_schema(connection, version)
    return version


def check_schema(connection: sqlite3.Connection, version: int) -> None:
    """Check the tables of a schema version, without their rows; the time does not grow with the history.

    Parameters
    ----------
    connection
        The open file.
    version
        The schema version.

    Raises
    ------
    sqlite3.DatabaseError
        The file is damaged.
    """
    _expect_ok(connection, "PRAGMA integrity_check(detector)")
    _expect(
        schema.schema_of(connection) == schema.expected_schema(version),
        f"its tables are not those of schema version {version}",
    )


def check_indices(connection: sqlite3.Connection) -> None:
    """Check that every index has exactly the entries of its table; the time grows with the history.

    Parameters
    ----------
    connection
        The open file.

    Raises
    ------
    sqlite3.DatabaseError
        The file is damaged.
    """
    _expect_ok(connection, "PRAGMA integrity_check(1)")


def check_complete(connection: sqlite3.Connection) -> None:
    """Check that no row is missing.

    Parameters
    ----------
    connection
        The open file.

    Raises
    ------
    sqlite3.DatabaseError
        A row is missing.
    """
    for table in CHECKED:
        last = _last_row(connection, table)
        (count,) = connection.execute(f"SELECT count(*) FROM {table} NOT INDEXED").fetchone()
        _expect(count == last, f"{last - count} of {last} rows of {table} are missing")
        for index in _INDICES[table]:
            # count(*) without a condition would use the smallest index, whichever is named
            sql = f"SELECT count(*) FROM {table} INDEXED BY {index} WHERE detector >= -9223372036854775808"
            (indexed,) = connection.execute(sql).fetchone()
            _expect(indexed == count, f"the index {index} has {indexed} entries for {count} rows")
    for table in _NUMBERED:
        _check_numbers(connection, table)


def slices(connection: sqlite3.Connection) -> deque[Slice]:
    """Divide the tables into slices.

    Parameters
    ----------
    connection
        The open file.

    Returns
    -------
    deque of Slice
        The newest first.
    """
    parts: list[Slice] = []
    for table in CHECKED:
        last = _last_row(connection, table)
        parts += [Slice(table, max(1, top - _SLICE + 1), top, last - top) for top in range(last, 0, -_SLICE)]
    return deque(sorted(parts, key=lambda item: item.depth))


def verify_slice(connection: sqlite3.Connection, rows: Slice, prefixes: Mapping[int, str]) -> None:
    """Verify the checksums of some rows, and that every index leads to each of them.

    Parameters
    ----------
    connection
        The open file.
    rows
        The rows.
    prefixes
        The prefix of each detector by its key.

    Raises
    ------
    sqlite3.DatabaseError
        A row is damaged or was changed.
    """
    sql = f"SELECT detector, {CHECKED[rows.table]}, checksum FROM {rows.table} NOT INDEXED WHERE rowid BETWEEN ? AND ?"
    stored = connection.execute(sql, (rows.first, rows.last)).fetchall()
    expected = rows.last - rows.first + 1
    _expect(len(stored) == expected, f"rows {rows.first} to {rows.last} of {rows.table} are not complete")
    for key, *row in stored:
        _expect(key in prefixes, f"{rows.table} {row[0]!a} belongs to no detector")
        verify_row(prefixes[key], rows.table, tuple(row))
    for index, column in _INDICES[rows.table].items():
        number = CHECKED[rows.table].partition(",")[0]
        sql = (
            f"SELECT count(*) FROM {rows.table} AS a NOT INDEXED CROSS JOIN {rows.table} AS b INDEXED BY {index} "
            f"ON b.detector = a.detector AND b.{column} IS a.{column} AND b.{number} = a.{number} "
            "AND b.rowid = a.rowid "
            "WHERE a.rowid BETWEEN ? AND ?"
        )
        (indexed,) = connection.execute(sql, (rows.first, rows.last)).fetchone()
        _expect(indexed == expected, f"the index {index} does not lead to rows {rows.first} to {rows.last}")


def _check_numbers(connection: sqlite3.Connection, table: str) -> None:
    """Check that the rows of each detector are numbered from 1 on without a gap."""
    index, number = next(iter(_INDICES[table].items()))
    sql = f"SELECT detector, count(*), min({number}), max({number}) FROM {table} INDEXED BY {index} GROUP BY detector"
    seen: set[int] = set()
    for key, count, first, last in connection.execute(sql):
        _expect(key not in seen, f"the index {index} is out of order")
        seen.add(key)
        _expect((count, first) == (last, 1), f"{table} of a detector has {count} rows numbered {first!a} to {last!a}")


def _last_row(connection: sqlite3.Connection, table: str) -> int:
    return connection.execute(f"SELECT coalesce(max(rowid), 0) FROM {table}").fetchone()[0]


def _expect_ok(connection: sqlite3.Connection, check: str) -> None:
    (verdict,) = connection.execute(check).fetchone()
    _expect(verdict == "ok", " ".join(verdict.split()))


def _expect(sound: bool, what: str) -> None:
    if not sound:
        raise sqlite3.DatabaseError(what)
