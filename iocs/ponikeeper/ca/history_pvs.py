"""The PVs that show the past of one detector, and change nothing: a selected revision, and what is read."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ponikeeper.ca.channels import Origin
from ponikeeper.ca.puts import Transaction
from ponikeeper.ca.view import Shown, list_text, selected_text
from ponikeeper.detector.keeper import Keeper
from ponikeeper.detector.state import DetectorState
from ponikeeper.errors import HistoryError, RefusedError, StoreError
from ponikeeper.protocol.history_query import AT_ONCE, HistoryQuery, parse_query, reply_text
from ponikeeper.protocol.text_tables import compare_text, table_text
from ponikeeper.store import History
from ponikeeper.store.writer import Store
from ponikeeper.text.timestamps import to_posix

_WINDOW = 60
"""Revisions that are read around the selected one; as many are shown as fit the PV."""

Show = Callable[[Mapping[str, Shown], float], Awaitable[None]]


class Archive:
    """The ``History:`` PVs of one detector.

    Parameters
    ----------
    keeper
        Who keeps the detector.
    store
        Where its history is.
    show
        Shows values, by suffix, with a time.
    """

    def __init__(self, keeper: Keeper, store: Store, show: Show) -> None:
        self._keeper = keeper
        self._store = store
        self._show = show
        self._changed = asyncio.Event()
        self.selected = 0

    def by_suffix(self) -> Mapping[str, Transaction]:
        """Name what a put to each PV does."""
        return {"History:Select": self._select, "History:Read": self._read}

    def change(self) -> None:
        """Have what is selected shown anew."""
        self._changed.set()

    async def start(self) -> None:
        """Show what is there before the first client comes."""
        self._changed.clear()
        await self._show_selected(time.time())

    async def run(self) -> None:
        """Show the history after each change, behind the acknowledgement: it takes longer than the commit."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._show_selected(timestamp(self._keeper.state))

    async def _select(self, number: Any, origin: Origin) -> None:  # noqa: ARG002
        if not 0 <= number <= self._keeper.state.count:
            raise RefusedError(
                f"there is no revision {number}: expected 1 to {self._keeper.state.count}, or 0 for the one in force"
            )
        self.selected = int(number)
        await self._show_selected(time.time())

    async def _show_selected(self, stamp: float) -> None:
        """Show the selected revision, or the one in force, and those around it."""
        in_force = self._keeper.state.revision
        number = self.selected or (in_force.number if in_force else 0)
        try:
            revisions = await self._keeper.revisions(number - _WINDOW // 2, number + _WINDOW // 2)
        except StoreError as error:
            await self._tell(f"the history cannot be read: {error}")
            return
        corrections = self._keeper.state.corrections
        chosen = [revision for revision in revisions if revision.number == number]
        await self._show(
            {
                "History:Selected_RBV": Shown(selected_text(chosen[0], corrections) if chosen else ""),
                "History:List_RBV": Shown(list_text(revisions, corrections, number)),
                "History:Table_RBV": Shown(
                    table_text(revisions, corrections, number, in_force.number if in_force else 0)
                ),
                "History:Compare_RBV": Shown(compare_text(chosen[0], in_force) if chosen and in_force else ""),
            },
            stamp,
        )

    async def _read(self, text: str, origin: Origin) -> None:  # noqa: ARG002
        try:
            answer = await self._answer(parse_query(text))
        except (HistoryError, StoreError) as error:
            await self._tell(f"refused: {error}")  # libca drops the words of a refusal
            raise RefusedError(str(error)) from error
        await self._show({"History:Read_RBV": Shown(answer)}, time.time())

    async def _answer(self, query: HistoryQuery) -> str:
        prefix = self._keeper.state.prefix

        def read(history: History) -> str:
            last = query.first + AT_ONCE[query.kind] - 1
            records = history.records(prefix, query.kind, query.first, last)
            return reply_text(prefix, query, history.count(prefix, query.kind), records)

        return await self._store.read(read)

    async def _tell(self, message: str) -> None:
        await self._show({"Message_RBV": Shown(message)}, time.time())


def timestamp(state: DetectorState) -> float:
    """Give the instant of the activation in force (s since 1970); now, where there is none."""
    return time.time() if state.activation is None else to_posix(state.activation.time)
