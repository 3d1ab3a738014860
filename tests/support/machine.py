"""A machine with a real systemd, booted by systemd-nspawn without a network: of this host's files, or a bare Debian."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from live import TIMEOUT, wait_for

ROOT = Path(__file__).parents[2]
PYTHON = Path("/usr/bin/python3")
"""The unit hides /home and /root: an interpreter from there would be hidden with them."""

INSTALLED = Path("/opt/ponikeeper")


class Machine:
    """A booted machine.

    Parameters
    ----------
    leader
        Number of its first process, as this host sees it.
    root
        Its files, as this host sees them.
    """

    def __init__(self, leader: int, root: Path) -> None:
        self._leader, self.root = leader, root

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command in it, and return what it printed."""
        enter = ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "-C", "--", "env", "-i"]
        channel_access = [
            "EPICS_CA_ADDR_LIST=127.0.0.1",
            "EPICS_CA_AUTO_ADDR_LIST=NO",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ]
        done = subprocess.run(
            [*enter, *channel_access, *command], capture_output=True, text=True, timeout=3 * TIMEOUT, check=False
        )
        assert not check or done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def ponikeeper(self, *words: str) -> str:
        """Run a verb of ponikeeper in it."""
        return self.run(str(INSTALLED / "bin" / "ponikeeper"), *words)

    def property(self, unit: str, name: str) -> str:
        """Return a property of a unit from systemd."""
        return self.run("systemctl", "show", "--property", name, "--value", unit).strip()


@contextlib.contextmanager
def booted(*installed: str) -> Iterator[Machine]:
    """Boot a machine on which the project is installed, as long as the block lasts; skips where that cannot be done.

    Parameters
    ----------
    installed
        Extras of the project that it has.
    """
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is not installed")
    with overlaid(Path("/")) as root:
        _install(root, ",".join(installed))
        with running(root) as machine:
            yield machine


@contextlib.contextmanager
def overlaid(lower: Path) -> Iterator[Path]:
    """Yield a folder with the files of another; its changes are discarded after the block."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts an overlay")
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="machine-") as folder:
        root = Path(folder) / "root"
        for name in ("upper", "work", "root"):
            (Path(folder) / name).mkdir()
        layers = f"lowerdir={lower},upperdir={folder}/upper,workdir={folder}/work"
        done = subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", layers, str(root)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"no overlay can be mounted here: {done.stderr.strip()}")
        try:
            yield root
        finally:
            subprocess.run(["umount", "--lazy", str(root)], check=True)


def make_debian(folder: Path) -> None:
    """Write the files of a Debian that has its base system and systemd alone; skips where it is not to be had."""
    if shutil.which("debootstrap") is None or os.geteuid() != 0:
        pytest.skip("a bare Debian is made by root, with debootstrap")
    command = ["debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,dbus", "bookworm", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        pytest.skip(f"Debian's packages are not to be had: {done.stdout[-300:]}")


def _install(root: Path, extras: str) -> None:
    """Install the project where its unit expects it, from a wheel, as a site would."""
    wheels = root / "wheels"
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), str(ROOT)]
    subprocess.run(build, check=True, timeout=300)
    (wheel,) = (f"/wheels/{path.name}" for path in wheels.iterdir())
    inside = ["chroot", str(root)]
    subprocess.run([*inside, str(PYTHON), "-m", "venv", "--clear", str(INSTALLED)], check=True, timeout=300)
    install = [str(INSTALLED / "bin" / "pip"), "install", "--quiet", f"{wheel}[{extras}]"]
    subprocess.run([*inside, *install], check=True, timeout=600)


@contextlib.contextmanager
def running(root: Path) -> Iterator[Machine]:
    """Boot the files of a machine, without a network, as long as the block lasts; skips where that cannot be done."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("systemd-nspawn", "nsenter"))):
        pytest.skip("a machine is booted by root, with systemd-nspawn")
    command = [
        "systemd-nspawn",
        "--quiet",
        "--directory",
        str(root),
        "--machine",
        "ponikeeper",
        "--boot",
        "--register=no",
    ]
    command += ["--keep-unit", "--private-network", "--console=pipe", "systemd.unit=multi-user.target"]
    with (
        tempfile.TemporaryFile() as console,
        subprocess.Popen(command, stdout=console, stderr=console, stdin=subprocess.DEVNULL) as nspawn,
    ):
        try:
            machine = Machine(wait_for(lambda: _child(nspawn.pid), what="systemd"), root)
            began = time.monotonic()
            while machine.run("systemctl", "is-system-running", check=False).strip() not in ("running", "degraded"):
                if nspawn.poll() is not None or time.monotonic() - began > 3 * TIMEOUT:
                    console.seek(0)
                    pytest.skip(f"systemd does not boot here: {console.read().decode(errors='replace')[-500:]}")
            yield machine
        finally:
            nspawn.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                nspawn.wait(TIMEOUT)
            nspawn.kill()


def _child(pid: int) -> int | None:
    """Return the first process of the machine, once it is systemd."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            if Path(f"/proc/{child}/exe").resolve().name == "systemd":
                return int(child)
    return None
