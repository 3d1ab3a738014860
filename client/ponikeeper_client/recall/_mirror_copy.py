"""Copying of histories into a mirror: whole ones, and what is new in those that were copied before."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ponikeeper.errors import HistoryError, RefusedError
from ponikeeper.history import history_file
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.records import Record, RenameRecord, name_of, with_checksum
from ponikeeper.text import strictjson
from ponikeeper_client.recall._mirror import (
    ALIAS,
    BATCH,
    HISTORY,
    MIRROR,
    NAME,
    find_mirror,
    has_spec,
    is_mirror,
    read_entry,
)

_BATCH = 1000
"""The most records in one batch, so that no request is too large."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A history in a mirror, and how much of it was copied last.

    Parameters
    ----------
    prefix
        PV prefix of the detector as the checksums have it: the first one.
    key
        Of its history in the mirror: the uid of the first revision.
    added
        Number of records that were added.
    newest
        The newest record of each kind that the mirror has.
    batches
        How many entries the history has in the mirror.
    folder
        The client of its container.
    """

    prefix: str
    key: str
    added: int
    newest: Mapping[str, Record] = field(repr=False)
    batches: int
    folder: Any = field(repr=False)

    @property
    def counts(self) -> dict[str, int]:
        """Number of the newest record of each kind."""
        return {kind: name_of(record)[1] for kind, record in self.newest.items()}

    @property
    def total(self) -> int:
        """Number of records that the mirror has now."""
        return sum(self.counts.values())


def make_mirror(catalog: Any) -> Any:
    """Return the mirror of a catalog, and create it there if there is none.

    Parameters
    ----------
    catalog
        The container that has the mirror, or the mirror itself.

    Raises
    ------
    HistoryError
        It is one history in a mirror.
    """
    if has_spec(catalog, HISTORY):
        raise HistoryError(f"{catalog.uri} is one history in a mirror: expected the catalog that has the mirror")
    if is_mirror(catalog) or NAME in catalog:
        return find_mirror(catalog)
    return _create(catalog, NAME, MIRROR, {"what": "histories of calibrations, one for each store and detector"})


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
    stored = read_entry(folder)
    records = _records(history if stored is None else _new_records(stored, history))
    first = len(folder) + 1
    batches = _add_batches(folder, history.prefix, history.exported, records, first)
    _add_aliases(mirror, key, history.renames)
    verified = stored if not records else read_entry(folder)
    if verified is None or verified.by_kind() != history.by_kind():
        raise HistoryError(f"{folder.uri} does not have the records of {history.prefixes[-1]} that were copied to it")
    newest = {kind: of_kind[-1] for kind, of_kind in history.by_kind().items() if of_kind}
    return Copied(history.prefix, key, len(records), newest, first - 1 + batches, folder)


def continue_copy(mirror: Any, copied: Copied, exported: str, records: Mapping[str, Sequence[Record]]) -> Copied | None:
    """Add what is new in a history that was copied before, and verify what was added.

    Parameters
    ----------
    mirror
        The container of the mirror in Tiled.
    copied
        The history as the mirror had it after the last copy.
    exported
        Time at which the records were read, UTC ISO 8601.
    records
        The records of each kind, from the newest one on that the mirror has.

    Returns
    -------
    Copied or None
        None where the mirror is not as it was after the last copy: the whole history is to be copied again.

    Raises
    ------
    RefusedError
        The history does not continue the one in the mirror.
    HistoryError
        What was added cannot be read back.
    """
    folder = copied.folder
    if len(folder) != copied.batches:
        return None
    stored = ExportedHistory.of(copied.prefix, "", {kind: (record,) for kind, record in copied.newest.items()})
    new = _new_records(stored, ExportedHistory.of(copied.prefix, exported, records))
    added = _records(new)
    batches = _add_batches(folder, copied.prefix, exported, added, copied.batches + 1)
    lines = [line for number in range(batches) for line in folder[_key(copied.batches + 1 + number)].metadata["lines"]]
    if lines != [_line(copied.prefix, record) for record in added]:
        raise HistoryError(f"{folder.uri} does not have the records that were just copied to it")
    _add_aliases(mirror, copied.key, new.renames)
    newest = {**copied.newest, **{kind: of_kind[-1] for kind, of_kind in new.by_kind().items() if of_kind}}
    return Copied(copied.prefix, copied.key, len(added), newest, copied.batches + batches, folder)


def _new_records(stored: ExportedHistory, given: ExportedHistory) -> ExportedHistory:
    """Return the records that a mirror does not have; raises `RefusedError` where it has others, or more."""
    new = history_file.new_records(stored, given)
    if any(count > given.counts().get(kind, 0) for kind, count in stored.counts().items()):
        raise RefusedError(
            f"the mirror has more records of {given.prefixes[-1]} than the history that is copied: expected a newer "
            "one; was the store restored from an older backup?"
        )
    return new


def _records(history: ExportedHistory) -> list[Record]:
    return [record for of_kind in history.by_kind().values() for record in of_kind]


def _add_batches(folder: Any, prefix: str, exported: str, records: Sequence[Record], first: int) -> int:
    """Add records as batches from a number on, and return how many."""
    parts = range(0, len(records), _BATCH)
    for part, begin in enumerate(parts):
        lines = [_line(prefix, record) for record in records[begin : begin + _BATCH]]
        values = {"exported": exported, "part": part, "parts": len(parts), "lines": lines}
        _create(folder, _key(first + part), BATCH, values)
    return len(parts)


def _add_aliases(mirror: Any, key: str, renames: Iterable[RenameRecord]) -> None:
    """Add an entry for each prefix that a detector got later."""
    for rename in renames:
        alias = f"{key}-{rename.number}"
        if alias not in mirror:
            _create(mirror, alias, ALIAS, {"prefix": rename.new, "history": key})


def _key(number: int) -> str:
    return f"{number:08}"


def _create(parent: Any, key: str, spec: str, metadata: dict[str, Any]) -> Any:
    return parent.create_container(key, metadata=metadata, specs=[spec])


def _line(prefix: str, record: Record) -> str:
    return strictjson.dumps({name_of(record)[0]: with_checksum(prefix, record)})
