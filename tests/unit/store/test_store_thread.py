"""The IOC needs of a storage only the methods of `HistoryStorage`: a keeper runs on one in memory."""

import asyncio
import inspect
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from ponikeeper.detector.keeper import Keeper
from ponikeeper.detector.link_states import LinkStates
from ponikeeper.history.records import Activation, Correction, Revision, name_of
from ponikeeper.protocol import Activate, Commit, Follow, Retract
from ponikeeper.store import HistoryStorage, StoredState
from ponikeeper.store.interface import NO_END
from ponikeeper.store.sqlite_storage import SQLiteStorage
from ponikeeper.store.store_thread import StoreThread
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
        corrections = tuple(self.records(prefix, "judgement"))
        return StoredState(revision, active, self.count(prefix), corrections, self._follow_states.get(prefix))

    def revision(self, prefix, number):
        return next(iter(self.revisions(prefix, number, number)), None)

    def revisions(self, prefix, first, last):
        return self.records(prefix, "revision", first, last)

    def records(self, prefix, kind, first=1, last=NO_END):
        return [record for record in self._records[prefix, kind] if first <= name_of(record)[1] <= last]

    def find_label(self, prefix, label, excluded=()):
        numbers = [revision.number for revision in self.records(prefix, "revision") if revision.label == label]
        return next((number for number in reversed(numbers) if number not in excluded), None)

    def labels(self, prefix):
        return sorted({revision.label for revision in self.records(prefix, "revision") if revision.label})

    def count(self, prefix, kind="revision"):
        return len(self._records[prefix, kind])

    def answer(self, prefix, request):
        return self._answers.get((prefix, request))

    def commit(self, prefix, draft, time, cause, author, request=None, follow_state=None, count=None):  # noqa: ARG002
        number = self.count(prefix) + 1
        revision = Revision(
            number, f"uid {number}", time, draft.label, draft.geometry, draft.position, draft.provenance, "none"
        )
        self._records[prefix, "revision"].append(revision)
        return revision, self.activate(prefix, number, time, cause, author, request, follow_state)

    def activate(self, prefix, revision, time, cause, author, request=None, follow_state=None):  # noqa: ARG002
        activation = Activation(self.count(prefix, "activation") + 1, revision, time, cause, author)
        self._records[prefix, "activation"].append(activation)
        return activation

    def correct(self, prefix, correction, answer=None):
        numbered: Correction = replace(correction, number=self.count(prefix, "judgement") + 1)
        self._records[prefix, "judgement"].append(numbered)
        if answer is not None:
            self.store_answer(prefix, answer)
        return numbered

    def set_follow_state(self, prefix, follow_state, time, author, answer=None):  # noqa: ARG002
        self._follow_states[prefix] = follow_state

    def store_answer(self, prefix, answer):
        self._answers[prefix, answer.request] = answer

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
    ]
    assert refused.errors == ("there is no revision far: the history has labels near",)
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
