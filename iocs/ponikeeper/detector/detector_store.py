"""Typed access to the store for one detector; reports when the disk hangs."""

import asyncio
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial
from typing import TypeVar, cast

from ponikeeper.detector import messages, results
from ponikeeper.detector.activation_rules import MAX_NAMED, no_revision
from ponikeeper.detector.publisher import Publisher
from ponikeeper.detector.repetition_rules import require_same
from ponikeeper.detector.state import Change
from ponikeeper.detector.undo_rules import UndoStep, activation_to_undo
from ponikeeper.errors import RefusedError, StoreError
from ponikeeper.history import (
    Activation,
    Correction,
    DerivedGeometry,
    LabelRecord,
    Revision,
    ServiceChange,
    UndoRecord,
)
from ponikeeper.history.derived import with_derived
from ponikeeper.history.records import FOLLOWED, MODEL
from ponikeeper.history.undos import undone_serials
from ponikeeper.protocol import Request, Result
from ponikeeper.store import Answer, Draft, FollowCandidate, FollowState, HistoryStorage, StoredState
from ponikeeper.store.store_thread import PERIOD, StoreThread

_FOLLOW_AUTHOR = "links"
"""The author of activations that follow the links."""

_PAGE = 100
"""Activations that are read at once."""

T = TypeVar("T")


