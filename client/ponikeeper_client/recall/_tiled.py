"""Read a run from Tiled's tables (bluesky-tiled-plugins 2, runs of version 3).

The ``descriptors`` of its clients are not used: they carry a value over from the previous descriptor
where a later one does not have it, so a geometry that was no longer there would seem to be.

Tiled keeps the rows of a stream in one table, with number and time, and the descriptors separately,
with their times. The RunEngine makes both one after another, with one clock, so a row belongs to the
last descriptor before it. Rows are assigned this way only where the times are consistent with it;
otherwise the assignment is unknown.
"""

import bisect
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ponikeeper_client.documents import position_columns
from ponikeeper_client.recall._runs import (
    Document,
    Event,
    Reading,
    Run,
    Section,
    finite,
    is_state_key,
    make_sections,
    readings_of,
    states_of,
)


def is_table_run(source: Any) -> bool:
    """Return whether an object is a Tiled client of a run that is kept in tables."""
    specs = getattr(source, "specs", None) or ()
    return any(spec.name == "BlueskyRun" and str(spec.version).startswith("3.") for spec in specs)


def from_tables(source: Any, columns: Collection[str] = ()) -> Run:
    """Build a run from its Tiled client; images are not loaded. Parameters as `read_run`."""
    start, stop = start_and_stop(source)
    end = None if stop is None else float(stop["time"])
    streams: dict[str, tuple[Section, ...]] = {}
    for name, node in _streams(source):
        count = ((stop or {}).get("num_events") or {}).get(name)
        descriptors = _descriptors(node, name)
        wanted = {key for descriptor in descriptors for key in position_columns(descriptor)}.union(columns)
        streams[name] = _sections(descriptors, _rows(node, wanted), _arrays(node, wanted), count, end)
    return Run(start, stop, streams)


def start_and_stop(source: Any) -> tuple[Document, Document | None]:
    """Return the start document of the run, and its stop document if it has one."""
    metadata = source.metadata
    return metadata["start"], metadata.get("stop") or None


def descriptors_of(source: Any) -> dict[str, list[Document]]:
    """Read the descriptors of each stream, without the events: one request."""
    return {name: _descriptors(node, name) for name, node in _streams(source)}


def assign_rows(times: Sequence[float], rows: Iterable[Event]) -> tuple[list[tuple[Event, ...]], str]:
    """Assign the rows of a stream to its descriptors.

    Parameters
    ----------
    times
        When each descriptor was made (s since 1970), in their order.
    rows
        Of the table, in any order; a row that was written twice counts once.

    Returns
    -------
    list of tuple of Event
        The events that each descriptor covers, in the order of time.
    str
        The reason why they cannot be assigned; empty where they can.
    """
    ordered = sorted(set(rows), key=lambda row: (row.time or 0.0, row.seq_num))
    if len(times) == 1:
        return [tuple(ordered)], ""
    problem = _order_problem(times, ordered)
    assigned: list[list[Event]] = [[] for _ in times]
    if not problem:
        for row in ordered:
            assigned[bisect.bisect_right(times, row.time or 0.0) - 1].append(row)
    return [tuple(events) for events in assigned], problem


def _order_problem(times: Sequence[float], ordered: Sequence[Event]) -> str:
    """Return why the times do not show the order in which descriptors and rows were made; empty if they do."""
    if any(row.time is None for row in ordered):
        return "the catalog does not say when the events were made"
    if any(later <= earlier for earlier, later in itertools.pairwise(times)):
        return "the times of the descriptors do not increase: the clock was set during the run"
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


def _streams(source: Any) -> Iterator[tuple[str, Any]]:
    """Yield the nodes of the streams, all in one request; older catalogs have them one folder further down."""
    for name, node in getattr(source, "base", source).items():  # without the plugin it is the base itself
        if name == "streams" and "BlueskyEventStream" not in {spec.name for spec in node.specs}:
            yield from node.items()
        else:
            yield name, node


