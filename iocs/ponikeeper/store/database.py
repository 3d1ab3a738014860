"""The open file of a history: locked, judged before SQLite touches it, never replaced under our feet."""

import os
import sqlite3
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from ponikeeper.errors import DamagedStoreError, StoreError, UncertainStoreError
from ponikeeper.store import rollback_journal, schema, verify
from ponikeeper.text.ascii import to_ascii

_HEADER = 100


class StoreFile:
    """One SQLite file, opened when it is needed, and opened anew after each failure.

    Parameters
    ----------
    path
        The file; its directory is locked as long as this object is open. Made where it is not there.

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
        self._lock = schema.lock_directory(path.parent)
        try:
            with self.damage_told():
                if not os.path.lexists(path):
                    schema.create(path)
                self._identity = _identity(path)
                self._migrate(verify.check_structure(self.connection()))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and give up the lock."""
        self._drop()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def connection(self) -> sqlite3.Connection:
        """Give the connection; use it inside `damage_told`."""
        if self._connection is None:
            self._require_place()
            _check_before_opening(self.path)
            self._connection = schema.connect(self.path)
        return self._connection

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Run a transaction that is either on disk or undone; after a failure the file is opened anew.

        Raises
        ------
        UncertainStoreError
            The very last step failed, so that what is in the file now is not sure to stay there.
        StoreError
            It is undone, or will be from the journal at the next opening.
        """
        committing = False
        try:
            with self.damage_told():
                connection = self.connection()
                self._require_place()
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                committing = True
                connection.execute("COMMIT")
        except BaseException as error:
            self._drop()
            if committing and isinstance(error, StoreError) and not self._is_to_be_undone():
                raise UncertainStoreError(str(error)) from error
            raise

    def damage_told(self) -> AbstractContextManager[None]:
        """Turn SQLite's errors and the system's into ours, with the file's name."""
        return damage_told(self.path)

    def _is_to_be_undone(self) -> bool:
        """Tell whether the journal is there, by which the next opening undoes what a failed transaction left."""
        try:
            return schema.journal_of(self.path).exists()
        except OSError:
            return False

    def _require_place(self) -> None:
        """See that the file still lies where it was opened: what is written to another one is lost at the next start.

        Raises
        ------
        StoreError
            It does not.
        """
        try:
            there = _identity(self.path) == self._identity
        except FileNotFoundError:
            there = False
        if not there:
            raise StoreError(f"{self.path} was moved, deleted or replaced while it was served: put it back, or restart")

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _migrate(self, version: int) -> None:
        """Bring an older schema up to this one, in one transaction."""
        newest = len(schema.MIGRATIONS)
        if version > newest:
            raise StoreError(
                f"{self.path} has schema version {version}, this ponikeeper knows up to {newest}: "
                "start the newer ponikeeper that wrote it"
            )
        if version == newest:
            return
        try:
            with self.transaction() as connection:
                schema.apply_steps(connection, version)
        except StoreError as error:
            raise StoreError(
                f"{self.path} stays at schema version {version}, it could not be brought to {newest}: {error.__cause__}"
            ) from error


@contextmanager
def damage_told(path: Path) -> Generator[None]:
    """Turn SQLite's errors and the system's into ours, with the name of a file."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreError(f"{path}: {error}{_hint(str(error))}") from error
    except sqlite3.DatabaseError as error:
        raise DamagedStoreError(_damaged(path, str(error))) from error
    except UnicodeDecodeError as error:  # of a message of SQLite's that quotes what is damaged
        raise DamagedStoreError(_damaged(path, "its texts are no UTF-8")) from error
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error


_HINTS = {
    "readonly": "expected a disk and a file that take writes",
    "unable to open": "expected a disk and a directory that take writes",
    "full": "make room on the disk",
    "I/O error": "look for the disk in the kernel's log",
    "locked": "another program has it open: end that program",
}
"""What to do about what SQLite says, by a part of its words."""


def _hint(said: str) -> str:
    return next((f"; {hint}" for part, hint in _HINTS.items() if part in said), "")


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def check_header(path: Path, named: Path) -> None:
    """Judge a file by its first bytes, before SQLite turns to another mode by them.

    Parameters
    ----------
    named
        What the errors call it.

    Raises
    ------
    DamagedStoreError
        It is empty, no SQLite file, or in another mode than it is written here.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER)
    if len(header) < _HEADER:
        raise DamagedStoreError(_damaged(named, f"it has {len(header)} bytes" if header else "it is empty"))
    # bytes 18 and 19: 1 is the rollback journal, 2 the write-ahead log, to which SQLite would turn
    if header[:16] != verify.MAGIC or header[18:20] != b"\1\1":
        raise DamagedStoreError(_damaged(named, "its first bytes are not those of a store"))
    if schema.wal_of(path).exists():
        raise DamagedStoreError(
            f"{schema.wal_of(path)} was left by another program, and SQLite would play it into the store: move it away"
        )


def _check_before_opening(path: Path) -> None:
    """Judge what SQLite would change, or pass over, as soon as it opens the file.

    Raises
    ------
    DamagedStoreError
        It is no store by its first bytes, or its journal is damaged.
    """
    check_header(path, path)
    problem = rollback_journal.problem(schema.journal_of(path), path)
    if problem is not None:
        raise DamagedStoreError(
            f"{schema.journal_of(path)} is damaged ({problem}), and the transaction that it would undo is known to it "
            "alone; both files were left as they are: restore the store from a backup and move the journal away"
        )


def _damaged(path: Path, what: str) -> str:
    shown = to_ascii(" ".join(what.split()))[:200]
    return (
        f"{path} is damaged ({shown}); it was left as it is: "
        "restore it from a backup, or move it away to begin with an empty history"
    )
