"""The open SQLite file: locked, checked before SQLite touches it, and never another file without notice."""

import os
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from ponikeeper.errors import DamagedStoreError, StoreError, UncertainStoreError
from ponikeeper.store import rollback_journal, schema, verify
from ponikeeper.store.connection import connect, create, lock_directory
from ponikeeper.text.ascii import to_ascii

_HEADER = 100
_CHUNK = 1 << 20


class StoreFile:
    """One SQLite file, opened when it is needed, and opened again after each failure.

    Parameters
    ----------
    path
        The file; its directory is locked until `close`. Created if it does not exist.

    Raises
    ------
    BusyStoreError
        Another process has it open.
    DamagedStoreError
        It is damaged or was changed; the file is not changed.
    StoreError
        It cannot be created or read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._grouped: sqlite3.Connection | None = None
        self._suspected: DamagedStoreError | None = None
        self._lock = lock_directory(path.parent)
        try:
            with self.translated_errors():
                if not os.path.lexists(path):
                    create(path)
                self._identity = _identity(path)
                self._version: bytes | None = None
                self._migrate(verify.check_structure(self.connection()))
                self._version = _version(path)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and release the lock."""
        self._drop()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def connection(self) -> sqlite3.Connection:
        """Return the open connection; use it inside `translated_errors`."""
        if self._connection is None:
            self._require_same_file()
            _check_before_opening(self.path)
            self._connection = connect(self.path)
        return self._connection

    def from_disk(self, *, drop_system_cache: bool) -> sqlite3.Connection:
        """Return the connection without the pages that SQLite has in memory: the next statement reads the file.

        Parameters
        ----------
        drop_system_cache
            Also ask the kernel to forget what it has of the file.

        Raises
        ------
        StoreError
            The file was moved, replaced, or changed by another program.
        """
        connection = self.connection()
        self._require_same_file()
        connection.execute("PRAGMA shrink_memory")
        if drop_system_cache:
            file = os.open(self.path, os.O_RDONLY)
            try:
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(file)
        return connection

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Run a transaction: at the end it is on disk, or rolled back. After a failure the file is opened again.

        Within `group` it is a part of the group's transaction, and on disk at the end of that.

        Raises
        ------
        UncertainStoreError
            The last step failed: the file has the transaction, but a power cut could still undo it.
        StoreError
            It was rolled back, or will be from the journal when the file is opened again.
        """
        with self._part() if self._grouped is not None else self._whole() as connection:
            yield connection

    @contextmanager
    def group(self) -> Generator[None]:
        """Join the transactions of the block: they reach the disk together at its end.

        One that fails by itself is rolled back alone.

        Raises
        ------
        UncertainStoreError
            The last step failed; it concerns all of them.
        StoreError
            All of them were rolled back.
        """
        with self._whole() as connection:
            self._grouped = connection
            try:
                yield
            finally:
                self._grouped = None

    @contextmanager
    def _part(self) -> Generator[sqlite3.Connection]:
        """Run a part of a group, within a savepoint."""
        connection = self._grouped
        assert connection is not None
        with self.translated_errors():
            self._require_transaction(connection)
            connection.execute("SAVEPOINT part")
        try:
            with self.translated_errors():
                yield connection
                connection.execute("RELEASE part")
        except BaseException as error:
            if isinstance(error, DamagedStoreError):
                self._suspected = error
                raise StoreError(str(error)) from error  # the end of the group finds out
            with self.translated_errors():
                if connection.in_transaction:  # after some errors of the disk SQLite has rolled back everything
                    connection.execute("ROLLBACK TO part")
                    connection.execute("RELEASE part")
            raise

    @contextmanager
    def _whole(self) -> Generator[sqlite3.Connection]:
        committing = False
        self._suspected = None
        try:
            with self.translated_errors():
                connection = self.connection()
                self._require_same_file()
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                self._require_unsuspected()
                committing = True
                self._require_transaction(connection)
                connection.execute("COMMIT")
                self._version = _version(self.path)
        except BaseException as error:
            self._drop()
            if committing:
                self._version = None  # the transaction may be in the file or not
            meant = second_opinion(self.path, error) if isinstance(error, DamagedStoreError) else error
            if committing and isinstance(meant, StoreError) and not self._will_be_rolled_back():
                raise UncertainStoreError(str(meant)) from error
            if meant is not error:
                raise meant from error
            raise

    def _require_unsuspected(self) -> None:
        if self._suspected is not None:
            raise self._suspected

    def _require_transaction(self, connection: sqlite3.Connection) -> None:
        """Check that a transaction is open: after some errors of the disk SQLite has rolled back all of it."""
        if not connection.in_transaction:
            raise StoreError(f"{self.path}: the disk has failed, and everything was rolled back")

    @contextmanager
    def translated_errors(self) -> Generator[None]:
        """Translate errors of SQLite and of the system to `StoreError`, with the file's name."""
        try:
            with translated_errors(self.path):
                yield
        except DamagedStoreError as error:
            if self._connection is not None and self._connection.in_transaction:
                raise  # its end follows
            self._drop()
            raise second_opinion(self.path, error) from error.__cause__

    def _will_be_rolled_back(self) -> bool:
        """Return whether the journal exists, from which the next opening rolls a failed transaction back."""
        try:
            return schema.journal_of(self.path).exists()
        except OSError:
            return False

    def _require_same_file(self) -> None:
        """Check that the path still names the open file, and that only this process has written to it.

        What is written to another file is lost at the next start; and after ``cp`` of an old store over this one,
        SQLite would continue the numbers of the old one.

        Raises
        ------
        StoreError
            It does not, or another program has.
        """
        try:
            same = _identity(self.path) == self._identity
        except FileNotFoundError:
            same = False
        if not same:
            raise StoreError(f"{self.path} was moved, deleted or replaced while it was served: put it back, or restart")
        if self._version is not None and _version(self.path) != self._version:
            raise StoreError(f"{self.path} was changed by another program while it was served: put it back, or restart")

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _migrate(self, version: int) -> None:
        """Migrate an older schema to the current version, in one transaction."""
        newest = len(schema.MIGRATIONS)
        if version > newest:
            raise StoreError(newer_version_text(self.path, version))
        if version == newest:
            return
        try:
            with self.transaction() as connection:
                schema.apply_steps(connection, version)
        except StoreError as error:
            raise StoreError(
                f"{self.path} stays at schema version {version}, its migration to {newest} failed: {error.__cause__}"
            ) from error


