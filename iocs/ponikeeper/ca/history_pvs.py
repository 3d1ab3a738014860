"""The PVs that show the history of one detector: a selected revision, and the answers to queries."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from ponikeeper.ca.channels import PutHandler
from ponikeeper.ca.pv_values import PVValue, list_text, selected_text
from ponikeeper.ca.server import ClientIdentity
from ponikeeper.detector.keeper import Keeper
from ponikeeper.detector.state import DetectorState
from ponikeeper.errors import HistoryError, RefusedError, StoreError
from ponikeeper.history import Revision
from ponikeeper.history.labels import latest_labels, with_label
from ponikeeper.protocol.history_query import MAX_RECORDS, HistoryQuery, parse_query, reply_text
from ponikeeper.protocol.text_tables import compare_text, table_text
from ponikeeper.store import HistoryStorage
from ponikeeper.store.store_thread import StoreThread
from ponikeeper.text.timestamps import to_posix

_WINDOW = 60
"""Revisions that are read around the selected one; as many as fit the PV are published."""

_PERIOD = 0.05
"""Seconds between two publications: a person cannot read faster, and commits should not wait for it."""

Publish = Callable[[Mapping[str, PVValue], float], None]


class HistoryPVs:
    """The ``History:`` PVs of one detector.

    Parameters
    ----------
    keeper
        Keeps the state of the detector.
    store
        The store of its history.
    show
        Publishes values, by suffix, with a time.
    """

    def __init__(self, keeper: Keeper, store: StoreThread, publish: Publish) -> None:
        self._keeper = keeper
        self._store = store
        self._publish = publish
        self._changed = asyncio.Event()
        self._window: dict[int, Revision] = {}
        self.selected = 0

    def handlers(self) -> Mapping[str, PutHandler]:
        """Return the handler of each writable PV, by suffix."""
        return {"History:Select": self._select, "History:Read": self._read}

    def mark_changed(self) -> None:
        """Publish the selected revision again soon."""
        self._changed.set()

    async def start(self) -> None:
        """Publish the history, before the first client connects."""
        self._changed.clear()
        await self._publish_selected(time.time())

    async def run(self) -> None:
        """Publish the history after each change, at a limited rate, and after the acknowledgement of the commit."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._publish_selected(timestamp(self._keeper.state))
            await asyncio.sleep(_PERIOD)

    async def _select(self, number: Any, identity: ClientIdentity) -> None:  # noqa: ARG002
        if not 0 <= number <= self._keeper.state.count:
            self._refuse(
                f"there is no revision {number}: expected 1 to {self._keeper.state.count}, or 0 for the active one"
            )
        self.selected = int(number)
        await self._publish_selected(time.time())

    async def _publish_selected(self, stamp: float) -> None:
        """Publish the selected revision, or the active one, and those around it."""
        active = self._keeper.state.revision
        number = self.selected or (active.number if active else 0)
        try:
            read = await self._revisions(number - _WINDOW // 2, number + _WINDOW // 2)
            undone = await self._store.read(lambda storage: storage.undone_revisions(self._keeper.history))
        except StoreError as error:
            self._publish_message(f"the history cannot be read: {error}")
            return
        corrections, labels = self._keeper.state.corrections, self._keeper.state.stored.labels
        revisions = [with_label(revision, labels) for revision in read]
        chosen = [revision for revision in revisions if revision.number == number]
        self._publish(
            {
                "History:Selected_RBV": PVValue(selected_text(chosen[0], corrections) if chosen else ""),
                "History:List_RBV": PVValue(list_text(revisions, corrections, number, undone)),
                "History:Table_RBV": PVValue(
                    table_text(revisions, corrections, number, active.number if active else 0, undone)
                ),
                "History:Compare_RBV": PVValue(compare_text(chosen[0], active) if chosen and active else ""),
            },
            stamp,
        )

    async def _revisions(self, first: int, last: int) -> list[Revision]:
        """Return the revisions of a range of numbers; revisions never change, so only new ones are read."""
        numbers = range(max(first, 1), min(last, self._keeper.state.count) + 1)
        known = {number: self._window[number] for number in numbers if number in self._window}
        missing = [number for number in numbers if number not in known]
        if missing:
            read = await self._keeper.revisions(missing[0], missing[-1])
            known |= {revision.number: revision for revision in read}
        self._window = known
        return [known[number] for number in numbers if number in known]

    async def _read(self, text: str, identity: ClientIdentity) -> None:  # noqa: ARG002
        try:
            reply = await self._reply_text(parse_query(text))
        except (HistoryError, StoreError) as error:
            self._refuse(str(error))
        self._publish({"History:Read_RBV": PVValue(reply)}, time.time())

    async def _reply_text(self, query: HistoryQuery) -> str:
        prefix, first_prefix = self._keeper.state.prefix, self._keeper.history

        def read(storage: HistoryStorage) -> str:
            last = query.first + MAX_RECORDS[query.kind] - 1
            records = storage.records(first_prefix, query.kind, query.first, last)
            return reply_text(prefix, query, storage.count(first_prefix, query.kind), records, first_prefix)

        return await self._store.read(read)

    def _refuse(self, reason: str) -> NoReturn:
        """Publish why a put is refused, since libca drops the text of a refusal; raises `RefusedError`."""
        self._publish_message(f"refused: {reason}")
        raise RefusedError(reason)

    def _publish_message(self, message: str) -> None:
        self._publish({"Message_RBV": PVValue(message)}, time.time())


def timestamp(state: DetectorState) -> float:
    """Return the time of the current activation (s since 1970).

    The present time if there is none, or if it lies ahead of the clock, as after a clock that was wrong: clients and
    archivers refuse times of the future.
    """
    now = time.time()
    return now if state.activation is None else min(now, to_posix(state.activation.time))


def label_timestamp(state: DetectorState) -> float:
    """Return the time from which on the active revision has its label and is active (s since 1970)."""
    record = latest_labels(state.stored.labels).get(state.stored.number)
    return timestamp(state) if record is None else max(timestamp(state), min(time.time(), to_posix(record.time)))
