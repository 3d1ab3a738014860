"""The storage in one SQLite file: each write is one transaction, stored whole or not at all.

An `SQLiteStorage` belongs to one thread at a time (`ponikeeper.store.store_thread` runs that thread).
"""

import sqlite3
import uuid
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import cast

from ponikeeper.errors import StoreError
from ponikeeper.history import Activation, DerivedGeometry, Position, Revision, UndoRecord
from ponikeeper.history.derived import with_derived
from ponikeeper.history.record_form import Row, checksum
from ponikeeper.history.records import Record, name_of
from ponikeeper.store.data_types import Added, Answer, Draft, FollowState
from ponikeeper.store.reader import Reader
from ponikeeper.store.rows import CHECKED
from ponikeeper.text import strictjson


class SQLiteStorage(Reader):
    """A `HistoryStorage` in an SQLite file; parameters and errors of the constructor as `Reader`.

    `ponikeeper.store.interface` describes the methods. Every write is one transaction.
    """

    def group(self) -> AbstractContextManager[None]:
        return self._file.group()

    def probe(self) -> None:
        with self._file.transaction() as connection:
            connection.execute("UPDATE probe SET written = written + 1")

    def commit(
        self,
        prefix: str,
        draft: Draft,
        time: str,
        cause: str,
        author: str,
        request: tuple[str, str, str] | None = None,
        follow_state: FollowState | None = None,
        count: int | None = None,
        derived: DerivedGeometry | None = None,
    ) -> tuple[Revision, Activation]:
        with self._file.transaction() as connection:
            key = self._detector(connection, prefix)
            number = _next(connection, "revision", "number", key)
            if count is not None and number != count + 1:
                raise StoreError(
                    f"{self.path}: the next revision of {prefix} would be {number}, not {count + 1}: the file is not "
                    "the one that was served; put it back, or restart"
                )
            revision = Revision(
                number,
                str(uuid.uuid4()),
                time,
                draft.label,
                draft.geometry,
                cast("Position | None", strictjson.plain(draft.position)),
                cast("dict[str, object]", strictjson.plain(draft.provenance)),
                checksum="",
            )
            digest = _insert(connection, prefix, "revision", key, revision.row())
            activation = _activate(connection, prefix, key, revision.number, time, cause, author, request)
            revision = replace(revision, checksum=digest)
            if derived is not None:
                revision = with_derived(revision, _insert_derived(connection, prefix, key, derived, activation))
            _set_follow_state(connection, prefix, key, follow_state, time, author)
        return revision, activation

    def activate(
        self,
        prefix: str,
        revision: int,
        time: str,
        cause: str,
        author: str,
        request: tuple[str, str, str] | None = None,
        follow_state: FollowState | None = None,
        undone: Activation | None = None,
        derived: DerivedGeometry | None = None,
    ) -> Activation:
        with self._file.transaction() as connection:
            key = self._detector(connection, prefix)
            _set_follow_state(connection, prefix, key, follow_state, time, author)
            activation = _activate(connection, prefix, key, revision, time, cause, author, request)
            if undone is not None:
                number = _next(connection, "undo", "number", key)
                undo = UndoRecord(number, activation.serial, undone.serial, undone.revision)
                _insert(connection, prefix, "undo", key, undo.row())
            if derived is not None:
                _insert_derived(connection, prefix, key, derived, activation)
            return activation

    def add(self, prefix: str, record: Added, answer: Answer | None = None) -> Added:
        kind, _ = name_of(record)
        with self._file.transaction() as connection:
            key = self._detector(connection, prefix)
            numbered = replace(record, number=_next(connection, kind, "number", key))
            _insert(connection, prefix, kind, key, numbered.row())
            if answer is not None:
                _insert_answer(connection, prefix, key, answer)
        return numbered

    def append(self, prefix: str, records: Iterable[Record], time: str, author: str) -> None:
        with self._file.transaction() as connection:
            key = self._detector(connection, prefix)
            for record in records:
                kind, number = name_of(record)
                expected = _next(connection, kind, CHECKED[kind].partition(",")[0], key)
                if number != expected:
                    raise StoreError(
                        f"{kind} {number} of {prefix} does not continue the history: expected {kind} {expected}"
                    )
                _insert(connection, prefix, kind, key, record.row())
            follow_state = self.follow_state(prefix)
            without_position = follow_state and replace(follow_state, rested={})
            _set_follow_state(connection, prefix, key, without_position, time, author)

    def set_follow_state(
        self, prefix: str, follow_state: FollowState, time: str, author: str, answer: Answer | None = None
    ) -> None:
        with self._file.transaction() as connection:
            key = self._detector(connection, prefix)
            _set_follow_state(connection, prefix, key, follow_state, time, author)
            if answer is not None:
                _insert_answer(connection, prefix, key, answer)

    def store_answer(self, prefix: str, answer: Answer) -> None:
        with self._file.transaction() as connection:
            _insert_answer(connection, prefix, self._detector(connection, prefix), answer)

    def _detector(self, connection: sqlite3.Connection, prefix: str) -> int:
        connection.execute("INSERT OR IGNORE INTO detector (prefix) VALUES (?)", (prefix,))
        (key,) = connection.execute("SELECT id FROM detector WHERE prefix = ?", (prefix,)).fetchone()
        return cast("int", key)


