"""A run from its own documents, as they were emitted or as databroker gives them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from event_model import unpack_event_page

from ponikeeper.errors import NoGeometryError
from ponikeeper_client.recall.runs import Document, Event, Run, Section, sections


def from_documents(documents: Iterable[tuple[str, Document]]) -> Run:
    """Make a run of its documents: each event says itself whose it is.

    Parameters
    ----------
    documents
        Pairs of kind and document; pages are taken apart.

    Raises
    ------
    NoGeometryError
        There is no start document, or there are several: these are not the documents of one run.
    """
    by_kind: dict[str, list[Document]] = {}
    for kind, document in documents:
        by_kind.setdefault(kind, []).append(document)
    return from_kinds(by_kind)


def from_kinds(documents: Mapping[str, Any]) -> Run:
    """Make a run of its documents by kind; raises as `from_documents`."""
    starts = documents.get("start") or ()
    if isinstance(starts, Mapping):  # one document where a list was meant
        starts = [starts]
    if len(starts) != 1:
        raise NoGeometryError(
            f"these are the documents of {len(starts)} runs: expected those of one, its start document among them"
        )
    stops = documents.get("stop") or (None,)
    stop = stops if isinstance(stops, Mapping) else stops[0]
    events = _events(documents)
    streams: dict[str, list[Document]] = {}
    for descriptor in documents.get("descriptor") or ():
        streams.setdefault(descriptor.get("name") or "primary", []).append(descriptor)
    end = None if stop is None else float(stop["time"])
    made = {name: _stream(descriptors, events, end) for name, descriptors in streams.items()}
    return Run(starts[0], stop, made)


def _stream(descriptors: list[Document], events: Mapping[str, list[Event]], end: float | None) -> tuple[Section, ...]:
    ordered = sorted(descriptors, key=lambda each: each["time"])  # stable: where times are equal, as they came
    return sections(ordered, [tuple(events.get(each["uid"], ())) for each in ordered], end)


def _events(documents: Mapping[str, Any]) -> dict[str, list[Event]]:
    """Give the events of each descriptor by its uid; those of stream datums have a number, but no time."""
    found: dict[str, dict[Event, None]] = {}
    for event in _each_event(documents):
        found.setdefault(event["descriptor"], {})[Event(int(event["seq_num"]), float(event["time"]))] = None
    numbered = {uid: {event.seq_num for event in events} for uid, events in found.items()}
    for datum in documents.get("stream_datum") or ():
        seq_nums = datum.get("seq_nums") or {"start": 0, "stop": 0}
        known = numbered.setdefault(datum["descriptor"], set())
        for number in range(seq_nums["start"], seq_nums["stop"]):
            if number not in known:
                known.add(number)
                found.setdefault(datum["descriptor"], {})[Event(number, None)] = None
    return {uid: list(events) for uid, events in found.items()}


def _each_event(documents: Mapping[str, Any]) -> Iterator[Any]:
    yield from documents.get("event") or ()
    for page in documents.get("event_page") or ():
        yield from unpack_event_page(page)
