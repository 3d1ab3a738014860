"""What the history of one IOC holds: every row is verified when it is read."""

import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ponikeeper.history.records import Activation, Correction, Record, Revision, Row, name_of
from ponikeeper.store import verify
from ponikeeper.store.database import StoreFile
from ponikeeper.store.rows import CHECKED, FOLLOWED, Answer, Kept, Put, Standing, record_of, verify_row
from ponikeeper.text import strictjson

if TYPE_CHECKING:
    from ponikeeper.history import Position

_NO_END = 2**62


class Reader:
    """The store of one IOC, as far as it is read.

    Parameters and errors as `StoreFile`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = StoreFile(path)
        self._detectors: dict[str, int] = {}
        try:
            with self._file.damage_told():
                self._detectors |= self._file.connection().execute("SELECT prefix, id FROM detector")
                self._pending = verify.slices(self._file.connection())
                while self._pending and self._pending[0].depth < verify.RECENT:
                    self.verify_next()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and give up the lock."""
        self._file.close()

    def verify_next(self) -> bool:
        """Verify the checksums of the next slice of old rows; tell whether any are left.

        The newest rows are verified before the constructor returns, so that the time it takes does
        not grow with the history; whatever is read is verified then, too.

        Raises
        ------
        DamagedStoreError
            A row is not what was written.
        StoreError
            It cannot be read now; the next call tries it again.
        """
        if self._pending:
            with self._file.damage_told():
                prefixes = {key: prefix for prefix, key in self._detectors.items()}
                verify.verify_slice(self._file.connection(), self._pending[0], prefixes)
            self._pending.popleft()
        return bool(self._pending)

    def kept(self, prefix: str) -> Kept:
        """Give all that holds for a detector now."""
        revision, activation = self.in_force(prefix) or (None, None)
        corrections = tuple(self.corrections(prefix))
        return Kept(revision, activation, self.count(prefix), corrections, self.standing(prefix))

    def in_force(self, prefix: str) -> tuple[Revision, Activation] | None:
        """Give what was put in force last on a detector; None where nothing ever was."""
        with self._file.damage_told():
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
                raise sqlite3.DatabaseError(f"revision {activation.revision} of {prefix} is in force but missing")
            return revision, activation

    def revision(self, prefix: str, number: int) -> Revision | None:
        """Give one revision, its checksum verified; None where there is none of that number."""
        found = self.revisions(prefix, number, number)
        return found[0] if found else None

    def revisions(self, prefix: str, first: int, last: int) -> list[Revision]:
        """Give the revisions of a range of numbers, checksums verified, in ascending order."""
        return cast("list[Revision]", self.records(prefix, "revision", first, last))

    def records(self, prefix: str, kind: str, first: int = 1, last: int = _NO_END) -> list[Record]:
        """Give the records of a kind and of a range of numbers, checksums verified, in ascending order."""
        number = _number(kind)
        sql = (
            f"SELECT {CHECKED[kind]}, checksum FROM {kind} "
            f"WHERE detector = ? AND {number} BETWEEN ? AND ? ORDER BY {number}"
        )
        with self._file.damage_told():
            found = [record_of(prefix, kind, row) for row in self._rows(sql, prefix, first, last)]
            numbers = [name_of(record)[1] for record in found]
            if numbers and numbers != list(range(max(1, first), numbers[-1] + 1)):
                raise sqlite3.DatabaseError(f"of the {kind}s {first} to {last} of {prefix} some are missing")
            return found

    def labelled(self, prefix: str, label: str, besides: Collection[int] = ()) -> int | None:
        """Give the number of the newest revision with a label; those named in `besides` do not count."""
        with self._file.damage_told():
            sql = "SELECT number FROM revision WHERE detector = ? AND label = ? ORDER BY number DESC LIMIT ?"
            numbers = (cast("int", row[0]) for row in self._rows(sql, prefix, label, len(besides) + 1))
            number = next((number for number in numbers if number not in besides), None)
            if number is None:
                return None
            revision = self.revision(prefix, number)
            if revision is None or revision.label != label:
                raise sqlite3.DatabaseError(f"revision {number} of {prefix} does not have the label {label}")
            return number

    def labels(self, prefix: str) -> list[str]:
        """List the labels of a detector."""
        with self._file.damage_told():
            sql = "SELECT DISTINCT label FROM revision WHERE detector = ? AND label IS NOT NULL"
            return sorted(cast("str", row[0]) for row in self._rows(sql, prefix))

    def count(self, prefix: str, kind: str = "revision") -> int:
        """Give the number of the newest record of a kind, 0 where there is none."""
        with self._file.damage_told():
            row = self._row(f"SELECT max({_number(kind)}) FROM {kind} WHERE detector = ?", prefix)
            return cast("int | None", row and row[0]) or 0

    def answer(self, prefix: str, request: str) -> Answer | None:
        """Give what a request id was answered, None where it is new."""
        with self._file.damage_told():
            row = self._row(
                f"SELECT {CHECKED['answer']}, checksum FROM answer WHERE detector = ? AND request = ?", prefix, request
            )
            if row is None:
                return None
            verify_row(prefix, "answer", row)
            return Answer(*row[:-1])  # type: ignore[arg-type]  # its checksum matches

    def corrections(self, prefix: str) -> list[Correction]:
        """Give all that was found out later about the revisions of a detector, in its order."""
        return cast("list[Correction]", self.records(prefix, "judgement"))

    def standing(self, prefix: str) -> Standing | None:
        """Give what was kept last of where the links stood; None where nothing ever was."""
        with self._file.damage_told():
            row = self._row(f"SELECT {CHECKED['standing']}, checksum FROM standing WHERE detector = ?", prefix)
            if row is None:
                return None
            verify_row(prefix, "standing", row)
            return Standing(bool(row[0]), cast("Position", strictjson.loads(cast("str", row[1]))))

    def puts(self, prefix: str, before: int | None, limit: int) -> list[Put]:
        """Give what commits and people put in force, the newest first; what followed the links is left out.

        Parameters
        ----------
        before
            The serial before which to begin; None begins at the newest.
        """
        activation, revision = (
            ", ".join(f"{table}.{column}" for column in (*CHECKED[table].split(", "), "checksum"))
            for table in ("activation", "revision")
        )
        width = CHECKED["activation"].count(",") + 2
        sql = (
            f"SELECT {activation}, {revision} FROM activation JOIN revision ON revision.detector = activation.detector "
            "AND revision.number = activation.revision WHERE activation.detector = ? AND activation.serial < ? "
            f"AND activation.cause != '{FOLLOWED}' ORDER BY activation.serial DESC LIMIT ?"
        )
        found: list[Put] = []
        with self._file.damage_told():
            for row in self._rows(sql, prefix, before or _NO_END, limit):
                verify_row(prefix, "activation", row[:width])
                verify_row(prefix, "revision", row[width:])
                position = cast("Position | None", strictjson.loads(cast("str", row[width + 5])))
                found.append(Put(cast("int", row[0]), cast("int", row[1]), position))
        return found

    def _row(self, sql: str, prefix: str, *values: object) -> Row | None:
        rows = self._rows(sql, prefix, *values)
        return rows[0] if rows else None

    def _rows(self, sql: str, prefix: str, *values: object) -> list[Row]:
        """Read rows of one detector; its key is the first value of the query."""
        connection = self._file.connection()
        key = self._detectors.get(prefix)
        if key is None:
            row = connection.execute("SELECT id FROM detector WHERE prefix = ?", (prefix,)).fetchone()
            if row is None:
                return []
            key = self._detectors[prefix] = cast("int", row[0])
        return connection.execute(sql, (key, *values)).fetchall()


def _number(kind: str) -> str:
    """Name the column by which the records of a kind are numbered."""
    return CHECKED[kind].partition(",")[0]
