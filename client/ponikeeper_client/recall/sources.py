"""A run in whatever form it is at hand: documents, Tiled, databroker."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from ponikeeper.errors import NoGeometryError
from ponikeeper_client.recall import raw, tiled
from ponikeeper_client.recall.runs import Document, Run


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
    if tiled.is_table_run(source):
        return tiled.from_tables(source)
    if isinstance(source, Mapping) and "start" in source and not hasattr(source, "metadata"):
        return raw.from_kinds(source)
    documents = _documents(source)
    if documents is None:
        raise NoGeometryError(
            f"this {type(source).__name__} is no run: expected its documents, or the run of a catalog, catalog[uid]"
        )
    return raw.from_documents(documents)


def described(source: Any) -> tuple[Document, dict[str, list[Document]]]:
    """Give the start and the descriptors of each stream, with as little as possible of the rest.

    Parameters and errors as `as_run`.
    """
    source = _table_run(source) or source
    if tiled.is_table_run(source):
        return tiled.documents(source)[0], tiled.descriptors(source)
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
    return behind if behind is not None and tiled.is_table_run(behind) else None


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
