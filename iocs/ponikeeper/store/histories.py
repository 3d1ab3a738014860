"""Which history of a store belongs to a PV prefix, and which belong to none that is served."""

import shlex
import sqlite3
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, cast

from ponikeeper.errors import RefusedError, StoreError
from ponikeeper.store.data_types import StoredHistory
from ponikeeper.store.rows import CHECKED, record_of

if TYPE_CHECKING:
    from ponikeeper.history import RenameRecord


def read_histories(connection: sqlite3.Connection, version: int) -> list[StoredHistory]:
    """Read which histories a store has.

    Parameters
    ----------
    connection
        The open file.
    version
        Version of its schema; older ones have no renames.

    Returns
    -------
    list of StoredHistory
        In the order in which they began.

    Raises
    ------
    sqlite3.DatabaseError
        A row is damaged or was changed.
    """
    histories: list[StoredHistory] = []
    for key, prefix in connection.execute("SELECT id, prefix FROM detector ORDER BY id").fetchall():
        renames: list[RenameRecord] = []
        if version >= _WITH_RENAMES:
            sql = f"SELECT {CHECKED['rename']}, checksum FROM rename WHERE detector = ? ORDER BY number"
            renames = [
                cast("RenameRecord", record_of(prefix, "rename", row)) for row in connection.execute(sql, (key,))
            ]
        newest = "SELECT number, created FROM revision WHERE detector = ? ORDER BY number DESC LIMIT 1"
        count, created = connection.execute(newest, (key,)).fetchone() or (0, "")
        histories.append(StoredHistory(prefix, tuple(renames), count, created))
    return histories


_WITH_RENAMES = 6
"""Version of the schema from which on a history can be renamed."""


def first_prefix_of(histories: Sequence[StoredHistory], prefix: str) -> str:
    """Return the first PV prefix of the history that belongs to a prefix of today, by which the store has it.

    Parameters
    ----------
    histories
        Those of the store.
    prefix
        The PV prefix of a detector.

    Returns
    -------
    str
        The prefix itself where it was never renamed, or has no history yet.

    Raises
    ------
    StoreError
        The history of that prefix was renamed: the numbers of its revisions must not get a second meaning.
    """
    for history in histories:
        if history.renames and history.prefixes[-1] == prefix:
            return history.prefix
    for history in histories:
        if prefix in history.prefixes[:-1]:
            rename = history.renames[-1]
            raise StoreError(
                f"the history of {prefix} is that of {rename.new} since {rename.time[:19]}Z, and runs recorded it as "
                f"{prefix}: serve {rename.new}, or give the new detector a prefix that was never used"
            )
    return prefix


def require_no_other(histories: Sequence[StoredHistory], first_prefix: str, prefix: str) -> None:
    """Check that a history may be added to a store.

    Parameters
    ----------
    histories
        Those of the store.
    first_prefix, prefix
        The first PV prefix of the history that is added, and that of today.

    Raises
    ------
    RefusedError
        The store has another history that has, or had, this prefix.
    """
    for history in histories:
        if history.prefix != first_prefix and prefix in history.prefixes and (history.revisions or history.renames):
            raise RefusedError(
                f"the store has a history of {history.prefixes[-1]} that began as {history.prefix}, the other one "
                f"began as {first_prefix}: a number must not have two meanings, import into an empty state_dir"
            )


def unnamed(histories: Sequence[StoredHistory], prefixes: Collection[str]) -> list[StoredHistory]:
    """Return the histories with revisions that belong to no detector that is served.

    Parameters
    ----------
    histories
        Those of the store.
    prefixes
        The PV prefixes of the detectors.
    """
    return [history for history in histories if history.revisions and history.prefixes[-1] not in prefixes]


def unnamed_text(history: StoredHistory, config: str) -> str:
    """Return the warning about a history that belongs to no detector that is served.

    Parameters
    ----------
    history
        As `unnamed` returns it.
    config
        Path of the configuration.
    """
    prefix, count = history.prefixes[-1], history.revisions
    return (
        f"the store has a history of {prefix} ({count} revision{'s' * (count != 1)}, the newest made "
        f"{history.newest[:19]}Z), which {config} does not name: if the detector has another prefix now, stop the IOC "
        f"and type ponikeeper rename {config} {shlex.quote(prefix)} 'NEW PREFIX'"
    )


def require_renamable(histories: Sequence[StoredHistory], old: str, new: str) -> StoredHistory:
    """Return the history that can be renamed.

    Parameters
    ----------
    histories
        Those of the store.
    old, new
        Its PV prefix today, and the one that it is to get.

    Returns
    -------
    StoredHistory

    Raises
    ------
    RefusedError
        There is none, or the new prefix has a history, or had one.
    """
    named = [history for history in histories if history.prefixes[-1] == old and history.revisions]
    if not named:
        known = ", ".join(history.prefixes[-1] for history in histories if history.revisions) or "none"
        raise RefusedError(f"the store has no history of {old}: it has {known}")
    for history in histories:
        if history is not named[0] and new in history.prefixes and (history.revisions or history.renames):
            raise RefusedError(
                f"{new} has {history.revisions} revision{'s' * (history.revisions != 1)} of its own, the newest made "
                f"{history.newest[:19]}Z: a number must not have two meanings, give another prefix"
            )
    return named[0]
