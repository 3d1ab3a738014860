"""What was calibrated before ponikeeper kept it, from the files of then, as a history. Pure."""

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from ponikeeper.errors import GeometryError, HistoryError
from ponikeeper.geometry import Geometry, poni
from ponikeeper.geometry.parameters import PLAIN_NUMBER
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.records import Activation, Revision, checksum
from ponikeeper.protocol.pvs import DETECTOR_PVS
from ponikeeper.text import strictjson
from ponikeeper.text.timestamps import from_datetime

CAUSE = "import"
"""Of the activations, and their author."""

_UIDS = uuid.UUID("5f3f0f3c-5b0e-4d4e-9a64-3d3e0c6f6a51")
"""The space of the uids: the same files make the same history again."""

_HEAD = re.compile(r"# (?:autosave|save/restore)\b.*?(?:(\d{6}-\d{6})\s*)?$")
_END = "<END>"

_PARAMETERS: Mapping[str, str] = MappingProxyType(
    {
        spelled.lower(): pv.parameter
        for pv in DETECTOR_PVS
        if pv.parameter is not None and not pv.suffix.startswith("Stage:")
        for spelled in (pv.suffix, pv.parameter)
    }
)
"""The values of a geometry by the ends of PV names: of ours, and as pyFAI and xpdAcq name them."""


@dataclass(frozen=True, slots=True)
class Former:
    """A geometry that was kept in a file.

    Parameters
    ----------
    time
        When it was calibrated or saved, as far as is known.
    source
        The file's name.
    """

    time: datetime
    geometry: Geometry
    source: str


def of_poni(source: str, data: bytes, modified: float) -> list[Former]:
    """Read every entry of a PONI file.

    Parameters
    ----------
    modified
        When the file was written last (s since 1970): the time of an entry that does not say its own.

    Raises
    ------
    PoniError
        An entry is not one whole geometry.
    """
    written = datetime.fromtimestamp(modified, UTC)
    return [Former(entry.calibrated or written, entry.geometry, source) for entry in poni.read_all(data)]


def of_autosave(source: str, text: str, modified: float, prefix: str) -> Former:
    """Read what EPICS autosave kept of a detector.

    Parameters
    ----------
    modified
        When the file was written last (s since 1970), where its first line does not say it.
    prefix
        What the names of its PVs began with then.

    Raises
    ------
    HistoryError
        The file is cut, or has no PV of that prefix.
    GeometryError
        A value is missing, or none that can be.
    """
    lines = text.splitlines()
    head = _HEAD.match(lines[0]) if lines else None
    if head is None:
        raise HistoryError(f"{source}: this is no autosave file: expected a first line such as # autosave R5.3 ...")
    if _END not in (line.strip() for line in lines):
        raise HistoryError(f"{source}: there is no line {_END}: the file was cut, or is still being written")
    values: dict[str, object] = {}
    prefixes: set[str] = set()
    for line in lines:
        name, _, value = line.partition(" ")
        found = _parameter(name)
        if found is not None and not line.startswith(("#", "!")):
            prefixes.add(found[0])
            if found[0] == prefix:
                values[found[1]] = _value(found[1], value.strip())
    if not values:
        there = ", ".join(sorted(prefixes)) or "none"
        raise HistoryError(
            f"{source}: no PV of a geometry begins with {prefix}: those that are there begin with {there}; "
            "say the one that is meant with --from"
        )
    try:
        geometry = Geometry.parse(values)
    except GeometryError as error:
        raise GeometryError(f"{source}: {problem}" for problem in error.problems) from None
    return Former(_saved(head[1], modified), geometry, source)


def as_history(prefix: str, found: Iterable[Former], now: datetime) -> ExportedHistory:
    """Make the history that a detector would have: each was put in force when it was calibrated, in this order.

    A geometry that two files have with one time is one; where the detector stood is not known.

    Raises
    ------
    HistoryError
        One is from the future.
    """
    ordered = sorted(found, key=lambda each: each.time)
    late = [each for each in ordered if each.time > now]
    if late:
        raise HistoryError(f"{each.source}: its time, {from_datetime(each.time)}, is in the future" for each in late)
    chosen = _without_copies(ordered)
    revisions = [_revision(prefix, number, each) for number, each in enumerate(chosen, 1)]
    activations = [Activation(each.number, each.number, each.created, CAUSE, CAUSE) for each in revisions]
    return ExportedHistory(prefix, from_datetime(now), tuple(revisions), tuple(activations))


def _without_copies(ordered: Sequence[Former]) -> list[Former]:
    seen: dict[tuple[datetime, Geometry], Former] = {}
    for each in ordered:
        seen.setdefault((each.time, each.geometry), each)
    return list(seen.values())


def _revision(prefix: str, number: int, each: Former) -> Revision:
    created = from_datetime(each.time)
    geometry = strictjson.canonical(each.geometry.as_dict())
    uid = str(uuid.uuid5(_UIDS, f"{prefix}\x1f{created}\x1f{geometry}"))
    name = re.sub(r"[^ -~]", "?", each.source)
    provenance: dict[str, object] = {"method": "poni", "comment": f"imported from {name}"}
    draft = Revision(number, uid, created, None, each.geometry, None, provenance, "")
    return Revision(
        number, uid, created, None, each.geometry, None, provenance, checksum(prefix, "revision", draft.row())
    )


def _parameter(name: str) -> tuple[str, str] | None:
    """Part the name of a PV into its prefix and the value of a geometry that it has; None where it has none."""
    name = name.removesuffix(".VAL")
    begin = max(map(name.rfind, ":}-.")) + 1
    parameter = _PARAMETERS.get(name[begin:].lower())
    return None if parameter is None else (name[:begin], parameter)


def _value(parameter: str, text: str) -> object:
    if parameter == "detector":
        return text
    if parameter == "detector_config":
        try:
            return strictjson.loads(text)
        except ValueError:
            return text
    return float(text) if PLAIN_NUMBER.fullmatch(text) else text


def _saved(stamp: str | None, modified: float) -> datetime:
    if stamp is None:
        return datetime.fromtimestamp(modified, UTC)
    return datetime.strptime(stamp, "%y%m%d-%H%M%S").astimezone()
