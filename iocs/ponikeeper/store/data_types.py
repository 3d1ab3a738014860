"""What is stored in addition to the records of `ponikeeper.history`: answers, follow states, drafts."""

from dataclasses import dataclass, replace
from typing import TypeVar

from ponikeeper.geometry import Geometry
from ponikeeper.history import Activation, Correction, LabelRecord, Position, RenameRecord, Revision, ServiceChange
from ponikeeper.history.labels import label_of
from ponikeeper.history.renames import prefixes

Added = TypeVar("Added", bound=Correction | ServiceChange | LabelRecord | RenameRecord)
"""A record that is added to the history without an activation."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a request with an id, stored so that a repetition gets the same one.

    Parameters
    ----------
    request
        Id of the request.
    digest
        Hash of its content, which tells another request with the same id.
    op
        What was requested, such as ``commit``.
    revision, serial
        Numbers in its result.
    time
        Of its result, UTC ISO-8601.
    """

    request: str
    digest: str
    op: str
    revision: int
    serial: int
    time: str


@dataclass(frozen=True, slots=True)
class StoredHistory:
    """One history of a store.

    Parameters
    ----------
    prefix
        Its first PV prefix: the key in the store, which the checksums cover.
    renames
        All of them, in their order.
    revisions
        Number of its revisions.
    newest
        When the newest of them was made, UTC ISO-8601; empty where there is none.
    """

    prefix: str
    renames: tuple[RenameRecord, ...]
    revisions: int
    newest: str

    @property
    def prefixes(self) -> tuple[str, ...]:
        """All PV prefixes that it has had, in their order; the last one is that of today."""
        return prefixes(self.prefix, self.renames)


@dataclass(frozen=True, slots=True)
class FollowState:
    """The state of following, stored so that it survives a restart.

    Parameters
    ----------
    follow
        Whether the geometry follows the linked PVs.
    rested
        The position at which the links rested when the geometry that belongs there was last decided on.
    """

    follow: bool
    rested: Position


@dataclass(frozen=True, slots=True)
class StoredState:
    """Everything that the store has of one detector now; empty if nothing was ever committed.

    Parameters
    ----------
    revision
        The active revision; a model has the geometry that it gave for the position.
    activation
        Its activation.
    count
        Number of the newest revision.
    corrections
        All corrections, in their order.
    follow_state
        None if nothing was ever stored about following.
    service
        All service changes, in their order.
    labels
        All label records, in their order.
    """

    revision: Revision | None = None
    activation: Activation | None = None
    count: int = 0
    corrections: tuple[Correction, ...] = ()
    follow_state: FollowState | None = None
    service: tuple[ServiceChange, ...] = ()
    labels: tuple[LabelRecord, ...] = ()

    def with_record(self, record: Correction | ServiceChange | LabelRecord) -> "StoredState":
        """Return what the store has after a record was added.

        Parameters
        ----------
        record
            As stored, with its number.

        Returns
        -------
        StoredState
        """
        match record:
            case Correction():
                return replace(self, corrections=(*self.corrections, record))
            case ServiceChange():
                return replace(self, service=(*self.service, record))
            case LabelRecord():
                return replace(self, labels=(*self.labels, record))

    @property
    def label(self) -> str | None:
        """The label that the active revision has now; None if it has none."""
        return None if self.revision is None else label_of(self.revision, self.labels)

    @property
    def number(self) -> int:
        """Number of the active revision, 0 if there is none."""
        return 0 if self.activation is None else self.activation.revision

    @property
    def serial(self) -> int:
        """Serial of its activation, 0 if there is none."""
        return 0 if self.activation is None else self.activation.serial


@dataclass(frozen=True, slots=True)
class FollowCandidate:
    """A revision that a commit or a user activated, with its position: following may activate it again there.

    Parameters
    ----------
    serial
        Of that activation.
    revision
        Number of the revision.
    position
        None if it was never recorded.
    is_model
        Whether its geometry is a function of the position.
    """

    serial: int
    revision: int
    position: Position | None
    is_model: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A revision before it has a number.

    Parameters
    ----------
    geometry
        The geometry.
    provenance
        Where it comes from.
    label
        None if it has none.
    position
        None if it is unknown.
    """

    geometry: Geometry
    provenance: dict[str, object]
    label: str | None = None
    position: Position | None = None
