"""The store as the transactions of one detector use it: while the disk hangs, whoever waits is told so."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from ponikeeper.board import Board
from ponikeeper.errors import StoreError
from ponikeeper.history import History, Kept
from ponikeeper.messages import Request, Result
from ponikeeper.store import PERIOD, Store

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

    async def tell(self, request: Request | None, why: str = "the disk hangs") -> None:
        """Tell that the outcome is not known yet; the result that is posted next takes this one's place.

        Where nobody asked for a transaction, the links are to be told as they stand in the meantime.
        """
        if request is None:
            self._board.end_search()
            return
        result = Result(request.request, request.op, "undetermined", None, None, (why,), self._board.now())
        await self._board.post(result, f"{why}: it is not known yet whether the transaction is stored")

    async def settled(self, request: Request | None) -> Kept | None:
        """Give what the store keeps after a transaction whose last step failed; None where it has not kept it.

        That step is to sync the directory from which the journal is gone. Where it fails the store has
        the transaction, but a power cut could bring the journal back and undo it. So it is neither
        refused, nor accepted before a test write has synced the directory too. Asks until the disk tells.
        """
        while True:
            try:
                found = await self._store.read(lambda history: history.kept(self.prefix))
                if found == self._board.state.kept:
                    return None
                await self._store.write(History.probe)
            except StoreError as error:
                await self.tell(request, str(error))
                await asyncio.sleep(PERIOD)
            else:
                return found
