"""The systemd journal by its native protocol: entries of any length, with searchable fields."""

import errno
import fcntl
import logging
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

JOURNAL = Path("/run/systemd/journal/socket")

_LEVELS = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""Python's levels with the priorities of syslog, highest first."""

_DEBUG = 7


def is_ours() -> bool:
    """Return whether systemd started this process with its output connected to the journal."""
    return "JOURNAL_STREAM" in os.environ and JOURNAL.exists()


class Journal:
    """Connection to the journal.

    Parameters
    ----------
    address
        Path of its socket.
    """

    def __init__(self, address: Path = JOURNAL) -> None:
        self._address = str(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def send(self, fields: Mapping[str, str]) -> None:
        """Send an entry; one that is too long for a datagram is sent as a memory file. Raises `OSError`."""
        entry = b"".join(_field(name, value) for name, value in fields.items())
        try:
            self._socket.sendto(entry, self._address)
        except OSError as error:
            if error.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
            self._send_file(entry)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _send_file(self, entry: bytes) -> None:
        memory = os.memfd_create("ponikeeper", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.write(memory, entry)
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
            fcntl.fcntl(memory, fcntl.F_ADD_SEALS, seals)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, memory.to_bytes(4, sys.byteorder))
            self._socket.sendmsg([b""], [rights], 0, self._address)  # socket.send_fds ignores its address
        finally:
            os.close(memory)


class JournalHandler(logging.Handler):
    """Log handler that writes records to the journal, with level, logger and source location."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record to the journal, or to stderr if the journal does not accept it."""
        fields = {
            "MESSAGE": self.format(record),
            "PRIORITY": str(next((number for level, number in _LEVELS if record.levelno >= level), _DEBUG)),
            "SYSLOG_IDENTIFIER": "ponikeeper",
            "PONIKEEPER_LOGGER": record.name,
            "CODE_FILE": record.pathname,
            "CODE_LINE": str(record.lineno),
            "CODE_FUNC": record.funcName or "",
        }
        try:
            self._journal.send(fields)
        except OSError:
            sys.stderr.write(f"{record.levelname} {record.name}: {fields['MESSAGE']}\n")


def _field(name: str, value: str) -> bytes:
    """Format a field with its length before the value, since a value may contain newlines."""
    data = value.encode("utf-8", "surrogatepass")
    return name.encode("ascii") + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
