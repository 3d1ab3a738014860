"""A run in whatever form it is at hand: documents, Tiled, databroker."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from ponikeeper.errors import NoGeometryError
from ponikeeper_client.recall import _tiled
from ponikeeper_client.recall._runs import Document, Event, Run, Section, sections


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
    pages = documents.get("event_page") or ()
    if pages:
        from event_model import unpack_event_page

        for page in pages:
            yield from unpack_event_page(page)


def as_run(source: Any) -> Run:
    """Read a run, without its data.

    Parameters
    ----------
    source
        Its documents (pairs of kind and document, or lists by kind), a Tiled client of it, or a run of
        databroker, version 1 or 2.

    Raises
    ------
    NoGeometryError
        It is none of these.
    """
    if isinstance(source, Run):
        return source
    source = _table_run(source) or source
    if _tiled.is_table_run(source):
        return _tiled.from_tables(source)
    if isinstance(source, Mapping) and "start" in source and not hasattr(source, "metadata"):
        return from_kinds(source)
    documents = _documents(source)
    if documents is None:
        raise NoGeometryError(
            f"this {type(source).__name__} is no run: expected its documents, or the run of a catalog, catalog[uid]"
        )
    return from_documents(documents)


def described(source: Any) -> tuple[Document, dict[str, list[Document]]]:
    """Give the start and the descriptors of each stream, with as little as possible of the rest.

    Parameters and errors as `as_run`.
    """
    source = _table_run(source) or source
    if _tiled.is_table_run(source):
        return _tiled.documents(source)[0], _tiled.descriptors(source)
    if not isinstance(source, Run) and hasattr(source, "metadata") and hasattr(source, "items"):
        streams = {name: list(node.metadata["descriptors"]) for name, node in source.items()}
        return source.metadata["start"], streams
    run = as_run(source)
    return run.start, {name: [each.descriptor for each in parts] for name, parts in run.streams.items()}


def _table_run(source: Any) -> Any:
    """Give the client of the tables behind another face of the same run, where there is one."""
    if isinstance(source, (Run, Mapping, list, tuple)) and not hasattr(source, "metadata"):
        return None
    behind = getattr(source, "v2", None)  # databroker's Header of a run that is kept in tables
    return behind if behind is not None and _tiled.is_table_run(behind) else None


def _documents(source: Any) -> Iterable[tuple[str, Document]] | None:
    """Give pairs of kind and document, no image filled in; None where it is no run."""
    if callable(getattr(source, "documents", None)):  # databroker 2, and the Header of version 1
        return source.documents(fill=False)
    if callable(getattr(source, "canonical", None)):  # the runs of databroker 1
        return source.canonical(fill="no")
    if isinstance(source, Iterable) and not isinstance(source, (str, bytes, Mapping)):
        pairs = list(cast("Iterable[Any]", source))
        if all(isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[1], Mapping) for pair in pairs):
            return [(str(kind), document) for kind, document in pairs]
    return None
