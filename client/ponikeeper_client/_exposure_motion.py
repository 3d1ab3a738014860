"""The links that moved during an exposure: what is recorded of it says so, although they are at rest again."""

from collections.abc import Mapping
from dataclasses import replace

from ponikeeper.protocol import Snapshot, Status
from ponikeeper.protocol.status import PRECEDENCE


class ExposureMotion:
    """The links that moved during the exposure of one calibration that is recorded next.

    A guard sets them before the event is described, and clears them when it is saved.
    """

    def __init__(self) -> None:
        self._moved: Mapping[str, str] = {}

    def set(self, moved: Mapping[str, str]) -> None:
        """Set the links that moved, each with a message, by name."""
        self._moved = dict(moved)

    def clear(self) -> None:
        """Forget them: the event is saved."""
        self._moved = {}

    def applied_to(self, snapshot: Snapshot) -> Snapshot:
        """Return what is to be recorded: a snapshot, whose links were moving if they moved during the exposure.

        Parameters
        ----------
        snapshot
            As the IOC published it after the exposure.

        Returns
        -------
        Snapshot
            The same one where no link moved.
        """
        if not self._moved or snapshot.geometry is None:
            return snapshot
        findings = [*((Status.MOVING.name, name) for name in self._moved), *snapshot.findings]
        order = {status.name: number for number, status in enumerate(PRECEDENCE)}
        findings.sort(key=lambda finding: order.get(finding[0], 0))  # a newer status comes first: it is not known
        known = order.get(snapshot.status, 0) < order[Status.MOVING.name]
        links = snapshot.link_states and tuple(
            replace(link, moving=link.moving or link.name in self._moved) for link in snapshot.link_states
        )
        return replace(
            snapshot,
            status=snapshot.status if known else Status.MOVING.name,
            reason="; ".join(filter(None, [*self._moved.values(), snapshot.reason])),
            findings=tuple(findings),
            link_states=links
            and tuple(replace(each, moving=each.moving or each.name in self._moved) for each in links),
        )
