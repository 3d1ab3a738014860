"""The sinks of the put log: lines of a file, or entries of the systemd journal with searchable fields."""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from ponikeeper.errors import ConfigError
from ponikeeper.putlog.entry import Put
from ponikeeper.system import systemd_journal
from ponikeeper.system.systemd_journal import Journal

_IDENTIFIER = "ponikeeper-put"
_PRIORITIES = {"accepted": 5, "refused": 5, "denied": 4}
"""Priorities of syslog: notice, warning."""


class Sink(Protocol):
    """Where puts are stored."""

    def write(self, put: Put) -> None:
        """Store a put; raises `OSError` on failure, and then no part of it is stored."""
        ...

    def close(self) -> None:
        """Close file or socket."""
        ...


def make_sink(named: str | None, folder: Path) -> Sink | None:
    """Open the put log of a configuration.

    Parameters
    ----------
    named
        ``"journal"``, the path of a file, or None: the journal where systemd started this process, else no log.
    folder
        Folder that a path is relative to.

    Returns
    -------
    Sink or None
        None without a put log.

    Raises
    ------
    ConfigError
        The file or journal cannot be opened.
    """
    if named is None:
        return JournalSink(Journal()) if systemd_journal.is_ours() else None
    if named == "journal":
        if not systemd_journal.JOURNAL.exists():
            raise ConfigError(
                f'ioc: putlog = "journal": {systemd_journal.JOURNAL} does not exist: '
                "expected a host with systemd, or a file"
            )
        return JournalSink(Journal())
    try:
        return FileSink(folder / named)
    except OSError as error:
        raise ConfigError(
            f'ioc: putlog = "{named}": {error}; expected "journal" or a file in an existing folder'
        ) from error


class FileSink:
    """Appends lines to a file, and opens a new one after log rotation.

    Parameters
    ----------
    path
        Path of the file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = self._opened()

    def write(self, put: Put) -> None:
        """Append a line, completely or not at all."""
        if not self._is_there():
            new = self._opened()  # opened before the old one is closed, since this can fail
            os.close(self._file)
            self._file = new
        line = f"{put.line()}\n".encode("ascii")
        end = os.fstat(self._file).st_size
        written = os.write(self._file, line)
        if written != len(line):  # a full disk stores only a part
            with suppress(OSError):
                os.ftruncate(self._file, end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _opened(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _is_there(self) -> bool:
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(self._file)
        return (named.st_dev, named.st_ino) == (mine.st_dev, mine.st_ino)


class JournalSink:
    """Sends puts to the journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def write(self, put: Put) -> None:
        """Send an entry."""
        self._journal.send(_fields(put))

    def close(self) -> None:
        """Close the socket."""
        self._journal.close()


def _fields(put: Put) -> dict[str, str]:
    fields = {
        "MESSAGE": put.line(),
        "PRIORITY": str(_PRIORITIES[put.outcome]),
        "SYSLOG_IDENTIFIER": _IDENTIFIER,
        "PONIKEEPER_PV": put.pv,
        "PONIKEEPER_OUTCOME": put.outcome,
        "PONIKEEPER_USER": put.user,
        "PONIKEEPER_ADDRESS": put.address,
    }
    if put.result is not None and put.result.revision is not None:
        fields["PONIKEEPER_REVISION"] = str(put.result.revision)
    return fields
