"""A run out of Tiled's tables (bluesky-tiled-plugins 2, runs of version 3).

Its clients' own ``descriptors`` are not used: they carry a value that a later descriptor does not have
on from the one before it, so a geometry that was gone would seem to be there.
"""

import bisect
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ponikeeper_client.recall._runs import Document, Event, Run, Section, sections


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


def deal(times: Sequence[float], rows: Iterable[Event]) -> tuple[list[tuple[Event, ...]], str]:
    """Deal the rows of a stream out to its descriptors.

    Parameters
    ----------
    times
        When each descriptor was made (s since 1970), in their order.
    rows
        Of the table, in any order; a row that was written twice counts once.

    Returns
    -------
    list of tuple of Event
        For each descriptor what it covers, in the order of time.
    str
        Why that cannot be told; empty where it can.
    """
    ordered = sorted(set(rows), key=lambda row: (row.time or 0.0, row.seq_num))
    if len(times) == 1:
        return [tuple(ordered)], ""
    doubt = _doubt(times, ordered)
    dealt: list[list[Event]] = [[] for _ in times]
    if not doubt:
        for row in ordered:
            dealt[bisect.bisect_right(times, row.time or 0.0) - 1].append(row)
    return [tuple(each) for each in dealt], doubt


def _doubt(times: Sequence[float], ordered: Sequence[Event]) -> str:
    """Say why the times do not tell the order in which descriptors and rows were made."""
    if any(row.time is None for row in ordered):
        return "the catalog does not say when the events were made"
    if any(later <= earlier for earlier, later in itertools.pairwise(times)):
        return "the times of the descriptors do not rise: the clock was set during the run"
    if any(row.time in times for row in ordered):
        return "an event and a descriptor have the same time"
    if ordered and (ordered[0].time or 0.0) < times[0]:
        return "an event is older than the first descriptor: its time is not that of the run"
    newest, seen = 0, set[int]()
    for row in ordered:
        if row.seq_num not in seen and row.seq_num < newest:
            return f"event {newest} is older than event {row.seq_num}: the clock was set during the run"
        newest = max(newest, row.seq_num)
        seen.add(row.seq_num)
    return ""