def newer_version_text(path: Path, version: int) -> str:
    """Return the message about a store that a newer ponikeeper wrote."""
    return (
        f"{path} has schema version {version}, this ponikeeper reads up to {len(schema.MIGRATIONS)}: start the newer "
        "ponikeeper that wrote it, or restore the backup that was made before it"
    )


@contextmanager
def translated_errors(path: Path) -> Generator[None]:
    """Translate errors of SQLite and of the system to `StoreError`, with the name of a file."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreError(f"{path}: {error}{_advice(str(error))}") from error
    except sqlite3.DatabaseError as error:
        raise DamagedStoreError(_damaged(path, str(error))) from error
    except UnicodeDecodeError as error:  # a message of SQLite can quote damaged text
        raise DamagedStoreError(_damaged(path, "it has text that is not UTF-8")) from error
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


def second_opinion(path: Path, error: DamagedStoreError) -> StoreError:
    """Find out whether a file is damaged: SQLite reports a disk that cannot be read in the same words.

    Parameters
    ----------
    path
        The file; no connection of this process may have a transaction open.
    error
        What was reported.

    Returns
    -------
    StoreError
        A `DamagedStoreError` if the file is damaged.
    """
    if getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_CORRUPT:
        return error
    try:
        with translated_errors(path):
            _check_before_opening(path)
            with path.open("rb") as file:
                while file.read(_CHUNK):  # raises OSError where the disk cannot be read
                    continue
            with closing(connect(path)) as connection:
                verify.check_structure(connection)
                verify.check_indices(connection)
    except StoreError as second:
        return second
    return StoreError(
        f"{path} could not be read ({error.__cause__}), and can be read now: "
        "look for errors of the disk in the kernel log"
    )


_HINTS = {
    "readonly": "expected a disk and a file that accept writes",
    "unable to open": "expected a disk and a directory that accept writes",
    "full": "free space on the disk",
    "I/O error": "look for errors of the disk in the kernel log",
    "locked": "another program has it open: end that program",
}
"""What to do about an error of SQLite, by a part of its message."""


def _advice(message: str) -> str:
    return next((f"; {hint}" for part, hint in _HINTS.items() if part in message), "")


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _version(path: Path) -> bytes:
    """Return what every transaction changes in the header: change counter and size (SQLite file format, 1.3)."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.pread(file, 8, 24)
    finally:
        os.close(file)


def check_header(path: Path, name: Path) -> None:
    """Check the first bytes of a file, which could make SQLite open it in another mode.

    Parameters
    ----------
    path
        The file.
    name
        The name in error messages.

    Raises
    ------
    DamagedStoreError
        It is empty, no SQLite file, or in another journal mode than the store.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER)
    if len(header) < _HEADER:
        raise DamagedStoreError(_damaged(name, f"it has {len(header)} bytes" if header else "it is empty"))
    # bytes 18 and 19: 1 is the rollback journal, 2 the write-ahead log, which SQLite would then use
    if header[:16] != verify.MAGIC or header[18:20] != b"\1\1":
        raise DamagedStoreError(_damaged(name, "its first bytes are not those of a store"))
    if schema.wal_of(path).exists():
        raise DamagedStoreError(
            f"{schema.wal_of(path)} was left by another program, and SQLite would apply it to the store: move it away"
        )


def _check_before_opening(path: Path) -> None:
    """Check what SQLite would change or ignore as soon as it opens the file.

    Raises
    ------
    DamagedStoreError
        The first bytes are not those of a store, or its journal is damaged.
    """
    check_header(path, path)
    problem = rollback_journal.problem(schema.journal_of(path), path)
    if problem is not None:
        raise DamagedStoreError(
            f"{schema.journal_of(path)} is damaged ({problem}), and only it has the data that undoes the last "
            "transaction; both files were left unchanged: restore the store from a backup and move the journal away"
        )


def _damaged(path: Path, what: str) -> str:
    text = to_ascii(" ".join(what.split()))[:200]
    return (
        f"{path} is damaged ({text}); it was left unchanged: "
        "restore it from a backup, or move it away to start with an empty history"
    )
