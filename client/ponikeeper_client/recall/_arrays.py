"""Read a run that a Tiled server keeps as databroker does, through a client without databroker's or bluesky's plugin.

Each stream has its descriptors in its metadata, and one array for each data key and for the times. The server does not
say to which descriptor an event belongs: as in `_tiled`, that follows from the times, where these are consistent.
"""

from collections.abc import Collection, Sequence
from typing import Any

from ponikeeper_client.documents import position_columns
from ponikeeper_client.recall._runs import (
    Document,
    Event,
    Run,
    Section,
    is_state_key,
    make_sections,
    readings_of,
    states_of,
)
from ponikeeper_client.recall._tiled import assign_rows, start_and_stop


def is_array_run(source: Any) -> bool:
    """Return whether an object is a Tiled client of a run that has no method that returns its documents."""
    metadata: Any = getattr(source, "metadata", None)
    return hasattr(source, "items") and hasattr(metadata, "get") and bool(metadata.get("start"))


def from_arrays(source: Any, columns: Collection[str] = ()) -> Run:
    """Build a run from its Tiled client; images are not loaded. Parameters as `read_run`."""
    start, stop = start_and_stop(source)
    end = None if stop is None else float(stop["time"])
    counts = (stop or {}).get("num_events") or {}
    streams = {name: _sections(node, columns, counts.get(name), end) for name, node in source.items()}
    return Run(start, stop, streams)


def descriptors_of(source: Any) -> dict[str, list[Document]]:
    """Read the descriptors of each stream, in the order of time."""
    return {name: _descriptors(node) for name, node in source.items()}


def _descriptors(node: Any) -> list[Document]:
    return sorted(node.metadata["descriptors"], key=lambda descriptor: descriptor["time"])


def _sections(node: Any, columns: Collection[str], count: int | None, end: float | None) -> tuple[Section, ...]:
    descriptors = _descriptors(node)
    wanted = {key for descriptor in descriptors for key in position_columns(descriptor)}.union(columns)
    events = _events(node, wanted)
    if count is not None and len(events) != count:
        # a point that was taken again after a pause has the number of the first one, which arrays do not have
        why = f"the catalog has {len(events)} rows for {count} events, and not their numbers"
        return make_sections(descriptors, [], end, why)
    assigned, problem = assign_rows([float(descriptor["time"]) for descriptor in descriptors], events)
    return make_sections(descriptors, assigned, end, problem)


def _events(node: Any, wanted: Collection[str]) -> list[Event]:
    """Read the times of the events, and the wanted columns, each in a request."""
    data, stamps = node["data"], node["timestamps"]
    times = _read(data, "time")
    keys = [key for key in data if is_state_key(key) or key in wanted]
    values = {key: _read(data, key) for key in keys}
    taken = {key: _read(stamps, key) for key in keys if key in wanted}
    events: list[Event] = []
    for row, time in enumerate(times):
        of_row = {key: column[row] for key, column in values.items()}
        found = readings_of(of_row, {key: column[row] for key, column in taken.items()}, wanted)
        states = states_of({key: _plain(value) for key, value in of_row.items()})
        events.append(Event(row + 1, float(time), states, found))
    return events


def _read(node: Any, key: str) -> Sequence[Any]:
    return node[key].read()


def _plain(value: Any) -> Any:
    """Return a text of an array as a text of Python."""
    return str(value) if isinstance(value, str) else value
