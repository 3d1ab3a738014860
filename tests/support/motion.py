"""Records what clients saw of detectors while their links moved, and finds what was wrong."""

import itertools
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import aioca
from aioca import DBR_CHAR_STR, FORMAT_TIME

from live import wait_for
from motors import Motors
from ponikeeper.protocol import Snapshot
from ponikeeper.protocol.header import write_header
from speak import put, run

WAY = 0.6
"""Seconds from a motor's update until a client must see what follows from it, on a machine that is not busy."""

_DELAYS = 4.0
"""How many times the longest delay of a motor's update at that time is allowed in addition.

The IOC is a second client of the motor, and waits for a core as often as this one.
"""

_AROUND = 0.5
"""Seconds before and after, within which a delay is of that time."""

BACK = 0.5
"""Seconds that a link has to stay within its tolerance, in addition to the settle time, before it counts as back."""

SHOWN = ("Status_RBV", "Header_RBV", "Snapshot_RBV", "Links_RBV")

_AT_REST = ("VALID", "MOVED")


@dataclass(frozen=True, slots=True)
class Seen:
    """One update, as a client received it.

    Parameters
    ----------
    at
        When it arrived (s since 1970).
    stamp
        When its server says that it came to be.
    """

    at: float
    stamp: float
    value: Any
    severity: int


@dataclass(frozen=True, slots=True)
class Span:
    """A period in which something lasted (s)."""

    at: float
    length: float
    what: str


