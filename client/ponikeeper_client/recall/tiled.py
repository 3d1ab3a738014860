"""A run out of Tiled's tables (bluesky-tiled-plugins 2, runs of version 3).

Its clients' own ``descriptors`` are not used: they carry a value that a later descriptor does not have
on from the one before it, so a geometry that was gone would seem to be there.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ponikeeper_client.recall.rows import deal
from ponikeeper_client.recall.runs import Document, Event, Run, Section, sections


def is_table_run(source: Any) -> bool:
    """Tell whether something is a Tiled client of a run that is kept in tables."""
    specs = getattr(source, "specs", None) or ()
    return any(spec.name == "BlueskyRun" and str(spec.version).startswith("3.") for spec in specs)


def from_tables(source: Any) -> Run:
    """Make a run of a Tiled client of it; images are not loaded."""
    start, stop = documents(source)
    end = None if stop is None else float(stop["time"])
    streams: dict[str, tuple[Section, ...]] = {}
    for name, node in _streams(source):
        announced = ((stop or {}).get("num_events") or {}).get(name)
        streams[name] = _sections(_descriptors(node, name), _rows(node), announced, end)
    return Run(start, stop, streams)


def documents(source: Any) -> tuple[Document, Document | None]:
    """Give the run's start, and its stop if it has one."""
    metadata = source.metadata
    return metadata["start"], metadata.get("stop") or None


def descriptors(source: Any) -> dict[str, list[Document]]:
    """Give the descriptors of each stream, without the events: one request."""
    return {name: _descriptors(node, name) for name, node in _streams(source)}


def _streams(source: Any) -> Iterator[tuple[str, Any]]:
    """Give the nodes of the streams, all in one request; older catalogs have them one folder further down."""
    for name, node in source.base.items():
        if name == "streams" and "BlueskyEventStream" not in {spec.name for spec in node.specs}:
            yield from node.items()
        else:
            yield name, node


def _descriptors(node: Any, name: str) -> list[Document]:
    """Give each descriptor with what it recorded itself; the data keys are those of the first for all."""
    metadata: Mapping[str, Any] = dict(node.metadata)
    first = {key: value for key, value in metadata.items() if key not in ("_config_updates", "stream_name")}
    first["name"] = name
    objects: dict[str, list[str]] = {}
    for key, data_key in (first.get("data_keys") or {}).items():
        objects.setdefault(data_key.get("object_name") or "", []).append(key)
    first.setdefault("object_keys", {owner: keys for owner, keys in objects.items() if owner})
    updates = metadata.get("_config_updates") or ()
    return [first, *({**first, "configuration": {}, **update} for update in updates)]


def _rows(node: Any) -> list[Event]:
    """Read number and time of each row, in one request; a stream without a table has none."""
    base = getattr(node, "base", node)
    for name, part in base.items():
        columns = getattr(part, "columns", ())
        if name.startswith("internal") and {"seq_num", "time"} <= set(columns):
            table = part.read(["seq_num", "time"])
            return [Event(int(row[0]), float(row[1])) for row in zip(table["seq_num"], table["time"], strict=True)]
    return []


def _sections(
    found: list[Document], rows: list[Event], announced: int | None, end: float | None
) -> tuple[Section, ...]:
    if rows or not announced:
        events, untold = deal([float(each["time"]) for each in found], rows)
        return sections(found, events, end, untold)
    if len(found) == 1:  # of stream datums: all are of the one descriptor, when is not kept
        return sections(found, [tuple(Event(number, None) for number in range(1, announced + 1))], end)
    return sections(found, [], end, "Tiled keeps neither time nor descriptor of the events of this stream")
