"""The store as the transactions of one detector use it: while the disk hangs, whoever waits is told so."""

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from typing import TypeVar

from ponikeeper.detector.board import Board
from ponikeeper.errors import RefusedError, StoreError
from ponikeeper.history import Revision
from ponikeeper.protocol import Request, Result
from ponikeeper.store import Answer, History
from ponikeeper.store.writer import PERIOD, Store

T = TypeVar("T")


class Ledger:
    """What the store keeps of one detector.

    Parameters
    ----------
    prefix
        The detector's PV prefix, by which the store knows it.
    board
        Where the outcome of a transaction is told while it is not known.
    """

    def __init__(self, prefix: str, store: Store, board: Board) -> None:
        self.prefix = prefix
        self._store = store
        self._board = board

    async def read(self, method: Callable[[History, str], T], request: Request | None = None) -> T:
        """Read with a method that takes the history and the prefix; errors as `Store.read`."""
        return await self._store.read(lambda history: method(history, self.prefix), lambda: self.tell(request))

    async def write(self, method: Callable[[History, str], T], request: Request | None = None) -> T:
        """Write with a method that takes the history and the prefix; errors as `Store.write`."""
        return await self._store.write(lambda history: method(history, self.prefix), lambda: self.tell(request))

    async def named(self, name: int | str, wrong: Collection[int], request: Request) -> Revision:
        """Find the revision that a number or a label means; of a label the newest that is not wrong.

        Raises
        ------
        RefusedError
            There is none.
        """
        return await self.read(partial(_named, name=name, wrong=wrong), request)

    async def answer(self, request: Request) -> Answer | None:
        """Look for an earlier answer to the same id, so that a retry is safe.

        Raises
        ------
        RefusedError
            The id was used for something else.
        """
        if request.request is None:
            return None
        key = request.request
        answer = await self.read(partial(History.answer, request=key), request)
        if answer is not None and answer.digest != request.digest:
            raise RefusedError(f'the request id "{ascii(key)[1:-1]}" was used before with other content: use a new id')
        return answer

    async def tell(self, request: Request | None, why: str = "the disk hangs") -> None:
        """Tell that the outcome is not known yet; the result that is posted next takes this one's place.

        Where nobody asked for a transaction, the links are to be told as they stand in the meantime.
        """
        if request is None:
            self._board.end_search()
            return
        result = Result(request.request, request.op, "undetermined", None, None, (why,), self._board.now())
        await self._board.post(result, f"{why}: it is not known yet whether the transaction is stored")

    async def settle(self, request: Request | None) -> bool:
        """Take up what the store keeps after a transaction whose last step failed; tells whether it has kept it.

        That step is to sync the directory from which the journal is gone. Where it fails the store has
        the transaction, but a power cut could bring the journal back and undo it. So it is neither
        refused, nor accepted before a test write has synced the directory too. Asks until the disk tells.
        """
        while True:
            try:
                found = await self._store.read(lambda history: history.kept(self.prefix))
                if found == self._board.state.kept:
                    return False
                await self._store.write(History.probe)
            except StoreError as error:
                await self.tell(request, str(error))
                await asyncio.sleep(PERIOD)
            else:
                self._board.take_up(found)
                return True


def _named(history: History, prefix: str, name: int | str, wrong: Collection[int]) -> Revision:
    count = history.count(prefix)
    number = name if isinstance(name, int) else history.labelled(prefix, name, wrong)
    revision = history.revision(prefix, number) if number is not None and 1 <= number <= count else None
    if revision is not None:
        return revision
    known = f"revisions 1 to {count}" if count else "no revision at all"
    if isinstance(name, str):
        judged = history.labelled(prefix, name)
        if judged is not None:
            raise RefusedError(f"every revision labelled {name} was superseded or retracted, the last one is {judged}")
        known = f"labels {', '.join(history.labels(prefix)) or 'none'}"
    raise RefusedError(f"there is no revision {name}: the history has {known}")
