"""Copying and inspecting a store, whether it is served or not; every row is verified."""

import os
import sqlite3
import tempfile
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ponikeeper.errors import DamagedStoreError, StoreError
from ponikeeper.history.history_file import counted
from ponikeeper.history.records import KINDS
from ponikeeper.store import schema, verify
from ponikeeper.store.database import check_header, translated_errors
from ponikeeper.store.histories import read_histories
from ponikeeper.system.atomic_write import sync_file, sync_folder

_PATIENCE = 10.0
"""How long a copy waits for a write in progress (s)."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a store contains.

    Parameters
    ----------
    version
        Version of its schema.
    counts
        Number of records of each kind, by the prefixes that the detectors have today.
    """

    version: int
    counts: dict[str, dict[str, int]]


def is_store(path: Path) -> bool:
    """Return whether a file starts as an SQLite file does; raises `OSError` if it cannot be read."""
    with path.open("rb") as file:
        return file.read(len(verify.MAGIC)) == verify.MAGIC


def copy(path: Path, target: Path) -> Contents:
    """Copy a store as it is at one instant, whether it is served or not, and verify the copy.

    Writes to the store wait meanwhile. The copy gets its name when it is verified and on disk.

    Parameters
    ----------
    path
        The store.
    target
        The copy; the file must not exist.

    Returns
    -------
    Contents
        What the copy contains.

    Raises
    ------
    DamagedStoreError
        The store is damaged or was changed.
    StoreError
        It cannot be read, or the copy cannot be written; no file is left then.
    """
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with read_only(path) as source, translated_errors(target), closing(sqlite3.connect(unfinished)) as destination:
            source.backup(destination)
        contents = _verified(unfinished, path)
        with translated_errors(unfinished):
            sync_file(unfinished)
        with translated_errors(target):
            unfinished.rename(target)
        with translated_errors(target.parent):
            sync_folder(target.parent)
    finally:
        unfinished.unlink(missing_ok=True)
    return contents


def inspect(path: Path) -> Contents:
    """Verify every row of a store, which may be served meanwhile; the store is not changed.

    This reads a copy in the folder for temporary files: reading the store itself would block the writes of
    its IOC for too long.

    Parameters
    ----------
    path
        The store.

    Returns
    -------
    Contents

    Raises
    ------
    DamagedStoreError
        It is damaged or was changed.
    StoreError
        It cannot be read, or another version of ponikeeper wrote it.
    """
    with tempfile.TemporaryDirectory() as folder:
        return copy(path, Path(folder) / path.name)


def _verified(path: Path, name: Path) -> Contents:
    """Verify a copy; errors name the store that was destination."""
    with read_only(path, name) as connection, translated_errors(name):
        version = verify.check_structure(connection)
        if version != len(schema.MIGRATIONS):
            raise StoreError(
                f"{name} has schema version {version}, this ponikeeper verifies {len(schema.MIGRATIONS)}: "
                "use the ponikeeper that serves it"
            )
        prefixes = dict(connection.execute("SELECT id, prefix FROM detector"))
        verify.check_complete(connection)
        for rows in verify.slices(connection):
            verify.verify_slice(connection, rows, prefixes)
        named = {history.prefix: history.prefixes[-1] for history in read_histories(connection, version)}
        counts = {key: _counts(connection, key) for key in sorted(prefixes)}
        empty_first = sorted(counts, key=lambda key: (counts[key]["revision"] > 0, key))  # of one name, the renamed one
        return Contents(version, {named[prefixes[key]]: counts[key] for key in empty_first})


def _counts(connection: sqlite3.Connection, key: int) -> dict[str, int]:
    return counted(
        {
            kind: connection.execute(f"SELECT count(*) FROM {kind} WHERE detector = ?", (key,)).fetchone()[0]
            for kind in KINDS
        }
    )


@contextmanager
def read_only(path: Path, name: Path | None = None) -> Generator[sqlite3.Connection]:
    """Open a store read-only, whether it is served or not; errors are those of `copy`, with the file called `name`."""
    name = name or path
    with translated_errors(name):
        check_header(path, name)
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=ro", timeout=_PATIENCE, isolation_level=None, uri=True
        )
    with closing(connection):
        try:
            with translated_errors(name):
                connection.execute("PRAGMA user_version")
        except StoreError as error:
            if not isinstance(error, DamagedStoreError) and schema.journal_of(path).exists():
                raise StoreError(
                    f"{name} has an unfinished write, which {schema.journal_of(path).name} can undo: start "
                    "its IOC, which undoes it and verifies the store"
                ) from error
            raise
        yield connection
