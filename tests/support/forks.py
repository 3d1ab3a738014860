"""Commands and IOCs without their start-up time: a process that has the libraries loaded forks for each of them."""

import contextlib
import fcntl
import gc
import json
import os
import queue
import random
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
import traceback
import uuid
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, NoReturn, Self

LIBRARIES = (
    "ponikeeper.caclient", "epicscorelibs.path", "numpy", "typer.main", "typer._adapters", "rich.table", "rich.console",
    "typer.rich_utils",
    "ponikeeper.cli.app", "ponikeeper.ca.service", "ponikeeper.store", "ponikeeper_client.cli",
)  # fmt: skip
"""Not aioca: the threads of its library do not survive a fork."""

WITHOUT_LIBRARY_OF_CA = ("epicscorelibs.path.pyepics", "ophyd._pyepics_shim")
"""What ophyd loads with its control layer, which each process chooses after its fork: the library has threads."""

_LARGEST = 1 << 20
_REAP_TIMEOUT = 30.0
_START_TIMEOUT = 120.0


class Forked:
    """A process that was forked, with the methods of `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout: IO[str] | None = None
        self._ended = threading.Event()

    def ended(self, code: int) -> None:
        """Note its exit code."""
        self.returncode = code
        self._ended.set()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Forks:
    """The process that forks, for the duration of a block.

    Parameters
    ----------
    more
        Modules that it loads in addition to `LIBRARIES`.
    shared
        A name: all blocks of this name, also those of other processes, have one process that forks. It ends after the
        last of them; the block that has started it does not wait for that, but `wait_for_shared` does.
    """

    def __init__(self, *more: str, shared: str = "") -> None:
        self._more, self._shared = more, shared
        self._started: queue.Queue[Forked] = queue.Queue()
        self._running: dict[int, Forked] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        address = f"\0ponikeeper-forks-{self._shared or uuid.uuid4().hex}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process: subprocess.Popen[bytes] | None = None
        while True:
            with contextlib.suppress(ConnectionRefusedError):  # there is none yet, or it has just ended
                self._socket.connect(address)
                break
            with contextlib.suppress(OSError):  # another process was faster
                self._process = self._start_process(address)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def _start_process(self, address: str) -> subprocess.Popen[bytes]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.bind(address)
            listening.listen()
            command = [sys.executable, __file__, str(listening.fileno()), *self._more]
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[listening.fileno()])

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_WR)
        self._reader.join(_REAP_TIMEOUT)
        self._socket.close()
        if self._process is not None:
            if self._shared:
                _of_others.append(self._process)
            else:
                self._process.wait(_REAP_TIMEOUT)

    def start(
        self, words: list[str], environment: dict[str, str], stdout: int, stderr: int, terminal: int | None = None
    ) -> Forked:
        """Start ``ponikeeper`` in a process of its own.

        Parameters
        ----------
        words
            Its arguments.
        environment
            All of its environment.
        stdout, stderr
            File descriptors.
        terminal
            That of a terminal: it becomes the input, and the controlling terminal, so that Ctrl-C interrupts.
        """
        message = json.dumps([words, environment, str(Path.cwd())]).encode()
        files = [stdout, stderr] if terminal is None else [stdout, stderr, terminal]
        with self._lock:
            socket.send_fds(self._socket, [message], files)
            return self._started.get(timeout=_START_TIMEOUT)

    def _read(self) -> None:
        """Read which processes have started and ended, until the socket is closed."""
        while message := self._socket.recv(_LARGEST):
            pid, code = json.loads(message)
            if code is None:
                self._running[pid] = Forked(pid)
                self._started.put(self._running[pid])
            else:
                self._running.pop(pid).ended(code)


_of_others: list[subprocess.Popen[bytes]] = []


def wait_for_shared() -> None:
    """Wait for the end of the processes that were started here and that others may still use."""
    while _of_others:
        _of_others.pop().wait()


def _become(
    words: list[str], environment: dict[str, str], place: str, stdout: int, stderr: int, terminal: int | None = None
) -> None:
    """Run the command in this process, which was forked for it."""
    if terminal is not None:
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        os.dup2(terminal, 0)
        os.close(terminal)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    for number, file in ((1, stdout), (2, stderr)):
        os.dup2(file, number)
        os.close(file)
    os.chdir(place)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    random.seed()
    if environment.get("PYTHONWARNINGS") == "default":
        warnings.simplefilter("default")
    if "ophyd" in sys.modules:
        sys.modules["ophyd"].set_cl()
    sys.argv[1:] = words
    from ponikeeper.__main__ import main

    main()


def _end(run: Callable[..., None], *arguments: object) -> NoReturn:
    """Run a function, and exit as the interpreter would, but at once: to tidy up takes longer than most commands."""
    code: object = 0
    try:
        run(*arguments)
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001  # as the interpreter would
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


class _Client:
    """A block that has processes here."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.running: set[int] = set()

    def report(self, pid: int, code: int | None) -> None:
        """Report that a process has started, or ended with a code."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.control.send(json.dumps([pid, code]).encode())

    def close(self) -> None:
        """End what still runs: tests were interrupted."""
        for pid in self.running:
            os.kill(pid, signal.SIGKILL)
        self.control.close()


def _serve(listening: socket.socket) -> None:
    """Fork for each message of a client, and report the ends of its processes, until the last client has gone."""
    clients: dict[int, _Client] = {}
    ends, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken)
    while True:
        ready, _, _ = select.select([listening, ends, *clients], [], [])
        if listening in ready:
            control, _ = listening.accept()
            clients[control.fileno()] = _Client(control)
        if ends in ready:
            os.read(ends, _LARGEST)
            _reap(clients.values())
        for number in ready:
            client = clients.get(number)
            if client is None:
                continue
            message, files, _, _ = socket.recv_fds(client.control, _LARGEST, 3)
            if not message:
                clients.pop(number).close()
                if not clients:
                    return
                continue
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for file in (ends, woken, listening.detach(), *(each.control.detach() for each in clients.values())):
                    os.close(file)
                _end(_become, *json.loads(message), *files)
            client.running.add(pid)
            for file in files:
                os.close(file)
            client.report(pid, None)


def _reap(clients: Iterable[_Client]) -> None:
    """Report to each client the ends of its processes."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            for client in clients:
                if ended[0] in client.running:
                    client.running.remove(ended[0])
                    client.report(ended[0], os.waitstatus_to_exitcode(ended[1]))


if __name__ == "__main__":
    os.environ["OPHYD_CONTROL_LAYER"] = "dummy"
    for module in (*LIBRARIES, *sys.argv[2:]):
        __import__(module)
    from ponikeeper.cli.app import command_line

    command_line()  # loads the module of each command
    gc.collect()
    gc.freeze()  # the forks share what was loaded
    _serve(socket.socket(fileno=int(sys.argv[1])))
