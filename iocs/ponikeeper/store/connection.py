"""Lock the directory of the SQLite file, create the file, and open it with the settings that survive a power cut."""

import fcntl
import os
import sqlite3
from pathlib import Path

from ponikeeper.errors import BusyStoreError, DamagedStoreError, StoreError
from ponikeeper.store import schema
from ponikeeper.system.atomic_write import sync_folder

_BUSY_TIMEOUT = 5.0
"""How long a statement waits for another program that has the file locked (s)."""


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
    require_no_journal(path)
    unfinished = path.with_name(path.name + ".new")
    try:
        for leftover in (unfinished, schema.journal_of(unfinished)):
            leftover.unlink(missing_ok=True)
        connection = connect(unfinished)
        try:
            connection.execute("BEGIN IMMEDIATE")
            schema.apply_steps(connection, 0)
            connection.execute("COMMIT")
        finally:
            connection.close()
        unfinished.rename(path)
        sync_folder(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path} cannot be created: {error}; expected a directory that accepts writes") from error


def require_no_journal(path: Path) -> None:
    """Check that no journal of a store that is gone is left; raises `DamagedStoreError`."""
    journals = [name for name in (schema.journal_of(path), schema.wal_of(path)) if os.path.lexists(name)]
    if journals:
        raise DamagedStoreError(
            f"{path} is gone, but its journal {journals[0].name} is still there: "
            "bring the store back, or move the journal away to start with an empty history"
        )


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


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
