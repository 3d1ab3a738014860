"""What a server would find in a store, read without a change: whether it can be used, and whose histories it has."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from ponikeeper.errors import StoreError
from ponikeeper.store import schema, verify
from ponikeeper.store.backup import read_only
from ponikeeper.store.connection import require_no_journal
from ponikeeper.store.data_types import StoredHistory
from ponikeeper.store.database import newer_version_text, translated_errors
from ponikeeper.store.histories import read_histories


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a server would find.

    Parameters
    ----------
    text
        For a person: whether the store exists, is served now, or would be migrated.
    served
        Whether a server has it open now.
    histories
        What it has; None where that cannot be read now.
    """

    text: str
    served: bool
    histories: list[StoredHistory] | None


def outlook(path: Path) -> Outlook:
    """Read what a server would find in a store; rows are not verified, and nothing is changed.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    Outlook

    Raises
    ------
    DamagedStoreError
        It is damaged, or gone without its journal.
    StoreError
        A newer version of ponikeeper wrote it.
    """
    try:
        path.stat(follow_symlinks=False)
        readable = os.access(path.parent, os.R_OK, effective_ids=True) and os.access(path, os.R_OK, effective_ids=True)
    except (FileNotFoundError, NotADirectoryError):
        require_no_journal(path)
        return Outlook("does not exist yet: it begins with the first start", False, [])
    except PermissionError:
        readable = False
    if not readable:
        return Outlook("may not be read by this user: check it as root", False, None)
    served = _is_served(path.parent)
    if not served and schema.journal_of(path).exists():
        return Outlook("has an unfinished write, which the next start undoes", False, None)
    with read_only(path) as connection, translated_errors(path):
        version, newest = verify.check_structure(connection), len(schema.MIGRATIONS)
        if version > newest:
            raise StoreError(newer_version_text(path, version))
        histories = read_histories(connection, version)
    notes = ["is served now"] if served else []
    if version < newest:
        notes.append(
            f"has schema version {version}, the start migrates it to {newest}, which no older ponikeeper reads: make a "
            "backup before"
        )
    return Outlook(", ".join(notes) or "can be used", served, histories)


def _is_served(directory: Path) -> bool:
    """Return whether another process has the lock of the store."""
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False
