"""SIGKILL at random moments under puts: every acknowledged commit is stored, and no commit is stored in part."""

import contextlib
import random
import shutil
import statistics
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from live import TIMEOUT, LiveIoc, wait_for
from ponikeeper.geometry import Geometry
from ponikeeper.protocol import Commit, Snapshot, request_text
from ponikeeper.store import Answer
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import NAME
from strategies import VALUES
from wire import Wire, as_json, new_request

WRITERS = 2
"""Writers of each detector."""


def whole(number: int) -> dict[str, object]:
    """Return a geometry whose every value shows its number."""
    shares = {"dist": 0.1, "poni1": 0.2, "poni2": 0.3, "rot1": 0.001, "rot2": 0.002, "rot3": 0.003}
    return {**VALUES, **{name: base + number * 1e-7 for name, base in shares.items()}}


@dataclass
class Acknowledged:
    """The replies to the writers, by detector: the accepted request ids, and their geometries."""

    asked: dict[str, dict[str, Commit]] = field(default_factory=dict)
    accepted: dict[str, list[str]] = field(default_factory=dict)
    number: int = 0

    def total(self) -> int:
        """Return the number of acknowledged commits."""
        return sum(map(len, self.accepted.values()))


def write_until_it_dies(port: int, prefix: str, known: Acknowledged, lock: threading.Lock) -> None:
    with contextlib.suppress(OSError), Wire(port) as wire:
        while True:
            with lock:
                known.number += 1
                request = new_request(whole(known.number))
                known.asked.setdefault(prefix, {})[str(request.request)] = request
            wire.put_text(f"{prefix}Request", request_text(request))
            with lock:
                known.accepted.setdefault(prefix, []).append(str(request.request))


def killed_under_puts(ioc: LiveIoc, known: Acknowledged, draw: random.Random) -> None:
    """Run writers until the IOC is killed after a random number of answers and a random time."""
    lock = threading.Lock()
    threads = [
        threading.Thread(target=write_until_it_dies, args=(ioc.port, prefix, known, lock))
        for prefix in ioc.prefixes * WRITERS
    ]
    target = known.total() + draw.randrange(1, 12)
    for thread in threads:
        thread.start()
    wait_for(lambda: known.total() >= target, what="the acknowledgements")
    threading.Event().wait(draw.uniform(0, 0.02))  # the moment of the kill is what is drawn
    ioc.kill()
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def history_of(ioc: LiveIoc, copy: Path) -> SQLiteStorage:
    """Open a copy of the store after the kill: the IOC must find the original unchanged."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ioc.state_dir, copy)
    return SQLiteStorage(copy / NAME)


def require_all_there(storage: SQLiteStorage, known: Acknowledged) -> None:
    while storage.verify_next():
        continue
    for prefix, accepted in known.accepted.items():
        in_force = storage.active(prefix)
        assert in_force is not None
        answers = {request: storage.answer(prefix, request) for request in accepted}
        lost = [request for request, answer in answers.items() if answer is None]
        assert not lost, f"acknowledged and lost: {lost}"
        assert in_force[1].serial >= max(answer.serial for answer in answers.values() if answer)
        for request, answer in answers.items():
            _require_content(storage, prefix, answer, known.asked[prefix][request])
        sent = {as_json(commit.geometry) for commit in known.asked[prefix].values()}
        stored = storage.revisions(prefix, 1, storage.count(prefix))
        assert {as_json(revision.geometry.as_dict()) for revision in stored} <= sent, "a geometry that was not sent"


def _require_content(storage: SQLiteStorage, prefix: str, answer: Answer | None, commit: Commit) -> None:
    assert answer is not None
    revision = storage.revision(prefix, answer.revision)
    assert revision is not None
    assert revision.geometry == Geometry.parse(dict(commit.geometry))
    assert answer.digest == commit.digest


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
