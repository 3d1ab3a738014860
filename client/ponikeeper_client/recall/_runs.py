"""A run without its data: the descriptors of each stream, each with the events that it covers. Pure."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ponikeeper_client.documents import STATE_KEYS

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """What an event has of one number, such as the position of a motor.

    Parameters
    ----------
    key
        Its data key.
    value
        None where it is no finite number.
    time
        Its own timestamp (s since 1970); None where no document has it.
    """

    key: str
    value: float | None
    time: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream.

    Parameters
    ----------
    seq_num
        Its number in the stream. A point that was taken again after a pause has the same number.
    time
        When the event was made (s since 1970); None where no document has it.
    states
        Data key and value of the serials and statuses that were read with the event.
    readings
        Where the links of a model were when the event was read.
    """

    seq_num: int
    time: float | None
    states: tuple[tuple[str, str | int], ...] = ()
    readings: tuple[Reading, ...] = ()

    def reading(self, key: str) -> Reading | None:
        """Return the reading of a data key; None where the event has none."""
        return next((reading for reading in self.readings if reading.key == key), None)

    def with_value(self, key: str, value: float) -> "Event":
        """Return the event with another value of a reading."""
        return replace(
            self, readings=tuple(replace(each, value=value) if each.key == key else each for each in self.readings)
        )


def finite(value: Any) -> float | None:
    """Return what an event has of a number; None where that is not one finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def readings_of(data: Mapping[str, Any], times: Mapping[str, Any], keys: Collection[str]) -> tuple[Reading, ...]:
    """Return the readings of some data keys.

    Parameters
    ----------
    data, times
        Data and timestamps of an event by data key.
    keys
        The data keys that are wanted.

    Returns
    -------
    tuple of Reading
        Of those that the event has.
    """
    return tuple(Reading(key, finite(data[key]), finite(times.get(key))) for key in sorted(keys) if key in data)


def is_state_key(key: str) -> bool:
    """Return whether a data key can be one of `STATE_KEYS` of a calibration."""
    return key.endswith(tuple(f"{joint}{state}" for joint in "_-" for state in STATE_KEYS))


def states_of(data: Mapping[str, Any]) -> tuple[tuple[str, str | int], ...]:
    """Return what an event can have read of the states of calibrations.

    Parameters
    ----------
    data
        The data of the event by data key.

    Returns
    -------
    tuple of tuple
        Keys and values, a serial as an integer.
    """
    states: list[tuple[str, str | int]] = []
    for key, value in data.items():
        if is_state_key(key) and isinstance(value, str):
            states.append((key, value))
        elif is_state_key(key) and getattr(value, "shape", ()) == () and hasattr(value, "__int__") and value == value:
            states.append((key, int(value)))
    return tuple(states)


@dataclass(frozen=True, slots=True)
class Section:
    """The part of a stream that one descriptor covers.

    Parameters
    ----------
    descriptor
        The event descriptor, with its configuration as recorded.
    events
        The events that it covers, in their order.
    since, until
        From its own time to that of the next descriptor or of the end of the run (s since 1970);
        `until` is None where the run has no end.
    events_unknown
        The reason why it is unknown which events it covers; empty where they are known.
    """

    descriptor: Document
    events: tuple[Event, ...]
    since: float
    until: float | None
    events_unknown: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """A run, without its data.

    Parameters
    ----------
    start, stop
        The documents; `stop` is None where the run has no end (yet).
    streams
        The sections of each stream, by its name, in their order.
    """

    start: Document
    stop: Document | None
    streams: Mapping[str, tuple[Section, ...]]

    @property
    def uid(self) -> str:
        """The uid of the run."""
        return str(self.start["uid"])

    @property
    def end(self) -> float | None:
        """When the run ended (s since 1970)."""
        return None if self.stop is None else float(self.stop["time"])

    def event_count(self, stream: str) -> int | None:
        """Return how many events of a stream the stop document counts; None where it has no count."""
        return ((self.stop or {}).get("num_events") or {}).get(stream)


def make_sections(
    descriptors: Sequence[Document],
    events: Sequence[tuple[Event, ...]],
    end: float | None,
    events_unknown: str = "",
) -> tuple[Section, ...]:
    """Combine the descriptors of one stream with the events that each covers.

    Parameters
    ----------
    descriptors
        In the order in which they were made.
    events
        The events of each descriptor.
    end
        When the run ended (s since 1970).
    events_unknown
        The reason why events cannot be assigned to descriptors; each section then covers the whole
        time of its stream and has no events.

    Returns
    -------
    tuple of Section
        One for each descriptor.
    """
    times = [float(descriptor["time"]) for descriptor in descriptors]
    if events_unknown:
        return tuple(Section(descriptor, (), min(times), end, events_unknown) for descriptor in descriptors)
    untils = [*times[1:], end]
    return tuple(
        Section(descriptor, tuple(covered), since, until)
        for descriptor, covered, since, until in zip(descriptors, events, times, untils, strict=True)
    )


def event_ranges(seq_nums: Sequence[int]) -> str:
    """Format numbers of events as ranges: ``1-4, 7``."""
    ranges: list[list[int]] = []
    for number in sorted(set(seq_nums)):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)
