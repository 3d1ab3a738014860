"""What is stored in addition to the records, and the conversion of verified rows."""

import sqlite3
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from ponikeeper.errors import GeometryError
from ponikeeper.geometry import Geometry
from ponikeeper.history import Position
from ponikeeper.history.records import KINDS, Activation, Correction, Record, Revision, Row, checksum
from ponikeeper.text import strictjson

FOLLOWED = "follow"
"""The cause of an activation without a request: the links came to rest at the position of its revision."""

CHECKED = MappingProxyType(
    {
        "revision": "number, uid, created, label, geometry, position, provenance",
        "activation": "serial, revision, time, cause, author",
        "judgement": "number, kind, revision, by, since, until, reason, time, author",
        "answer": "request, digest, op, revision, serial, time",
        "standing": "follow, rested, time, author",
    }
)
"""The columns of each table that its checksum covers, as well as the detector's prefix; the first names the row."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a request with an id, stored so that a repetition gets the same one.

    Parameters
    ----------
    request
        Id of the request.
    digest
        Hash of its content, which tells another request with the same id.
    op
        What was requested, such as ``commit``.
    revision, serial
        Numbers in its result.
    time
        Of its result, UTC ISO-8601.
    """

    request: str
    digest: str
    op: str
    revision: int
    serial: int
    time: str


@dataclass(frozen=True, slots=True)
class FollowState:
    """The state of following, stored so that it survives a restart.

    Parameters
    ----------
    follow
        Whether the geometry follows the linked PVs.
    rested
        The position at which the links rested when the geometry that belongs there was last decided on.
    """

    follow: bool
    rested: Position


@dataclass(frozen=True, slots=True)
class StoredState:
    """Everything that the store has of one detector now; empty if nothing was ever committed.

    Parameters
    ----------
    revision
        The active revision.
    activation
        Its activation.
    count
        Number of the newest revision.
    corrections
        All corrections, in their order.
    follow_state
        None if nothing was ever stored about following.
    """

    revision: Revision | None = None
    activation: Activation | None = None
    count: int = 0
    corrections: tuple[Correction, ...] = ()
    follow_state: FollowState | None = None

    @property
    def number(self) -> int:
        """Number of the active revision, 0 if there is none."""
        return 0 if self.activation is None else self.activation.revision

    @property
    def serial(self) -> int:
        """Serial of its activation, 0 if there is none."""
        return 0 if self.activation is None else self.activation.serial


@dataclass(frozen=True, slots=True)
class FollowCandidate:
    """A revision that a commit or a user activated, with its position: following may activate it again there.

    Parameters
    ----------
    serial
        Of that activation.
    revision
        Number of the revision.
    position
        None if it was never recorded.
    """

    serial: int
    revision: int
    position: Position | None


@dataclass(frozen=True, slots=True)
class Draft:
    """A revision before it has a number.

    Parameters
    ----------
    geometry
        The geometry.
    provenance
        Where it comes from.
    label
        None if it has none.
    position
        None if it is unknown.
    """

    geometry: Geometry
    provenance: dict[str, object]
    label: str | None = None
    position: Position | None = None


def verify_row(prefix: str, table: str, row: Row) -> None:
    """Check that a row is what was written.

    Parameters
    ----------
    prefix
        The detector's PV prefix.
    table
        Name of the table.
    row
        The columns of `CHECKED`, then the checksum.

    Raises
    ------
    sqlite3.DatabaseError
        It is not.
    """
    if checksum(prefix, table, row[:-1]) != row[-1]:
        raise sqlite3.DatabaseError(f"the checksum of {table} {row[0]!a} of {prefix} does not match")


def record_of(prefix: str, kind: str, row: Row) -> Record:
    """Convert a row to its record, verified; errors as `revision_of`."""
    if kind == "revision":
        return revision_of(prefix, row)
    verify_row(prefix, kind, row)
    return KINDS[kind](*row[:-1])  # type: ignore[arg-type]  # its checksum matches


def revision_of(prefix: str, row: Row) -> Revision:
    """Convert a row to its revision, verified.

    Raises
    ------
    sqlite3.DatabaseError
        The row is damaged or was changed.
    """
    verify_row(prefix, "revision", row)
    number, uid, created, label, geometry, position, provenance, digest = cast(
        "tuple[int, str, str, str | None, str, str, str, str]", row
    )
    try:
        return Revision(
            number,
            uid,
            created,
            label,
            Geometry.parse(cast("dict[str, object]", strictjson.loads(geometry))),
            cast("Position | None", strictjson.loads(position)),
            cast("dict[str, object]", strictjson.loads(provenance)),
            digest,
        )
    except (GeometryError, ValueError) as error:
        raise sqlite3.DatabaseError(f"revision {number} of {prefix} cannot be read: {error}") from error
