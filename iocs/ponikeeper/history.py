"""Revisions, activations and judgements in SQLite: the only module that knows SQL.

Every row carries a checksum; nothing is ever changed or deleted. The journal is
``DELETE`` with ``synchronous=EXTRA``: of the modes that were put through power cuts and failing
fsyncs it is the one that neither lost an acknowledged commit nor brought back a refused one.

A `History` belongs to one thread at a time (`ponikeeper.store` gives it one).
"""

import fcntl
import hashlib
import os
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ponikeeper import strictjson
from ponikeeper.errors import BusyStoreError, DamagedStoreError, GeometryError, StoreError
from ponikeeper.geometry import Geometry
from ponikeeper.messages import Position

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
)
"""What brings a store from each schema version to the next; its length is the version written here."""

_CHECKED: dict[str, str] = {
    "revision": "number, uid, created, label, geometry, position, provenance",
    "activation": "serial, revision, time, cause, author",
    "judgement": "number, kind, revision, by, since, until, reason, time, author",
    "answer": "request, digest, op, revision, serial, time",
}
"""The columns of each table that its checksum covers, together with the detector's prefix."""


_NUMBERED = ("revision", "activation", "judgement")
_SLICE = 500
_RECENT = 4000
"""Rows of each numbered table that are verified before anything is served."""


@dataclass(frozen=True, slots=True)
class _Slice:
    """A range of rows of one table whose checksums are to be verified."""

    prefix: str
    key: int
    table: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Revision:
    """One geometry with provenance, label and position; never changed, never deleted."""

    number: int
    uid: str
    created: str
    label: str | None
    geometry: Geometry
    position: Position | None
    provenance: dict[str, object]
    checksum: str

    def as_dict(self) -> dict[str, object]:
        """Give the JSON object that the history PVs and the command line show."""
        return {
            "revision": self.number,
            "uid": self.uid,
            "checksum": self.checksum,
            "created": self.created,
            "label": self.label,
            "geometry": self.geometry.as_dict(),
            "position": strictjson.plain(self.position),
            "provenance": strictjson.plain(self.provenance),
        }


