"""All that is known of one detector at one instant: what its PVs show."""

from dataclasses import dataclass, field, replace

from ponikeeper.contract import Status
from ponikeeper.history import Activation, Revision
from ponikeeper.messages import Result, Snapshot
from ponikeeper.transaction import WHERE_TO_BEGIN


@dataclass(frozen=True, slots=True)
class State:
    """All that the PVs of one detector show.

    `changed` tells whether the geometry in force changed with this state; everything that changed
    carries the activation's time then.
    """

    prefix: str
    status: Status = Status.UNSET
    reason: str = f"no geometry was ever committed: {WHERE_TO_BEGIN}"
    revision: Revision | None = None
    activation: Activation | None = None
    count: int = 0
    accepted: int = 0
    rejected: int = 0
    message: str = ""
    results: tuple[Result, ...] = ()
    changed: bool = field(default=True, compare=False)

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
