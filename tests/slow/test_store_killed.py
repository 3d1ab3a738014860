"""A schema upgrade that is killed before any of its system calls loses nothing."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from live import TIMEOUT
from ponikeeper.store import schema
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import NAME, PREFIXES, commit, contents, small_store


@pytest.fixture
def old(quick_path) -> Path:
    """Write a store of today's schema version."""
    return small_store(quick_path / "state" / NAME)


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA user_version").fetchone()[0]
    finally:
        connection.close()


OPENING = (
    "import sys; from pathlib import Path; from ponikeeper.store.sqlite_storage import SQLiteStorage; "
    "SQLiteStorage(Path(sys.argv[1]))"
)


def first_version(path: Path) -> Path:
    """Write a store of the first schema version."""
    storage = SQLiteStorage(path)
    for number in range(4):
        for prefix in PREFIXES:
            commit(storage, prefix, number)
    storage.close()
    connection = sqlite3.connect(path)
    first = {name for kind, name, *_ in schema.expected_schema(1) if kind == "table"}
    for kind, name, *_ in schema.schema_of(connection):
        if kind == "table" and name not in first:
            connection.execute(f"DROP TABLE {name}")  # what a later version brought
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    return path


def killed_at_each(folder: Path, calls: tuple[str, ...]) -> dict[str, int]:
    """Kill an upgrade before each of its system calls of some kinds; the next opening must find all records."""
    old = first_version(folder / "old" / NAME)
    shutil.copytree(old.parent, folder / "truth")
    truth = contents(folder / "truth" / NAME)
    kills = dict.fromkeys(calls, 0)
    for call in calls:
        while True:
            path = Path(shutil.copytree(old.parent, folder / f"{call}-{kills[call]}")) / NAME
            inject = f"inject={call}:signal=SIGKILL:when={kills[call] + 1}"
            command = ["strace", "-qq", "-f", "-o", "/dev/null", "-e", inject, sys.executable, "-c", OPENING, str(path)]
            done = subprocess.run(command, capture_output=True, timeout=TIMEOUT, check=False)
            survived = done.returncode == 0
            assert survived or done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), done.stderr
            assert survived or version_of_copy(path) in (1, len(schema.MIGRATIONS))
            assert contents(path) == truth
            assert version_of(path) == len(schema.MIGRATIONS)
            if survived:
                break
            kills[call] += 1
    print(f"\nkilled before each of its calls: {kills}, 0 lost anything")
    return kills


def version_of_copy(path: Path) -> int:
    """Return the version of a store after a rollback by its journal; only a copy is opened."""
    copy = path.parent.with_name(f"{path.parent.name}-copy")
    shutil.copytree(path.parent, copy)
    return version_of(copy / NAME)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_upgrade_killed_before_each_of_its_calls_loses_nothing(quick_path):
    kills = killed_at_each(quick_path, ("pwrite64", "fdatasync", "unlink"))
    assert all(kills.values())
