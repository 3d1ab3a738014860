"""Network namespaces: each has interfaces and addresses of its own."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

UNSHARE = ("unshare", "-n") if os.geteuid() == 0 else ("unshare", "-rn")
"""Runs a command in a network namespace of its own."""


def why_not() -> str | None:
    """Return why such networks cannot be made here, or None."""
    script = "ip link add probe0 type veth peer name probe1 && echo 0 > /proc/sys/net/ipv4/ip_forward"
    try:
        tried = subprocess.run([*UNSHARE, "sh", "-c", script], capture_output=True, check=False, text=True)
    except OSError as error:
        return str(error)
    return tried.stderr.strip() or "no network namespace can be had" if tried.returncode else None


@contextlib.contextmanager
def namespace() -> Iterator[int]:
    """Hold a network namespace for the duration of the block; yield the process in it."""
    ours = Path("/proc/self/ns/net").readlink()
    with subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec sleep 3600"], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            assert Path(f"/proc/{holder.pid}/ns/net").readlink() != ours
            yield holder.pid
        finally:
            holder.kill()


def inside(pid: int) -> tuple[str, ...]:
    """Return what runs a command in the namespace of a process."""
    return ("nsenter", "-t", str(pid), "-n")


def run(*words: str) -> None:
    """Run a command that must succeed."""
    subprocess.run(words, check=True)
