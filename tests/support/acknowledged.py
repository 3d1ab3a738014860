"""Writers that note what was acknowledged, and the check that a store has all of it."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from live import TIMEOUT, LiveIoc
from ponikeeper.geometry import Geometry
from ponikeeper.protocol import Commit, request_text
from ponikeeper.store import Answer
from ponikeeper.store.sqlite_storage import SQLiteStorage
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

    def copy(self) -> "Acknowledged":
        """Return what is known now."""
        asked = {prefix: dict(commits) for prefix, commits in self.asked.items()}
        return Acknowledged(asked, {prefix: list(requests) for prefix, requests in self.accepted.items()}, self.number)

    def total(self) -> int:
        """Return the number of acknowledged commits."""
        return sum(map(len, self.accepted.values()))


def _write_until_it_dies(port: int, prefix: str, known: Acknowledged, lock: threading.Lock) -> None:
    with contextlib.suppress(OSError), Wire(port) as wire:
        while True:
            with lock:
                known.number += 1
                request = new_request(whole(known.number))
                known.asked.setdefault(prefix, {})[str(request.request)] = request
            wire.put_text(f"{prefix}Request", request_text(request))
            with lock:
                known.accepted.setdefault(prefix, []).append(str(request.request))


@contextlib.contextmanager
def writing(ioc: LiveIoc, known: Acknowledged) -> Iterator[None]:
    """Run writers for the duration of the block, which must end with the IOC's end."""
    lock = threading.Lock()
    threads = [
        threading.Thread(target=_write_until_it_dies, args=(ioc.port, prefix, known, lock))
        for prefix in ioc.prefixes * WRITERS
    ]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def require_all_there(storage: SQLiteStorage, known: Acknowledged) -> None:
    """Check that a store has every acknowledged commit, and nothing that was not sent."""
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
