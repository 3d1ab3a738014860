"""The values that the history keeps, and the checksum that each of its rows carries."""

import hashlib
import sqlite3
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import cast

from ponikeeper import strictjson
from ponikeeper.errors import GeometryError
from ponikeeper.geometry import Geometry
from ponikeeper.messages import Position

Row = tuple[object, ...]

FOLLOWED = "follow"
"""The cause of an activation that nobody asked for: the links came to rest where its revision holds."""

CHECKED = MappingProxyType(
    {
        "revision": "number, uid, created, label, geometry, position, provenance",
        "activation": "serial, revision, time, cause, author",
        "judgement": "number, kind, revision, by, since, until, reason, time, author",
        "answer": "request, digest, op, revision, serial, time",
        "standing": "follow, rested, time, author",
    }
)
"""The columns of each table that its checksum covers, with the detector's prefix; the first one names the row."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One geometry with provenance, label and position; never changed, never deleted."""

    number: int
    uid: str
    created: str
    label: str | None
    geometry: Geometry
    position: Position | None
    provenance: dict[str, object]
    checksum: str

    def as_dict(self) -> dict[str, object]:
        """Give the JSON object that the history PVs and the command line show."""
        return {
            "revision": self.number,
            "uid": self.uid,
            "checksum": self.checksum,
            "created": self.created,
            "label": self.label,
            "geometry": self.geometry.as_dict(),
            "position": strictjson.plain(self.position),
            "provenance": strictjson.plain(self.provenance),
        }


@dataclass(frozen=True, slots=True)
class Activation:
    """From `time` on, `revision` is in force, because of `cause`."""

    serial: int
    revision: int
    time: str
    cause: str
    author: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request id was answered the first time."""

    request: str
    digest: str
    op: str
    revision: int
    serial: int
    time: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """Somebody found out that `revision` was wrong, from `since` on and before `until` (None: open).

    Parameters
    ----------
    kind
        ``supersede`` or ``retract``.
    by
        The revision that is right; None where nothing replaces the one that was wrong.
    """

    number: int
    kind: str
    revision: int
    by: int | None
    since: str | None
    until: str | None
    reason: str
    time: str
    author: str

    def as_dict(self) -> dict[str, object]:
        """Give the JSON object that the history PVs and the command line show."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether the geometry follows the links, and where they had come to rest when that was last considered."""

    follow: bool
    rested: Position


@dataclass(frozen=True, slots=True)
class Kept:
    """All that the store says of one detector now; nothing where nothing was ever committed.

    Parameters
    ----------
    count
        Number of the newest revision.
    """

    revision: Revision | None = None
    activation: Activation | None = None
    count: int = 0
    judgements: tuple[Judgement, ...] = ()
    standing: Standing | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """What a commit or a person put in force, and where that holds."""

    serial: int
    revision: int
    position: Position | None


@dataclass(frozen=True, slots=True)
class Draft:
    """What a revision is made of before it has a number."""

    geometry: Geometry
    provenance: dict[str, object]
    label: str | None = None
    position: Position | None = None


def checksum(prefix: str, table: str, row: Row) -> str:
    """Give the checksum of a row's checked columns."""
    content = "\x1f".join([prefix, table, *["\x00" if value is None else str(value) for value in row]])
    return "sha256:" + hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def verify(prefix: str, table: str, row: Row) -> None:
    """See that a row (its checked columns, then its checksum) is what was written.

    Raises
    ------
    sqlite3.DatabaseError
        It is not.
    """
    if checksum(prefix, table, row[:-1]) != row[-1]:
        raise sqlite3.DatabaseError(f"the checksum of {table} {row[0]!a} of {prefix} does not match")


def revision_of(prefix: str, row: Row) -> Revision:
    """Make a revision of its row, the checksum verified.

    Raises
    ------
    sqlite3.DatabaseError
        The row is not what was written.
    """
    verify(prefix, "revision", row)
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
