"""All that is known of one detector at one instant: what its PVs show."""

from dataclasses import dataclass, replace
from enum import Flag, auto

from ponikeeper.history import Activation, Correction, Revision
from ponikeeper.protocol import Result, Snapshot
from ponikeeper.protocol.pvs import Status
from ponikeeper.store import Kept


class Change(Flag):
    """What of a state is new."""

    RESULT = auto()
    STATUS = auto()
    FOLLOW = auto()
    HISTORY = auto()
    ACTIVATION = auto()


@dataclass(frozen=True, slots=True)
class State:
    """All that the PVs of one detector show."""

    prefix: str
    kept: Kept
    follow: bool
    status: Status = Status.UNSET
    reason: str = ""
    accepted: int = 0
    rejected: int = 0
    message: str = ""
    results: tuple[Result, ...] = ()

    @property
    def revision(self) -> Revision | None:
        """The revision in force."""
        return self.kept.revision

    @property
    def activation(self) -> Activation | None:
        """What put it in force."""
        return self.kept.activation

    @property
    def number(self) -> int:
        """Number of the revision in force, 0 where there is none."""
        return 0 if self.activation is None else self.activation.revision

    @property
    def serial(self) -> int:
        """Serial of its activation, 0 where there is none."""
        return 0 if self.activation is None else self.activation.serial

    @property
    def count(self) -> int:
        """Number of the newest revision."""
        return self.kept.count

    @property
    def corrections(self) -> tuple[Correction, ...]:
        """All that was found out later."""
        return self.kept.corrections

    def snapshot(self) -> Snapshot:
        """Give what ``Snapshot_RBV`` holds."""
        head = Snapshot(self.prefix, self.status.name, self.reason)
        if self.revision is None or self.activation is None:
            return head
        return replace(
            head,
            serial=self.activation.serial,
            revision=self.revision.number,
            uid=self.revision.uid,
            checksum=self.revision.checksum,
            label=self.revision.label,
            activated=self.activation.time,
            geometry=self.revision.geometry,
            position=self.revision.position,
            provenance=self.revision.provenance,
        )
