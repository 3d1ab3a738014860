"""The requests of one detector, a method for each kind: decide by the rules, store, publish.

The rules are pure modules, named after what they decide. What they refuse is raised, and nothing is stored.
"""

from ponikeeper.detector import messages
from ponikeeper.detector.activation_rules import require_right
from ponikeeper.detector.commit_rules import (
    NOTHING_BEFORE,
    Before,
    EditPosition,
    brings_detector,
    decide_commit,
    require_room,
)
from ponikeeper.detector.correction_rules import decide_correction, require_other_values
from ponikeeper.detector.detector_store import DetectorStore
from ponikeeper.detector.edit_series import EditSeries
from ponikeeper.detector.follower import Follower
from ponikeeper.detector.label_rules import decide_label, is_labelled
from ponikeeper.detector.link_states import LinkStates
from ponikeeper.detector.model_rules import checked_model, member_numbers, result_of, with_model
from ponikeeper.detector.publisher import Publisher
from ponikeeper.detector.record_position_rules import decide_record_position
from ponikeeper.detector.repetition_rules import is_repetition
from ponikeeper.detector.results import accepted
from ponikeeper.detector.service_rules import decide_service_change
from ponikeeper.detector.state import Change, DetectorState
from ponikeeper.detector.undo_rules import decide_undo, require_expected
from ponikeeper.geometry.detectors import pixel_size
from ponikeeper.geometry.parameters import Limits
from ponikeeper.history import Activation, Revision
from ponikeeper.history.corrections import corrected_revisions
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
)
from ponikeeper.store import StoredState


