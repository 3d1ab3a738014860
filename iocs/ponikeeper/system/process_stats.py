"""Statistics of this process: memory, file descriptors, number of starts."""

import logging
import os
import resource
from dataclasses import dataclass
from pathlib import Path

from ponikeeper.errors import FileWriteError
from ponikeeper.system.atomic_write import write_atomic

log = logging.getLogger(__name__)

_PROCESS = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class ProcessStats:
    """Resources that a process uses.

    Parameters
    ----------
    memory
        Resident memory (bytes).
    open_files, free_files
        Number of open file descriptors, and of those that can still be opened.
    """

    memory: float
    open_files: int
    free_files: int


def read() -> ProcessStats:
    """Read the statistics of this process from /proc."""
    resident = int((_PROCESS / "statm").read_text().split()[1])
    open_files = len(list((_PROCESS / "fd").iterdir())) - 1  # without the one of iterdir itself
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return ProcessStats(float(resident * resource.getpagesize()), open_files, max(0, limit - open_files))


def count_start(path: Path) -> int:
    """Add one to the number of starts in a file; if it cannot be written, a warning is logged.

    Parameters
    ----------
    path
        The file; created where it does not exist.

    Returns
    -------
    int
        Number of starts, including this one.
    """
    try:
        before = int(path.read_text())
    except (OSError, ValueError):
        before = 0
    try:
        write_atomic(path, f"{before + 1}\n".encode())
    except FileWriteError as error:
        log.warning("this start is not counted: %s", error)
    return before + 1


def host_name() -> str:
    """Return the name of this host."""
    return os.uname().nodename
