"""Read a run from whatever form it is in: documents, Tiled, databroker."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ponikeeper.errors import NoGeometryError
from ponikeeper_client.documents import position_columns
from ponikeeper_client.recall import _arrays, _tiled
from ponikeeper_client.recall._runs import Document, Event, Run, Section, make_sections, readings_of, states_of

_EXPECTED = "expected its documents, or the run of a catalog, catalog[uid]"


def read_run(source: Any, columns: Collection[str] = ()) -> Run:
    """Read a run, without its data but for the positions of links that a model needs.

    Parameters
    ----------
    source
        The documents of the run (pairs of kind and document, or lists by kind), its Tiled client, or a
        run of databroker, version 1 or 2.
    columns
        Further data keys of numbers that are read with each event.

    Returns
    -------
    Run
        Its start and stop documents, and the sections of its streams.

    Raises
    ------
    NoGeometryError
        `source` is none of these.
    """
    if isinstance(source, Run):
        return source
    source = _table_client(source) or source
    if _tiled.is_table_run(source):
        return _tiled.from_tables(source, columns)
    if isinstance(source, Mapping) and "start" in source and not hasattr(source, "metadata"):
        return from_kinds(source, columns)
    if isinstance(source, str | Path):
        hint = f"the geometry of an image file is read by recorded({str(source)!r})"
        raise NoGeometryError(f"{source} is no run: {hint if Path(source).exists() else _EXPECTED}")
    documents = _documents(source)
    if documents is None and _arrays.is_array_run(source):
        return _arrays.from_arrays(source, columns)
    if documents is None:
        raise NoGeometryError(f"this {type(source).__name__} is no run: {_EXPECTED}")
    return from_documents(documents, columns)


def read_descriptors(source: Any) -> tuple[Document, dict[str, list[Document]]]:
    """Read the start document and the descriptors of each stream, and as little else as possible.

    Parameters
    ----------
    source
        As for `read_run`.

    Returns
    -------
    Mapping
        The start document.
    dict of str to list
        The descriptors of each stream, by its name.

    Raises
    ------
    NoGeometryError
        As `read_run`.
    """
    source = _table_client(source) or source
    if _tiled.is_table_run(source):
        return _tiled.start_and_stop(source)[0], _tiled.descriptors_of(source)
    if not isinstance(source, Run) and _arrays.is_array_run(source):
        return source.metadata["start"], _arrays.descriptors_of(source)
    run = read_run(source)
    return run.start, {name: [section.descriptor for section in sections] for name, sections in run.streams.items()}


def from_documents(documents: Iterable[tuple[str, Document]], columns: Collection[str] = ()) -> Run:
    """Build a run from its documents; each event names its own descriptor.

    Parameters
    ----------
    documents
        Pairs of kind and document; pages are unpacked.
    columns
        As for `read_run`.

    Returns
    -------
    Run
        The run.

    Raises
    ------
    NoGeometryError
        There is no start document, or there are several: these are not the documents of one run.
    """
    by_kind: dict[str, list[Document]] = {}
    for kind, document in documents:
        by_kind.setdefault(kind, []).append(document)
    return from_kinds(by_kind, columns)


def from_kinds(documents: Mapping[str, Any], columns: Collection[str] = ()) -> Run:
    """Build a run from its documents by kind; the errors are those of `from_documents`."""
    starts = documents.get("start") or ()
    if isinstance(starts, Mapping):  # one document instead of a list
        starts = [starts]
    if len(starts) != 1:
        raise NoGeometryError(
            f"these are the documents of {len(starts)} runs: expected those of one, its start document among them"
        )
    stops = documents.get("stop") or (None,)
    stop = stops if isinstance(stops, Mapping) else stops[0]
    descriptors = documents.get("descriptor") or ()
    wanted = {descriptor["uid"]: position_columns(descriptor) | set(columns) for descriptor in descriptors}
    events = _events(documents, wanted)
    streams: dict[str, list[Document]] = {}
    for descriptor in descriptors:
        streams.setdefault(descriptor.get("name") or "primary", []).append(descriptor)
    end = None if stop is None else float(stop["time"])
    sections = {name: _sections(of_stream, events, end) for name, of_stream in streams.items()}
    return Run(starts[0], stop, sections)


def _sections(descriptors: list[Document], events: Mapping[str, list[Event]], end: float | None) -> tuple[Section, ...]:
    ordered = in_order(descriptors, {uid: min(event.seq_num for event in of_uid) for uid, of_uid in events.items()})
    return make_sections(ordered, [tuple(events.get(descriptor["uid"], ())) for descriptor in ordered], end)


def in_order(descriptors: Sequence[Document], first_events: Mapping[str, int]) -> list[Document]:
    """Return the descriptors of one stream in the order in which they were made.

    Their times are those of the client's clock, which may have been set back during the run. So they count only where
    the numbers of the events and the serials of the activations agree with them.

    Parameters
    ----------
    descriptors
        In any order; of equal times the given one is kept.
    first_events
        Number of the first event that refers to a descriptor, by its uid.

    Returns
    -------
    list of Mapping
        By time; where that contradicts, by the numbers of their events, and one without an event before the first one
        with a newer activation.
    """
    by_time = sorted(descriptors, key=lambda descriptor: descriptor["time"])
    with_events = [each for each in by_time if each["uid"] in first_events]
    numbers = [first_events[each["uid"]] for each in with_events]
    serials = [_serials(each) for each in by_time]
    if numbers == sorted(numbers) and serials == sorted(serials):
        return by_time
    ordered = sorted(with_events, key=lambda descriptor: first_events[descriptor["uid"]])
    for descriptor in by_time:
        if descriptor["uid"] not in first_events:
            serial = _serials(descriptor)
            place = next((n for n, other in enumerate(ordered) if _serials(other) > serial), len(ordered))
            ordered.insert(place, descriptor)
    return ordered


def _serials(descriptor: Document) -> list[int]:
    """Return the serials of the calibrations that a descriptor records, in the order of their keys."""
    data = {
        key: value
        for configuration in (descriptor.get("configuration") or {}).values()
        for key, value in (configuration.get("data") or {}).items()
    }
    names = sorted(key.removesuffix("revision_uid") for key in data if key.endswith(("_revision_uid", "-revision_uid")))
    return [int(data.get(f"{name}serial") or 0) for name in names]


def _events(documents: Mapping[str, Any], wanted: Mapping[str, set[str]]) -> dict[str, list[Event]]:
    """Return the events of each descriptor by its uid, with the wanted readings.

    Those of stream datums have a number, but no time.
    """
    events: dict[str, dict[Event, None]] = {}
    for document in _event_documents(documents):
        data, keys = document.get("data") or {}, wanted.get(document["descriptor"], set())
        readings = readings_of(data, document.get("timestamps") or {}, keys)
        event = Event(int(document["seq_num"]), float(document["time"]), states_of(data), readings)
        events.setdefault(document["descriptor"], {})[event] = None
    numbered = {uid: {event.seq_num for event in of_uid} for uid, of_uid in events.items()}
    for datum in documents.get("stream_datum") or ():
        seq_nums = datum.get("seq_nums") or {"start": 0, "stop": 0}
        known = numbered.setdefault(datum["descriptor"], set())
        for number in range(seq_nums["start"], seq_nums["stop"]):
            if number not in known:
                known.add(number)
                events.setdefault(datum["descriptor"], {})[Event(number, None)] = None
    return {uid: list(of_uid) for uid, of_uid in events.items()}


def _event_documents(documents: Mapping[str, Any]) -> Iterator[Any]:
    yield from documents.get("event") or ()
    pages = documents.get("event_page") or ()
    if pages:
        from event_model import unpack_event_page

        for page in pages:
            yield from unpack_event_page(page)


def _table_client(source: Any) -> Any:
    """Return the Tiled client of the same run behind databroker's Header, where there is one.

    A run of Tiled has no need of it: to read its ``v2`` changes what its catalog returns from then on.
    """
    if isinstance(source, (Run, Mapping, list, tuple)) or hasattr(source, "metadata"):
        return None
    client = getattr(source, "v2", None)
    return client if client is not None and _tiled.is_table_run(client) else None


def _documents(source: Any) -> Iterable[tuple[str, Document]] | None:
    """Return pairs of kind and document, no image filled in; None where `source` is no run."""
    if callable(getattr(source, "canonical", None)):  # the runs of databroker 1
        return source.canonical(fill="no")
    if callable(getattr(source, "documents", None)):  # databroker 2, and the Header of version 1
        return source.documents(fill=False)
    if isinstance(source, Iterable) and not isinstance(source, (str, bytes, Mapping)):
        pairs = list(cast("Iterable[Any]", source))
        if all(isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[1], Mapping) for pair in pairs):
            return [(str(kind), document) for kind, document in pairs]
    return None
