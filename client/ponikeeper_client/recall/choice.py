"""Which one of the geometries of a run is meant. Pure."""

from collections.abc import Sequence
from typing import Any, TypeVar

from ponikeeper.errors import NoGeometryError
from ponikeeper_client.recall.best import best_known
from ponikeeper_client.recall.histories import Histories
from ponikeeper_client.recall.reading import recorded
from ponikeeper_client.recall.values import BestKnown, Recorded, Told

Found = TypeVar("Found", Recorded, BestKnown)


def the_one(
    source: Any,
    detector: str | None = None,
    stream: str | None = None,
    event: int | None = None,
    best: bool = False,
    history: Histories | None = None,
) -> Recorded | BestKnown:
    """Give the one geometry that is meant.

    Parameters
    ----------
    source
        A run, or what `recorded` or `best_known` gave of one.
    detector, stream
        Of this detector, of this stream alone.
    event
        That of the event of this number in the stream.
    best
        Of a run: what is known now, instead of what was recorded.
    history
        With `best`, as for `best_known`.

    Raises
    ------
    NoGeometryError
        None is left, or several that differ are.
    ValueError
        An argument is none that could be meant.
    """
    if isinstance(event, bool) or not (event is None or hasattr(event, "__index__")):
        raise ValueError(f"event={event!r} is no number of an event: expected 1, 2, ...")
    if history is not None and not best:
        raise ValueError("history= is given without best=True: what was recorded is asked of the run alone")
    if isinstance(source, (Recorded, BestKnown)):
        found: Sequence[Recorded | BestKnown] = [source]
    elif isinstance(source, Told):
        found = source
    else:
        found = best_known(source, detector, stream, history=history) if best else recorded(source, detector, stream)
    chosen = [each for each in found if detector in (None, each.detector) and stream in (None, each.stream)]
    if event is not None:
        chosen = [each for each in chosen if event in each.seq_nums]
    if not chosen:
        there = "; ".join(_named(each) for each in found) or "none at all"
        raise NoGeometryError(f"no geometry of {_asked(detector, stream, event)} was recorded: recorded are {there}")
    if len({(each.geometry, _shape(each)) for each in chosen}) > 1:
        told = "; ".join(_named(each) for each in chosen)
        raise NoGeometryError(f"several geometries would do: say detector=, stream= or event= ({told})")
    return chosen[0]


def _asked(detector: str | None, stream: str | None, event: int | None) -> str:
    asked = (detector, stream, None if event is None else f"event {event}")
    return " ".join(part for part in asked if part) or "the run"


def _named(each: Recorded | BestKnown) -> str:
    return f"{each.detector} {each.place}: {each.told}"


def _shape(each: Recorded | BestKnown) -> tuple[int, int] | None:
    return (each if isinstance(each, Recorded) else each.recorded).image_shape
