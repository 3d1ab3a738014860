"""A run as recall sees it: the descriptors of each stream, each with the events that it covers. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream.

    Parameters
    ----------
    seq_num
        Its number in the stream; a point that was taken again after a pause has the same one.
    time
        When it was made (s since 1970); None where no document says.
    """

    seq_num: int
    time: float | None


@dataclass(frozen=True, slots=True)
class Section:
    """What one descriptor of a stream stands for.

    Parameters
    ----------
    descriptor
        The event descriptor, with its configuration as it was recorded.
    events
        The events that it covers, in their order.
    since, until
        From its own time to that of the next descriptor or of the run's end (s since 1970); None where
        the run has no end.
    untold
        Why it cannot be told which events it covers; empty where that is known.
    """

    descriptor: Document
    events: tuple[Event, ...]
    since: float
    until: float | None
    untold: str = ""


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
        """The run's uid."""
        return str(self.start["uid"])

    @property
    def end(self) -> float | None:
        """When the run ended (s since 1970)."""
        return None if self.stop is None else float(self.stop["time"])

    def announced(self, stream: str) -> int | None:
        """Tell how many events its end counts in a stream; None where it does not say."""
        return ((self.stop or {}).get("num_events") or {}).get(stream)


def sections(
    descriptors: Sequence[Document],
    events: Sequence[tuple[Event, ...]],
    end: float | None,
    untold: str = "",
) -> tuple[Section, ...]:
    """Put the descriptors of one stream together with what each covers.

    Parameters
    ----------
    descriptors
        In the order in which they were made.
    events
        Those of each descriptor.
    end
        When the run ended (s since 1970).
    untold
        Why it cannot be told which events are whose; each then covers its stream's whole time.
    """
    times = [float(descriptor["time"]) for descriptor in descriptors]
    if untold:
        return tuple(Section(each, (), min(times), end, untold) for each in descriptors)
    untils = [*times[1:], end]
    return tuple(
        Section(descriptor, tuple(covered), since, until)
        for descriptor, covered, since, until in zip(descriptors, events, times, untils, strict=True)
    )


def numbers(seq_nums: Sequence[int]) -> str:
    """Tell numbers of events by their ranges: ``1-4, 7``."""
    ordered = sorted(set(seq_nums))
    ranges: list[list[int]] = []
    for number in ordered:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in ranges)