class Record:
    """What clients saw of some detectors, and the true positions of the motors.

    Parameters
    ----------
    prefixes
        Of the detectors.
    motors
        PV of each link by its name, the same for all detectors.
    """

    def __init__(self, prefixes: Iterable[str], motors: Mapping[str, str]) -> None:
        self.prefixes = tuple(prefixes)
        self._motors = dict(motors)
        pvs = [prefix + suffix for prefix in self.prefixes for suffix in SHOWN]
        self.seen: dict[str, list[Seen]] = {pv: [] for pv in (*pvs, *motors.values())}
        self._subscriptions = run(self._subscribe())

    def __enter__(self) -> Self:
        wait_for(lambda: all(self.seen.values()), what="the first value of every PV")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the recording; what was recorded stays."""

        async def close() -> None:
            for subscription in self._subscriptions:
                subscription.close()

        run(close())

    def snapshots(self, prefix: str) -> list[tuple[Seen, dict[str, Any]]]:
        """Return every snapshot that arrived."""
        return [(seen, json.loads(seen.value)) for seen in list(self.seen[f"{prefix}Snapshot_RBV"])]

    def other_headers(self, prefix: str) -> list[tuple[str, str]]:
        """Return every header that says something else than the snapshot of the same time."""
        snapshots = {seen.stamp: seen.value for seen in list(self.seen[f"{prefix}Snapshot_RBV"])}
        headers = {seen.stamp: seen.value for seen in list(self.seen[f"{prefix}Header_RBV"])}
        both = snapshots.keys() & headers.keys()
        assert len(both) >= len(snapshots) - 1, "header and snapshot are published together"
        pairs = [(headers[stamp], snapshots[stamp]) for stamp in both]
        return [pair for pair in pairs if pair[0] != write_header(Snapshot.from_json(pair[1]))]

    def now(self, prefix: str) -> dict[str, Any]:
        """Return the snapshot that arrived last."""
        return json.loads(self.seen[f"{prefix}Snapshot_RBV"][-1].value)

    def until(self, timeout: float = 30.0, **wanted: Any) -> float:
        """Wait until the snapshots of all detectors have these values; return how long that took (s).

        Parameters
        ----------
        wanted
            What the snapshots have to say.
        """
        began = time.monotonic()

        def says() -> bool:
            return all(
                wanted.items() <= self.now(prefix).items()
                and self.seen[f"{prefix}Status_RBV"][-1].value == self.now(prefix)["status"]
                for prefix in self.prefixes
            )

        try:
            wait_for(says, timeout)
        except TimeoutError as error:
            tail = {prefix: self.history(prefix)[-6:] for prefix in self.prefixes}
            raise AssertionError(f"not {wanted} within {timeout:g} s: {tail}") from error
        return time.monotonic() - began

    def until_seen(self, value: float, link: str = "z", **wanted: Any) -> None:
        """Wait until `Links_RBV` of all detectors shows the position of a link, and other values of it."""

        def shows(prefix: str) -> bool:
            links = json.loads(self.seen[f"{prefix}Links_RBV"][-1].value)["links"]
            return any({"name": link, "value": value, **wanted}.items() <= row.items() for row in links)

        wait_for(lambda: all(map(shows, self.prefixes)), what=f"{link} at {value}")

    def history(self, prefix: str, since: float = 0.0) -> list[tuple[float, str, int, str]]:
        """Return the times, statuses, revisions and reasons of the snapshots, for a report."""
        return [
            (round(seen.at, 3), said["status"], said["revision"], said["reason"])
            for seen, said in self.snapshots(prefix)
            if seen.at >= since
        ]

    def around(self, span: Span, margin: float = 1.0) -> str:
        """Format all that was seen from a second before an error until a second after it, for a report."""
        rows = []
        for pv, updates in self.seen.items():
            for seen in list(updates):
                if span.at - margin < seen.at < span.at + span.length + margin and not pv.endswith("Links_RBV"):
                    said = json.loads(seen.value) if pv.endswith("Snapshot_RBV") else seen.value
                    words = [said[key] for key in ("status", "revision", "reason")] if isinstance(said, dict) else said
                    rows.append((seen.at - span.at, seen.stamp - span.at, pv, words))
        rows.sort(key=lambda row: row[0])
        return "\n".join(f"{at:+.3f} (made {made:+.3f}) {pv}: {words}" for at, made, pv, words in rows)

    def statuses(self, prefix: str, since: float = 0.0) -> list[str]:
        """Return the statuses from an instant on in their order, one for each change."""
        said = [(seen.at, words["status"]) for seen, words in self.snapshots(prefix)]
        first = sum(at <= since for at, _ in said) - 1
        said = [status for _, status in said[max(first, 0) :]]
        return [status for before, status in zip([None, *said], said, strict=False) if status != before]

    def changes(self, prefix: str, since: float) -> int:
        """Count the changes between VALID and MOVED."""
        at_rest = [status for status in self.statuses(prefix, since) if status in _AT_REST]
        return sum(before != after for before, after in itertools.pairwise(at_rest))

    def valid_beyond(self, prefix: str, tolerance: float, allowed: float = WAY) -> list[Span]:
        """Find where the status was VALID while a motor was not at the position of the active revision."""
        return self.spans(
            prefix, lambda said, at: said["status"] == "VALID" and _is_beyond(said, at, tolerance), allowed
        )

    def moved_within(self, prefix: str, tolerance: float, settle: float) -> list[Span]:
        """Find where the status stayed MOVED while all motors were at the position of the active revision."""
        allowed = settle + BACK + WAY
        return self.spans(
            prefix, lambda said, at: said["status"] == "MOVED" and not _is_beyond(said, at, tolerance), allowed
        )

    def spans(
        self, prefix: str, wrong: Callable[[dict[str, Any], dict[str, float]], bool], allowed: float
    ) -> list[Span]:
        """Find where the snapshot was wrong without a break for longer than allowed.

        On a busy machine more is allowed, by the delays of the motors' updates at that time; if nothing is allowed,
        nothing is added.

        Parameters
        ----------
        wrong
            Judges a snapshot by where the motors were.
        """
        events: list[tuple[float, str, Any]] = [(seen.at, "", said) for seen, said in self.snapshots(prefix)]
        for name, pv in self._motors.items():
            events += [(seen.stamp, name, float(seen.value)) for seen in list(self.seen[pv])]
        events.sort(key=lambda event: event[0])
        events.append((time.time(), "end", 0.0))
        stands: dict[str, float] = {}
        said: dict[str, Any] | None = None
        since: float | None = None
        found: list[Span] = []
        for at, name, value in events:
            state = said
            if name:
                stands[name] = value
            else:
                said = value
            bad = name != "end" and said is not None and len(stands) >= len(self._motors) and wrong(said, stands)
            if bad and since is None:
                since = at
            elif not bad and since is not None:
                if at - since > (allowed and allowed + _DELAYS * self._delay(since, at)):
                    found.append(
                        Span(since, at - since, f"{state and state['status']}, revision {state and state['revision']}")
                    )
                since = None
        return found

    def _delay(self, since: float, until: float) -> float:
        """Return the longest time that a motor's update needed to arrive in a period, or near it (s)."""
        near = (
            each.at - each.stamp
            for pv in self._motors.values()
            for each in list(self.seen[pv])
            if since - _AROUND <= each.at <= until + _AROUND and each.stamp >= since - _AROUND
        )
        return max(near, default=0.0)

    async def _subscribe(self) -> list[Any]:
        return [self._monitor(pv) for pv in self.seen]

    def _monitor(self, pv: str) -> Any:
        is_status, is_text = pv.endswith("Status_RBV"), pv.endswith(SHOWN[1:])
        datatype = aioca.DBR_STRING if is_status else DBR_CHAR_STR if is_text else None

        def take(value: Any) -> None:
            held = str(value) if is_status or is_text else float(value)
            self.seen[pv].append(Seen(time.time(), value.timestamp, held, value.severity))

        return aioca.camonitor(pv, take, datatype=datatype, format=FORMAT_TIME, all_updates=True)


def move(motors: Motors, *places: float, motor: str = "Z") -> None:
    """Move a motor as fast as puts go, through some places to the last one, with its moving PV set."""
    assert put(motors.pv(f"{motor}:MOVN"), 1) is None
    for place in places:
        assert put(motors.pv(f"{motor}:RBV"), place) is None
    assert put(motors.pv(f"{motor}:MOVN"), 0) is None


def _is_beyond(said: dict[str, Any], stands: dict[str, float], tolerance: float) -> bool:
    return any(
        abs(stands[name] - place["value"]) > tolerance + 1e-9
        for name, place in (said["position"] or {}).items()
        if name in stands
    )
