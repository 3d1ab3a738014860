"""The columns of the tables, and the conversion of verified rows to records."""

import sqlite3
from types import MappingProxyType
from typing import cast

from ponikeeper.errors import GeometryError
from ponikeeper.geometry import Geometry
from ponikeeper.history import DerivedGeometry, Position, Revision
from ponikeeper.history.record_form import Row, checksum
from ponikeeper.history.records import KINDS, Record
from ponikeeper.text import strictjson

CHECKED = MappingProxyType(
    {
        "revision": "number, uid, created, label, geometry, position, provenance",
        "activation": "serial, revision, time, cause, author",
        "judgement": "number, kind, revision, by, since, until, reason, time, author",
        "service": "number, kind, link, reason, time, author",
        "answer": "request, digest, op, revision, serial, time",
        "undo": "number, serial, undone, revision",
        "label": "number, revision, label, newest, time, author",
        "derived": "number, serial, revision, geometry, position, certainty",
        "rename": "number, old, new, time, author",
        "standing": "follow, rested, time, author",
    }
)
"""The columns of each table that its checksum covers, as well as the detector's prefix; the first names the row."""


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
    if kind == "derived":
        return derived_of(prefix, row)
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
    return Revision(
        number,
        uid,
        created,
        label,
        _geometry(prefix, f"revision {number}", geometry),
        cast("Position | None", _object(prefix, f"revision {number}", position)),
        cast("dict[str, object]", _object(prefix, f"revision {number}", provenance)),
        digest,
    )


def derived_of(prefix: str, row: Row) -> DerivedGeometry:
    """Convert a row to what a model gave, verified; errors as `revision_of`."""
    verify_row(prefix, "derived", row)
    number, serial, revision, geometry, position, certainty, _ = cast("tuple[int, int, int, str, str, str, str]", row)
    name = f"derived {number}"
    return DerivedGeometry(
        number,
        serial,
        revision,
        _geometry(prefix, name, geometry),
        cast("Position", _object(prefix, name, position)),
        cast("dict[str, object]", _object(prefix, name, certainty)),
    )


def _geometry(prefix: str, name: str, text: str) -> Geometry:
    try:
        return Geometry.parse(cast("dict[str, object]", _object(prefix, name, text)))
    except GeometryError as error:
        raise sqlite3.DatabaseError(f"{name} of {prefix} cannot be read: {error}") from error


def _object(prefix: str, name: str, text: str) -> object:
    try:
        return strictjson.loads(text)
    except ValueError as error:
        raise sqlite3.DatabaseError(f"{name} of {prefix} cannot be read: {error}") from error