def _descriptors(node: Any, name: str) -> list[Document]:
    """Return each descriptor with what it recorded itself; all have the data keys of the first."""
    metadata: Mapping[str, Any] = dict(node.metadata)
    first = {key: value for key, value in metadata.items() if key not in ("_config_updates", "stream_name")}
    first["name"] = name
    objects: dict[str, list[str]] = {}
    for key, data_key in (first.get("data_keys") or {}).items():
        objects.setdefault(data_key.get("object_name") or "", []).append(key)
    first.setdefault("object_keys", {owner: keys for owner, keys in objects.items() if owner})
    updates = metadata.get("_config_updates") or ()
    return [first, *({**first, "configuration": {}, **update} for update in updates)]


def _rows(node: Any, wanted: Collection[str]) -> list[Event]:
    """Read number, time, states and wanted readings of each row, in one request; a stream without a table has none."""
    base = getattr(node, "base", node)
    for name, part in base.items():
        columns = getattr(part, "columns", ())
        if name.startswith("internal") and {"seq_num", "time"} <= set(columns):
            states = [column for column in columns if is_state_key(column)]
            keys = [key for key in wanted if key in columns]
            stamps = [f"ts_{key}" for key in keys if f"ts_{key}" in columns]
            names = ["seq_num", "time", *states, *keys, *stamps]
            table = part.read(names)
            rows = (dict(zip(names, row, strict=True)) for row in zip(*(table[each] for each in names), strict=True))
            return [_event(row, states, keys) for row in rows]
    return []


def _event(row: Mapping[str, Any], states: Collection[str], keys: Collection[str]) -> Event:
    times = {key: row.get(f"ts_{key}") for key in keys}
    found = states_of({state: row[state] for state in states})
    return Event(int(row["seq_num"]), float(row["time"]), found, readings_of(row, times, keys))


def _arrays(node: Any, wanted: Collection[str]) -> dict[str, list[Any]]:
    """Read the positions that a stream has as arrays, as those of a fly scan: one value for each event."""
    arrays = {key: part for key, part in getattr(node, "base", node).items() if key in wanted and _is_array(part)}
    return {key: [row.ravel()[0] for row in part.read()] for key, part in arrays.items() if _is_of_numbers(part)}


def _is_array(part: Any) -> bool:
    return getattr(part, "structure_family", None) == "array"


def _is_of_numbers(part: Any) -> bool:
    """Return whether an array has one number for each event."""
    return all(size == 1 for size in part.shape[1:])


def _with_arrays(events: Iterable[Event], arrays: Mapping[str, Sequence[Any]], count: int) -> list[Event]:
    """Add what arrays of the length of the stream have of its events; another length says nothing of an event."""
    fitting = {key: values for key, values in arrays.items() if len(values) == count}
    return [
        replace(
            event,
            readings=(
                *event.readings,
                *(Reading(key, finite(values[event.seq_num - 1])) for key, values in fitting.items()),
            ),
        )
        if 1 <= event.seq_num <= count
        else event
        for event in events
    ]


def _sections(
    descriptors: list[Document],
    rows: list[Event],
    arrays: Mapping[str, Sequence[Any]],
    count: int | None,
    end: float | None,
) -> tuple[Section, ...]:
    if rows or not count:
        whole = _with_arrays(rows, arrays, len({row.seq_num for row in rows})) if arrays else rows
        events, problem = assign_rows([float(descriptor["time"]) for descriptor in descriptors], whole)
        return make_sections(descriptors, events, end, problem)
    if len(descriptors) == 1:  # events of stream datums: all belong to the one descriptor, their times are not kept
        covered = _with_arrays((Event(number, None) for number in range(1, count + 1)), arrays, count)
        return make_sections(descriptors, [tuple(covered)], end)
    return make_sections(descriptors, [], end, "Tiled keeps neither time nor descriptor of the events of this stream")