class Operations:
    """Executes the requests of one detector, one at a time.

    Parameters
    ----------
    store
        What the store has of the detector.
    publisher
        Owner of the detector's state.
    links
        The detector's links.
    follower
        Activates what belongs to their position; it must know of each activation.
    series
        The puts to setpoints until now.
    limits
        Tighter limits of this detector.
    edit_position
        The position of an edited geometry: ``keep`` that of the revision that was edited, or that of the links ``now``.
    """

    def __init__(
        self,
        store: DetectorStore,
        publisher: Publisher,
        links: LinkStates,
        follower: Follower,
        series: EditSeries,
        limits: Limits,
        edit_position: EditPosition,
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._links = links
        self._follower = follower
        self._series = series
        self._limits = limits
        self._edit_position: EditPosition = edit_position

    @property
    def _state(self) -> DetectorState:
        return self._publisher.state

    async def execute(self, request: Request, author: str) -> Result:
        """Execute one request, and publish its result.

        Parameters
        ----------
        request
            Any request that has not been executed before.
        author
            Of what is stored.

        Returns
        -------
        Result
            Accepted.

        Raises
        ------
        ProblemsError
            It is refused; nothing was stored.
        StoreError
            It was not stored.
        UncertainStoreError
            Whether it is stored is not known.
        """
        match request:
            case Commit():
                return await self._commit(request, request, author)
            case RecordPosition():
                commit = decide_record_position(
                    self._state.revision, self._state.corrections, self._links.states(), force=request.force
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
        require_expected(commit, self._state.stored.serial)
        state, links = self._state, self._links.states()
        units, position, before = self._links.units, self._edit_position, await self._before(request, commit, by)
        if commit.model is not None:
            members = await self._store.members(request, member_numbers(commit.model))
            commit = with_model(commit, checked_model(commit, units, members, state.corrections))
        draft = decide_commit(state.revision, commit, by, self._limits, units, links, position, before)
        require_room(state.prefix, draft, links)
        if is_repetition(state.revision, state.corrections, draft, commit, links):
            self._series.accepted(commit, by, state.stored.number)
            return await self._accept_unchanged(request)
        require_other_values(state.revision, state.corrections, commit, draft)
        time, author = self._publisher.timestamp(), str(draft.provenance["author"])
        with self._follower.new_baseline(links) as follow_state:
            derived = result_of(draft, links, extrapolate=self._links.extrapolate)
            stored = await self._store.commit(request, draft, time, author, follow_state, derived)
        self._series.accepted(commit, by, stored.number)
        message = messages.committed(stored.number, commit, draft, links)
        return self._accept(Change.ACTIVATION, accepted(request, stored, time), message, stored)

    async def _before(self, request: Commit | RecordPosition, commit: Commit, by: str) -> Before:
        """Find what another detector does not bring: what the client put just before, and pixels of the history."""
        detector = brings_detector(self._state.revision, commit)
        if detector is None:
            return NOTHING_BEFORE
        values = self._series.brought(by) if commit.edit else {}
        pixels = None if pixel_size(detector) else await self._store.pixels_of(request, detector)
        return Before(values, pixels)

    async def _activate(self, request: Activate, author: str) -> Result:
        corrections = self._state.corrections
        revision = await self._store.find_revision(request.revision, corrected_revisions(corrections), request)
        require_right(request, revision, corrections)
        if revision.number == self._state.stored.number:
            return await self._accept_active(request, author)
        return await self._make_active(request, revision, author, messages.activated(revision.number, author))

    async def _undo(self, request: Undo, author: str) -> Result:
        require_expected(request, self._state.stored.serial)
        step = await self._store.find_undo(request)
        revision = decide_undo(step, self._state.corrections, self._links.states())
        return await self._make_active(request, revision, author, messages.undone(step, author), step.undone)

    async def _make_active(
        self, request: Request, revision: Revision, author: str, message: str, undone: Activation | None = None
    ) -> Result:
        """Activate a stored revision, which may undo another activation."""
        time = self._publisher.timestamp()
        with self._follower.new_baseline(self._links.states()) as follow_state:
            derived = result_of(revision, self._links.states(), extrapolate=self._links.extrapolate)
            stored = await self._store.activate(request, revision, time, author, follow_state, undone, derived)
        self._series.end()
        return self._accept(Change.ACTIVATION, accepted(request, stored, time), message, stored)

    async def _label(self, request: Label, author: str) -> Result:
        record = decide_label(request, self._state.stored, self._publisher.timestamp(), author)
        revision = await self._store.find_revision(record.revision, (), request)
        if is_labelled(record, revision, self._state.stored, await self._store.find_label(request, record.label)):
            return await self._accept_unchanged(request)
        result = accepted(request, self._state.stored, record.time)
        stored = await self._store.add(request, record, result)
        return self._accept(Change.STATUS | Change.LABEL | Change.HISTORY, result, messages.labelled(record), stored)

    async def _set_follow(self, request: Follow, author: str) -> Result:
        result = accepted(request, self._state.stored, self._publisher.timestamp())
        with self._follower.switched(request.on) as follow_state:
            stored = await self._store.set_follow(request, follow_state, author, result)
        return self._accept(Change.FOLLOW, result, messages.follow_switched(request.on, author), stored)

    async def _correct(self, request: Supersede | Retract, author: str) -> Result:
        correction = decide_correction(request, self._state.stored, self._publisher.timestamp(), author)
        result = accepted(request, self._state.stored, correction.time)
        stored = await self._store.add(request, correction, result)
        return self._accept(Change.STATUS | Change.HISTORY, result, messages.corrected(correction), stored)

    async def _change_service(self, request: OutOfService | InService, author: str) -> Result:
        time, stored = self._publisher.timestamp(), self._state.stored
        change = decide_service_change(request, stored, self._links.units, time, author)
        result = accepted(request, stored, time)
        stored = await self._store.add(request, change, result)
        return self._accept(Change.STATUS, result, messages.service_changed(change), stored)

    async def _accept_unchanged(self, request: Request) -> Result:
        """Accept what is active already."""
        result = accepted(request, self._state.stored, self._publisher.timestamp())
        await self._store.store_result(request, result)
        change = Change.STATUS if isinstance(request, Commit) and request.edit else Change.RESULT  # its advice may end
        return self._accept(change, result, messages.unchanged(result.revision or 0))

    async def _accept_active(self, request: Activate, author: str) -> Result:
        """Accept the activation of what is active already: it stays active where the links are now."""
        stored = self._state.stored
        result = accepted(request, stored, self._publisher.timestamp())
        with self._follower.new_baseline(self._links.states()) as follow_state:
            if follow_state is None:
                await self._store.store_result(request, result)
            else:
                stored = await self._store.set_follow(request, follow_state, author, result)
        return self._accept(Change.REPEATED, result, messages.active_already(stored.number), stored)

    def _accept(self, change: Change, result: Result, message: str, stored: StoredState | None = None) -> Result:
        self._publisher.publish(change | Change.RESULT, stored=stored, result=result, message=message, counted=True)
        return result
