"""Reading the store of one IOC: every row is verified when it is read."""

import sqlite3
from collections.abc import Collection
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ponikeeper.history import Activation, Correction, DerivedGeometry, LabelRecord, Revision, ServiceChange, UndoRecord
from ponikeeper.history.derived import with_derived
from ponikeeper.history.labels import labelled, latest_labels
from ponikeeper.history.record_form import Row
from ponikeeper.history.records import UNREQUESTED, Record, name_of
from ponikeeper.store import schema, verify
from ponikeeper.store.data_types import Answer, FollowCandidate, FollowState, StoredHistory, StoredState
from ponikeeper.store.database import StoreFile
from ponikeeper.store.histories import read_histories
from ponikeeper.store.interface import NO_END
from ponikeeper.store.rows import CHECKED, derived_of, record_of, verify_row
from ponikeeper.text import strictjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ponikeeper.history import Position

_STANDING = (
    f"activation.cause NOT IN {UNREQUESTED} AND NOT EXISTS "
    "(SELECT 1 FROM undo WHERE undo.detector = activation.detector AND undo.undone = activation.serial)"
)
"""Condition for an activation that someone asked for and that was not undone."""


_NEWEST_OF_EACH_LABEL = """
    WITH RECURSIVE used (detector, label) AS (
        SELECT detector, min(label) FROM revision WHERE detector = ?
        UNION ALL
        SELECT detector, (SELECT min(label) FROM revision WHERE detector = used.detector AND label > used.label)
        FROM used WHERE label IS NOT NULL)
    SELECT label, (SELECT max(number) FROM revision WHERE detector = used.detector AND label = used.label)
    FROM used WHERE label IS NOT NULL
"""
"""One step in the index for each label; GROUP BY reads all of it."""


