"""Commits of three detectors that wait for the disk together, in a process of its own, with faults by strace.

``python grouped_commits.py STORE`` commits once for each detector and prints "ready". For each line that it reads it
commits once more for each, at the same time, and prints each outcome as soon as it is known, then "done".
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from live import TIMEOUT, wait_for
from ponikeeper.errors import StoreError, UncertainStoreError
from ponikeeper.store.sqlite_storage import SQLiteStorage
from ponikeeper.store.store_thread import StoreThread
from stores import draft
from trouble import end_strace, is_traced

DETECTORS = ("XF:1{Det:1}Calib:", "XF:1{Det:2}Calib:", "XF:1{Det:3}Calib:")
TIME = "2026-11-22T09:30:00.250000Z"


@dataclass
class Outcome:
    """What was reported of the commits of one line."""

    accepted: list[tuple[str, str]] = field(default_factory=list)
    """Prefix and request id of each."""

    refused: list[tuple[str, str]] = field(default_factory=list)
    uncertain: list[tuple[str, str]] = field(default_factory=list)


class Commits:
    """The process.

    Parameters
    ----------
    path
        The store.
    """

    def __init__(self, path: Path) -> None:
        command = [sys.executable, __file__, str(path)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ended(self) -> bool:
        """Return whether the process has ended."""
        return self._process.poll() is not None

    def commit(self) -> Outcome:
        """Commit once for each detector; the outcome is not whole if the process ends."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("commit\n")
        process.stdin.flush()
        outcome = Outcome()
        for line in process.stdout:
            if line == "done\n":
                return outcome
            kind, prefix, request = json.loads(line)
            getattr(outcome, kind).append((prefix, request))
        process.wait(TIMEOUT)
        return outcome

    @contextlib.contextmanager
    def traced(self, log: Path, *options: str) -> Iterator[None]:
        """Trace all threads of the process for the duration of the block.

        Parameters
        ----------
        log
            What strace writes.
        options
            Of strace, such as ``-e inject=fdatasync:error=EIO:when=2``.
        """
        pid = self._process.pid
        strace = subprocess.Popen(["strace", "-qq", "-f", "-p", str(pid), "-o", str(log), *options], text=True)
        try:
            wait_for(lambda: strace.poll() is not None or is_traced(pid), what="strace")
            yield
        finally:
            end_strace(strace)


async def _commit(store: StoreThread, prefix: str) -> list[str]:
    """Commit something new; return what became of it, with prefix and request id."""
    request = uuid.uuid4().hex
    new = draft(int(request[:4], 16))
    try:
        await store.write(
            lambda storage: storage.commit(prefix, new, TIME, "commit", "alice@here", (request, "0" * 64, "commit"))
        )
    except UncertainStoreError:
        return ["uncertain", prefix, request]
    except StoreError:
        return ["refused", prefix, request]
    return ["accepted", prefix, request]


async def _report(outcome: Awaitable[list[str]]) -> None:
    print(json.dumps(await outcome), flush=True)


async def _serve(path: Path) -> None:
    store = StoreThread(SQLiteStorage(path))
    await asyncio.gather(*(_commit(store, prefix) for prefix in DETECTORS))
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        gate, entered = threading.Event(), threading.Event()  # the thread is busy until all three wait for it
        busy = asyncio.create_task(store.read(lambda _, gate=gate, entered=entered: entered.set() or gate.wait()))
        await asyncio.to_thread(entered.wait)
        commits = [asyncio.create_task(_report(_commit(store, prefix))) for prefix in DETECTORS]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(busy, *commits)
        print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
