"""Where a link was in the middle of an exposure, and how far it travelled, by the readings of the events. Pure."""

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from ponikeeper_client.recall._runs import Event


@dataclass(frozen=True, slots=True)
class Exposed:
    """Where a link was during an exposure, in the units of its column.

    Parameters
    ----------
    value
        In the middle of the exposure.
    travel
        How far it travelled during the exposure.
    problem
        Why that is not known; empty where it is.
    """

    value: float = 0.0
    travel: float = 0.0
    problem: str = ""


class Track:
    """What the events of a stream tell of the position of a link over time.

    Parameters
    ----------
    key
        The data key of its readings.
    events
        The events, in their order.
    """

    def __init__(self, key: str, events: Sequence[Event]) -> None:
        self._key = key
        readings = [(event.time, reading) for event in events if (reading := event.reading(key)) is not None]
        known = [
            (each.time, each.value, made)
            for made, each in readings
            if each.time is not None and each.value is not None and made is not None
        ]
        self._is_whole = len(known) == len(readings) > 0
        self._is_ordered = all(
            one[0] < other[0] or one[:2] == other[:2] for one, other in itertools.pairwise(known)
        )  # a link at rest has the same time and value in several events
        pairs = [(one, other) for one, other in itertools.pairwise(known) if one[:2] != other[:2]]
        late = [made >= following[0] for (_, _, made), following in pairs]
        self._is_collected = any(late)
        by_device = len(known) > 0 and all(made == time for time, _, made in known)
        self.is_of_flight = by_device or sum(late) > len(late) / 2  # a few: the link moved on before the event was made
        """Whether a device made the events itself, or kept them until the end: it was exposed in flight."""
        points: dict[float, float] = {}
        for time, value, made in known:
            points.setdefault(time, value)
            if not self._is_collected:
                points[made] = value  # the value that was read then is still that of its timestamp
        self._times, self._values = list(points), list(points.values())

    def during(self, event: Event, exposure: float) -> Exposed:
        """Return where the link was during the exposure of an event.

        Parameters
        ----------
        event
            One of the events. Its exposure ended when it was made, or, where events were made when a flight had ended,
            at the timestamp of its reading.
        exposure
            The exposure time (s).

        Returns
        -------
        Exposed
            Between two readings the link moved evenly; from the timestamp of its value until it was read it stayed.
        """
        advice = f"exposure=0 uses what {self._key} has as it is"
        reading = event.reading(self._key)
        if not self._is_whole or reading is None or reading.time is None or event.time is None:
            return Exposed(problem=f"the readings of {self._key} have no timestamps: {advice}")
        if not self._is_ordered:
            return Exposed(problem=f"the timestamps of {self._key} are not in the order of the events: {advice}")
        end = reading.time if self._is_collected else event.time
        begin = end - exposure
        if begin < self._times[0]:
            what = f"where {self._key} was when the exposure of event {event.seq_num} began"
            return Exposed(problem=f"{what} is not recorded: {advice}")
        inside = [value for time, value in zip(self._times, self._values, strict=True) if begin < time < end]
        path = [self._at(begin), *inside, self._at(end)]
        return Exposed(self._at(end - exposure / 2.0), max(path) - min(path))

    def _at(self, time: float) -> float:
        """Return where the link was at a time, not before the first one that is known."""
        after = bisect.bisect_right(self._times, time)
        if after == len(self._times):
            return self._values[-1]
        began, ended = self._times[after - 1], self._times[after]
        share = (time - began) / (ended - began)
        return self._values[after - 1] + share * (self._values[after] - self._values[after - 1])
