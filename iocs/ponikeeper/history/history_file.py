"""The history file: the history of one detector as lines of JSON, each verified, in a fixed order. Pure.

The first line has the prefix of the detector, then follows a line for each record, and the last one has the
counts and the hash of all bytes before it. Each line has one valid form only, and numbers run from 1 without a
gap: any line that was truncated, changed, omitted, duplicated or moved is detected and named.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from ponikeeper.errors import HistoryError, RefusedError
from ponikeeper.history.derived import DerivedGeometry
from ponikeeper.history.records import (
    KIND_WORDS,
    KINDS,
    Activation,
    Correction,
    LabelRecord,
    Record,
    RenameRecord,
    ServiceChange,
    UndoRecord,
    name_of,
    with_checksum,
)
from ponikeeper.history.renames import first_prefix, prefixes
from ponikeeper.history.revision import Revision
from ponikeeper.text import strictjson, timestamps

_VERSION = 1
_WHAT = "ponikeeper history"
_ALWAYS_COUNTED = ("revision", "activation", "judgement")


@dataclass(frozen=True, slots=True)
class ExportedHistory:
    """All records of one detector at one time.

    Parameters
    ----------
    prefix
        PV prefix of the detector; of one that was renamed the first one, which the checksums cover.
    exported
        Time of the export, UTC ISO 8601.
    revisions, activations, corrections, service, undos, labels, derived, renames
        All of them, in their order; `service` are the service changes, `derived` what models gave.
    """

    prefix: str
    exported: str
    revisions: tuple[Revision, ...] = ()
    activations: tuple[Activation, ...] = ()
    corrections: tuple[Correction, ...] = ()
    service: tuple[ServiceChange, ...] = ()
    undos: tuple[UndoRecord, ...] = ()
    labels: tuple[LabelRecord, ...] = ()
    derived: tuple[DerivedGeometry, ...] = ()
    renames: tuple[RenameRecord, ...] = ()

    @classmethod
    def of(cls, prefix: str, exported: str, records: Mapping[str, Sequence[Record]]) -> "ExportedHistory":
        """Build a history from its records by kind; parameters as the class, `prefix` may be any that it has had."""
        parts = (tuple(records.get(kind, ())) for kind in KINDS)
        first = first_prefix(prefix, cast("Sequence[RenameRecord]", records.get("rename", ())))
        return cls(first, exported, *parts)  # type: ignore[arg-type]  # in the order of KINDS

    @property
    def prefixes(self) -> tuple[str, ...]:
        """All PV prefixes that the detector has had, in their order; the last one is that of today."""
        return prefixes(self.prefix, self.renames)

    def by_kind(self) -> dict[str, tuple[Record, ...]]:
        """Return the records by the names of their kinds, in the order of the file."""
        records = (
            self.revisions, self.activations, self.corrections, self.service, self.undos, self.labels, self.derived,
            self.renames,
        )  # fmt: skip
        return dict(zip(KINDS, records, strict=True))

    def counts(self) -> dict[str, int]:
        """Return the number of records of each kind, as `counted` returns them."""
        return counted({kind: len(records) for kind, records in self.by_kind().items()})


def counted(numbers: Mapping[str, int]) -> dict[str, int]:
    """Return the numbers of records by kind; kinds that older files do not have, only where there are any.

    So a file of an older version, and the same history written by this one, are the same bytes.

    Parameters
    ----------
    numbers
        The number of records of each kind.

    Returns
    -------
    dict
    """
    return {kind: number for kind, number in numbers.items() if number or kind in _ALWAYS_COUNTED}


def write(history: ExportedHistory) -> bytes:
    """Format a history as the bytes of a file; `read` parses it again.

    Parameters
    ----------
    history
        All records of one detector.

    Returns
    -------
    bytes
        ASCII.
    """
    body = "".join(f"{line}\n" for line in _body(history)).encode("ascii")
    return body + f"{_last_line(history.counts(), body)}\n".encode("ascii")


def read(data: bytes) -> ExportedHistory:
    """Parse the bytes of a history file, and verify them.

    Parameters
    ----------
    data
        The whole file.

    Returns
    -------
    ExportedHistory
        The history.

    Raises
    ------
    HistoryError
        The file is invalid or was changed; the message names the line and what is wrong with it.
    """
    if not data:
        raise HistoryError("the file is empty: expected an exported history")
    _require_untouched(data)
    *lines, rest = data.split(b"\n")  # complete lines, and what follows the last of them
    prefix, exported = _head(lines[0] if lines else rest)
    records: dict[str, list[Record]] = {kind: [] for kind in KINDS}
    for number, line in enumerate(lines[1:], 2):
        values = _object(number, line)
        if "sha256" not in values:
            _take(number, line, prefix, values, records)
            continue
        history = ExportedHistory.of(prefix, exported, records)
        _require_right(number, line, values, history, b"\n".join([*lines[: number - 1], b""]))
        if lines[number:] or rest:
            raise HistoryError(
                f"line {number + 1}: the export has ended, but the file continues: expected a single export"
            )
        return history
    raise HistoryError(f"line {len(lines) + bool(rest)}: the file ends without its last line: it was truncated")


def new_records(stored: ExportedHistory, given: ExportedHistory) -> ExportedHistory:
    """Return the records that a history has beyond another one of the same detector.

    Parameters
    ----------
    stored
        The history in the store.
    given
        The history to be added to it.

    Returns
    -------
    ExportedHistory
        The records of `given` that follow those of `stored`; none where `stored` has all of them.

    Raises
    ------
    RefusedError
        Neither continues the other one; the message names the first record that differs.
    """
    mine, theirs = stored.by_kind(), given.by_kind()
    for kind in KINDS:
        for one, other in zip(mine[kind], theirs[kind], strict=False):
            if one != other:
                raise RefusedError(_clash(one, other))
    more = [theirs[kind][len(mine[kind])] for kind in KINDS if len(theirs[kind]) > len(mine[kind])]
    less = [mine[kind][len(theirs[kind])] for kind in KINDS if len(theirs[kind]) < len(mine[kind])]
    if more and less:
        raise RefusedError(
            f"the file continues with {_named(more[0])}, the store with {_named(less[0])}: neither continues the other"
        )
    parts = {kind: theirs[kind][len(mine[kind]) :] for kind in KINDS}
    return ExportedHistory.of(given.prefix, given.exported, parts)


def format_counts(counts: Mapping[str, int]) -> str:
    """Format counts by kind for people: ``57 revisions, 1 activation, 0 corrections``."""
    return ", ".join(f"{count} {KIND_WORDS[kind]}{'s' * (count != 1)}" for kind, count in counts.items())


def _body(history: ExportedHistory) -> Iterator[str]:
    head = {"v": _VERSION, "what": _WHAT, "prefix": history.prefix, "exported": history.exported}
    yield strictjson.dumps({**head, "checksum": _head_checksum(head)})
    for records in history.by_kind().values():
        for record in records:
            yield _line(history.prefix, record)


def _line(prefix: str, record: Record) -> str:
    return strictjson.dumps({name_of(record)[0]: with_checksum(prefix, record)})


def _last_line(counts: Mapping[str, int], body: bytes) -> str:
    return strictjson.dumps({"counts": dict(counts), "sha256": hashlib.sha256(body).hexdigest()})


def _head_checksum(head: Mapping[str, object]) -> str:
    return "sha256:" + hashlib.sha256(strictjson.canonical(head).encode()).hexdigest()


def _require_untouched(data: bytes) -> None:
    """Check for what programs do to whole files when they copy or save them, before every line is reported as wrong."""
    if data.startswith(b"\x1f\x8b"):
        raise HistoryError("the file is compressed: expected it as it was exported, unpack it with gunzip")
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise HistoryError(
            "the file begins with a byte order mark: an editor has saved it, use the file as it was exported"
        )
    if data.startswith(b"{") and data.count(b"\r\n") == data.count(b"\n") > 0:
        raise HistoryError("the lines end with CR LF: the file was copied as text, copy it once more as binary data")


def _head(line: bytes) -> tuple[str, str]:
    """Parse the first line: the prefix and the time of the export."""
    expected = f'expected a first line such as {{"v": {_VERSION}, "what": "{_WHAT}", ...}}'
    try:
        values = _object(1, line)
    except HistoryError as error:
        raise HistoryError(f"{error}: {expected}") from None
    if values.get("what") != _WHAT:
        raise HistoryError(f"line 1: this is not an exported history: {expected}")
    digest = values.pop("checksum", None)
    if values.get("v") != _VERSION:
        raise HistoryError(f"line 1: this ponikeeper reads only version {_VERSION} of such files: {expected}")
    if digest != _head_checksum(values) or line.decode("ascii") != strictjson.dumps({**values, "checksum": digest}):
        raise HistoryError("line 1: its checksum does not match: the line was changed")
    prefix, exported = values.get("prefix"), values.get("exported")
    if not isinstance(prefix, str) or not timestamps.is_timestamp(exported):
        raise HistoryError(f'line 1: expected a "prefix", and a time as "exported"; {expected}')
    return prefix, cast("str", exported)


def _object(number: int, line: bytes) -> dict[str, object]:
    try:
        values = strictjson.loads(line.decode("ascii"))
    except ValueError as error:  # of the decoding, too
        raise HistoryError(f"line {number}: this is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise HistoryError(f"line {number}: this is not a JSON object")
    return cast("dict[str, object]", values)


def _take(
    number: int, line: bytes, prefix: str, values: Mapping[str, object], records: Mapping[str, list[Record]]
) -> None:
    """Parse the record of a line and add it to those before it."""
    kind = next(iter(values), "")
    record_class, inner = KINDS.get(kind), values.get(kind)
    if len(values) != 1 or record_class is None or not isinstance(inner, dict):
        what = "another export begins here" if "what" in values else "this is not a record"
        is_unknown = len(values) == 1 and kind not in KINDS and isinstance(inner, dict)
        newer = "; if a newer ponikeeper exported it, read it with that one" if is_unknown else ""
        raise HistoryError(f"line {number}: {what}: expected one of {', '.join(KINDS)}, or the last line{newer}")
    try:
        record = record_class.parse(prefix, cast("dict[str, object]", inner))
    except HistoryError as error:
        raise HistoryError(f"line {number}: {problem}" for problem in error.problems) from None
    if line.decode("ascii") != _line(prefix, record):
        raise HistoryError(f"line {number}: {_named(record)} is not in the form in which it was exported")
    kinds, (_, actual) = list(KINDS), name_of(record)
    expected = len(records[kind]) + 1
    if actual != expected or any(records[later] for later in kinds[kinds.index(kind) + 1 :]):
        raise HistoryError(
            f"line {number}: {_named(record)} is here, where {_expected(kind, expected, records)}: "
            "a line was omitted, duplicated or moved"
        )
    records[kind].append(record)


def _expected(kind: str, number: int, records: Mapping[str, list[Record]]) -> str:
    kinds = list(KINDS)
    begun = [later for later in kinds[kinds.index(kind) + 1 :] if records[later]]
    return f"no {kind} can follow the first {begun[0]}" if begun else f"{kind} {number} was expected"


def _require_right(
    number: int, line: bytes, values: Mapping[str, object], history: ExportedHistory, before: bytes
) -> None:
    """Check that the last line has the counts and the hash of the lines before it."""
    counts = history.counts()
    if values.get("counts") != counts:
        actual = strictjson.dumps(strictjson.plain(values.get("counts")))[:80]
        raise HistoryError(f"line {number}: it counts {actual}, but the lines before it are {format_counts(counts)}")
    if line.decode("ascii") != _last_line(counts, before):
        raise HistoryError(f"line {number}: its sha256 is not that of the lines before it: the file was changed")
    _require_closed(number, history)
    _require_one_name(number, history)


def _require_closed(number: int, history: ExportedHistory) -> None:
    """Check that all revisions that are referred to exist; a file written by ponikeeper always passes."""
    activated = max((activation.revision for activation in history.activations), default=0)
    judged = max((max(item.revision, item.by or 0) for item in history.corrections), default=0)
    undone = max((undo.serial for undo in history.undos), default=0)
    labelled = max((max(item.revision, item.newest) for item in history.labels), default=0)
    computed = max((record.serial for record in history.derived), default=0)
    if computed > len(history.activations):
        raise HistoryError(
            f"line {number}: there are {format_counts(history.counts())}, and the newest activation for which a model "
            f"gave the geometry is {computed}: expected records of the same time"
        )
    if undone > len(history.activations) or labelled > len(history.revisions):
        raise HistoryError(
            f"line {number}: there are {format_counts(history.counts())}, the newest activation that is an undo is "
            f"{undone}, and the newest revision that a label names {labelled}: expected records of the same time"
        )
    if activated != len(history.revisions) or judged > len(history.revisions):
        raise HistoryError(
            f"line {number}: there are {len(history.revisions)} revisions, the newest that was activated is "
            f"{activated}, and the newest that is corrected {judged}: expected records of the same time"
        )


def _require_one_name(number: int, history: ExportedHistory) -> None:
    """Check that the renames lead from the prefix of the first line to that of today."""
    if [rename.old for rename in history.renames] != [*history.prefixes[:-1]]:
        raise HistoryError(f"line {number}: the renames do not lead from {history.prefix} to the prefix of today")


def _named(record: Record) -> str:
    return " ".join(map(str, name_of(record)))


def _clash(one: Record, other: Record) -> str:
    def details(record: Record) -> str:
        match record:
            case Revision():
                return f"made {record.created}, uid {record.uid}"
            case Activation():
                return f"of revision {record.revision}, {record.time}"
            case Correction():
                return f"on revision {record.revision}, {record.time}"
            case ServiceChange():
                return f"of link {record.link}, {record.time}"
            case UndoRecord():
                return f"of activation {record.undone} by activation {record.serial}"
            case LabelRecord():
                return f"of revision {record.revision}, {record.time}"
            case DerivedGeometry():
                return f"of revision {record.revision} for activation {record.serial}"
            case RenameRecord():
                return f"to {record.new}, {record.time}"

    return (
        f"{_named(one)} differs: in the store it is the one {details(one)}, in the file the one {details(other)}; "
        "a number must not have two meanings: import the file into an empty state_dir, or continue with this store"
    )
