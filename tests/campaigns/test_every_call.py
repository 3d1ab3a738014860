"""A fault at each system call of a commit: what was acknowledged is stored, and what was refused is not."""

import collections
import re
import shutil
from pathlib import Path

import pytest

from grouped_commits import DETECTORS, Commits, Outcome
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import NAME
from trouble import require_strace

ERRORS = ("EIO", "ENOSPC", "EROFS")
DISK_CALLS = ("openat", "pread64", "pwrite64", "fdatasync", "unlink", "newfstatat", "fstat", "fcntl", "flock", "lseek")
"""The calls that a failing disk or file system makes fail."""


def calls_of_a_commit(path: Path, log: Path) -> collections.Counter[str]:
    """Count the system calls of the busiest thread, by name, from the request to the answers."""
    with Commits(path) as commits, commits.traced(log):
        assert len(commits.commit().accepted) == len(DETECTORS)
    lines = [line.split(maxsplit=1) for line in log.read_text().splitlines()]
    threads = collections.Counter(pid for pid, line in lines if line.startswith("pwrite64("))
    ((thread, _),) = threads.items()  # only the store's thread writes
    names = [re.match(r"\w+(?=\()", line) for pid, line in lines if pid == thread]
    return collections.Counter(name.group() for name in names if name)


def require_stored(state: Path, copy: Path, outcome: Outcome) -> list[int]:
    """Open a copy of what is on the disk, as the next start would, and compare it with what was reported.

    Returns
    -------
    list of int
        The number of commits of each detector.
    """
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(state, copy)
    storage = SQLiteStorage(copy / NAME)
    try:
        while storage.verify_next():
            continue
        assert all(storage.answer(*commit) for commit in outcome.accepted), outcome
        assert not any(storage.answer(*commit) for commit in outcome.refused), outcome
        return [storage.count(prefix) for prefix in DETECTORS]
    finally:
        storage.close()


def killed_at_each_call(folder: Path, only: tuple[str, ...] = ()) -> None:
    calls = calls_of_a_commit(folder / "profile" / NAME, folder / "log")
    kills: collections.Counter[str] = collections.Counter()
    acknowledged = 0
    for call in only or sorted(calls):
        ended = True
        while ended:
            state = folder / f"{call}-{kills[call]}"
            with Commits(state / NAME) as commits:
                with commits.traced(folder / "log", "-e", f"inject={call}:signal=SIGKILL:when={kills[call] + 1}"):
                    outcome = commits.commit()
                ended = commits.ended()
            counts = require_stored(state, folder / "copy", outcome)
            assert counts in ([1, 1, 1], [2, 2, 2]), "a part of the commits that were written together is stored"
            acknowledged += len(outcome.accepted)
            shutil.rmtree(state)
            kills[call] += ended
    print(f"\nkilled at {kills.total()} calls ({dict(kills)}): {acknowledged} acknowledged commits, 0 lost")
    assert all(kills[call] >= calls[call] for call in only or DISK_CALLS)  # the others vary


def failing_at_each_call(folder: Path, errors: tuple[str, ...], names: tuple[str, ...]) -> None:
    calls = calls_of_a_commit(folder / "profile" / NAME, folder / "log")
    outcomes: collections.Counter[str] = collections.Counter()
    state = folder / "state"
    with Commits(state / NAME) as commits:
        for call in names:
            for index in range(1, calls[call] + 1):
                for fault in (f"{error}:when={index}{rest}" for error in errors for rest in ("", "+")):
                    with commits.traced(folder / "log", "-e", f"inject={call}:error={fault}"):
                        outcome = commits.commit()
                    assert not commits.ended(), (call, fault)
                    require_stored(state, folder / "copy", outcome)
                    after = commits.commit()
                    assert len(after.accepted) == len(DETECTORS), (call, fault, "the next commits", after)
                    require_stored(state, folder / "copy", after)
                    outcomes.update({kind: len(found) for kind, found in vars(outcome).items()})
    print(f"\nfaults at each of { ({call: calls[call] for call in names}) }: {dict(outcomes)}, 0 reported wrongly")
    assert outcomes["refused"]


def test_commits_killed_at_each_sync_lose_nothing(quick_path):
    require_strace()
    killed_at_each_call(quick_path, ("fdatasync",))


def test_failing_syncs_and_reads_are_reported_rightly(quick_path):
    require_strace()
    failing_at_each_call(quick_path, ("EIO",), ("fdatasync", "pread64"))


@pytest.mark.campaign
def test_commits_killed_at_each_system_call_lose_nothing(quick_path):
    require_strace()
    killed_at_each_call(quick_path)


@pytest.mark.campaign
def test_commits_with_an_error_at_each_call_are_reported_rightly(quick_path):
    require_strace()
    failing_at_each_call(quick_path, ERRORS, DISK_CALLS)
