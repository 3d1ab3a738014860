"""The history of one IOC: reads and writes, each whole or not at all.

A `History` belongs to one thread at a time (`ponikeeper.store.writer` gives it one).
"""

import sqlite3
import uuid
from collections.abc import Iterable
from dataclasses import replace
from typing import cast

from ponikeeper.errors import StoreError
from ponikeeper.history.records import Activation, Correction, Position, Record, Revision, Row, checksum, name_of
from ponikeeper.store.reader import Reader
from ponikeeper.store.rows import CHECKED, Answer, Draft, Standing
from ponikeeper.text import strictjson


class History(Reader):
    """The store of one IOC, read and written; parameters and errors as `Reader`."""

    def probe(self) -> None:
        """Write to the disk without changing the history.

        Raises
        ------
        StoreError
            The disk does not take writes.
        """
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
        standing: Standing | None = None,
    ) -> tuple[Revision, Activation]:
        """Store a revision and put it in force, in one transaction that is on disk on return.

        Parameters
        ----------
        time
            The instant of both, UTC ISO-8601.
        request
            Id, digest and op of the request, where it had an id.
        standing
            Kept with it, where it is not what was kept before.

        Raises
        ------
        UncertainStoreError
            Whether it is stored is not known.
        StoreError
            It was not stored.
        """
        with self._file.transaction() as connection:
            key = self._detector(connection, prefix)
            revision = Revision(
                _next(connection, "revision", "number", key),
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
            _stand(connection, prefix, key, standing, time, author)
        return replace(revision, checksum=digest), activation

    def activate(
        self,
        prefix: str,
        revision: int,
        time: str,
        cause: str,
        author: str,
        request: tuple[str, str, str] | None = None,
        standing: Standing | None = None,
    ) -> Activation:
        """Put a stored revision in force; parameters and errors as `commit`."""
        with self._file.transaction() as connection:
            key = self._detector(connection, prefix)
            _stand(connection, prefix, key, standing, time, author)
            return _activate(connection, prefix, key, revision, time, cause, author, request)

    def judge(self, prefix: str, correction: Correction, answer: Answer | None = None) -> Correction:
        """Store a judgement, which gets its number here, with the answer to its request; errors as `commit`."""
        with self._file.transaction() as connection:
            key = self._detector(connection, prefix)
            numbered = replace(correction, number=_next(connection, "judgement", "number", key))
            _insert(connection, prefix, "judgement", key, numbered.row())
            if answer is not None:
                _insert_answer(connection, prefix, key, answer)
        return numbered

    def add(self, prefix: str, records: Iterable[Record], time: str, author: str) -> None:
        """Store records as another store has them, all or none; numbers, times and checksums stay what they are.

        Where the links rested is forgotten: that was before what is in force now.

        Parameters
        ----------
        records
            Those that follow on what is here, in the order of their numbers.

        Raises
        ------
        StoreError
            None of them was stored.
        """
        with self._file.transaction() as connection:
            key = self._detector(connection, prefix)
            for record in records:
                kind, number = name_of(record)
                following = _next(connection, kind, CHECKED[kind].partition(",")[0], key)
                if number != following:
                    raise StoreError(f"{kind} {number} of {prefix} does not follow on: expected {kind} {following}")
                _insert(connection, prefix, kind, key, record.row())
            standing = self.standing(prefix)
            _stand(connection, prefix, key, standing and replace(standing, rested={}), time, author)

    def stand(self, prefix: str, standing: Standing, time: str, author: str, answer: Answer | None = None) -> None:
        """Keep where the links stand and whether the geometry follows them; errors as `commit`."""
        with self._file.transaction() as connection:
            key = self._detector(connection, prefix)
            _stand(connection, prefix, key, standing, time, author)
            if answer is not None:
                _insert_answer(connection, prefix, key, answer)

    def keep_answer(self, prefix: str, answer: Answer) -> None:
        """Store the answer to a request that changed nothing, so that its repetition changes nothing either."""
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


def _stand(
    connection: sqlite3.Connection, prefix: str, key: int, standing: Standing | None, time: str, author: str
) -> None:
    """Keep where the links stand now: no history, but the one row of a detector that is written over."""
    if standing is None:
        return
    row = (int(standing.follow), strictjson.canonical(strictjson.plain(standing.rested)), time, author)
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
