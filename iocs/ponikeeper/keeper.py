"""The transaction of one detector: validate, store, publish, acknowledge. Knows no CA.

One lock per detector puts the transactions in a row; nothing is published that is not on disk.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from ponikeeper.contract import Status
from ponikeeper.errors import ProblemsError, RefusedError, StoreError, UncertainStoreError
from ponikeeper.history import Activation, Answer, History, Revision
from ponikeeper.messages import MAX_RESULTS, Commit, LinkState, Position, Request, Result, shortened
from ponikeeper.parameters import Limits
from ponikeeper.state import State
from ponikeeper.store import PERIOD, Store
from ponikeeper.transaction import MAX_REASON, decide_commit, is_unchanged, require_room

T = TypeVar("T")

Publish = Callable[[State], Awaitable[None]]

Look = Callable[[Position | None], Sequence[LinkState]]
"""Tells how the links stand now, beside where they stood for the geometry in force."""


class Keeper:
    """Keeps the geometry of one detector.

    Parameters
    ----------
    prefix
        The detector's PV prefix, by which the store knows it.
    limits
        Tighter limits of this detector.
    links
        Name and units of each link in the configuration.
    """

    def __init__(self, prefix: str, store: Store, limits: Limits, links: Mapping[str, str]) -> None:
        self.state = State(prefix)
        self._store = store
        self._limits = limits
        self._links = links
        self._lock = asyncio.Lock()
        self._publish: Publish | None = None
        self._look: Look | None = None
        self._results: deque[Result] = deque(maxlen=MAX_RESULTS)

    async def load(self) -> None:
        """Take up what the store says is in force.

        Raises
        ------
        StoreError
            The store cannot be read, or is damaged.
        """
        revision, activation, count = await self._stored()
        if revision is not None:
            self._take_up(revision, activation, count)

    def on_publish(self, publish: Publish) -> None:
        """Call a coroutine with each new state, inside the transaction that made it."""
        self._publish = publish

    def on_look(self, look: Look) -> None:
        """Call a function whenever it has to be known how the links stand."""
        self._look = look

    def links(self) -> Sequence[LinkState]:
        """Tell how the links stand now; nothing where nobody watches them."""
        revision = self.state.revision
        return self._look(revision and revision.position) if self._look is not None else ()

    async def execute(self, request: Request, by: str) -> Result:
        """Run one transaction to its end; the result is published when this returns.

        Parameters
        ----------
        by
            Who asks, as Channel Access names him.
        """
        async with self._lock:
            try:
                answer = await self._known_answer(request)
                if answer is not None:
                    result = _result(request, answer.revision, answer.serial, answer.time)
                    return await self._post(result, "", count=False)
                if isinstance(request, Commit):
                    return await self._commit(request, by)
                return await self._activate(request, by)
            except ProblemsError as error:
                return await self._refuse(request.request, request.op, error.problems)
            except UncertainStoreError as error:
                if not await self._settled(request):
                    return await self._refuse_unstored(request, error)
                assert self.state.activation is not None
                activation = self.state.activation
                result = _result(request, activation.revision, activation.serial, activation.time)
                return await self._post(result, f"stored, though the disk failed after it: {error}", changed=True)
            except StoreError as error:
                return await self._refuse_unstored(request, error)

    async def refuse(self, problems: tuple[str, ...], op: str = "commit", request: str | None = None) -> Result:
        """Refuse input that is no request at all, with the same consequences as any refusal."""
        async with self._lock:
            return await self._refuse(request, op, problems)

    async def revisions(self, first: int, last: int) -> list[Revision]:
        """Read revisions by number, ascending.

        Raises
        ------
        StoreError
            The store cannot be read now.
        """
        prefix = self.state.prefix
        return await self._store.read(lambda history: history.revisions(prefix, first, last))

    async def _commit(self, commit: Commit, by: str) -> Result:
        state, links = self.state, self.links()
        draft = decide_commit(state.revision, commit, commit.author or by, self._limits, self._links, links)
        require_room(state.prefix, draft)
        if state.activation is not None and is_unchanged(state.revision, draft, commit.derived, links):
            return await self._keep_unchanged(commit, state.activation)
        time = self._now()
        author = str(draft.provenance["author"])
        revision, activation = await self._write(
            commit,
            lambda history: history.commit(state.prefix, draft, time, commit.op, author, _identity(commit)),
        )
        label = f" ({revision.label})" if revision.label else ""
        message = f"revision {revision.number}{label} committed by {author}"
        if commit.position == "now" and draft.position is None:
            doubts = "; ".join(link.doubt for link in links if link.doubt)
            message += f", position unknown: {doubts or 'nobody watches the links'}"
        return await self._accept(commit, revision, activation, message)

    async def _activate(self, request: Request, by: str) -> Result:
        assert not isinstance(request, Commit)
        prefix = self.state.prefix
        revision = await self._read(request, lambda history: _named(history, prefix, request.revision))
        time, author = self._now(), request.author or by
        activation = await self._write(
            request,
            lambda history: history.activate(prefix, revision.number, time, request.op, author, _identity(request)),
        )
        return await self._accept(request, revision, activation, f"revision {revision.number} activated by {author}")

    async def _keep_unchanged(self, commit: Commit, activation: Activation) -> Result:
        """Accept what is in force already; its id is kept all the same, so that a late retry changes nothing."""
        result = _result(commit, activation.revision, activation.serial, self._now())
        identity = _identity(commit)
        if identity is not None:
            answer = Answer(*identity, activation.revision, activation.serial, result.time)
            await self._write(commit, lambda history: history.keep_answer(self.state.prefix, answer))
        return await self._post(result, f"revision {activation.revision} says this already: nothing changed")

    async def _known_answer(self, request: Request) -> Answer | None:
        """Look for an earlier answer to the same id, so that a retry is safe.

        Raises
        ------
        RefusedError
            The id was used for something else.
        """
        if request.request is None:
            return None
        key = request.request
        answer = await self._read(request, lambda history: history.answer(self.state.prefix, key))
        if answer is not None and answer.digest != request.digest:
            raise RefusedError(f'the request id "{ascii(key)[1:-1]}" was used before with other content: use a new id')
        return answer

    async def _read(self, request: Request, method: Callable[[History], T]) -> T:
        """Read what a transaction needs; while the disk hangs its outcome is told to be undetermined."""
        return await self._store.read(method, lambda: self._tell_undetermined(request, "the disk hangs"))

    async def _write(self, request: Request, method: Callable[[History], T]) -> T:
        """Write to the store; while the disk hangs the outcome is told to be undetermined."""
        return await self._store.write(method, lambda: self._tell_undetermined(request, "the disk hangs"))

    async def _tell_undetermined(self, request: Request, why: str) -> None:
        """Show that the outcome is not known yet; the result that is posted next takes this one's place."""
        result = Result(request.request, request.op, "undetermined", None, None, (why,), self._now())
        await self._post(result, f"{why}: it is not known yet whether the transaction is stored", count=False)

    async def _settled(self, request: Request) -> bool:
        """Tell whether the store has a transaction whose last step failed; asks until the disk tells.

        That step is to sync the directory from which the journal is gone. Where it fails the store has
        the transaction, but a power cut could bring the journal back and undo it. So it is neither
        refused, nor accepted before a test write has synced the directory too.
        """
        while True:
            try:
                revision, activation, count = await self._stored()
                if activation == self.state.activation:
                    return False
                await self._store.write(History.probe)
            except StoreError as error:
                await self._tell_undetermined(request, str(error))
                await asyncio.sleep(PERIOD)
            else:
                self._take_up(revision, activation, count)
                return True

    async def _stored(self) -> tuple[Revision | None, Activation | None, int]:
        """Read what the store says is in force, and how many revisions it has."""
        prefix = self.state.prefix
        found, count = await self._store.read(lambda history: (history.in_force(prefix), history.count(prefix)))
        revision, activation = found or (None, None)
        return revision, activation, count

    async def _accept(self, request: Request, revision: Revision, activation: Activation, message: str) -> Result:
        self._take_up(revision, activation, max(self.state.count, revision.number))
        result = _result(request, revision.number, activation.serial, activation.time)
        return await self._post(result, message, changed=True)

    async def _refuse_unstored(self, request: Request, error: StoreError) -> Result:
        reason = f"not stored, the geometry in force stays: {error}"
        return await self._refuse(request.request, request.op, (reason,))

    async def _refuse(self, request: str | None, op: str, problems: tuple[str, ...]) -> Result:
        errors = shortened(problems)
        result = Result(request, op, "refused", None, None, errors, self._now())
        return await self._post(result, "refused: " + "; ".join(errors))

    async def _post(self, result: Result, message: str, *, changed: bool = False, count: bool = True) -> Result:
        """Show a result, and whatever changed with it."""
        if self._results and self._results[0].outcome == "undetermined":
            self._results.popleft()
        self._results.appendleft(result)
        accepted = int(count and result.outcome == "accepted")
        self.state = replace(
            self.state,
            accepted=self.state.accepted + accepted,
            rejected=self.state.rejected + int(count and not accepted),
            message=message or self.state.message,
            results=tuple(self._results),
            changed=changed,
        )
        if self._publish is not None:
            await self._publish(self.state)
        return result

    def _take_up(self, revision: Revision | None, activation: Activation | None, count: int) -> None:
        """Hold what the store has in force, with its status and reason."""
        reason = "nothing watches this geometry: the configuration has no links"
        if self._links:
            reason = f"where the links {' '.join(self._links)} stand is in Links_RBV; it is not judged"
        self.state = replace(
            self.state,
            status=Status.VALID,
            reason=reason[:MAX_REASON],
            revision=revision,
            activation=activation,
            count=count,
        )

    def _now(self) -> str:
        """Give the time, later than the last activation's even where the clock was set back."""
        now = datetime.now(UTC)
        if self.state.activation is not None:
            now = max(now, datetime.fromisoformat(self.state.activation.time) + timedelta(microseconds=1))
        return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _identity(request: Request) -> tuple[str, str, str] | None:
    return None if request.request is None else (request.request, request.digest, request.op)


def _result(request: Request, revision: int, serial: int, time: str) -> Result:
    return Result(request.request, request.op, "accepted", revision, serial, (), time)


def _named(history: History, prefix: str, name: int | str) -> Revision:
    """Find the revision that a number or a label means.

    Raises
    ------
    RefusedError
        There is none.
    """
    count = history.count(prefix)
    number = name if isinstance(name, int) else history.labelled(prefix, name)
    revision = history.revision(prefix, number) if number is not None and 1 <= number <= count else None
    if revision is not None:
        return revision
    known = f"revisions 1 to {count}" if count else "no revision at all"
    if isinstance(name, str):
        known = f"labels {', '.join(history.labels(prefix)) or 'none'}"
    raise RefusedError(f"there is no revision {name}: the history has {known}")