class Reader:
    """The part of `SQLiteStorage` that reads; `ponikeeper.store.interface` describes the methods.

    Every row is verified by its checksum when it is read. The newest rows are verified in the constructor,
    whose time therefore does not grow with the history; `verify_next` verifies the others, and then all of them again.

    Parameters
    ----------
    path
        The file; its directory is locked until `close`. Created if it does not exist.

    Raises
    ------
    BusyStoreError
        Another process has it open.
    DamagedStoreError
        It is damaged or was changed; the file is not changed.
    StoreError
        It cannot be created or read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = StoreFile(path)
        try:
            with self._file.translated_errors():
                connection = self._file.connection()
                verify.check_complete(connection)
                self._pending = verify.slices(connection)
                while self._pending and self._pending[0].depth < verify.RECENT:
                    self.verify_next()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._file.close()

    def verify_next(self) -> bool:
        with self._file.translated_errors():
            connection = self._file.from_disk(drop_system_cache=not self._pending)
            if not self._pending:
                verify.check_schema(connection, len(schema.MIGRATIONS))
                self._pending = verify.slices(connection)
            if self._pending:
                prefixes: dict[int, str] = dict(connection.execute("SELECT id, prefix FROM detector"))
                verify.verify_slice(connection, self._pending[0], prefixes)
                self._pending.popleft()
        return bool(self._pending)

    def histories(self) -> list[StoredHistory]:
        with self._file.translated_errors():
            return read_histories(self._file.connection(), len(schema.MIGRATIONS))

    def stored_state(self, prefix: str) -> StoredState:
        revision, activation = self.active(prefix) or (None, None)
        corrections = tuple(self.corrections(prefix))
        return StoredState(
            revision,
            activation,
            self.count(prefix),
            corrections,
            self.follow_state(prefix),
            tuple(cast("list[ServiceChange]", self.records(prefix, "service"))),
            tuple(self.labels_set_later(prefix)),
        )

    def active(self, prefix: str) -> tuple[Revision, Activation] | None:
        """Read the active revision of a detector and its activation.

        Parameters
        ----------
        prefix
            The detector's PV prefix.

        Returns
        -------
        tuple of Revision and Activation, or None
            None if nothing was ever committed. A model has the geometry that it gave for the position.

        Raises
        ------
        StoreError
            As `stored_state`.
        """
        with self._file.translated_errors():
            row = self._row(
                f"SELECT {CHECKED['activation']}, checksum FROM activation "
                "WHERE detector = ? ORDER BY serial DESC LIMIT 1",
                prefix,
            )
            if row is None:
                return None
            verify_row(prefix, "activation", row)
            activation = Activation(*row[:-1])  # type: ignore[arg-type]  # its checksum matches
            revision = self.revision(prefix, activation.revision)
            if revision is None:
                raise sqlite3.DatabaseError(f"revision {activation.revision} of {prefix} is active but missing")
            return with_derived(revision, self.derived(prefix, activation.serial)), activation

    def derived(self, prefix: str, serial: int) -> DerivedGeometry | None:
        """Read what a model gave for an activation.

        Parameters
        ----------
        prefix
            The detector's PV prefix.
        serial
            Serial of the activation.

        Returns
        -------
        DerivedGeometry or None
            None if the revision itself was activated.

        Raises
        ------
        StoreError
            As `stored_state`.
        """
        with self._file.translated_errors():
            row = self._row(
                f"SELECT {CHECKED['derived']}, checksum FROM derived WHERE detector = ? AND serial = ?", prefix, serial
            )
            return None if row is None else derived_of(prefix, row)

    def revision(self, prefix: str, number: int) -> Revision | None:
        revisions = self.revisions(prefix, number, number)
        return revisions[0] if revisions else None

    def revisions(self, prefix: str, first: int, last: int) -> list[Revision]:
        return cast("list[Revision]", self.records(prefix, "revision", first, last))

    def records(self, prefix: str, kind: str, first: int = 1, last: int = NO_END) -> list[Record]:
        number = _number(kind)
        sql = (
            f"SELECT {CHECKED[kind]}, checksum FROM {kind} "
            f"WHERE detector = ? AND {number} BETWEEN ? AND ? ORDER BY {number}"
        )
        with self._file.translated_errors():
            records = [record_of(prefix, kind, row) for row in self._rows(sql, prefix, first, last)]
            numbers = [name_of(record)[1] for record in records]
            if numbers and numbers != list(range(max(1, first), numbers[-1] + 1)):
                raise sqlite3.DatabaseError(f"some of the {kind}s {first} to {last} of {prefix} are missing")
            return records

    def find_label(self, prefix: str, label: str, excluded: Collection[int] = ()) -> int | None:
        with self._file.translated_errors():
            sql = "SELECT number FROM revision WHERE detector = ? AND label = ? ORDER BY number DESC LIMIT ?"
            labels = self.labels_set_later(prefix)
            most = len(excluded) + len(latest_labels(labels)) + 1
            committed = (cast("int", row[0]) for row in self._rows(sql, prefix, label, most))
            numbers = (number for _, number in labelled(label, committed, labels))
            number = next((number for number in numbers if number not in excluded), None)
            if number is None:
                return None
            revision = self.revision(prefix, number)
            if revision is None or (number not in latest_labels(labels) and revision.label != label):
                raise sqlite3.DatabaseError(f"revision {number} of {prefix} does not have the label {label}")
            return number

    def newest_labels(self, prefix: str, limit: int, excluded: Collection[int] = ()) -> list[tuple[str, int]]:
        with self._file.translated_errors():
            newest = {record.label: record.revision for record in self.labels_set_later(prefix) if record.label}
            for label, number in self._rows(_NEWEST_OF_EACH_LABEL, prefix):
                newest[cast("str", label)] = max(cast("int", number), newest.get(cast("str", label), 0))
            labels = sorted(newest, key=lambda label: -newest[label])
            pairs = ((label, self.find_label(prefix, label, excluded)) for label in labels)
            return [(label, number) for label, number in islice((pair for pair in pairs if pair[1]), limit) if number]

    def find_detector(self, prefix: str, detector: str) -> Revision | None:
        text = strictjson.canonical({"detector": detector})[1:-1]
        sql = (
            "SELECT number FROM revision WHERE detector = ? AND instr(geometry, ?) > 0 AND number < ? "
            "ORDER BY number DESC LIMIT 1"
        )
        number = NO_END
        with self._file.translated_errors():
            while (row := self._row(sql, prefix, text, number)) is not None:
                number = cast("int", row[0])
                revision = self.revision(prefix, number)
                if revision is not None and revision.geometry.detector == detector:
                    return revision  # the text may also be in detector_config
        return None

    def undone_revisions(self, prefix: str) -> frozenset[int]:
        with self._file.translated_errors():
            candidates = {undo.revision for undo in self.undos(prefix)}
            if not candidates:
                return frozenset()
            sql = (
                f"SELECT DISTINCT revision FROM activation WHERE detector = ? AND {_STANDING} "
                f"AND revision IN ({', '.join(map(str, candidates))})"
            )
            return frozenset(candidates - {cast("int", row[0]) for row in self._rows(sql, prefix)})

    def count(self, prefix: str, kind: str = "revision") -> int:
        with self._file.translated_errors():
            row = self._row(f"SELECT max({_number(kind)}) FROM {kind} WHERE detector = ?", prefix)
            return cast("int | None", row and row[0]) or 0

    def answer(self, prefix: str, request: str) -> Answer | None:
        with self._file.translated_errors():
            row = self._row(
                f"SELECT {CHECKED['answer']}, checksum FROM answer WHERE detector = ? AND request = ?", prefix, request
            )
            if row is None:
                return None
            verify_row(prefix, "answer", row)
            return Answer(*row[:-1])  # type: ignore[arg-type]  # its checksum matches

    def corrections(self, prefix: str) -> list[Correction]:
        """Read all corrections of a detector's revisions.

        Parameters
        ----------
        prefix
            The detector's PV prefix.

        Returns
        -------
        list of Correction
            In their order.

        Raises
        ------
        StoreError
            As `stored_state`.
        """
        return cast("list[Correction]", self.records(prefix, "judgement"))

    def undos(self, prefix: str) -> list[UndoRecord]:
        """Read all undos of a detector, in their order; errors as `stored_state`."""
        return cast("list[UndoRecord]", self.records(prefix, "undo"))

    def labels_set_later(self, prefix: str) -> list[LabelRecord]:
        """Read all label records of a detector, in their order; errors as `stored_state`."""
        return cast("list[LabelRecord]", self.records(prefix, "label"))

    def follow_state(self, prefix: str) -> FollowState | None:
        """Read the follow state of a detector.

        Parameters
        ----------
        prefix
            The detector's PV prefix.

        Returns
        -------
        FollowState or None
            None if it was never stored.

        Raises
        ------
        StoreError
            As `stored_state`.
        """
        with self._file.translated_errors():
            row = self._row(f"SELECT {CHECKED['standing']}, checksum FROM standing WHERE detector = ?", prefix)
            if row is None:
                return None
            verify_row(prefix, "standing", row)
            return FollowState(bool(row[0]), cast("Position", strictjson.loads(cast("str", row[1]))))

    def follow_candidates(self, prefix: str, before: int | None, limit: int) -> list[FollowCandidate]:
        activation, revision = (
            ", ".join(f"{table}.{column}" for column in (*CHECKED[table].split(", "), "checksum"))
            for table in ("activation", "revision")
        )
        width = CHECKED["activation"].count(",") + 2
        sql = (
            f"SELECT {activation}, {revision} FROM activation JOIN revision ON revision.detector = activation.detector "
            "AND revision.number = activation.revision WHERE activation.detector = ? AND activation.serial < ? "
            f"AND {_STANDING} ORDER BY activation.serial DESC LIMIT ?"
        )
        candidates: list[FollowCandidate] = []
        with self._file.translated_errors():
            for row in self._rows(sql, prefix, before or NO_END, limit):
                verify_row(prefix, "activation", row[:width])
                verify_row(prefix, "revision", row[width:])
                position = cast("Position | None", strictjson.loads(cast("str", row[width + 5])))
                provenance = cast("Mapping[str, object]", strictjson.loads(cast("str", row[width + 6])))
                serial, number = cast("tuple[int, int]", row[:2])
                candidates.append(FollowCandidate(serial, number, position, "model" in provenance))
        return candidates

    def _row(self, sql: str, prefix: str, *values: object) -> Row | None:
        rows = self._rows(sql, prefix, *values)
        return rows[0] if rows else None

    def _rows(self, sql: str, prefix: str, *values: object) -> list[Row]:
        """Read rows of one detector; its key is the first value of the query."""
        connection = self._file.connection()
        found = connection.execute("SELECT id FROM detector WHERE prefix = ?", (prefix,)).fetchone()
        return connection.execute(sql, (*found, *values)).fetchall() if found else []


def _number(kind: str) -> str:
    """Return the name of the column by which the records of a kind are numbered."""
    return CHECKED[kind].partition(",")[0]
