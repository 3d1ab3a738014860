"""The history of one IOC: reads and writes, each whole or not at all.

A `History` belongs to one thread at a time (`ponikeeper.store` gives it one).
"""

import sqlite3
import uuid
from pathlib import Path
from typing import cast

from ponikeeper import strictjson
from ponikeeper.history import records, verify
from ponikeeper.history.file import StoreFile
from ponikeeper.history.records import CHECKED, Activation, Answer, Draft, Revision, Row, revision_of


class History:
    """The store of one IOC.

    Parameters
    ----------
    path
        The SQLite file; its directory is locked as long as this object is open.

    Raises
    ------
    BusyStoreError
        Another process has it open.
    DamagedStoreError
        It is not what was written to it; nothing is changed then.
    StoreError
        It cannot be made, or not be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = StoreFile(path)
        self._detectors: dict[str, int] = {}
        try:
            with self._file.damage_told():
                self._detectors |= self._file.connection().execute("SELECT prefix, id FROM detector")
                self._pending = verify.slices(self._file.connection())
                while self._pending and self._pending[0].depth < verify.RECENT:
                    self.verify_next()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and give up the lock."""
        self._file.close()

    def verify_next(self) -> bool:
        """Verify the checksums of the next slice of old rows; tell whether any are left.

        The newest rows are verified before the constructor returns, so that the time it takes does
        not grow with the history; whatever is read is verified then, too.

        Raises
        ------
        DamagedStoreError
            A row is not what was written.
        StoreError
            It cannot be read now; the next call tries it again.
        """
        if self._pending:
            with self._file.damage_told():
                prefixes = {key: prefix for prefix, key in self._detectors.items()}
                verify.verify_slice(self._file.connection(), self._pending[0], prefixes)
            self._pending.popleft()
        return bool(self._pending)

    def probe(self) -> None:
        """Write to the disk without changing the history.

        Raises
        ------
        StoreError
            The disk does not take writes.
        """
        with self._file.transaction() as connection:
            connection.execute("UPDATE probe SET written = written + 1")

    def in_force(self, prefix: str) -> tuple[Revision, Activation] | None:
        """Give what was put in force last on a detector; None where nothing ever was."""
        with self._file.damage_told():
            row = self._row(
                f"SELECT {CHECKED['activation']}, checksum FROM activation "
                "WHERE detector = ? ORDER BY serial DESC LIMIT 1",
                prefix,
            )
            if row is None:
                return None
            records.verify(prefix, "activation", row)
            activation = Activation(*row[:-1])  # type: ignore[arg-type]  # its checksum matches
            revision = self.revision(prefix, activation.revision)
            if revision is None:
                raise sqlite3.DatabaseError(f"revision {activation.revision} of {prefix} is in force but missing")
            return revision, activation

    def revision(self, prefix: str, number: int) -> Revision | None:
        """Give one revision, its checksum verified; None where there is none of that number."""
        found = self.revisions(prefix, number, number)
        return found[0] if found else None

    def revisions(self, prefix: str, first: int, last: int) -> list[Revision]:
        """Give the revisions of a range of numbers, checksums verified, in ascending order."""
        with self._file.damage_told():
            rows = self._rows(
                f"SELECT {CHECKED['revision']}, checksum FROM revision "
                "WHERE detector = ? AND number BETWEEN ? AND ? ORDER BY number",
                prefix,
                first,
                last,
            )
            found = [revision_of(prefix, row) for row in rows]
            numbers = [revision.number for revision in found]
            if numbers and numbers != list(range(max(1, first), numbers[-1] + 1)):
                raise sqlite3.DatabaseError(f"of the revisions {first} to {last} of {prefix} some are missing")
            return found

    def labelled(self, prefix: str, label: str) -> int | None:
        """Give the number of the newest revision with a label."""
        with self._file.damage_told():
            row = self._row("SELECT max(number) FROM revision WHERE detector = ? AND label = ?", prefix, label)
            number = cast("int | None", row and row[0])
            if number is None:
                return None
            revision = self.revision(prefix, number)
            if revision is None or revision.label != label:
                raise sqlite3.DatabaseError(f"revision {number} of {prefix} does not have the label {label}")
            return number

    def labels(self, prefix: str) -> list[str]:
        """List the labels of a detector."""
        with self._file.damage_told():
            sql = "SELECT DISTINCT label FROM revision WHERE detector = ? AND label IS NOT NULL"
            return sorted(cast("str", row[0]) for row in self._rows(sql, prefix))

    def count(self, prefix: str) -> int:
        """Give the number of the newest revision, 0 where there is none."""
        with self._file.damage_told():
            row = self._row("SELECT max(number) FROM revision WHERE detector = ?", prefix)
            return cast("int | None", row and row[0]) or 0

    def answer(self, prefix: str, request: str) -> Answer | None:
        """Give what a request id was answered, None where it is new."""
        with self._file.damage_told():
            row = self._row(
                f"SELECT {CHECKED['answer']}, checksum FROM answer WHERE detector = ? AND request = ?", prefix, request
            )
            if row is None:
                return None
            records.verify(prefix, "answer", row)
            return Answer(*row[:-1])  # type: ignore[arg-type]  # its checksum matches

    def commit(
        self, prefix: str, draft: Draft, time: str, cause: str, author: str, request: tuple[str, str, str] | None = None
    ) -> tuple[Revision, Activation]:
        """Store a revision and put it in force, in one transaction that is on disk on return.

        Parameters
        ----------
        time
            The instant of both, UTC ISO-8601.
        request
            Id, digest and op of the request, where it had an id.

        Raises
        ------
        UncertainStoreError
            Whether it is stored is not known.
        StoreError
            It was not stored.
        """
        with self._file.transaction() as connection:
            key = self._detector(connection, prefix)
            number = _next(connection, "revision", "number", key)
            row = (
                number,
                str(uuid.uuid4()),
                time,
                draft.label,
                strictjson.canonical(draft.geometry.as_dict()),
                strictjson.canonical(strictjson.plain(draft.position)),
                strictjson.canonical(strictjson.plain(draft.provenance)),
            )
            checksum = _insert(connection, prefix, "revision", key, row)
            activation = _activate(connection, prefix, key, number, time, cause, author, request)
        return revision_of(prefix, (*row, checksum)), activation

    def activate(
        self,
        prefix: str,
        revision: int,
        time: str,
        cause: str,
        author: str,
        request: tuple[str, str, str] | None = None,
    ) -> Activation:
        """Put a stored revision in force; parameters and errors as `commit`."""
        with self._file.transaction() as connection:
            key = self._detector(connection, prefix)
            return _activate(connection, prefix, key, revision, time, cause, author, request)

    def keep_answer(self, prefix: str, answer: Answer) -> None:
        """Store the answer to a request that changed nothing, so that its repetition changes nothing either."""
        with self._file.transaction() as connection:
            key = self._detector(connection, prefix)
            row = (answer.request, answer.digest, answer.op, answer.revision, answer.serial, answer.time)
            _insert(connection, prefix, "answer", key, row)

    def _detector(self, connection: sqlite3.Connection, prefix: str) -> int:
        connection.execute("INSERT OR IGNORE INTO detector (prefix) VALUES (?)", (prefix,))
        (key,) = connection.execute("SELECT id FROM detector WHERE prefix = ?", (prefix,)).fetchone()
        return cast("int", key)

    def _row(self, sql: str, prefix: str, *values: object) -> Row | None:
        rows = self._rows(sql, prefix, *values)
        return rows[0] if rows else None

    def _rows(self, sql: str, prefix: str, *values: object) -> list[Row]:
        """Read rows of one detector; its key is the first value of the query."""
        connection = self._file.connection()
        key = self._detectors.get(prefix)
        if key is None:
            row = connection.execute("SELECT id FROM detector WHERE prefix = ?", (prefix,)).fetchone()
            if row is None:
                return []
            key = self._detectors[prefix] = cast("int", row[0])
        return connection.execute(sql, (key, *values)).fetchall()


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
    _insert(connection, prefix, "activation", key, (activation.serial, revision, time, cause, author))
    if request is not None:
        _insert(connection, prefix, "answer", key, (*request, revision, activation.serial, time))
    return activation


def _insert(connection: sqlite3.Connection, prefix: str, table: str, key: int, row: Row) -> str:
    checksum = records.checksum(prefix, table, row)
    marks = ", ".join("?" * (len(row) + 2))
    connection.execute(
        f"INSERT INTO {table} (detector, {CHECKED[table]}, checksum) VALUES ({marks})", (key, *row, checksum)
    )
    return checksum
