"""Import of calibrations that were made before ponikeeper, from PONI and autosave files, as a history. Pure."""

import contextlib
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from types import MappingProxyType

from ponikeeper.errors import GeometryError, HistoryError
from ponikeeper.geometry import Geometry, poni
from ponikeeper.geometry.files import without_files
from ponikeeper.geometry.parameters import PLAIN_NUMBER, Limits
from ponikeeper.geometry.slips import without_slips
from ponikeeper.history import Activation, Revision
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.record_form import checksum
from ponikeeper.protocol.pvs import DETECTOR_PVS
from ponikeeper.text import strictjson
from ponikeeper.text.timestamps import from_datetime

CAUSE = "import"
"""Cause and author of the imported activations."""

_UIDS = uuid.UUID("5f3f0f3c-5b0e-4d4e-9a64-3d3e0c6f6a51")
"""Namespace of the uids: the same files always give the same history."""

_HEAD = re.compile(r"# (?:autosave|save/restore)\b.*?(?:(\d{6}-\d{6})\s*)?$")
_END = "<END>"
_ELEMENT = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = MappingProxyType({"n": "\n", "r": "\r", "t": "\t"})

_PARAMETERS: Mapping[str, str] = MappingProxyType(
    {
        spelled.lower(): pv.parameter
        for pv in DETECTOR_PVS
        if pv.parameter is not None and not pv.suffix.startswith("Stage:")
        for spelled in (pv.suffix, pv.parameter)
    }
)
"""Values of a geometry by the last part of PV names: those of ponikeeper, and as pyFAI and xpdAcq name them."""


