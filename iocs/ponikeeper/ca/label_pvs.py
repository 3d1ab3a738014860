"""The ``Labels:`` PVs of one detector: a button of a screen for each label, and what it activates."""

import asyncio
import time
from collections.abc import Callable, Mapping

from ponikeeper.ca.channels import PutHandler
from ponikeeper.ca.puts import Puts
from ponikeeper.ca.pv_values import PVValue
from ponikeeper.ca.server import ClientIdentity
from ponikeeper.detector.keeper import Keeper
from ponikeeper.errors import RefusedError, StoreError
from ponikeeper.history import Revision
from ponikeeper.history.corrections import corrected_revisions
from ponikeeper.protocol import Result
from ponikeeper.protocol.label_buttons import COUNT, LabelButtons
from ponikeeper.protocol.pvs import label_button
from ponikeeper.protocol.text_tables import labels_text
from ponikeeper.store import HistoryStorage
from ponikeeper.store.store_thread import StoreThread

_PERIOD = 0.5
"""Seconds between two readings of the labels: commits should not wait for them."""

Publish = Callable[[Mapping[str, PVValue], float], None]


class LabelPVs:
    """The ``Labels:`` PVs of one detector.

    Parameters
    ----------
    keeper
        Keeps the state of the detector.
    puts
        Runs the requests.
    store
        The store of its history.
    publish
        Publishes values, by suffix, with a time.
    """

    def __init__(self, keeper: Keeper, puts: Puts, store: StoreThread, publish: Publish) -> None:
        self._keeper = keeper
        self._puts = puts
        self._store = store
        self._publish = publish
        self._buttons = LabelButtons()
        self._changed = asyncio.Event()

    def handlers(self) -> Mapping[str, PutHandler]:
        """Return the handler of each writable PV, by suffix."""
        return {"Labels:Activate": self._activate}

    def mark_changed(self) -> None:
        """Publish the labels again soon."""
        self._changed.set()

    async def start(self) -> None:
        """Publish the labels, before the first client connects."""
        self._changed.clear()
        await self._publish_labels()

    async def run(self) -> None:
        """Publish the labels after each change of the history, at a limited rate."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._publish_labels()
            await asyncio.sleep(_PERIOD)

    async def _activate(self, number: int, identity: ClientIdentity) -> Result | None:
        try:
            label = self._buttons.label(number, time.monotonic())
        except RefusedError as error:
            await self._puts.refuse(error.problems, "activate")
        return await self._puts.activate(label, identity)

    async def _publish_labels(self) -> None:
        try:
            labelled = await self._store.read(self._read)
        except StoreError:  # Storage:Status_RBV shows it; the buttons stay as they are
            return
        self._buttons = self._buttons.updated([label for label, _ in labelled], time.monotonic())
        values = {label_button(number): label for number, label in enumerate(self._buttons.labels, 1)}
        values["Labels:Table_RBV"] = labels_text(labelled)
        self._publish({suffix: PVValue(value) for suffix, value in values.items()}, time.time())

    def _read(self, storage: HistoryStorage) -> list[tuple[str, Revision]]:
        """Read the labels of the newest revisions, each with the revision that it activates."""
        prefix = self._keeper.history
        excluded = corrected_revisions(self._keeper.state.corrections) | storage.undone_revisions(prefix)
        pairs = storage.newest_labels(prefix, COUNT, excluded)
        found = ((label, storage.revision(prefix, number)) for label, number in pairs)
        return [(label, revision) for label, revision in found if revision is not None]
