"""SIGKILL at random moments under puts: every acknowledged commit is stored, and no commit is stored in part."""

import random
import shutil
import statistics
import threading
import time
from pathlib import Path

import pytest

from acknowledged import Acknowledged, require_all_there, writing
from live import LiveIoc, wait_for
from ponikeeper.protocol import Snapshot
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import NAME
from wire import Wire


def killed_under_puts(ioc: LiveIoc, known: Acknowledged, draw: random.Random) -> None:
    """Run writers until the IOC is killed after a random number of answers and a random time."""
    with writing(ioc, known):
        target = known.total() + draw.randrange(1, 12)
        wait_for(lambda: known.total() >= target, what="the acknowledgements")
        threading.Event().wait(draw.uniform(0, 0.02))  # the moment of the kill is what is drawn
        ioc.kill()


def history_of(ioc: LiveIoc, copy: Path) -> SQLiteStorage:
    """Open a copy of the store after the kill: the IOC must find the original unchanged."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ioc.state_dir, copy)
    return SQLiteStorage(copy / NAME)


def require_in_force(snapshot: Snapshot, storage: SQLiteStorage) -> None:
    """Check that the snapshot shows exactly what the disk holds."""
    found = storage.active(snapshot.prefix)
    assert found is not None
    revision, activation = found
    assert (snapshot.serial, snapshot.revision, snapshot.uid) == (activation.serial, revision.number, revision.uid)
    assert (snapshot.geometry, snapshot.checksum) == (revision.geometry, revision.checksum)


def campaign(ioc: LiveIoc, rounds: int, seed: int) -> None:
    draw, known, times = random.Random(seed), Acknowledged(), []
    left: SQLiteStorage | None = None
    for _ in range(rounds):
        began = time.monotonic()
        ioc.start()
        times.append(time.monotonic() - began)
        if left is not None:
            with Wire(ioc.port) as wire:
                for prefix in known.accepted:
                    require_in_force(wire.snapshot(prefix), left)
            left.close()
        killed_under_puts(ioc, known, draw)
        left = history_of(ioc, ioc.folder / "copy")
        require_all_there(left, known)
    left.close()
    print(
        f"{rounds} SIGKILLs: {known.total()} acknowledged commits, 0 lost, 0 by halves; exec to READY "
        f"median {statistics.median(times):.2f} s, longest {max(times):.2f} s"
    )
    assert max(times) < 10


def test_killed_under_puts_loses_nothing(make_ioc):
    campaign(make_ioc(), 10, seed=1)


@pytest.mark.campaign
def test_killed_under_puts_200_times_loses_nothing(make_ioc):
    campaign(make_ioc(), 200, seed=2)
