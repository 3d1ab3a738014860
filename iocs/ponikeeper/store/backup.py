"""A copy of a store while it is served, and what a store that nobody serves holds, all of it verified."""

import os
import sqlite3
import tempfile
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ponikeeper.errors import DamagedStoreError, StoreError
from ponikeeper.history.records import KINDS
from ponikeeper.store import schema, verify
from ponikeeper.store.database import check_header, damage_told

_PATIENCE = 10.0
"""How long a copy waits for a write that is under way (s)."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a store holds.

    Parameters
    ----------
    version
        Of its schema.
    counts
        By the detectors' prefixes: how many records there are of each kind.
    """

    version: int
    counts: dict[str, dict[str, int]]


def is_store(path: Path) -> bool:
    """Tell whether a file looks like a store; raises `OSError` where it cannot be read."""
    with path.open("rb") as file:
        return file.read(len(verify.MAGIC)) == verify.MAGIC


def copy(path: Path, target: Path) -> Contents:
    """Copy a store as it is at one instant, whether it is served or not, and verify the copy.

    Writes wait while it lasts. The copy is on disk, whole and verified, before it has its name.

    Parameters
    ----------
    path, target
        The store, and a name that is not taken.

    Raises
    ------
    DamagedStoreError
        What was copied is not what was written: the store is damaged.
    StoreError
        It could not be read, or not be written there; nothing is left then.
    """
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with _read_only(path) as source, damage_told(target), closing(sqlite3.connect(beside)) as copied:
            source.backup(copied)
        contents = _inspected(beside, path)
        _sync(beside)
        with damage_told(target):
            beside.rename(target)
        _sync(target.parent)
    finally:
        beside.unlink(missing_ok=True)
    return contents


def inspect(path: Path) -> Contents:
    """Verify every row of a store, which may be served meanwhile, and tell what it holds; it stays as it is.

    That is done with a copy, in the folder for temporary files: to read so much would keep its IOC from writing.

    Raises
    ------
    DamagedStoreError
        It is not what was written to it.
    StoreError
        It cannot be read, or another version of ponikeeper wrote it.
    """
    with tempfile.TemporaryDirectory() as folder:
        return copy(path, Path(folder) / path.name)


def _inspected(path: Path, named: Path) -> Contents:
    """Verify a copy; errors name the store that it is of."""
    with _read_only(path, named) as connection, damage_told(named):
        version = verify.check_structure(connection)
        if version != len(schema.MIGRATIONS):
            raise StoreError(
                f"{named} has schema version {version}, this ponikeeper verifies {len(schema.MIGRATIONS)}: "
                "use the ponikeeper that serves it"
            )
        prefixes = dict(connection.execute("SELECT id, prefix FROM detector"))
        for rows in verify.slices(connection):
            verify.verify_slice(connection, rows, prefixes)
        return Contents(version, {prefix: _counts(connection, key) for key, prefix in sorted(prefixes.items())})


def _counts(connection: sqlite3.Connection, key: int) -> dict[str, int]:
    return {
        kind: connection.execute(f"SELECT count(*) FROM {kind} WHERE detector = ?", (key,)).fetchone()[0]
        for kind in KINDS
    }


@contextmanager
def _read_only(path: Path, named: Path | None = None) -> Generator[sqlite3.Connection]:
    """Open a store so that nothing of it can be changed."""
    named = named or path
    with damage_told(named):
        check_header(path, named)
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=ro", timeout=_PATIENCE, isolation_level=None, uri=True
        )
    with closing(connection):
        try:
            with damage_told(named):
                connection.execute("PRAGMA user_version")
        except StoreError as error:
            if not isinstance(error, DamagedStoreError) and schema.journal_of(path).exists():
                raise StoreError(
                    f"{named} was left in the middle of a write, which {schema.journal_of(path).name} undoes: start "
                    "its IOC, which does that and verifies it"
                ) from error
            raise
        yield connection


def _sync(path: Path) -> None:
    with damage_told(path):
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
