"""The mirror: the histories of many detectors in a Tiled catalog, so that they outlive their IOCs.

Each history is a container. Its key is the uid of its first revision: two stores that claim one prefix are two
histories. Its children are batches, each with the records that were new when it was added, as lines of the history
file with their checksums. Nothing is ever changed. A detector that was renamed has another entry under its new prefix.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from ponikeeper.errors import HistoryError, RefusedError
from ponikeeper.history import history_file
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.records import KINDS, Record, name_of, with_checksum
from ponikeeper.text import strictjson

NAME = "ponikeeper"
"""Key of the mirror in a catalog."""

MIRROR, HISTORY, ALIAS, BATCH = "PonikeeperMirror", "PonikeeperHistory", "PonikeeperAlias", "PonikeeperBatch"
"""The specs of the entries."""

_BATCH = 1000
"""The most records in one batch, so that no request is too large."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What `copy_history` did.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    key
        Of its history in the mirror: the uid of the first revision.
    added
        Number of records that were added.
    total
        Number of records that the mirror has now.
    """

    prefix: str
    key: str
    added: int
    total: int


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
    if is_mirror(catalog) or _has_spec(catalog, HISTORY):
        return catalog
    if NAME in catalog and is_mirror(catalog[NAME]):
        return catalog[NAME]
    raise HistoryError(
        f"{catalog.uri} has no mirror of histories: expected the catalog to which ponikeeper mirror copied them"
    )


def make_mirror(catalog: Any) -> Any:
    """Return the mirror of a catalog, and create it there if there is none."""
    if is_mirror(catalog) or NAME in catalog:
        return find_mirror(catalog)
    return _create(catalog, NAME, MIRROR, {"what": "histories of calibrations, one for each store and detector"})


def is_mirror(node: Any) -> bool:
    """Return whether a node of a catalog is a mirror."""
    return _has_spec(node, MIRROR)


def _has_spec(node: Any, name: str) -> bool:
    return name in {spec.name for spec in getattr(node, "specs", None) or ()}


def copy_history(mirror: Any, history: ExportedHistory) -> Copied | None:
    """Add the records of a history that a mirror does not have yet, and verify what it then has.

    Parameters
    ----------
    mirror
        The container of the mirror in Tiled.
    history
        All records of a detector.

    Returns
    -------
    Copied or None
        What was added; None for a history without a revision, which has nothing to identify it.

    Raises
    ------
    RefusedError
        The mirror has other records of the same numbers, or more.
    HistoryError
        What the mirror has is damaged.
    """
    if not history.revisions:
        return None
    key = history.revisions[0].uid
    folder = mirror[key] if key in mirror else _create(mirror, key, HISTORY, {"prefix": history.prefix})
    stored = _read(folder)
    new = history if stored is None else history_file.new_records(stored, history)
    if stored is not None and any(count > history.counts().get(kind, 0) for kind, count in stored.counts().items()):
        raise RefusedError(
            f"the mirror has more records of {history.prefixes[-1]} than the history that is copied: expected a newer "
            "one; was the store restored from an older backup?"
        )
    records = [record for of_kind in new.by_kind().values() for record in of_kind]
    first = len(folder) + 1
    parts = range(0, len(records), _BATCH)
    for part, begin in enumerate(parts):
        lines = [_line(history.prefix, record) for record in records[begin : begin + _BATCH]]
        values = {"exported": history.exported, "part": part, "parts": len(parts), "lines": lines}
        _create(folder, f"{first + part:08}", BATCH, values)
    for number, prefix in enumerate(history.prefixes[1:], 1):
        alias = f"{key}-{number}"
        if alias not in mirror:
            _create(mirror, alias, ALIAS, {"prefix": prefix, "history": key})
    verified = stored if not records else _read(folder)
    if verified is None or verified.by_kind() != history.by_kind():
        raise HistoryError(f"{folder.uri} does not have the records of {history.prefixes[-1]} that were copied to it")
    return Copied(history.prefixes[-1], key, len(records), sum(history.counts().values()))


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
    folders = [mirror] if _has_spec(mirror, HISTORY) else [mirror[key] for key in _keys(mirror, prefix)]
    histories = [_read(folder) for folder in folders]
    return [history for history in histories if history is not None]


def _keys(mirror: Any, prefix: str | None) -> Sequence[str]:
    from tiled.queries import Key

    entries = mirror if prefix is None else mirror.search(Key("prefix") == prefix)
    return list(dict.fromkeys(node.metadata.get("history", key) for key, node in entries.items()))


def _create(parent: Any, key: str, spec: str, metadata: dict[str, Any]) -> Any:
    return parent.create_container(key, metadata=metadata, specs=[spec])


def _line(prefix: str, record: Record) -> str:
    return strictjson.dumps({name_of(record)[0]: with_checksum(prefix, record)})


def _read(folder: Any) -> ExportedHistory | None:
    """Read the history of one container; None where it has no whole copy yet.

    A copy that was interrupted does not have all its parts: they are not used, and the next copy adds them again.
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
