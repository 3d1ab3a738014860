"""The transaction of one detector: validate, store, publish, acknowledge. Knows no CA.

One lock per detector puts the transactions in a row; nothing is published that is not on disk.
"""

import asyncio
from dataclasses import replace
from functools import partial

from ponikeeper.detector.board import Board, Publish
from ponikeeper.detector.commit_rules import decide_commit, decide_here, is_unchanged, require_room
from ponikeeper.detector.follower import Follower
from ponikeeper.detector.link_states import Linked
from ponikeeper.detector.state import Change, State
from ponikeeper.detector.store import Ledger
from ponikeeper.errors import ProblemsError, RefusedError, StoreError, UncertainStoreError
from ponikeeper.geometry.parameters import Limits
from ponikeeper.history import Activation, Correction, Revision
from ponikeeper.history.corrections import correction_of, correction_problems, told, unsound
from ponikeeper.protocol import Activate, Commit, Follow, Here, Request, Result, Retract, Supersede, shortened
from ponikeeper.store import Answer, History, Standing
from ponikeeper.store.writer import Store


class Keeper:
    """Keeps the geometry of one detector.

    Parameters
    ----------
    prefix
        The detector's PV prefix, by which the store knows it.
    limits
        Tighter limits of this detector.
    links
        The PVs that its geometry depends on.
    follow
        Whether the geometry follows them, as long as the store says nothing of it.
    """

    def __init__(self, prefix: str, store: Store, limits: Limits, links: Linked, follow: bool = True) -> None:
        self._limits = limits
        self._links = links
        self._lock = asyncio.Lock()
        self._board = Board(prefix, links, follow)
        self._ledger = Ledger(prefix, store, self._board)
        self._follower = Follower(self._ledger, self._board, links, self._lock)

    @property
    def state(self) -> State:
        """All that is known of the detector now."""
        return self._board.state

    async def load(self) -> None:
        """Take up what the store keeps.

        Raises
        ------
        StoreError
            The store cannot be read, or is damaged.
        """
        self._board.take_up(await self._ledger.read(History.kept))
        self._follower.begin()

    def on_publish(self, publish: Publish) -> None:
        """Call a coroutine with each new state; inside the transaction that made it, where one did."""
        self._board.on_publish(publish)

    async def look(self) -> float | None:
        """Judge the geometry by how the links stand now; gives the time at which to look again at the latest."""
        return await self._follower.look()

    async def follow(self) -> None:
        """Let the geometry follow the links, for ever."""
        await self._follower.run()

    async def execute(self, request: Request, by: str) -> Result:
        """Run one transaction to its end; the result is published when this returns.

        Parameters
        ----------
        by
            Who asks, as Channel Access names him.
        """
        async with self._lock:
            try:
                answer = await self._ledger.answer(request)
                if answer is not None:
                    result = _result(request, answer.revision, answer.serial, answer.time)
                    await self._board.post(result, "")
                    return result
                return await self._run(request, request.author or by)
            except ProblemsError as error:
                return await self._refuse(request.request, request.op, error.problems)
            except UncertainStoreError as error:
                if not await self._ledger.settle(request):
                    return await self._refuse_unstored(request, error)
                self._follower.set_out()
                return await self._accept_settled(request, f"stored, though the disk failed after it: {error}")
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
        return await self._ledger.read(partial(History.revisions, first=first, last=last))

    async def _run(self, request: Request, author: str) -> Result:
        match request:
            case Commit():
                return await self._commit(request, request, author)
            case Here():
                commit = decide_here(self.state.revision, self.state.corrections, self._links.states())
                return await self._commit(request, commit, author)
            case Activate():
                return await self._activate(request, author)
            case Follow():
                return await self._switch(request, author)
            case Supersede() | Retract():
                return await self._judge(request, author)

    async def _commit(self, request: Commit | Here, commit: Commit, by: str) -> Result:
        state, links = self.state, self._links.states()
        draft = decide_commit(state.revision, commit, by, self._limits, self._links.units, links)
        require_room(state.prefix, draft)
        correction = state.revision and correction_of(state.corrections, state.revision.number)
        if correction is None and is_unchanged(state.revision, draft, commit.derived, links):
            return await self._keep_unchanged(request)
        if correction and commit.derived and state.revision and draft.geometry == state.revision.geometry:
            raise RefusedError(
                f"revision {correction.revision} was {told(correction)}, and this changes nothing of it: "
                "put in force one that is right, or commit all values anew"
            )
        time, author = self._board.now(), str(draft.provenance["author"])
        with self._follower.setting_out() as standing:
            revision, activation = await self._ledger.write(
                lambda history, prefix: history.commit(
                    prefix, draft, time, request.op, author, _identity(request), standing
                ),
                request,
            )
        label = f" ({revision.label})" if revision.label else ""
        message = f"revision {revision.number}{label} committed by {author}"
        if commit.position == "now" and draft.position is None:
            message += f", position unknown: {'; '.join(link.doubt for link in links if link.doubt)}"
        return await self._put_in_force(request, revision, activation, standing, message)

    async def _activate(self, request: Activate, author: str) -> Result:
        revision = await self._ledger.named(request.revision, unsound(self.state.corrections), request)
        correction = correction_of(self.state.corrections, revision.number)
        if correction is not None and not request.force:
            raise RefusedError(
                f"revision {revision.number} was {told(correction)}; activate one that is right, "
                'or this one all the same with "force": true (ponikeeper activate --force)'
            )
        time = self._board.now()
        with self._follower.setting_out() as standing:
            activation = await self._ledger.write(
                lambda history, prefix: history.activate(
                    prefix, revision.number, time, request.op, author, _identity(request), standing
                ),
                request,
            )
        message = f"revision {revision.number} activated by {author}"
        return await self._put_in_force(request, revision, activation, standing, message)

    async def _switch(self, request: Follow, author: str) -> Result:
        """Switch on or off that the geometry follows the links."""
        time = self._board.now()

        async def store(standing: Standing) -> None:
            answer = self._answer(request, time)
            await self._ledger.write(
                lambda history, prefix: history.stand(prefix, standing, time, author, answer), request
            )

        standing = await self._follower.switch(request.on, store)
        self._board.take_up(replace(self.state.kept, standing=standing))
        says = "the geometry follows the links" if request.on else "the geometry follows the links no more"
        return await self._accept(request, f"{says}, says {author}", Change.FOLLOW, time)

    async def _judge(self, request: Supersede | Retract, author: str) -> Result:
        """Store that a revision was wrong."""
        time, kept = self._board.now(), self.state.kept
        by, since, until = (
            (request.by, request.since, request.until) if isinstance(request, Supersede) else (None, None, None)
        )
        asked = Correction(0, request.op, request.revision, by, since, until, request.reason, time, author)
        problems = correction_problems(kept.corrections, asked, kept.count, time)
        if problems:
            raise RefusedError(problems)
        answer = self._answer(request, time, request.revision)
        correction = await self._ledger.write(lambda history, prefix: history.judge(prefix, asked, answer), request)
        self._board.take_up(replace(kept, corrections=(*kept.corrections, correction)))
        message = f"revision {request.revision} was {told(correction)}, says {author}"
        return await self._accept(request, message, Change.STATUS | Change.HISTORY, time, request.revision)

    async def _keep_unchanged(self, request: Commit | Here) -> Result:
        """Accept what is in force already; its id is kept all the same, so that a late retry changes nothing."""
        time = self._board.now()
        answer = self._answer(request, time)
        if answer is not None:
            await self._ledger.write(partial(History.keep_answer, answer=answer), request)
        message = f"revision {self.state.number} says this already: nothing changed"
        return await self._accept(request, message, Change.RESULT, time)

    def _answer(self, request: Request, time: str, revision: int | None = None) -> Answer | None:
        """Give what a request is answered, to be stored with what it made; None where it has no id."""
        identity = _identity(request)
        return None if identity is None else Answer(*identity, revision or self.state.number, self.state.serial, time)

    async def _put_in_force(
        self, request: Request, revision: Revision, activation: Activation, standing: Standing | None, message: str
    ) -> Result:
        self._board.put_in_force(revision, activation, standing)
        return await self._accept(request, message, Change.ACTIVATION, activation.time)

    async def _accept_settled(self, request: Request, message: str) -> Result:
        """Tell that a request was accepted after all, as its repetition will be told."""
        answer = await self._ledger.answer(request)
        judged = request.revision if isinstance(request, Supersede | Retract) else None
        time = self._board.now() if answer is None else answer.time
        return await self._accept(request, message, ~Change(0), time, judged)

    async def _accept(
        self, request: Request, message: str, change: Change, time: str, revision: int | None = None
    ) -> Result:
        """Tell that a request was accepted; it names the revision in force, unless it was about another one."""
        result = _result(request, revision or self.state.number, self.state.serial, time)
        self._board.count(accepted=True)
        await self._board.post(result, message, change | Change.RESULT)
        return result

    async def _refuse_unstored(self, request: Request, error: StoreError) -> Result:
        reason = f"not stored, the geometry in force stays: {error}"
        return await self._refuse(request.request, request.op, (reason,))

    async def _refuse(self, request: str | None, op: str, problems: tuple[str, ...]) -> Result:
        errors = shortened(problems)
        result = Result(request, op, "refused", None, None, errors, self._board.now())
        self._board.count(accepted=False)
        await self._board.post(result, "refused: " + "; ".join(errors))
        return result


def _identity(request: Request) -> tuple[str, str, str] | None:
    return None if request.request is None else (request.request, request.digest, request.op)


def _result(request: Request, revision: int, serial: int, time: str) -> Result:
    return Result(request.request, request.op, "accepted", revision, serial, (), time)