def _next(connection: sqlite3.Connection, table: str, column: str, key: int) -> int:
    (last,) = connection.execute(f"SELECT max({column}) FROM {table} WHERE detector = ?", (key,)).fetchone()
    return (last or 0) + 1


def _activate(
    connection: sqlite3.Connection,
    prefix: str,
    key: int,
    revision: int,
    time: str,
    cause: str,
    author: str,
    request: tuple[str, str, str] | None,
) -> Activation:
    activation = Activation(_next(connection, "activation", "serial", key), revision, time, cause, author)
    _insert(connection, prefix, "activation", key, activation.row())
    if request is not None:
        _insert_answer(connection, prefix, key, Answer(*request, revision, activation.serial, time))
    return activation


def _insert_derived(
    connection: sqlite3.Connection, prefix: str, key: int, derived: DerivedGeometry, activation: Activation
) -> DerivedGeometry:
    number = _next(connection, "derived", "number", key)
    record = replace(derived, number=number, serial=activation.serial, revision=activation.revision)
    _insert(connection, prefix, "derived", key, record.row())
    return record


def _set_follow_state(
    connection: sqlite3.Connection, prefix: str, key: int, follow_state: FollowState | None, time: str, author: str
) -> None:
    """Write the follow state, unless it is None: the only row of a detector that is ever overwritten."""
    if follow_state is None:
        return
    row = (int(follow_state.follow), strictjson.canonical(strictjson.plain(follow_state.rested)), time, author)
    if connection.execute("SELECT 1 FROM standing WHERE detector = ?", (key,)).fetchone() is None:
        _insert(connection, prefix, "standing", key, row)
        return
    connection.execute(
        f"UPDATE standing SET ({CHECKED['standing']}, checksum) = (?, ?, ?, ?, ?) WHERE detector = ?",
        (*row, checksum(prefix, "standing", row), key),
    )


def _insert_answer(connection: sqlite3.Connection, prefix: str, key: int, answer: Answer) -> None:
    row = (answer.request, answer.digest, answer.op, answer.revision, answer.serial, answer.time)
    _insert(connection, prefix, "answer", key, row)


def _insert(connection: sqlite3.Connection, prefix: str, table: str, key: int, row: Row) -> str:
    digest = checksum(prefix, table, row)
    marks = ", ".join("?" * (len(row) + 2))
    connection.execute(
        f"INSERT INTO {table} (detector, {CHECKED[table]}, checksum) VALUES ({marks})", (key, *row, digest)
    )
    return digest
