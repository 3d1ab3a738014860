"""Real trouble with a disk: mounts in a namespace of the IOC's own, and failing or hanging syncs by strace."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from live import LiveIoc, wait_for

_UNSHARE = ("unshare", "-m") if os.geteuid() == 0 else ("unshare", "-rm")
_ENTER = ("-m",) if os.geteuid() == 0 else ("-U", "--preserve-credentials", "-m")


def require_namespaces() -> None:
    """Skip the test where no mount namespace can be made."""
    tried = subprocess.run(
        [*_UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False, text=True
    )
    if tried.returncode:
        pytest.skip(f"no mount namespace here: {tried.stderr.strip()}")


def mounting(*commands: str) -> tuple[str, ...]:
    """Return the wrapper that mounts in a namespace of its own and then becomes the IOC."""
    script = "set -e; " + "; ".join(commands) + '; exec "$@"'
    return (*_UNSHARE, "sh", "-c", script, "sh")


def inside(ioc: LiveIoc, *command: str) -> None:
    """Run a command in the IOC's namespace."""
    assert ioc.process is not None
    subprocess.run(["nsenter", "-t", str(ioc.process.pid), *_ENTER, *command], check=True)


def seen_by(ioc: LiveIoc, path: Path) -> Path:
    """Return the path by which a file in the IOC's namespace is reached."""
    assert ioc.process is not None
    return Path(f"/proc/{ioc.process.pid}/root") / path.relative_to("/")


def fill(path: Path) -> None:
    """Fill a disk to its last byte with one file."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (65536, 4096, 512, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


def require_loop_devices() -> None:
    """Skip the test where no image of a disk can be mounted."""
    for needed in ("losetup", "mkfs.ext4"):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not installed")
    tried = subprocess.run(["losetup", "--find"], capture_output=True, check=False, text=True)
    if os.geteuid() != 0 or tried.returncode:
        pytest.skip(f"no loop device here: {tried.stderr.strip() or 'only root may mount one'}")


def require_strace() -> None:
    """Skip the test where syncs cannot be made to fail."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")


@contextlib.contextmanager
def syncs(ioc: LiveIoc, inject: str) -> Iterator[Path]:
    """Make the IOC's syncs fail or hang for the duration of the block; yield strace's log.

    Parameters
    ----------
    inject
        As strace takes it behind the names of the calls: ``error=EIO:when=2``.
    """
    assert ioc.process is not None
    pid, log = ioc.process.pid, ioc.folder / "strace.log"
    command = ["strace", "-f", "-p", str(pid), "-o", str(log), "-e", "trace=fsync,fdatasync"]
    strace = subprocess.Popen([*command, "-e", f"inject=fsync,fdatasync:{inject}"], stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: strace.poll() is not None or is_traced(pid), what="strace")
        if strace.poll() is not None:
            pytest.skip(f"strace may not trace here: {strace.stderr.read() if strace.stderr else ''}")
        yield log
    finally:
        end_strace(strace)
        assert strace.stderr is not None
        strace.stderr.close()


def end_strace(strace: subprocess.Popen[str]) -> None:
    """End strace; it does not end by itself while it holds a call back, or while a traced process dies."""
    strace.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        strace.wait(timeout=1)
    strace.kill()
    strace.wait()


def is_traced(pid: int) -> bool:
    """Check whether every thread of a process is traced."""
    states = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/status")]
    return bool(states) and all("TracerPid:\t0\n" not in state for state in states)


def has_ended(pid: int) -> bool:
    """Check whether a process has ended, though strace may still hold one of its threads."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def read(self) -> float:
        """Return the seconds since it was made."""
        return time.monotonic() - self._began
