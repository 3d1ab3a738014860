"""The storage that the IOC uses, opened here only: to store elsewhere, return another class."""

from pathlib import Path

from ponikeeper.store.interface import HistoryStorage
from ponikeeper.store.sqlite_storage import SQLiteStorage


def open_storage(path: Path) -> HistoryStorage:
    """Open the storage of an IOC, and lock it.

    Parameters
    ----------
    path
        The file, `Config.store`; it and its folder are created where they do not exist.

    Returns
    -------
    HistoryStorage
        The storage, which the caller closes.

    Raises
    ------
    StoreError
        It cannot be used: another process has it, or the disk fails.
    DamagedStoreError
        It is damaged or was changed.
    """
    return SQLiteStorage(path)
