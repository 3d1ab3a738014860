"""The requests of one detector: validate, store, publish, acknowledge. Knows no Channel Access.

One lock per detector runs the requests one after another; nothing is published that is not on disk.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

from ponikeeper.detector.commit_rules import (
    NOTHING_BEFORE,
    Before,
    EditPosition,
    brings_detector,
    decide_commit,
    decide_record_position,
    position_note,
    require_room,
)
from ponikeeper.detector.detector_store import DetectorStore
from ponikeeper.detector.edit_series import EditSeries
from ponikeeper.detector.follower import Follower
from ponikeeper.detector.link_states import LinkStates
from ponikeeper.detector.publisher import Publish, Publisher
from ponikeeper.detector.repetition_rules import is_repetition
from ponikeeper.detector.state import Change, DetectorState
from ponikeeper.detector.undo_rules import undo_problems
from ponikeeper.errors import ProblemsError, RefusedError, StoreError, UncertainStoreError
from ponikeeper.geometry.detectors import pixel_size
from ponikeeper.geometry.parameters import Limits
from ponikeeper.history import Correction, LabelRecord, Revision, ServiceChange
from ponikeeper.history.corrections import corrected_revisions, correction_of, correction_problems, describe_correction
from ponikeeper.history.service import links_out_of_service
from ponikeeper.protocol import (
    Activate,
    Commit,
    Follow,
    InService,
    Label,
    OutOfService,
    RecordPosition,
    Request,
    Result,
    Retract,
    Supersede,
    Undo,
    label_problem,
    shortened,
)
from ponikeeper.protocol.links import in_service
from ponikeeper.store import StoredState
from ponikeeper.store.store_thread import StoreThread
from ponikeeper.text import timestamps
from ponikeeper.text.ascii import json_literal


class Keeper:
    """Keeps the geometry of one detector.

    Parameters
    ----------
    prefix
        The detector's PV prefix, which is its key in the store.
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
    ) -> None:
        self._limits = limits
        self._edit_position: EditPosition = edit_position
        self._links = links
        self._lock = asyncio.Lock()
        self._publisher = Publisher(prefix, links, follow, now)
        self._store = DetectorStore(prefix, store, self._publisher)
        self._series = EditSeries(self._publisher, links)
        self._follower = Follower(self._store, self._publisher, links, self._lock)

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
                    result = _accepted(request, answer.revision, answer.serial, answer.time)
                    self._publisher.publish(Change.RESULT, result=result)
                    return result
                return await self._execute(request, request.author or by)
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

    async def _execute(self, request: Request, author: str) -> Result:
        match request:
            case Commit():
                return await self._commit(request, request, author)
            case RecordPosition():
                commit = decide_record_position(
                    self.state.revision, self.state.corrections, self._links.states(), force=request.force
                )
                return await self._commit(request, commit, author)
            case Activate():
                return await self._activate(request, author)
            case Undo():
                return await self._undo(request, author)
            case Label():
                return await self._label(request, author)
            case Follow():
                return await self._set_follow(request, author)
            case Supersede() | Retract():
                return await self._correct(request, author)
            case OutOfService() | InService():
                return await self._change_service(request, author)

    async def _commit(self, request: Commit | RecordPosition, commit: Commit, by: str) -> Result:
        state, links = self.state, self._links.states()
        units, position, before = self._links.units, self._edit_position, await self._before(request, commit, by)
        draft = decide_commit(state.revision, commit, by, self._limits, units, links, position, before)
        require_room(state.prefix, draft, links)
        if is_repetition(state.revision, state.corrections, draft, commit, links):
            self._series.accepted(commit, by, state.stored.number)
            return await self._accept_unchanged(request)
        time, author = self._publisher.timestamp(), str(draft.provenance["author"])
        label, note = f" ({draft.label})" if draft.label else "", position_note(commit, draft, links)
        with self._follower.new_baseline(links) as follow_state:
            stored = await self._store.commit(request, draft, time, author, follow_state)
        self._series.accepted(commit, by, stored.number)
        message = f"revision {stored.number}{label} committed by {author}{note}"
        return self._accept(Change.ACTIVATION, _result(request, stored, time), message, stored)

    async def _before(self, request: Commit | RecordPosition, commit: Commit, by: str) -> Before:
        """Find what another detector does not bring: what the client put just before, and pixels of the history."""
        detector = brings_detector(self.state.revision, commit)
        if detector is None:
            return NOTHING_BEFORE
        values = self._series.brought(by) if commit.edit else {}
        pixels = None if pixel_size(detector) else await self._store.pixels_of(request, detector)
        return Before(values, pixels)

    async def _activate(self, request: Activate, author: str) -> Result:
        revision = await self._store.find_revision(
            request.revision, corrected_revisions(self.state.corrections), request
        )
        correction = correction_of(self.state.corrections, revision.number)
        if correction is not None and not request.force:
            raise RefusedError(
                f"revision {revision.number} was {describe_correction(correction)}; activate one that is right, "
                'or this one anyway with "force": true (ponikeeper activate --force)'
            )
        if revision.number == self.state.stored.number:
            return await self._accept_active(request, author)
        time = self._publisher.timestamp()
        with self._follower.new_baseline(self._links.states()) as follow_state:
            stored = await self._store.activate(request, revision, time, author, follow_state)
        self._series.end()
        message = f"revision {revision.number} activated by {author}"
        return self._accept(Change.ACTIVATION, _result(request, stored, time), message, stored)

    async def _undo(self, request: Undo, author: str) -> Result:
        serial = self.state.stored.serial
        if request.expect_serial not in (None, serial):
            raise RefusedError(
                f"expect_serial {request.expect_serial} is outdated: activation {serial} is the newest one; read the "
                "snapshot again, then send a new request"
            )
        links = self._links.states()
        step = await self._store.find_undo(request)
        problems = undo_problems(step, self.state.corrections, in_service(links))
        if problems:
            raise RefusedError(problems)
        time = self._publisher.timestamp()
        with self._follower.new_baseline(links) as follow_state:
            stored = await self._store.activate(request, step.before, time, author, follow_state, step.undone)
        self._series.end()
        message = (
            f"activation {step.undone.serial}, revision {step.wrong.number}, was undone by {author}: "
            f"revision {step.before.number} is active again"
        )
        return self._accept(Change.ACTIVATION, _result(request, stored, time), message, stored)

    async def _label(self, request: Label, author: str) -> Result:
        stored, label = self.state.stored, request.label
        number = stored.number if request.revision is None else request.revision
        problem = None if label is None else label_problem(label)
        if problem is None and not number:
            problem = "no revision is active yet, so there is none that could be labelled: commit a geometry first"
        if problem:
            raise RefusedError(problem)
        if await self._store.is_labelled(request, number, label):
            return await self._accept_unchanged(request)
        time = self._publisher.timestamp()
        result = _accepted(request, number, stored.serial, time)
        record = LabelRecord(0, number, label, stored.count, time, author)
        stored = await self._store.label(request, record, result)
        done = f"labelled {label}" if label else "left without a label"
        message = f"revision {number} was {done} by {author}"
        return self._accept(Change.STATUS | Change.LABEL | Change.HISTORY, result, message, stored)

    async def _set_follow(self, request: Follow, author: str) -> Result:
        result = _result(request, self.state.stored, self._publisher.timestamp())
        with self._follower.switched(request.on) as follow_state:
            stored = await self._store.set_follow(request, follow_state, author, result)
        message = f"follow switched {'on' if request.on else 'off'} by {author}"
        return self._accept(Change.FOLLOW, result, message, stored)

    async def _correct(self, request: Supersede | Retract, author: str) -> Result:
        time, stored = self._publisher.timestamp(), self.state.stored
        by, since, until = (
            (request.by, request.since, request.until) if isinstance(request, Supersede) else (None, None, None)
        )
        correction = Correction(0, request.op, request.revision, by, since, until, request.reason, time, author)
        problems = correction_problems(stored.corrections, correction, stored.count, time)
        if problems:
            raise RefusedError(problems)
        result = _result(request, stored, time)
        stored = await self._store.correct(request, correction, result)
        message = f"revision {request.revision} was {describe_correction(correction)} (corrected by {author})"
        return self._accept(Change.STATUS | Change.HISTORY, result, message, stored)

    async def _change_service(self, request: OutOfService | InService, author: str) -> Result:
        time, stored, names = self._publisher.timestamp(), self.state.stored, self._links.units
        if request.link not in names:
            known = f"expected one of {' '.join(names)}" if names else "the configuration has no links"
            raise RefusedError(f"there is no link {json_literal(request.link)}: {known}")
        if isinstance(request, InService) and request.link not in links_out_of_service(stored.service):
            raise RefusedError(f"link {request.link} is in service: nothing to change")
        result = _result(request, stored, time)
        change = ServiceChange(0, request.op, request.link, request.reason, time, author)
        stored = await self._store.change_service(request, change, result)
        what = "returned to service" if isinstance(request, InService) else "taken out of service"
        message = f"link {request.link} {what} by {author}{request.reason and f': {request.reason}'}"
        return self._accept(Change.STATUS, result, message, stored)

    async def _accept_unchanged(self, request: Request) -> Result:
        """Accept what is active already."""
        stored = self.state.stored
        named = request.revision if isinstance(request, Label) else None
        result = _accepted(request, named or stored.number, stored.serial, self._publisher.timestamp())
        await self._store.store_result(request, result)
        message = f"revision {result.revision} has the same content: nothing changed"
        change = Change.STATUS if isinstance(request, Commit) and request.edit else Change.RESULT  # its advice may end
        return self._accept(change, result, message)

    async def _accept_active(self, request: Activate, author: str) -> Result:
        """Accept the activation of what is active already: it stays active where the links are now."""
        stored = self.state.stored
        result = _result(request, stored, self._publisher.timestamp())
        with self._follower.new_baseline(self._links.states()) as follow_state:
            if follow_state is None:
                await self._store.store_result(request, result)
            else:
                stored = await self._store.set_follow(request, follow_state, author, result)
        return self._accept(Change.RESULT, result, f"revision {stored.number} is active already", stored)

    async def _accept_settled(self, request: Request, stored: StoredState, error: StoreError) -> Result:
        """Accept a request that turned out to be stored; a repetition of it will get the same result."""
        self._publisher.update_stored(stored)
        self._follower.set_baseline(self._links.states())
        answer = await self._store.answer(request)
        time = self._publisher.timestamp() if answer is None else answer.time
        message = f"stored, although the disk failed afterwards: {error}"
        return self._accept(~Change(0), _result(request, stored, time), message)

    def _accept(self, change: Change, result: Result, message: str, stored: StoredState | None = None) -> Result:
        self._publisher.publish(change | Change.RESULT, stored=stored, result=result, message=message, counted=True)
        return result

    def _refuse_unstored(self, request: Request, error: StoreError) -> Result:
        reason = f"not stored, the active geometry is unchanged: {error}"
        return self._refuse(request.request, request.op, (reason,))

    def _refuse(self, request: str | None, op: str, problems: tuple[str, ...]) -> Result:
        errors = shortened(problems)
        result = Result(request, op, "refused", None, None, errors, self._publisher.timestamp())
        message = "refused: " + "; ".join(errors)
        self._publisher.publish(Change.RESULT, result=result, message=message, counted=True)
        return result


def _result(request: Request, stored: StoredState, time: str) -> Result:
    """Make the result of an accepted request: it names the active revision, or the one that it corrects."""
    revision = request.revision if isinstance(request, Supersede | Retract) else stored.number
    return _accepted(request, revision, stored.serial, time)


def _accepted(request: Request, revision: int, serial: int, time: str) -> Result:
    return Result(request.request, request.op, "accepted", revision, serial, (), time)
