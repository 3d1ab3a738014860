"""A live IOC for tests: the real service in a process of its own, on loopback ports of its own."""

import contextlib
import fcntl
import itertools
import os
import queue
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Self, TypeVar

from forks import Forked, Forks

T = TypeVar("T")

PORTS = 14
TIMEOUT = 30.0

DETECTORS = ("{Det:1}Calib:", "{Det:2}Calib:")


_CLAIMABLE = range(20000, 32000)
"""Below the kernel's ephemeral ports, so that a server that ends finds its port again."""

_claims: list[IO[bytes]] = []

_WARNING = re.compile(r"^.*/ponikeeper(?:_client)?/[^:]*\.py:\d+: \w+Warning: .*$", re.MULTILINE)
"""A warning that Python printed for a line of ponikeeper's own code."""


def free_ports(count: int) -> list[int]:
    """Find ports that are free for TCP and UDP on loopback, and claim them until this process ends."""
    candidates = random.SystemRandom().sample(_CLAIMABLE, len(_CLAIMABLE))  # a seed must not lead two runs to one
    return list(itertools.islice(filter(_claim, candidates), count))


def _claim(port: int) -> bool:
    folder = Path(tempfile.gettempdir(), f"ponikeeper-ports-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    claim = (folder / str(port)).open("wb")
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of others that run tests at this moment
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.bind(("127.0.0.1", port))
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True


def wait_for(
    condition: Callable[[], T], timeout: float = TIMEOUT, what: str = "the condition", period: float = 0.005
) -> T:
    """Evaluate a condition repeatedly until it is true, and return its value."""
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true within {timeout:g} s; the last answer was {answer!r}")
        time.sleep(period)


def _has_stopped(pid: int) -> bool:
    """Return whether each thread of a process is stopped: after the signal they run on for a moment."""
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            if stat.read_text().rpartition(")")[2].split()[0] != "T":
                return False
    return True


class LiveIoc:
    """`ponikeeper serve` in a process of its own.

    Parameters
    ----------
    folder
        Where its configuration and its store are.
    port
        One of the session's ports.
    name
        First part of every PV name, so that no two IOCs of a session share one.
    detectors
        Prefixes behind `name`.
    more
        Further TOML, by detector prefix.
    access
        The table of the access rules, as TOML.
    own
        Further TOML of the IOC's own table.
    pva
        Whether it serves PVAccess, too, at `pva_port`.
    forks
        What starts its process. None, or further variables, or another command: a new interpreter.
    environment
        Further variables of the IOC's process.
    other_ports
        Ports of the servers that have its linked PVs.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        name: str,
        detectors: tuple[str, ...] = DETECTORS,
        more: dict[str, str] | None = None,
        environment: dict[str, str] | None = None,
        other_ports: tuple[int, ...] = (),
        access: str = "",
        own: str = "",
        forks: Forks | None = None,
        pva: bool = False,
    ) -> None:
        self.folder, self.port, self.name = folder, port, name
        self._other_ports = other_ports
        self._environment = environment or {}
        self._forks = forks
        self.prefixes = tuple(name + detector for detector in detectors)
        self.config = folder / f"{name}.toml"
        self.state_dir = folder / "state"
        self.store = self.state_dir / "ponikeeper.sqlite"
        parts = [f'[ioc]\nprefix = "{name}{{IOC}}"\nstate_dir = "{self.state_dir}"\n{own}\n']
        parts += [
            f'[[detector]]\nprefix = "{prefix}"\n{(more or {}).get(detector, "")}\n'
            for prefix, detector in zip(self.prefixes, detectors, strict=True)
        ]
        self.pva_port = self.pva_search_port = 0
        if pva:
            self.pva_port, self.pva_search_port = free_ports(2)
            ports = f"port = {self.pva_port}\nsearch_port = {self.pva_search_port}"
            parts.append(f'[pva]\nenabled = true\ninterfaces = ["127.0.0.1"]\n{ports}\n')
        self._parts = parts
        folder.mkdir(parents=True, exist_ok=True)
        self.give_access(access)
        self.process: subprocess.Popen[str] | Forked | None = None
        self.ready = ""
        self.stderr = folder / f"{name}.log"

    def give_access(self, rules: str) -> None:
        """Write the configuration with other access rules."""
        self.config.write_text("\n".join([*self._parts, f"[access]\n{rules}\n" if rules else ""]))

    @property
    def prefix(self) -> str:
        """The first detector's prefix."""
        return self.prefixes[0]

    def environment(self) -> dict[str, str]:
        """Return the environment of the IOC's process: its own port, loopback only."""
        return {
            **os.environ,
            "EPICS_CA_SERVER_PORT": str(self.port),
            "EPICS_CA_ADDR_LIST": " ".join(["127.0.0.1", *(f"127.0.0.1:{port}" for port in self._other_ports)]),
            "EPICS_CA_AUTO_ADDR_LIST": "NO",
            "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
            "EPICS_CAS_BEACON_ADDR_LIST": f"127.0.0.1:{os.environ['EPICS_CA_REPEATER_PORT']}",
            "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
            "PYTHONWARNINGS": "default",
            **self._environment,
        }

    def command(self) -> list[str]:
        """Return the command line that serves the configuration."""
        return [sys.executable, "-m", "ponikeeper", "serve", str(self.config)]

    def start(self, wrapper: tuple[str, ...] = ()) -> Self:
        """Start the process and wait for its READY line.

        Parameters
        ----------
        wrapper
            A command that runs the IOC inside it, such as strace.
        """
        is_usual = not (wrapper or self._environment or "command" in vars(self))
        with self.stderr.open("a") as log:
            if self._forks and is_usual:
                self.process = self._fork(self._forks, log)
            else:
                self.process = subprocess.Popen(
                    [*wrapper, *self.command()], stdout=subprocess.PIPE, stderr=log, env=self.environment(), text=True
                )
        lines: queue.Queue[str] = queue.Queue()
        stdout = self.process.stdout
        assert stdout is not None
        threading.Thread(target=lambda: [lines.put(line) for line in stdout] and None, daemon=True).start()
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                self.ready = lines.get(timeout=0.1).strip()
                break
            except queue.Empty:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"no READY line: {self.stderr.read_text()[-2000:]}") from None
        return self

    def _fork(self, forks: Forks, log: IO[str]) -> Forked:
        """Start the process without a new interpreter."""
        reading, writing = os.pipe()
        try:
            forked = forks.start(["serve", str(self.config)], self.environment(), writing, log.fileno())
        finally:
            os.close(writing)
        forked.stdout = os.fdopen(reading)
        return forked

    def warnings(self) -> list[str]:
        """Return the warnings that ponikeeper's own code raised in the process: there must be none."""
        return _WARNING.findall(self.stderr.read_text()) if self.stderr.exists() else []

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process; after SIGSTOP, wait until each of its threads has stopped."""
        assert self.process is not None
        self.process.send_signal(number)
        if number is signal.SIGSTOP:
            wait_for(lambda: _has_stopped(self.process.pid), what="its stop")

    def kill(self) -> None:
        """End the process at once, as a power cut of the host would."""
        if self.process is not None:
            self.process.kill()
            self._reap()

    def stop(self) -> int:
        """Terminate the process, and return its exit code."""
        if self.process is None:
            return 0
        self.process.terminate()
        return self._reap()

    def _reap(self) -> int:
        assert self.process is not None
        code = self.process.wait(timeout=TIMEOUT)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None
        return code


@contextlib.contextmanager
def serving(ioc: LiveIoc) -> Iterator[LiveIoc]:
    """Serve for the duration of the block."""
    try:
        yield ioc.start()
    finally:
        ioc.kill()
    assert ioc.warnings() == []