@dataclass(frozen=True, slots=True)
class Activation:
    """From `time` on, `revision` is in force, because of `cause`."""

    serial: int
    revision: int
    time: str
    cause: str
    author: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request id was answered the first time."""

    request: str
    digest: str
    op: str
    revision: int
    serial: int
    time: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What a revision is made of before it has a number."""

    geometry: Geometry
    provenance: dict[str, object]
    label: str | None = None
    position: Position | None = None


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
        self._connection: sqlite3.Connection | None = None
        self._detectors: dict[str, int] = {}
        self._pending: list[_Slice] = []
        self._lock = _lock_directory(path.parent)
        try:
            if not path.exists():
                _create(path)
            with self._damage_told():
                _check_file(self._open())
                self._migrate()
                for prefix, key in self._open().execute("SELECT prefix, id FROM detector"):
                    self._detectors[prefix] = key
                    self._pending += _slices(self._open(), prefix, key)
                for _ in range(_RECENT // _SLICE * len(_NUMBERED) * len(self._detectors)):
                    self.verify_next()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and give up the lock."""
        self._drop_connection()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def verify_next(self) -> bool:
        """Verify the checksums of the next slice of old rows; tell whether any are left.

        The newest rows are verified before the constructor returns, so that the time it takes does
        not grow with the history; whatever is read is verified then, too.

        Raises
        ------
        DamagedStoreError
            A row is not what was written.
        """
        if self._pending:
            with self._damage_told():
                _verify_slice(self._open(), self._pending.pop(0))
        return bool(self._pending)

    def probe(self) -> None:
        """Write to the disk without changing the history.

        Raises
        ------
        StoreError
            The disk does not take writes.
        """
        with self._transaction() as connection:
            connection.execute("UPDATE probe SET written = written + 1")

    def in_force(self, prefix: str) -> tuple[Revision, Activation] | None:
        """Give what was put in force last on a detector; None where nothing ever was."""
        row = self._read(
            f"SELECT {_CHECKED['activation']}, checksum FROM activation WHERE detector = ? ORDER BY serial DESC LIMIT 1",
            prefix,
        )
        if not row:
            return None
        _verify(prefix, "activation", row[0])
        activation = Activation(*row[0][:-1])
        revision = self.revision(prefix, activation.revision)
        if revision is None:
            raise DamagedStoreError(f"{self.path}: revision {activation.revision} of {prefix} is in force but missing")
        return revision, activation

    def revision(self, prefix: str, number: int) -> Revision | None:
        """Give one revision, its checksum verified; None where there is none of that number."""
        rows = self.revisions(prefix, number, number)
        return rows[0] if rows else None

    def revisions(self, prefix: str, first: int, last: int) -> list[Revision]:
        """Give the revisions of a range of numbers, checksums verified, in ascending order."""
        rows = self._read(
            f"SELECT {_CHECKED['revision']}, checksum FROM revision "
            "WHERE detector = ? AND number BETWEEN ? AND ? ORDER BY number",
            prefix,
            first,
            last,
        )
        return [_revision(prefix, row) for row in rows]

    def labelled(self, prefix: str, label: str) -> int | None:
        """Give the number of the newest revision with a label."""
        rows = self._read("SELECT max(number) FROM revision WHERE detector = ? AND label = ?", prefix, label)
        return cast("int | None", rows[0][0]) if rows else None

    def labels(self, prefix: str) -> list[str]:
        """List the labels of a detector."""
        rows = self._read("SELECT DISTINCT label FROM revision WHERE detector = ? AND label IS NOT NULL", prefix)
        return sorted(cast("str", row[0]) for row in rows)

    def count(self, prefix: str) -> int:
        """Give the number of the newest revision, 0 where there is none."""
        rows = self._read("SELECT max(number) FROM revision WHERE detector = ?", prefix)
        return cast("int | None", rows[0][0]) or 0 if rows else 0

    def answer(self, prefix: str, request: str) -> Answer | None:
        """Give what a request id was answered, None where it is new."""
        rows = self._read(
            f"SELECT {_CHECKED['answer']}, checksum FROM answer WHERE detector = ? AND request = ?", prefix, request
        )
        if not rows:
            return None
        _verify(prefix, "answer", rows[0])
        return Answer(*rows[0][:-1])

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
        StoreError
            It was not stored.
        """
        with self._transaction() as connection:
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
        return _revision(prefix, (*row, checksum)), activation

    def activate(
        self, prefix: str, revision: int, time: str, cause: str, author: str, request: tuple[str, str, str] | None = None
    ) -> Activation:
        """Put a stored revision in force; parameters and errors as `commit`."""
        with self._transaction() as connection:
            key = self._detector(connection, prefix)
            return _activate(connection, prefix, key, revision, time, cause, author, request)

    def keep_answer(self, prefix: str, answer: Answer) -> None:
        """Store the answer to a request that changed nothing, so that its repetition changes nothing either."""
        with self._transaction() as connection:
            key = self._detector(connection, prefix)
            row = (answer.request, answer.digest, answer.op, answer.revision, answer.serial, answer.time)
            _insert(connection, prefix, "answer", key, row)

    def _detector(self, connection: sqlite3.Connection, prefix: str) -> int:
        connection.execute("INSERT OR IGNORE INTO detector (prefix) VALUES (?)", (prefix,))
        (key,) = connection.execute("SELECT id FROM detector WHERE prefix = ?", (prefix,)).fetchone()
        return cast("int", key)

    def _read(self, sql: str, prefix: str, *values: object) -> list[tuple[object, ...]]:
        with self._damage_told():
            found = self._detectors.get(prefix)
            if found is None:
                row = self._open().execute("SELECT id FROM detector WHERE prefix = ?", (prefix,)).fetchone()
                if row is None:
                    return []
                found = self._detectors[prefix] = cast("int", row[0])
            return self._open().execute(sql, (found, *values)).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a transaction that is either on disk or undone; after a failure the file is opened anew."""
        try:
            with self._damage_told():
                connection = self._open()
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
        except BaseException:
            # closing undoes what is open; what the disk kept of it is undone from the journal at the next opening
            self._drop_connection()
            raise

    @contextmanager
    def _damage_told(self) -> Iterator[None]:
        """Turn SQLite's errors into ours, with the file's name."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StoreError(f"{self.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise DamagedStoreError(_damaged(self.path, str(error))) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            if not self.path.exists() or self.path.stat().st_size == 0:
                raise DamagedStoreError(_damaged(self.path, "the file is gone or empty"))
            self._connection = _connect(self.path)
        return self._connection

    def _drop_connection(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _migrate(self) -> None:
        """Bring an older schema up to this one, in one transaction."""
        (version,) = self._open().execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise StoreError(
                f"{self.path} has schema version {version}, this ponikeeper knows up to {len(MIGRATIONS)}: "
                "start the newer ponikeeper that wrote it"
            )
        if version < len(MIGRATIONS):
            with self._transaction() as connection:
                _apply_schema(connection, version)


def _lock_directory(directory: Path) -> int:
    """Lock a directory against a second server; the kernel lets go of it when the process ends."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StoreError(f"{directory} cannot be used as state_dir: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise BusyStoreError(f"{directory} is served by another ponikeeper: stop it, or give each its own state_dir") from error
    return lock


def _create(path: Path) -> None:
    """Make an empty store beside its place and move it there, so that it is never found half made."""
    beside = path.with_name(path.name + ".new")
    try:
        for leftover in (beside, beside.with_name(beside.name + "-journal")):
            leftover.unlink(missing_ok=True)
        connection = _connect(beside)
        try:
            connection.execute("BEGIN IMMEDIATE")
            _apply_schema(connection, 0)
            connection.execute("COMMIT")
        finally:
            connection.close()
        beside.rename(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path} cannot be made: {error}") from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA synchronous=EXTRA")
        connection.execute("PRAGMA cell_size_check=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _apply_schema(connection: sqlite3.Connection, version: int) -> None:
    """Run, inside the open transaction, every migration from `version` on."""
    for script in MIGRATIONS[version:]:
        for statement in filter(str.strip, script.split(";")):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _check_file(connection: sqlite3.Connection) -> None:
    """Let SQLite check its own structures, which the rows' checksums do not cover.

    The quick form: that the indices lead to the right rows is shown by the replay, which goes through them.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise sqlite3.DatabaseError("it is no ponikeeper store")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)


def _slices(connection: sqlite3.Connection, prefix: str, key: int) -> list[_Slice]:
    """Cut the numbered tables of a detector into slices, the newest first, and see that no row is missing."""
    slices: list[_Slice] = []
    for table in _NUMBERED:
        number = _CHECKED[table].partition(",")[0]
        sql = f"SELECT count(*), coalesce(min({number}), 1), coalesce(max({number}), 0) FROM {table} WHERE detector = ?"
        count, first, last = connection.execute(sql, (key,)).fetchone()
        if (count, first) != (last, 1):
            raise sqlite3.DatabaseError(f"of {last} rows of {table} of {prefix} {last - count} are missing")
        slices += [_Slice(prefix, key, table, top - _SLICE + 1, top) for top in range(last, 0, -_SLICE)]
    return sorted(slices, key=lambda item: -item.last)


def _verify_slice(connection: sqlite3.Connection, rows: _Slice) -> None:
    columns = _CHECKED[rows.table]
    number = columns.partition(",")[0]
    sql = f"SELECT {columns}, checksum FROM {rows.table} WHERE detector = ? AND {number} BETWEEN ? AND ?"
    for row in connection.execute(sql, (rows.key, rows.first, rows.last)):
        _verify(rows.prefix, rows.table, row)


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


def _insert(connection: sqlite3.Connection, prefix: str, table: str, key: int, row: tuple[object, ...]) -> str:
    checksum = _checksum(prefix, table, row)
    marks = ", ".join("?" * (len(row) + 2))
    connection.execute(
        f"INSERT INTO {table} (detector, {_CHECKED[table]}, checksum) VALUES ({marks})", (key, *row, checksum)
    )
    return checksum


def _checksum(prefix: str, table: str, row: tuple[object, ...]) -> str:
    content = "\x1f".join([prefix, table, *["\x00" if value is None else str(value) for value in row]])
    return "sha256:" + hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def _verify(prefix: str, table: str, row: tuple[object, ...]) -> None:
    if _checksum(prefix, table, row[:-1]) != row[-1]:
        raise sqlite3.DatabaseError(f"the checksum of {table} {row[0]} of {prefix} does not match")


def _revision(prefix: str, row: tuple[object, ...]) -> Revision:
    _verify(prefix, "revision", row)
    number, uid, created, label, geometry, position, provenance, checksum = cast(
        "tuple[int, str, str, str | None, str, str, str, str]", row
    )
    try:
        return Revision(
            number,
            uid,
            created,
            label,
            Geometry.parse(cast("dict[str, object]", strictjson.loads(geometry))),
            cast("Position | None", strictjson.loads(position)),
            cast("dict[str, object]", strictjson.loads(provenance)),
            checksum,
        )
    except (GeometryError, ValueError) as error:
        raise sqlite3.DatabaseError(f"revision {number} of {prefix} cannot be read: {error}") from error


def _damaged(path: Path, what: str) -> str:
    return (
        f"{path} is damaged ({what}); it was left as it is: "
        "restore it from a backup, or move it away to begin with an empty history"
    )


