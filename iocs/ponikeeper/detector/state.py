"""The state of one detector: everything that its PVs show at one instant. Pure."""

from dataclasses import dataclass, replace
from enum import Flag, auto

from ponikeeper.history import Activation, Correction, Revision
from ponikeeper.history.labels import with_label
from ponikeeper.protocol import (
    DEFAULT_ERRORS,
    MAX_BYTES,
    MAX_RESULTS,
    AssumedErrors,
    LinkState,
    Result,
    Snapshot,
    Status,
)
from ponikeeper.store import StoredState


class Change(Flag):
    """Which parts of a state are new."""

    RESULT = auto()
    STATUS = auto()
    FOLLOW = auto()
    HISTORY = auto()
    LABEL = auto()
    ACTIVATION = auto()
    REPEATED = auto()
    """The active revision was activated again."""


@dataclass(frozen=True, slots=True)
class DetectorState:
    """Everything that the PVs of one detector show, at one instant.

    Parameters
    ----------
    prefix
        The detector's PV prefix.
    stored
        What the store has of the detector.
    follow
        Whether the geometry follows the linked PVs.
    status, reason, advice
        Whether the active revision applies now, everything that is against it, and what an operator should do.
    findings, link_states
        By which the status was decided, as the snapshot has them.
    accepted, rejected
        Number of requests since the start.
    message
        The last message to a person.
    results
        The last results, newest first.
    assumed
        The errors that a fit of this detector assumes.
    """

    prefix: str
    stored: StoredState
    follow: bool
    status: Status = Status.UNSET
    reason: str = ""
    advice: str = ""
    findings: tuple[tuple[str, str], ...] = ()
    link_states: tuple[LinkState, ...] = ()
    accepted: int = 0
    rejected: int = 0
    message: str = ""
    results: tuple[Result, ...] = ()
    assumed: AssumedErrors = DEFAULT_ERRORS

    @property
    def revision(self) -> Revision | None:
        """The active revision, with the label that it has now."""
        revision = self.stored.revision
        return None if revision is None else with_label(revision, self.stored.labels)

    @property
    def activation(self) -> Activation | None:
        """Its activation."""
        return self.stored.activation

    @property
    def count(self) -> int:
        """Number of the newest revision."""
        return self.stored.count

    @property
    def corrections(self) -> tuple[Correction, ...]:
        """All corrections of the detector's revisions, in their order."""
        return self.stored.corrections

    def snapshot(self) -> Snapshot:
        """Return what ``Snapshot_RBV`` holds."""
        head = Snapshot(
            self.prefix, self.status.name, self.reason, findings=self.findings, link_states=self.link_states,
            assumed=self.assumed,
        )  # fmt: skip
        revision, activation = self.revision, self.stored.activation
        if revision is None or activation is None:
            return head
        snapshot = replace(
            head,
            serial=activation.serial,
            revision=revision.number,
            uid=revision.uid,
            checksum=revision.checksum,
            label=revision.label,
            activated=activation.time,
            geometry=revision.geometry,
            position=revision.position,
            provenance=revision.provenance,
        )
        if len(snapshot.as_json()) < MAX_BYTES:
            return snapshot
        return replace(snapshot, link_states=None)  # the revision is older than some of the links

    def after(self, result: Result | None, message: str, *, counted: bool) -> "DetectorState":
        """Return the state after a result or a message; parameters as `Publisher.publish`."""
        results = self.results
        if result is not None:
            if results and results[0].outcome == "undetermined":
                results = results[1:]
            results = (result, *results)[:MAX_RESULTS]
        accepted = counted and result is not None and result.outcome == "accepted"
        rejected = counted and result is not None and result.outcome == "refused"
        return replace(
            self,
            results=results,
            message=message or self.message,
            accepted=self.accepted + accepted,
            rejected=self.rejected + rejected,
        )
