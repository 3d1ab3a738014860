"""How this process is: its memory, its open files, how often its IOC was started."""

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
class Vitals:
    """What a process uses.

    Parameters
    ----------
    memory
        In RAM (bytes).
    open_files, free_files
        File descriptors that are open, and that could be opened yet.
    """

    memory: float
    open_files: int
    free_files: int


def read() -> Vitals:
    """Read what this process uses from /proc."""
    resident = int((_PROCESS / "statm").read_text().split()[1])
    open_files = len(list((_PROCESS / "fd").iterdir())) - 1  # the folder itself was open
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Vitals(float(resident * resource.getpagesize()), open_files, max(0, limit - open_files))


def count_start(path: Path) -> int:
    """Count a start in a file, and give how many there were; a disk that is full stops no IOC.

    Parameters
    ----------
    path
        Of the file; made where it is not there.
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
    """Give this host's name."""
    return os.uname().nodename
