"""The records of a history, each with a checksum. Pure.

A record has the same JSON object in the store, in a PV and in a history file. Parsing the object verifies its
`checksum`, so that a record that was changed is never accepted.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import ClassVar, Self, cast

from ponikeeper.history.derived import DerivedGeometry
from ponikeeper.history.record_form import Row, checked_name, checksum, verify
from ponikeeper.history.revision import Revision

FOLLOWED = "follow"
"""The cause of an activation without a request: the links came to rest at the position of its revision."""

UNDO = "undo"
"""The cause of an activation that undoes another one."""

MODEL = "model"
"""The cause of an activation without a request: the active model gave the geometry for another position."""

UNREQUESTED = (FOLLOWED, MODEL, UNDO)
"""The causes of activations of a revision for which no person or client asked."""


@dataclass(frozen=True, slots=True)
class _PlainRecord:
    """A record whose columns, keys and parameters are the same."""

    name: ClassVar[tuple[str, str]]
    """Its kind, a key of `KINDS`, and the parameter that has its number."""

    def row(self) -> Row:
        """Return the values that the checksum covers.

        Returns
        -------
        tuple
            All values, in the order of the store's columns.
        """
        return tuple(asdict(self).values())

    def as_dict(self) -> dict[str, object]:
        """Return the JSON object.

        Returns
        -------
        dict
            Plain JSON values by the names of the parameters, without the checksum, which `with_checksum` adds.
        """
        return asdict(self)

    @classmethod
    def parse(cls, prefix: str, values: Mapping[str, object]) -> Self:
        """Build a record from its JSON object, and verify the checksum.

        Parameters
        ----------
        prefix
            PV prefix of the detector, which the checksum covers.
        values
            The JSON object with its checksum, as `with_checksum` returns it.

        Returns
        -------
        Self
            The record.

        Raises
        ------
        HistoryError
            The object is invalid, or was changed after it was written.
        """
        kind, number = cls.name
        name = checked_name(kind, number, values)
        record = cls(**{key: value for key, value in values.items() if key != "checksum"})
        verify(prefix, name, kind, record.row(), values)
        return record


@dataclass(frozen=True, slots=True)
class Activation(_PlainRecord):
    """From `time` on, `revision` is active, because of `cause`.

    Parameters
    ----------
    serial
        Counts the activations of a detector from 1.
    revision
        Number of the revision.
    time
        UTC ISO 8601.
    cause
        Operation of the request: ``commit``, ``activate``, ``undo`` or ``record_position`` (``here`` before 0.2);
        ``follow`` where the links came to rest at the position of the revision; ``model`` where the active model gave
        the geometry for another position.
    author
        Who asked for it, as the request or Channel Access names them; not verified.
    """

    name: ClassVar[tuple[str, str]] = ("activation", "serial")
    serial: int
    revision: int
    time: str
    cause: str
    author: str

    @property
    def is_requested(self) -> bool:
        """Whether a person or a client asked for this revision: it neither followed the links nor is an undo."""
        return self.cause not in UNREQUESTED


@dataclass(frozen=True, slots=True)
class Correction(_PlainRecord):
    """A later record that `revision` was wrong, from `since` on and before `until` (None: unlimited).

    Parameters
    ----------
    number
        Counts the corrections of a detector from 1.
    kind
        ``supersede`` or ``retract``.
    revision
        Number of the revision that was wrong.
    by
        Number of the revision that is right; None where nothing replaces the one that was wrong.
    since, until
        The time for which it counts (UTC ISO 8601), from the first on and before the second; None is unlimited.
    reason
        What was wrong, in one line.
    time
        When it was stored, UTC ISO 8601.
    author
        Who asked for it, as the request or Channel Access names them; not verified.
    """

    name: ClassVar[tuple[str, str]] = ("judgement", "number")
    number: int
    kind: str
    revision: int
    by: int | None
    since: str | None
    until: str | None
    reason: str
    time: str
    author: str


@dataclass(frozen=True, slots=True)
class ServiceChange(_PlainRecord):
    """A link was taken out of service, or returned to service.

    A link that is out of service is not compared with the position of a geometry.

    Parameters
    ----------
    number
        Counts the service changes of a detector from 1.
    kind
        ``out_of_service`` or ``in_service``.
    link
        Name of the link.
    reason
        Why, in one line; may be empty where the link returns to service.
    time
        When it was stored, UTC ISO 8601.
    author
        Who asked for it, as the request or Channel Access names them; not verified.
    """

    name: ClassVar[tuple[str, str]] = ("service", "number")
    number: int
    kind: str
    link: str
    reason: str
    time: str
    author: str


@dataclass(frozen=True, slots=True)
class UndoRecord(_PlainRecord):
    """The activation `serial` undid the activation `undone`: what was active just before that is active again.

    Parameters
    ----------
    number
        Counts the undos of a detector from 1.
    serial
        Serial of the activation that undid it; its cause is ``undo``.
    undone
        Serial of the activation that was undone.
    revision
        Number of the revision that the undone activation had activated.
    """

    name: ClassVar[tuple[str, str]] = ("undo", "number")
    number: int
    serial: int
    undone: int
    revision: int


@dataclass(frozen=True, slots=True)
class LabelRecord(_PlainRecord):
    """A revision was labelled after it was committed; the latest label of a revision is the one that it has.

    Parameters
    ----------
    number
        Counts the labels of a detector that were set later, from 1.
    revision
        Number of the revision.
    label
        Its new label; None where the label was removed.
    newest
        Number of the newest revision at that time. It tells, whatever the clock showed, which revision got the same
        label later.
    time
        When it was labelled, UTC ISO 8601.
    author
        Who asked for it, as the request or Channel Access names them; not verified.
    """

    name: ClassVar[tuple[str, str]] = ("label", "number")
    number: int
    revision: int
    label: str | None
    newest: int
    time: str
    author: str


@dataclass(frozen=True, slots=True)
class RenameRecord(_PlainRecord):
    """The PV prefix of the detector changed; checksums still cover the first one that the history had.

    Parameters
    ----------
    number
        Counts the renames of a detector from 1.
    old, new
        PV prefix before and from then on.
    time
        When it was stored, UTC ISO 8601.
    author
        Who renamed it; not verified.
    """

    name: ClassVar[tuple[str, str]] = ("rename", "number")
    number: int
    old: str
    new: str
    time: str
    author: str


Record = Revision | Activation | Correction | ServiceChange | UndoRecord | LabelRecord | DerivedGeometry | RenameRecord

KINDS: Mapping[str, type[Record]] = MappingProxyType(
    {
        "revision": Revision,
        "activation": Activation,
        "judgement": Correction,
        "service": ServiceChange,
        "undo": UndoRecord,
        "label": LabelRecord,
        "derived": DerivedGeometry,
        "rename": RenameRecord,
    }
)
"""The kinds of records by name; each kind refers only to kinds before it."""

KIND_WORDS: Mapping[str, str] = MappingProxyType(
    {kind: kind for kind in KINDS} | {"judgement": "correction", "service": "service change", "derived": "model result"}
)
"""The word for each kind in texts for people; files, PVs and the store have the kind."""


def name_of(record: Record) -> tuple[str, int]:
    """Return the kind and the number of a record: ``("activation", 310)``."""
    if isinstance(record, Revision):
        return "revision", record.number
    kind, number = record.name
    return kind, cast("int", getattr(record, number))


def with_checksum(prefix: str, record: Record) -> dict[str, object]:
    """Return the JSON object of a record with its checksum, from which `parse` builds the record again.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    record
        Any record.

    Returns
    -------
    dict
        Plain JSON values.
    """
    kind, _ = name_of(record)
    return {**record.as_dict(), "checksum": checksum(prefix, kind, record.row())}
