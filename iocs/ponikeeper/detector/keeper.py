"""The requests of one detector: validate, store, publish, acknowledge. Knows no Channel Access.

One lock per detector runs the requests one after another; nothing is published that is not on disk.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

from ponikeeper.detector import messages, results
from ponikeeper.detector.commit_rules import EditPosition
from ponikeeper.detector.detector_store import DetectorStore
from ponikeeper.detector.edit_series import EditSeries
from ponikeeper.detector.follow_rules import Prefer
from ponikeeper.detector.follower import Follower
from ponikeeper.detector.link_states import LinkStates
from ponikeeper.detector.operations import Operations
from ponikeeper.detector.publisher import Publish, Publisher
from ponikeeper.detector.state import Change, DetectorState
from ponikeeper.errors import ProblemsError, StoreError, UncertainStoreError
from ponikeeper.geometry.parameters import Limits
from ponikeeper.history import Revision
from ponikeeper.protocol import DEFAULT_ERRORS, AssumedErrors, Request, Result
from ponikeeper.store import StoredState
from ponikeeper.store.store_thread import StoreThread
from ponikeeper.text import timestamps


class Keeper:
    """Keeps the geometry of one detector.

    Parameters
    ----------
    prefix
        The detector's PV prefix.
    store
        The store of the IOC.
    limits
        Tighter limits of this detector.
    links
        The PVs on which its geometry depends.
    follow
        Whether the geometry follows them: the initial value, until the store has one.
    now
        Reads the clock of the host, whose time every record gets.
    edit_position
        The position of an edited geometry: ``keep`` that of the revision that was edited, or that of the links ``now``.
    assumed
        The errors that a fit of this detector assumes.
    prefer
        What following activates where a model holds and a revision was calibrated exactly there.
    history
        The first PV prefix of its history, which is its key in the store; None where it is `prefix`.
    """

    def __init__(
        self,
        prefix: str,
        store: StoreThread,
        limits: Limits,
        links: LinkStates,
        follow: bool = True,
        now: Callable[[], datetime] = timestamps.now,
        edit_position: EditPosition = "keep",
        assumed: AssumedErrors = DEFAULT_ERRORS,
        prefer: Prefer = "model",
        history: str | None = None,
    ) -> None:
        self.history = history or prefix
        """The first PV prefix of its history, which is its key in the store."""
        self._links = links
        self._lock = asyncio.Lock()
        self._publisher = Publisher(prefix, links, follow, now, assumed)
        self._store = DetectorStore(self.history, store, self._publisher)
        self._series = EditSeries(self._publisher, links)
        self._follower = Follower(self._store, self._publisher, links, self._lock, prefer)
        self._operations = Operations(
            self._store, self._publisher, links, self._follower, self._series, limits, edit_position
        )

    @property
    def state(self) -> DetectorState:
        """The detector's state now."""
        return self._publisher.state

    async def load(self) -> None:
        """Load what the store has.

        Raises
        ------
        StoreError
            The store cannot be read, or is damaged.
        """
        self._publisher.update_stored(await self._store.load())
        self._publisher.begin_log()
        self._follower.begin()

    def on_publish(self, listener: Publish) -> None:
        """Register the function that is called with each published state.

        Where a request made the state, that happens before the request is acknowledged.
        """
        self._publisher.on_publish(listener)

    async def check_links(self) -> float | None:
        """Update the status from the links as they are now.

        Returns
        -------
        float or None
            When to call this again at the latest even if no link changes (s, the links' clock).
        """
        return await self._follower.check_links()

    async def follow_links(self) -> None:
        """Activate the revision that belongs to the links' position whenever they have come to rest; runs for ever."""
        await self._follower.run()

    async def execute(self, request: Request, by: str) -> Result:
        """Execute one request; its result is published when this returns.

        Parameters
        ----------
        by
            The client's user and host as Channel Access names them: the author, unless the request names one.

        Returns
        -------
        Result
            Accepted, or refused with every reason.
        """
        async with self._lock:
            try:
                answer = await self._store.answer(request)
                if answer is not None:
                    result = results.repeated(request, answer)
                    self._publisher.publish(Change.RESULT, result=result)
                    return result
                return await self._operations.execute(request, request.author or by)
            except ProblemsError as error:
                return self._refuse(request.request, request.op, error.problems)
            except UncertainStoreError as error:
                stored = await self._store.settle(request)
                if stored is None:
                    return self._refuse_unstored(request, error)
                return await self._accept_settled(request, stored, error)
            except StoreError as error:
                return self._refuse_unstored(request, error)

    def note_refused(self, name: str, by: str, reason: str) -> None:
        """Note that the put of a value to its setpoint was refused; publish what to do if others were accepted.

        Parameters
        ----------
        name
            Name of the value.
        by
            The client's user and host.
        reason
            Why it was refused.
        """
        self._series.refused(name, by, reason)

    async def refuse(self, problems: tuple[str, ...], op: str = "commit", request: str | None = None) -> Result:
        """Refuse input that is no request at all; it is published and counted as any other refusal."""
        async with self._lock:
            return self._refuse(request, op, problems)

    async def revisions(self, first: int, last: int) -> list[Revision]:
        """Read the revisions of a range of numbers, in ascending order.

        Raises
        ------
        StoreError
            The store cannot be read now.
        """
        return await self._store.revisions(first, last)

    async def _accept_settled(self, request: Request, stored: StoredState, error: StoreError) -> Result:
        """Accept a request that turned out to be stored; a repetition of it will get the same result."""
        self._publisher.update_stored(stored)
        self._follower.set_baseline(self._links.states())
        answer = await self._store.answer(request)
        time = self._publisher.timestamp() if answer is None else answer.time
        result, message = results.accepted(request, stored, time), messages.settled(error)
        self._publisher.publish(~Change(0), result=result, message=message, counted=True)
        return result

    def _refuse_unstored(self, request: Request, error: StoreError) -> Result:
        return self._refuse(request.request, request.op, (messages.unstored(error),))

    def _refuse(self, request: str | None, op: str, problems: tuple[str, ...]) -> Result:
        result = results.refused(request, op, problems, self._publisher.timestamp())
        self._publisher.publish(Change.RESULT, result=result, message=messages.refused(result), counted=True)
        return result
