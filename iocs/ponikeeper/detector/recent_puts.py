"""What each client put to the setpoints in the last seconds. Pure: times are passed in (s, one monotonic clock).

A save-and-restore tool puts the setpoints in any order. A put to `Detector` brings pixels and configuration of the
detector, so those that the same client put just before must survive it. And where one put of several is refused, the
geometry is not the saved one: the refused put is named until it is put again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

PERIOD = 10.0
"""For how long two puts of the same client belong together (s)."""

_BROUGHT = frozenset({"pixel1", "pixel2", "detector_config"})
"""What another detector brings."""


@dataclass(frozen=True, slots=True)
class SetpointPut:
    """A put to the setpoint of one value.

    Parameters
    ----------
    client
        User and host.
    name
        Name of the value.
    value
        The value; None where it was refused.
    reason
        Why it was refused; None where it was accepted.
    at
        Time (s).
    """

    client: str
    name: str
    value: object
    reason: str | None
    at: float


@dataclass(frozen=True, slots=True)
class RecentPuts:
    """The recent puts to the setpoints of one detector.

    Parameters
    ----------
    puts
        Those of the last `PERIOD` seconds, the latest of each client and name, in their order.
    unfinished
        Refused puts of clients whose other puts were accepted, by name with the reason.
    """

    puts: tuple[SetpointPut, ...] = ()
    unfinished: Mapping[str, str] = field(default_factory=dict[str, str])

    def after(self, put: SetpointPut) -> "RecentPuts":
        """Return the recent puts after another one."""
        others = [
            each
            for each in self.puts
            if each.at > put.at - PERIOD and (each.client, each.name) != (put.client, put.name)
        ]
        unfinished = {name: reason for name, reason in self.unfinished.items() if name != put.name}
        siblings = [each for each in others if each.client == put.client and each.name != put.name]
        if put.reason is not None and any(each.reason is None for each in siblings):
            unfinished[put.name] = put.reason
        if put.reason is None:
            unfinished |= {each.name: each.reason for each in siblings if each.reason is not None}
            others = [each for each in others if each.reason is None or each.name != put.name]
        return RecentPuts((*others, put), unfinished)

    def without_unfinished(self) -> "RecentPuts":
        """Return the recent puts after another geometry was activated as a whole."""
        return RecentPuts(self.puts)

    def brought(self, client: str, now: float) -> dict[str, object]:
        """Return the pixels and the configuration that a client put within `PERIOD`, which survive another detector."""
        return {
            each.name: each.value
            for each in self.puts
            if each.client == client and each.reason is None and each.name in _BROUGHT and each.at > now - PERIOD
        }


def advice(unfinished: Mapping[str, str]) -> str:
    """Return what to do about puts that were refused while others of the same client were accepted; empty if none."""
    if not unfinished:
        return ""
    refused = "; ".join(f"{name} ({reason})" for name, reason in unfinished.items())
    return (
        f"the active geometry is incomplete: other values of the same client were accepted, but refused was {refused}: "
        "put it again, or the number of the revision that is meant to Activate"
    )