class DetectorStore:
    """What the store has of one detector.

    Every write returns what the store has afterwards; it is on disk then. Reads raise `StoreError` if the
    store cannot be read now; writes raise `StoreError` if nothing was stored, and `UncertainStoreError` if
    that is not known: `settle` finds it out.

    Parameters
    ----------
    prefix
        The first PV prefix of its history, which is its key in the store.
    store
        The store of the IOC.
    publisher
        Publishes, while the disk does not respond, that the outcome of a request is not known yet.
    """

    def __init__(self, prefix: str, store: StoreThread, publisher: Publisher) -> None:
        self._prefix = prefix
        self._store = store
        self._publisher = publisher

    async def load(self) -> StoredState:
        """Read everything that holds for the detector now."""
        return await self._read(None, lambda storage: storage.stored_state(self._prefix))

    async def revisions(self, first: int, last: int) -> list[Revision]:
        """Read the revisions of a range of numbers, in ascending order."""
        return await self._read(None, lambda storage: storage.revisions(self._prefix, first, last))

    async def revision(self, number: int) -> Revision:
        """Read one revision, which exists."""
        (revision,) = await self._read(None, lambda storage: storage.revisions(self._prefix, number, number))
        return revision

    async def members(self, request: Request, numbers: Collection[int]) -> list[Revision]:
        """Read the revisions with some numbers; those that do not exist are left out."""
        return await self._read(
            request, lambda storage: [each for n in numbers for each in storage.revisions(self._prefix, n, n)]
        )

    async def find_revision(self, name: int | str, wrong: Collection[int], request: Request) -> Revision:
        """Read the revision with a number, or the newest one with a label that is not wrong.

        Raises
        ------
        RefusedError
            There is none.
        """
        return await self._read(request, lambda storage: _find_revision(storage, self._prefix, name, wrong))

    async def find_undo(self, request: Request) -> UndoStep:
        """Read which activation an undo undoes, and what was active just before it.

        Raises
        ------
        RefusedError
            There is none; the message says why.
        """
        return await self._read(request, lambda storage: _find_undo(storage, self._prefix))

    async def pixels_of(self, request: Request, detector: str) -> tuple[float, float] | None:
        """Read the pixel sizes of the newest revision with a detector (m); None if there is none."""
        revision = await self._read(request, lambda storage: storage.find_detector(self._prefix, detector))
        return None if revision is None else (revision.geometry.pixel1, revision.geometry.pixel2)

    async def follow_candidates(self, before: int | None, limit: int) -> list[FollowCandidate]:
        """Read what commits and users activated and was not undone, before a serial (None: from the newest on)."""
        return await self._read(None, lambda storage: storage.follow_candidates(self._prefix, before, limit))

    async def answer(self, request: Request) -> Answer | None:
        """Read the first answer to a request id, so that repeating a request is safe; None if the id is new.

        Raises
        ------
        RefusedError
            The id was used for another request.
        """
        key = request.request
        if key is None:
            return None
        answer = await self._read(request, lambda storage: storage.answer(self._prefix, key))
        if answer is not None:
            require_same(request, answer)
        return answer

    async def commit(
        self,
        request: Request,
        draft: Draft,
        time: str,
        author: str,
        follow_state: FollowState | None,
        derived: DerivedGeometry | None = None,
    ) -> StoredState:
        """Store a new revision and activate it.

        Parameters
        ----------
        time
            Of both, UTC ISO-8601.
        follow_state
            Stored with it; None if it has not changed.
        derived
            What the model gives for the position; None if the revision is none, or holds elsewhere.
        """
        count = self._publisher.state.count
        revision, activation = await self._write(
            request,
            lambda storage: storage.commit(
                self._prefix, draft, time, request.op, author, _identity(request), follow_state, count, derived
            ),
        )
        return self._activated(revision, activation, follow_state)

    async def activate(
        self,
        request: Request,
        revision: Revision,
        time: str,
        author: str,
        follow_state: FollowState | None,
        undone: Activation | None = None,
        derived: DerivedGeometry | None = None,
    ) -> StoredState:
        """Activate a stored revision, which may undo another activation; parameters as `commit`."""
        identity = _identity(request)
        activation = await self._write(
            request,
            lambda storage: storage.activate(
                self._prefix, revision.number, time, request.op, author, identity, follow_state, undone, derived
            ),
        )
        return self._activated(with_derived(revision, derived), activation, follow_state)

    async def follow(
        self, revision: Revision, time: str, follow_state: FollowState | None, derived: DerivedGeometry | None = None
    ) -> StoredState:
        """Activate a stored revision because the links are at its position; parameters as `commit`."""
        cause = MODEL if revision.number == self._publisher.state.stored.number else FOLLOWED
        activation = await self._write(
            None,
            lambda storage: storage.activate(
                self._prefix, revision.number, time, cause, _FOLLOW_AUTHOR, None, follow_state, None, derived
            ),
        )
        return self._activated(with_derived(revision, derived), activation, follow_state)

    async def add(
        self, request: Request, record: Correction | ServiceChange | LabelRecord, result: Result
    ) -> StoredState:
        """Store a record, which gets its number here, and the result of its request."""
        numbered = await self._write(
            request, lambda storage: storage.add(self._prefix, record, _answer(request, result))
        )
        return self._publisher.state.stored.with_record(numbered)

    async def find_label(self, request: Request, label: str | None) -> int | None:
        """Read the number of the revision that a label means now; None if it means none."""
        if label is None:
            return None
        return await self._read(request, lambda storage: storage.find_label(self._prefix, label))

    async def set_follow(self, request: Request, follow_state: FollowState, author: str, result: Result) -> StoredState:
        """Store whether the geometry follows the links, and the result of the request."""
        answer = _answer(request, result)
        await self._write(
            request, lambda storage: storage.set_follow_state(self._prefix, follow_state, result.time, author, answer)
        )
        return replace(self._publisher.state.stored, follow_state=follow_state)

    async def set_rested(self, follow_state: FollowState, time: str) -> StoredState:
        """Store where the links rest now; nothing else changes."""
        await self._write(
            None, lambda storage: storage.set_follow_state(self._prefix, follow_state, time, _FOLLOW_AUTHOR)
        )
        return replace(self._publisher.state.stored, follow_state=follow_state)

    async def store_result(self, request: Request, result: Result) -> None:
        """Store the result of a request that changed nothing, if it has an id: a late repetition changes nothing."""
        answer = _answer(request, result)
        if answer is not None:
            await self._write(request, lambda storage: storage.store_answer(self._prefix, answer))

    async def settle(self, request: Request | None) -> StoredState | None:
        """Return what the store has after a write whose last step failed; None if it is as before.

        That step is to sync the directory from which the journal was deleted. If it fails, the store has
        the transaction, but a power cut could bring the journal back, which undoes it. So the request is
        neither refused, nor accepted before a test write has synced the directory too. This tries again
        until the disk answers.
        """
        while True:
            try:
                stored = await self._store.read(lambda storage: storage.stored_state(self._prefix))
                if stored == self._publisher.state.stored:
                    return None
                await self._store.write(lambda storage: storage.probe())
            except StoreError as error:
                await self._report_undetermined(request, str(error))
                await asyncio.sleep(PERIOD)
            else:
                return stored

    async def _read(self, request: Request | None, method: Callable[[HistoryStorage], T]) -> T:
        return await self._store.read(method, partial(self._report_undetermined, request))

    async def _write(self, request: Request | None, method: Callable[[HistoryStorage], T]) -> T:
        return await self._store.write(method, partial(self._report_undetermined, request))

    def _activated(self, revision: Revision, activation: Activation, follow_state: FollowState | None) -> StoredState:
        before = self._publisher.state.stored
        return replace(
            before,
            revision=revision,
            activation=activation,
            count=max(before.count, revision.number),
            follow_state=follow_state or before.follow_state,
        )

    async def _report_undetermined(self, request: Request | None, why: str = "the disk does not answer") -> None:
        """Publish that the outcome of a request is not known yet; its final result replaces this one.

        Without a request it was to follow the links: their status is published as it is in the meantime.
        """
        if request is None:
            self._publisher.end_search()
            return
        result = results.undetermined(request, why, self._publisher.timestamp())
        self._publisher.publish(Change.RESULT, result=result, message=messages.undetermined(why))


