"""The IOC needs of a storage only the methods of `HistoryStorage`: a keeper runs on one in memory."""

import asyncio
import contextlib
import inspect
import threading
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from ponikeeper.detector.keeper import Keeper
from ponikeeper.detector.link_states import LinkStates
from ponikeeper.errors import StoreError, UncertainStoreError
from ponikeeper.history import Activation, Revision, UndoRecord
from ponikeeper.history.labels import labelled
from ponikeeper.history.records import name_of
from ponikeeper.history.undos import undone_revisions
from ponikeeper.protocol import Activate, Commit, Follow, Label, Retract, Undo
from ponikeeper.store import HistoryStorage, StoredState, store_thread
from ponikeeper.store.interface import NO_END
from ponikeeper.store.sqlite_storage import SQLiteStorage
from ponikeeper.store.store_thread import StoreThread
from stores import PREFIXES, draft
from strategies import VALUES

PREFIX = "XF:1{Det:1}Calib:"


class MemoryStorage:
    """Histories in memory, with what a keeper without links uses."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records = defaultdict(list)
        self._answers, self._follow_states = {}, {}
        self.closed = False

    def stored_state(self, prefix):
        activations = self.records(prefix, "activation")
        active = activations[-1] if activations else None
        revision = self.revision(prefix, active.revision) if active else None
        corrections, service, labels = (tuple(self.records(prefix, kind)) for kind in ("judgement", "service", "label"))
        follow_state = self._follow_states.get(prefix)
        return StoredState(revision, active, self.count(prefix), corrections, follow_state, service, labels)

    def revision(self, prefix, number):
        return next(iter(self.revisions(prefix, number, number)), None)

    def revisions(self, prefix, first, last):
        return self.records(prefix, "revision", first, last)

    def records(self, prefix, kind, first=1, last=NO_END):
        return [record for record in self._records[prefix, kind] if first <= name_of(record)[1] <= last]

    def find_label(self, prefix, label, excluded=()):
        numbers = [revision.number for revision in self.records(prefix, "revision") if revision.label == label]
        found = (number for _, number in labelled(label, reversed(numbers), self.records(prefix, "label")))
        return next((number for number in found if number not in excluded), None)

    def undone_revisions(self, prefix):
        return undone_revisions(self.records(prefix, "activation"), self.records(prefix, "undo"))

    def newest_labels(self, prefix, limit, excluded=()):
        labels = {each.label for kind in ("revision", "label") for each in self.records(prefix, kind) if each.label}
        pairs = ((label, self.find_label(prefix, label, excluded)) for label in labels)
        return sorted((pair for pair in pairs if pair[1]), key=lambda pair: -pair[1])[:limit]

    def count(self, prefix, kind="revision"):
        return len(self._records[prefix, kind])

    def answer(self, prefix, request):
        return self._answers.get((prefix, request))

    def commit(self, prefix, draft, time, cause, author, request=None, follow_state=None, count=None, derived=None):  # noqa: ARG002
        number = self.count(prefix) + 1
        revision = Revision(
            number, f"uid {number}", time, draft.label, draft.geometry, draft.position, draft.provenance, "none"
        )
        self._records[prefix, "revision"].append(revision)
        return revision, self.activate(prefix, number, time, cause, author, request, follow_state)

    def activate(self, prefix, revision, time, cause, author, *more, undone=None, derived=None):  # noqa: ARG002
        undone = undone or (more[2] if len(more) > 2 else None)
        activation = Activation(self.count(prefix, "activation") + 1, revision, time, cause, author)
        self._records[prefix, "activation"].append(activation)
        if undone is not None:
            number = self.count(prefix, "undo") + 1
            self._records[prefix, "undo"].append(UndoRecord(number, activation.serial, undone.serial, undone.revision))
        return activation

    def add(self, prefix, record, answer=None):
        kind, _ = name_of(record)
        numbered = replace(record, number=self.count(prefix, kind) + 1)
        self._records[prefix, kind].append(numbered)
        if answer is not None:
            self.store_answer(prefix, answer)
        return numbered

    def set_follow_state(self, prefix, follow_state, time, author, answer=None):  # noqa: ARG002
        self._follow_states[prefix] = follow_state

    def store_answer(self, prefix, answer):
        self._answers[prefix, answer.request] = answer

    def group(self):
        return contextlib.nullcontext()

    def probe(self):
        pass

    def verify_next(self):
        return False

    def close(self):
        self.closed = True


def test_keeper_runs_on_a_storage_in_memory(tmp_path):
    storage = MemoryStorage(tmp_path / "none")

    async def work():
        store = StoreThread(storage)
        keeper = Keeper(PREFIX, store, {}, LinkStates())
        await keeper.load()
        requests = [
            Commit(VALUES, {"comment": "first"}, label="near"),
            Commit({"dist": 0.5}, {"comment": "second"}),
            Activate("near"),
            Retract(2, "beam stop"),
            Follow(False),
            Label("spare"),
            Commit({"dist": 0.6}),
            Undo(),
        ]
        results = [await keeper.execute(request, "alice@here") for request in requests]
        await store.probe()
        refused = await keeper.execute(Activate("far"), "alice@here")
        store.close()
        return results, refused, keeper.state

    results, refused, state = asyncio.run(work())
    assert [(result.outcome, result.revision, result.serial) for result in results] == [
        ("accepted", 1, 1),
        ("accepted", 2, 2),
        ("accepted", 1, 3),
        ("accepted", 2, 3),
        ("accepted", 1, 3),
        ("accepted", 1, 3),
        ("accepted", 3, 4),
        ("accepted", 1, 5),
    ]
    assert refused.errors == ("there is no revision far: the history has labels spare",)
    assert state.stored.label == "spare"
    assert state.stored == storage.stored_state(PREFIX)
    assert [correction.reason for correction in state.corrections] == ["beam stop"]
    assert storage.closed


def test_sqlite_storage_has_the_signatures_of_the_interface():
    methods = {name: method for name, method in vars(HistoryStorage).items() if inspect.isfunction(method)}
    public = {name: method for name, method in methods.items() if not name.startswith("_")}
    assert public
    assert {name: inspect.signature(getattr(SQLiteStorage, name)) for name in public} == {
        name: inspect.signature(method) for name, method in public.items()
    }


def run_at_once(tmp_path, methods, prepare=None):
    """Write all at once, while the thread is busy; return the outcomes, the counts and the number of COMMITs."""
    storage = SQLiteStorage(tmp_path / "ponikeeper.sqlite")
    if prepare is not None:
        prepare(storage)
    ends = []
    storage._file.connection().set_trace_callback(lambda text: ends.append(text) if text == "COMMIT" else None)

    async def work():
        store, busy = StoreThread(storage), threading.Event()
        blocked = asyncio.ensure_future(store.read(lambda _: busy.wait(30)))
        writes = [asyncio.ensure_future(store.write(method)) for method in methods]
        await asyncio.sleep(0)
        busy.set()
        await blocked
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        counts = [await store.read(lambda storage, prefix=prefix: storage.count(prefix)) for prefix in PREFIXES]
        store.close()
        return outcomes, counts

    outcomes, counts = asyncio.run(work())
    return outcomes, counts, len(ends)


def commit_to(prefix, count):
    return lambda storage: storage.commit(prefix, draft(1), "2026-11-22T10:00:00.000000Z", "commit", "a", count=count)


def test_writes_that_wait_at_the_same_time_wait_for_the_disk_once(tmp_path):
    methods = [commit_to(PREFIXES[0], 0), commit_to(PREFIXES[1], 0), commit_to(PREFIXES[0], 1)]
    outcomes, counts, commits = run_at_once(tmp_path, methods)
    assert [revision.number for revision, _ in outcomes] == [1, 1, 2]
    assert (counts, commits) == ([2, 1], 1)


def test_write_that_fails_by_itself_does_not_harm_those_that_wait_with_it(tmp_path):
    methods = [commit_to(PREFIXES[0], 0), commit_to(PREFIXES[0], 7), commit_to(PREFIXES[1], 0)]
    outcomes, counts, commits = run_at_once(tmp_path, methods)
    assert isinstance(outcomes[1], StoreError)
    assert "would be 2, not 8" in str(outcomes[1])
    assert (counts, commits) == ([1, 1], 1)


def test_last_step_that_fails_concerns_all_that_wait_together(tmp_path):
    def prepare(storage):
        whole = storage.group

        @contextlib.contextmanager
        def group():
            with whole():
                yield
            raise UncertainStoreError("the disk has failed")

        storage.group = group

    outcomes, counts, _ = run_at_once(tmp_path, [commit_to(PREFIXES[0], 0), commit_to(PREFIXES[1], 0)], prepare)
    assert [str(outcome) for outcome in outcomes] == ["the disk has failed"] * 2
    assert counts == [1, 1]


class Gated(MemoryStorage):
    """A storage whose calls wait until the test opens a gate."""

    def __init__(self, path):
        super().__init__(path)
        self.gate = threading.Event()
        self.order = []

    def call(self, name):
        self.gate.wait(10)
        self.order.append(name)


def test_writes_go_before_reads_that_wait(tmp_path):
    storage = Gated(tmp_path / "none")

    async def work():
        store = StoreThread(storage)
        calls = [asyncio.create_task(store.read(lambda gated, name=name: gated.call(name))) for name in "abc"]
        await asyncio.sleep(0)
        calls.append(asyncio.create_task(store.write(lambda gated: gated.call("write"))))
        await asyncio.sleep(0)
        storage.gate.set()
        await asyncio.gather(*calls)
        store.close()

    asyncio.run(work())
    assert storage.order == ["a", "write", "b", "c"]


def test_calls_that_wait_for_others_are_no_slow_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(store_thread, "SLOW", 0.1)
    storage = Gated(tmp_path / "none")

    async def work():
        store, reported = StoreThread(storage), asyncio.Event()

        async def slow():
            reported.set()

        calls = [asyncio.create_task(store.read(lambda _: threading.Event().wait(0.03), slow)) for _ in range(20)]
        await asyncio.gather(*calls)
        assert store.health.ok
        assert not reported.is_set()
        call = asyncio.create_task(store.read(lambda gated: gated.call("slow"), slow))
        await reported.wait()
        assert "has not answered" in store.health.message
        storage.gate.set()
        await call
        store.close()

    asyncio.run(work())


def test_call_after_the_end_is_refused(tmp_path):
    async def work():
        store = StoreThread(MemoryStorage(tmp_path / "none"))
        store.close()
        with pytest.raises(StoreError, match="is closed: the IOC ends"):
            await store.write(lambda storage: storage.probe())
        with pytest.raises(StoreError, match="is closed: the IOC ends"):
            await store.read(lambda storage: storage.count(PREFIX))

    asyncio.run(work())