@dataclass(frozen=True, slots=True)
class LegacyCalibration:
    """A geometry from a file of the time before ponikeeper.

    Parameters
    ----------
    time
        When it was calibrated or saved, as far as known.
    geometry
        The geometry.
    source
        Name of the file.
    unread_time
        The time that the file states, where it cannot be read and that of the file was taken; else empty.
    """

    time: datetime
    geometry: Geometry
    source: str
    unread_time: str = ""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the files do not hold.

    Parameters
    ----------
    wavelength
        Of geometries without one (m).
    zone
        Time zone of the host that wrote the times; None is that of this host.
    limits
        Limits of the detector (m, rad): values inside them are no slips.
    """

    wavelength: float | None = None
    zone: tzinfo | None = None
    limits: Limits = field(default_factory=dict[str, tuple[float, float]])


NOTHING = ImportOptions()
"""The files hold everything."""


def read_poni(source: str, data: bytes, modified: float, options: ImportOptions = NOTHING) -> list[LegacyCalibration]:
    """Parse every entry of a PONI file.

    Parameters
    ----------
    source
        Name of the file.
    data
        Content of the file.
    modified
        Modification time of the file (s since 1970), for entries without a time of their own.
    options
        What the file does not hold.

    Returns
    -------
    list of LegacyCalibration
        In the order of the file.

    Raises
    ------
    PoniError
        An entry is not a complete geometry.
    GeometryError
        A value was probably typed in another unit, or the configuration names a file.
    """
    written = datetime.fromtimestamp(modified, UTC)
    return [
        LegacyCalibration(
            entry.calibrated or written,
            _checked(entry.geometry, options),
            source,
            "" if entry.calibrated else entry.time_text,
        )
        for entry in poni.read_all(data, options.wavelength, options.zone)
    ]


def read_autosave(
    source: str, text: str, modified: float, prefix: str, options: ImportOptions = NOTHING
) -> LegacyCalibration:
    """Parse the geometry of a detector from a file of EPICS autosave.

    Parameters
    ----------
    source
        Name of the file.
    text
        Content of the file.
    modified
        Modification time of the file (s since 1970), where its first line has no time.
    prefix
        Prefix of the PVs in the file.
    options
        What the file does not hold.

    Raises
    ------
    HistoryError
        The file is incomplete, or has no PV with that prefix.
    GeometryError
        A value is missing or invalid, or the configuration names a file.
    """
    lines = text.splitlines()
    head = _HEAD.match(lines[0]) if lines else None
    if head is None:
        raise HistoryError(f"{source}: this is not an autosave file: expected a first line such as # autosave R5.3 ...")
    if _END not in (line.strip() for line in lines):
        raise HistoryError(f"{source}: the line {_END} is missing: the file is incomplete, or still being written")
    values: dict[str, object] = {}
    prefixes: set[str] = set()
    for line in lines:
        name, _, value = line.partition(" ")
        parameter = _parameter(name)
        if parameter is not None and not line.startswith(("#", "!")):
            prefixes.add(parameter[0])
            if parameter[0] == prefix:
                values[parameter[1]] = _value(parameter[1], value.strip())
    if not values:
        present = ", ".join(sorted(prefixes)) or "none"
        raise HistoryError(
            f"{source}: no PV of a geometry has the prefix {prefix}; prefixes in the file: {present}; "
            "give the right one with --from"
        )
    if options.wavelength is not None:
        values.setdefault("wavelength", options.wavelength)
    try:
        geometry = _checked(Geometry.parse(values), options)
    except GeometryError as error:
        raise GeometryError(f"{source}: {problem}" for problem in error.problems) from None
    stamp = head[1] or ""
    saved = _saved(stamp, options.zone)
    written = datetime.fromtimestamp(modified, UTC)
    return LegacyCalibration(saved or written, geometry, source, "" if saved else stamp)


def to_history(prefix: str, calibrations: Iterable[LegacyCalibration], now: datetime) -> ExportedHistory:
    """Build the history that a detector would have: each geometry was active from its time on.

    The same geometry with the same time in two files counts once; positions are unknown.

    Parameters
    ----------
    prefix
        PV prefix of the detector.
    calibrations
        In any order.
    now
        The current time.

    Returns
    -------
    ExportedHistory
        One revision and one activation for each calibration.

    Raises
    ------
    HistoryError
        A time is in the future.
    """
    ordered = sorted(calibrations, key=lambda each: each.time)
    late = [each for each in ordered if each.time > now]
    if late:
        raise HistoryError(f"{each.source}: its time, {from_datetime(each.time)}, is in the future" for each in late)
    chosen = _without_copies(ordered)
    revisions = [_revision(prefix, number, each) for number, each in enumerate(chosen, 1)]
    activations = [Activation(each.number, each.number, each.created, CAUSE, CAUSE) for each in revisions]
    return ExportedHistory(prefix, from_datetime(now), tuple(revisions), tuple(activations))


def _without_copies(ordered: Sequence[LegacyCalibration]) -> list[LegacyCalibration]:
    seen: dict[tuple[datetime, Geometry], LegacyCalibration] = {}
    for each in ordered:
        seen.setdefault((each.time, each.geometry), each)
    return list(seen.values())


def _revision(prefix: str, number: int, each: LegacyCalibration) -> Revision:
    created = from_datetime(each.time)
    geometry = strictjson.canonical(each.geometry.as_dict())
    uid = str(uuid.uuid5(_UIDS, f"{prefix}\x1f{created}\x1f{geometry}"))
    name = re.sub(r"[^ -~]", "?", each.source)
    provenance: dict[str, object] = {"method": "poni", "comment": f"imported from {name}"}
    draft = Revision(number, uid, created, None, each.geometry, None, provenance, "")
    return Revision(
        number, uid, created, None, each.geometry, None, provenance, checksum(prefix, "revision", draft.row())
    )


def _checked(geometry: Geometry, options: ImportOptions) -> Geometry:
    """Return the same geometry; raise `GeometryError` for slips, and for files whose content then is not known."""
    return without_files(without_slips(geometry, options.limits))


def _parameter(name: str) -> tuple[str, str] | None:
    """Split a PV name into its prefix and the value of a geometry; None where it names no such value."""
    name = name.removesuffix("$").removesuffix(".VAL")  # the $ of a long string
    begin = max(map(name.rfind, ":}-.")) + 1
    parameter = _PARAMETERS.get(name[begin:].lower())
    return None if parameter is None else (name[:begin], parameter)


def _value(parameter: str, text: str) -> object:
    text = _array(text, is_text=parameter in ("detector", "detector_config"))
    if parameter == "detector":
        return text
    if parameter == "detector_config":
        for each in (text, _unescaped(text)):  # autosave escapes texts since version 5.5
            with contextlib.suppress(ValueError):
                return strictjson.loads(each)
        return text
    return float(text) if PLAIN_NUMBER.fullmatch(text) else text


def _array(text: str, is_text: bool) -> str:
    """Return the text of an array, ``@array@ { "80" "101" }``: of one element, or of character codes up to 0."""
    if not text.startswith("@array@"):
        return text
    elements = [_unescaped(each) for each in _ELEMENT.findall(text)]
    codes = [int(each) for each in elements if re.fullmatch("-?[0-9]{1,3}", each)]
    if is_text and elements and len(codes) == len(elements):
        return bytes(code % 256 for code in codes).partition(b"\0")[0].decode("utf-8", "replace")
    return elements[0] if len(elements) == 1 else text


def _unescaped(text: str) -> str:
    """Return a text without the escapes of C, as autosave writes them."""
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), text)


def _saved(stamp: str, zone: tzinfo | None) -> datetime | None:
    """Parse a time as autosave writes it; None where there is no such time."""
    try:
        return datetime.strptime(stamp, "%y%m%d-%H%M%S").replace(tzinfo=zone).astimezone()
    except (ValueError, OverflowError):
        return None
