"""Where the put log goes: lines of a file, or entries of the systemd journal, with fields to search by."""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from ponikeeper.errors import ConfigError
from ponikeeper.putlog.entry import Put
from ponikeeper.system import journal
from ponikeeper.system.journal import Journal

_IDENTIFIER = "ponikeeper-put"
_PRIORITIES = {"accepted": 5, "refused": 5, "denied": 4}
"""Syslog's: notice, warning."""


class Sink(Protocol):
    """Takes what was put, for good."""

    def write(self, put: Put) -> None:
        """Keep a put; raises `OSError` where that fails, and then nothing of it is kept."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


def make_sink(named: str | None, folder: Path) -> Sink | None:
    """Open what a configuration names.

    Parameters
    ----------
    named
        ``"journal"``, the path of a file, or None: the journal where systemd has started us, else nothing.
    folder
        That a path is relative to.

    Raises
    ------
    ConfigError
        It cannot be opened.
    """
    if named is None:
        return JournalSink(Journal()) if journal.is_ours() else None
    if named == "journal":
        if not journal.JOURNAL.exists():
            raise ConfigError(
                f'ioc: putlog = "journal": {journal.JOURNAL} is not there: expected a host with systemd, or a file'
            )
        return JournalSink(Journal())
    try:
        return FileSink(folder / named)
    except OSError as error:
        raise ConfigError(
            f'ioc: putlog = "{named}": {error}; expected "journal" or a file in a folder that is there'
        ) from error


class FileSink:
    """Appends lines to a file, and begins a new one when it was rotated away.

    Parameters
    ----------
    path
        Of the file; its folder has to be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = self._opened()

    def write(self, put: Put) -> None:
        """Append a line, whole or not at all."""
        if not self._is_there():
            new = self._opened()  # before the old one is closed: this can fail
            os.close(self._file)
            self._file = new
        line = f"{put.line()}\n".encode("ascii")
        end = os.fstat(self._file).st_size
        written = os.write(self._file, line)
        if written != len(line):  # a disk that is full takes a part
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
