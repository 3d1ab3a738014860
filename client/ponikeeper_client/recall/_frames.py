"""The geometry of each frame of an image file, from the header that areaDetector wrote with it. Pure.

The header alone decides. The attributes next to it are PVs of their own: where one differs, it was updated earlier or
later, which is logged. areaDetector keeps the last value of a PV that is disconnected; so a header counts only where
``Alive_RBV`` in the same frame shows that the IOC answered at that time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from typing import Any, TypeGuard, cast

from ponikeeper.errors import GeometryError, MessageError, NoGeometryError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.files import files_of
from ponikeeper.geometry.parameters import PARAMETERS
from ponikeeper.history import Revision
from ponikeeper.history.derived import with_derived
from ponikeeper.history.labels import label_of
from ponikeeper.protocol import Snapshot
from ponikeeper.protocol.frame_attributes import ALIVE, HEADER, REVISION, SERIAL, STATUS, VALUES
from ponikeeper.protocol.header import Header, config_hash, parse_header, short_uid
from ponikeeper.protocol.integration import integration_of
from ponikeeper.protocol.model_revisions import is_model
from ponikeeper.text import strictjson
from ponikeeper.text.timestamps import from_posix
from ponikeeper_client._image_files.frame_attributes import Column, FrameAttributes
from ponikeeper_client.documents import StatusRecord, model_text, recorded_applicability, recorded_model, warn_once
from ponikeeper_client.recall._histories import History
from ponikeeper_client.recall._runs import Event, event_ranges
from ponikeeper_client.recall._values import PONIKEEPER, Recorded

STREAM = "frames"
"""What stands for the stream of a run."""

MAX_AGE = 3.0
"""How far ``Alive_RBV``, which is updated each second, and the time of a frame may be apart (s)."""

_LATEST = 253402300800.0
"""The year 10000 (s since 1970): later times cannot be formatted."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """What one frame has: a header, or why it has none that counts."""

    header: Header | None
    reason: str
    config: Mapping[str, object] | None = None


def frame_records(path: str, attributes: FrameAttributes, max_age: float = MAX_AGE) -> list[Recorded]:
    """Return the geometries of the frames of a file.

    Parameters
    ----------
    path
        The file, for the results and messages.
    attributes
        What it has of one detector.
    max_age
        How far ``Alive_RBV`` and the time of a frame may be apart (s).

    Returns
    -------
    list of Recorded
        Consecutive frames with the same header are one. Frames whose header does not count have no geometry, and the
        reason.
    """
    frames = (_frame(attributes, index, max_age) for index in range(attributes.count))
    groups = [
        (frame, [index for index, _ in pairs]) for frame, pairs in groupby(enumerate(frames), lambda pair: pair[1])
    ]
    _warn_of_others(path, attributes, groups)
    return [_recorded(path, attributes, frame, indices) for frame, indices in groups]


def completed(record: Recorded, history: History) -> Recorded:
    """Return the record of a frame with what only the history has, as a run records it.

    Parameters
    ----------
    record
        Of `frame_records`.
    history
        The history of its detector.

    Returns
    -------
    Recorded
        With the whole uid, checksum, label, files, covariance and integration settings, and the model if there is one.

    Raises
    ------
    NoGeometryError
        The history does not have the revision, or it is another one.
    """
    header = record.header
    if header is None or not header.revision:
        return record
    where = f"{record.run_uid}, {record.scope}: revision {header.revision}, uid {header.uid}..."
    revision = history.revision(header.revision)
    if revision is None or short_uid(revision.uid) != header.uid:
        other = "no such revision" if revision is None else f"the uid {revision.uid} under that number"
        raise NoGeometryError(f"{where}: {history.authority} has {other}: give the exported history that has it")
    active = with_derived(revision, history.derived(header.serial))
    try:
        geometry = header.geometry(active.geometry.detector_config)
    except GeometryError as error:
        raise NoGeometryError(f"{where}: {error}") from None
    if geometry != active.geometry and not is_model(revision):
        raise NoGeometryError(f"{where}: the geometry of {history.authority} is another one: one of them was changed")
    files = files_of(revision.provenance)
    return replace(
        record,
        geometry=geometry,
        reason="",
        uid=revision.uid,
        checksum=revision.checksum,
        label=label_of(revision, [each for each in history.labels() if each.time <= from_posix(record.begins)]),
        files=files,
        covariance=cast("Mapping[str, Any] | None", active.provenance.get("covariance")),
        valid_within=cast("Mapping[str, float] | None", active.provenance.get("valid_within")),
        integration=integration_of(revision.provenance),
        model=recorded_model(_model_text(record, active)) if geometry == active.geometry else None,
        applicability=recorded_applicability(record.record, geometry, header.revision, files),
    )


def is_of_frames(record: Recorded) -> bool:
    """Return whether a record is that of a frame, without what only the history has."""
    return record.header is not None and bool(record.header.revision) and record.checksum is None


def _model_text(record: Recorded, active: Revision) -> str:
    return model_text(
        Snapshot(
            record.prefix or "", record.status, "", revision=active.number, uid=active.uid, checksum=active.checksum,
            position=active.position, provenance=active.provenance,
        )
    )  # fmt: skip


def _frame(attributes: FrameAttributes, index: int, max_age: float) -> _Frame:
    column = attributes.columns[HEADER.name]
    if not column.is_text:
        return _Frame(None, _no_text(column))
    if index >= len(column.values):
        return _Frame(None, f"the file has no {HEADER.name} of this frame")
    problem = _not_alive(attributes, index, max_age)
    if problem:
        return _Frame(None, problem)
    header, reason = _parsed(column.values[index])
    config = None
    if header is not None and header.detector_config is None and header.numbers is not None:
        config = _config_next_to(attributes, index, header)
    return _Frame(header, reason, config)


def _no_text(column: Column) -> str:
    if column.kind == "float32":
        why = "the IOC of the geometry was not connected when the file was opened"
    else:
        why = f'expected dbrtype="{HEADER.dbr_type}" in the attributes of the driver'
    return f"{HEADER.name} is of type {column.kind}, not a text: {why}"


@lru_cache(maxsize=1024)
def _parsed(text: str) -> tuple[Header | None, str]:
    try:
        return parse_header(text), ""
    except MessageError as error:
        return None, str(error)


def _not_alive(attributes: FrameAttributes, index: int, max_age: float) -> str:
    """Return why it is not shown that the IOC answered when a frame was taken; empty where it is."""
    alive = _value(attributes, ALIVE.name, index)
    time = attributes.times[index] if index < len(attributes.times) else None
    if not _is_time(alive) or not _is_time(time):
        what = ALIVE.name if _is_time(time) else "time"
        return f"the frame has no {what}, so it is not known whether the IOC of the geometry answered then"
    age = time - alive
    if age > max_age:
        return (
            f"the IOC of the geometry did not answer when the frame was taken: {ALIVE.name} stays at "
            f"{from_posix(alive)}, more than {max_age:g} s before it, so the header may be that of another time"
        )
    if not age >= -max_age:
        return (
            f"{ALIVE.name} is more than {max_age:g} s newer than the frame: the clocks of the two IOCs differ, or the "
            "attributes were read late, so the header may be that of another time"
        )
    return ""


def _is_time(value: object) -> TypeGuard[float]:
    """Return whether a value can be the time of a frame (s since 1970)."""
    return isinstance(value, float) and 0 < value < _LATEST


def _config_next_to(attributes: FrameAttributes, index: int, header: Header) -> Mapping[str, object] | None:
    """Return the configuration in the attribute of its own, if it is the one whose hash the header has."""
    text = _value(attributes, VALUES["detector_config"].name, index)
    try:
        config = strictjson.loads(text) if isinstance(text, str) else None
    except ValueError:  # it was cut
        return None
    if not isinstance(config, dict) or config_hash(config) != header.config_hash:
        return None
    return cast("Mapping[str, object]", config)


def _value(attributes: FrameAttributes, name: str, index: int) -> Any:
    column = attributes.columns.get(name)
    return None if column is None or index >= len(column.values) else column.values[index]


def _recorded(path: str, attributes: FrameAttributes, frame: _Frame, indices: Sequence[int]) -> Recorded:
    times = [attributes.times[index] if index < len(attributes.times) else None for index in indices]
    known = [time for time in times if _is_time(time)]
    events = tuple(Event(index + 1, time) for index, time in zip(indices, times, strict=True))
    record = Recorded(
        run_uid=path,
        stream=STREAM,
        detector=attributes.prefix.rstrip(":") or path,
        calib="",
        kind=PONIKEEPER,
        geometry=None,
        reason=frame.reason,
        prefix=attributes.prefix or None,
        events=events,
        begins=known[0] if known else 0.0,
        ends=known[-1] if known else None,
        image_shape=attributes.image_shape,
        header=frame.header,
    )
    header = frame.header
    if header is None:
        return record
    geometry, reason = _geometry(header, frame.config)
    status = StatusRecord(header.status)
    return replace(
        record,
        geometry=geometry,
        reason=reason,
        revision=header.revision or None,
        uid=header.uid or None,
        serial=header.serial,
        record=status,
        applicability=recorded_applicability(status, geometry, header.revision, {}),
    )


def _geometry(header: Header, config: Mapping[str, object] | None) -> tuple[Geometry | None, str]:
    try:
        geometry = header.geometry(config)
    except GeometryError as error:
        is_needed = header.detector_config is None
        return None, f"{error}, recorded(file, history=...)" if is_needed else f"the header has no geometry: {error}"
    return geometry, "" if geometry else f"the status was {header.status}: no calibration had been committed"


def _warn_of_others(path: str, attributes: FrameAttributes, groups: Sequence[tuple[_Frame, Sequence[int]]]) -> None:
    """Log which attributes next to the header have other values than it."""
    differing: dict[str, list[int]] = {}
    for frame, indices in groups:
        for name, value in _expected(frame.header):
            column = attributes.columns.get(name)
            if column is not None:
                first = indices[0]
                values = column.values[first : first + len(indices)]
                others = [first + place + 1 for place, one in enumerate(values) if one != value]
                differing.setdefault(name, []).extend(others)
    for name, numbers in differing.items():
        if numbers:
            warn_once(
                f"{path}: {name} of the frames {event_ranges(numbers)} is not what {HEADER.name} has, which decides: "
                "it is a PV of its own, updated before or after it"
            )


def _expected(header: Header | None) -> Iterator[tuple[str, Any]]:
    if header is None:
        return
    yield from ((REVISION.name, header.revision), (SERIAL.name, header.serial), (STATUS.name, header.status))
    if header.numbers is not None:
        yield from ((VALUES[name].name, header.numbers[name]) for name in PARAMETERS if name in header.numbers)
        yield VALUES["detector"].name, header.detector