def _identity(request: Request) -> tuple[str, str, str] | None:
    return None if request.request is None else (request.request, request.digest, request.op)


def _answer(request: Request, result: Result) -> Answer | None:
    identity = _identity(request)
    if identity is None:
        return None
    return Answer(*identity, result.revision or 0, result.serial or 0, result.time)


def _find_revision(storage: HistoryStorage, prefix: str, name: int | str, wrong: Collection[int]) -> Revision:
    count = storage.count(prefix)
    if isinstance(name, int):
        number = name
    else:
        number = storage.find_label(prefix, name, {*wrong, *storage.undone_revisions(prefix)})
    revision = storage.revision(prefix, number) if number is not None and 1 <= number <= count else None
    if revision is not None:
        return revision
    wrong_one = storage.find_label(prefix, name) if isinstance(name, str) else None
    labels = [label for label, _ in storage.newest_labels(prefix, MAX_NAMED + 1)]
    raise RefusedError(no_revision(name, count, labels, wrong_one))


def _find_undo(storage: HistoryStorage, prefix: str) -> UndoStep:
    undone = undone_serials(cast("list[UndoRecord]", storage.records(prefix, "undo")))
    activation = activation_to_undo(_newest_activations(storage, prefix), undone)
    (earlier,) = storage.records(prefix, "activation", activation.serial - 1, activation.serial - 1)
    numbers = (activation.revision, cast("Activation", earlier).revision)
    ((wrong,), (before,)) = (storage.revisions(prefix, number, number) for number in numbers)
    return UndoStep(activation, wrong, before)


def _newest_activations(storage: HistoryStorage, prefix: str) -> Iterator[Activation]:
    """Read the activations, the newest one first."""
    last = storage.count(prefix, "activation")
    while last > 0:
        first = max(1, last - _PAGE + 1)
        yield from reversed(cast("list[Activation]", storage.records(prefix, "activation", first, last)))
        last = first - 1
