"""The mirror: the histories of many detectors in a Tiled catalog, so that they outlive their IOCs.

Each history is a container. Its key is the uid of its first revision: two stores that claim one prefix are two
histories. Its children are batches, each with the records that were new when it was added, as lines of the history
file with their checksums. Nothing is ever changed. A detector that was renamed has another entry under its new prefix.
"""

from collections.abc import Sequence
from typing import Any, cast

from ponikeeper.errors import HistoryError
from ponikeeper.history import history_file
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.records import KINDS, Record, name_of
from ponikeeper.text import strictjson

NAME = "ponikeeper"
"""Key of the mirror in a catalog."""

MIRROR, HISTORY, ALIAS, BATCH = "PonikeeperMirror", "PonikeeperHistory", "PonikeeperAlias", "PonikeeperBatch"
"""The specs of the entries."""


def find_mirror(catalog: Any) -> Any:
    """Return the mirror of a catalog.

    Parameters
    ----------
    catalog
        The container that has the mirror as ``ponikeeper``, the mirror itself, or one history in it.

    Returns
    -------
    Any
        The container of the mirror, or that of the history.

    Raises
    ------
    HistoryError
        There is none.
    """
    if is_mirror(catalog) or has_spec(catalog, HISTORY):
        return catalog
    if NAME in catalog and is_mirror(catalog[NAME]):
        return catalog[NAME]
    raise HistoryError(
        f"{catalog.uri} has no mirror of histories: expected the catalog to which ponikeeper mirror copied them"
    )


def is_mirror(node: Any) -> bool:
    """Return whether a node of a catalog is a mirror."""
    return has_spec(node, MIRROR)


def has_spec(node: Any, name: str) -> bool:
    """Return whether a node of a catalog has a spec of this name."""
    return name in {spec.name for spec in getattr(node, "specs", None) or ()}


def read_mirror(mirror: Any, prefix: str | None = None) -> list[ExportedHistory]:
    """Read the histories of a mirror, each record verified by its checksum.

    Parameters
    ----------
    mirror
        The container of the mirror in Tiled, or of one history in it.
    prefix
        PV prefix of a detector, also one that it had before it was renamed; all detectors if omitted.

    Returns
    -------
    list of ExportedHistory
        Several for one prefix where its store was created again, or where several stores claim it.

    Raises
    ------
    HistoryError
        A history is damaged.
    """
    folders = [mirror] if has_spec(mirror, HISTORY) else [mirror[key] for key in _keys(mirror, prefix)]
    histories = [read_entry(folder) for folder in folders]
    return [history for history in histories if history is not None]


def _keys(mirror: Any, prefix: str | None) -> Sequence[str]:
    from tiled.queries import Key

    entries = mirror if prefix is None else mirror.search(Key("prefix") == prefix)
    return list(dict.fromkeys(node.metadata.get("history", key) for key, node in entries.items()))


def read_entry(folder: Any) -> ExportedHistory | None:
    """Read the history of one container; None where it has no whole copy yet.

    A copy that was interrupted does not have all its parts: they are not used, and the next copy adds them again.

    Parameters
    ----------
    folder
        The container of one history in a mirror.

    Raises
    ------
    HistoryError
        It is damaged.
    """
    prefix = str(folder.metadata["prefix"])
    records: dict[str, list[Record]] = {kind: [] for kind in KINDS}
    pending: list[Record] = []
    exported = ""
    for key, node in folder.items():
        batch = node.metadata
        if batch["part"] == 0:
            pending = []
        pending += [_parse(f"{folder.uri}/{key}", prefix, line) for line in batch["lines"]]
        if batch["part"] == batch["parts"] - 1:
            exported = str(batch["exported"])
            for record in pending:
                records[name_of(record)[0]].append(record)
            pending = []
    if not exported:
        return None
    history = ExportedHistory.of(prefix, exported, records)
    try:
        return history_file.read(history_file.write(history))  # nothing is missing between
    except HistoryError as error:
        raise HistoryError(f"{folder.uri}: {problem}" for problem in error.problems) from None


def _parse(where: str, prefix: str, line: str) -> Record:
    """Parse the line of a record, and verify its checksum."""
    try:
        ((kind, values),) = cast("dict[str, Any]", strictjson.loads(line)).items()
        return KINDS[kind].parse(prefix, values)
    except HistoryError as error:
        raise HistoryError(f"{where}: {problem}" for problem in error.problems) from None
    except (ValueError, KeyError, AttributeError) as error:
        raise HistoryError(f"{where}: this is no record: {line[:80]}") from error
