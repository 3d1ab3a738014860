"""Read every geometry that a run recorded, with the events that it covers."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ponikeeper.errors import GeometryError, NoGeometryError, ShapeError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.parameters import DEFAULTS, PARAMETERS
from ponikeeper.geometry.pyfai_values import plain_values
from ponikeeper.text.timestamps import from_posix
from ponikeeper_client._image_files.frame_attributes import read_attributes
from ponikeeper_client.documents import Calibration, calibrations, image_shape, recorded_applicability, warn_once
from ponikeeper_client.recall._event_states import StatePart, state_parts, status_notes, travelling_links
from ponikeeper_client.recall._frames import MAX_AGE, completed, frame_records, is_of_frames
from ponikeeper_client.recall._histories import Histories, read_histories, select_history
from ponikeeper_client.recall._places import Columns, disagreement, place_parts
from ponikeeper_client.recall._runs import Run, Section
from ponikeeper_client.recall._sources import read_run
from ponikeeper_client.recall._values import METADATA, PONIKEEPER, XPDACQ, Geometries, Recorded

_TEXTS = ("uid", "checksum", "label")
_COVERED = ("events", "begins", "ends")
_DARK_NOTE = "a dark frame that was used again has the geometry of its own time"
_ANGSTROM = 1e-10


def recorded(
    run: Any,
    detector: str | None = None,
    stream: str | None = None,
    *,
    history: Histories | None = None,
    max_age: float = MAX_AGE,
) -> Geometries[Recorded]:
    """Return every geometry that a run or an image file recorded, in order, with the events that each covers.

    Parameters
    ----------
    run
        The documents of the run (pairs of kind and document, or lists by kind), its Tiled client, or a
        run of databroker, version 1 or 2. Or the path of an HDF5 file of areaDetector, whose events are its frames.
    detector, stream
        Only of this detector, only of this stream. The detector of a file is its PV prefix without the
        colon at the end.
    history
        For a file: exported histories, their files, or a mirror in Tiled, which have what the header of a frame does
        not, such as a long `detector_config` and the covariance.
    max_age
        For a file: how far the clock of the geometry's IOC, as the frame has it, and the time of the frame may be
        apart (s). A header that is older, because that IOC did not answer, does not count.

    Returns
    -------
    Geometries of Recorded
        By detector and stream, in the order of the run. Descriptors with the same geometry one after
        another are combined.

    Raises
    ------
    ValueError
        The detector or the stream is not a name, or `history` is given for a run.
    NoGeometryError
        `run` is not a run, or it has no record of that detector or stream, not even that there was no
        geometry; or the histories do not have what a file recorded.
    HistoryError
        An export is damaged.

    Examples
    --------
    >>> recorded(catalog[uid])
    pe1: primary 1-4: revision 12 near VALID; 5-6: revision 13 far VALID
    >>> recorded("image.h5")
    XF:28ID1-ES{Det:PE1}Calib: frames 1-4: revision 12 VALID; 5-6: revision 13 VALID
    """
    require_names(detector=detector, stream=stream)
    if isinstance(run, str | Path):
        source, results = str(run), _recorded_frames(Path(run), history, max_age)
    elif history is not None:
        raise ValueError("history= is for image files: a run has the whole record, best_known(run) its corrections")
    else:
        whole = read_run(run)
        source, results = f"run {whole.uid}", _recorded(whole)
    if detector is None and stream is None:
        return Geometries(results)
    matches = [one for one in results if detector in (None, one.detector) and stream in (None, one.stream)]
    if not matches:
        names = ", ".join(dict.fromkeys(f"{one.detector} in {one.stream}" for one in results))
        wanted = " ".join(filter(None, (detector and f"of {detector}", stream and f"in {stream}")))
        there = f"recorded are {names}" if names else "no detector of it has a calibration"
        raise NoGeometryError(f"{source} recorded no geometry {wanted}: {there}")
    return Geometries(matches)


def _recorded_frames(path: Path, history: Histories | None, max_age: float) -> list[Recorded]:
    if not path.exists():
        raise NoGeometryError(
            f"{path} is no run: expected its documents, or the run of a catalog, catalog[uid]; and there is no file of "
            "that name"
        )
    records = [one for each in read_attributes(path) for one in frame_records(str(path), each, max_age)]
    if history is None:
        return records
    exports = read_histories(history, [one.prefix for one in records])
    return [completed(one, select_history(exports, one)) if is_of_frames(one) else one for one in records]


def require_names(**names: object) -> None:
    """Check that arguments are names or None; raises `ValueError`."""
    for argument, name in names.items():
        if not isinstance(name, str | None):
            raise ValueError(
                f"{argument}={name!r} is no name: expected a text, {argument}='pe1'; a history as history=..."
            )


def geometry_of_start(start: Mapping[str, Any]) -> Geometry:
    """Read the geometry of an older run of xpdAcq from ``calibration_md`` in its start document.

    The values are pyFAI's, as its ``getPyFAI()`` or ``get_config()`` return them, in m and rad; those of Fit2D next to
    them (mm, px, deg, um) are the same, rounded.

    Parameters
    ----------
    start
        The start document. Where its calibration has no wavelength, ``bt_wavelength`` (angstrom) is used.

    Returns
    -------
    Geometry
        The geometry.

    Raises
    ------
    NoGeometryError
        A value is missing.
    GeometryError
        A value is not valid.
    """
    metadata: Mapping[str, Any] = start[METADATA]
    try:
        values = plain_values(metadata)
    except (TypeError, ValueError) as error:
        raise GeometryError(f"{METADATA} of the run is not valid JSON: {error}") from None
    if "wavelength" not in values and start.get("bt_wavelength") is not None:
        values["wavelength"] = _from_angstrom(start["bt_wavelength"])
    missing = [name for name in PARAMETERS if name not in values and name not in DEFAULTS]
    if missing:
        raise NoGeometryError(f"{METADATA} of the run is no whole geometry: {', '.join(missing)} missing")
    spline = metadata.get("splineFile") or cast("dict[str, object]", values["detector_config"]).get("splineFile")
    if spline:
        raise NoGeometryError(
            f"{METADATA} of the run needs the file {spline}, which corrects the detector: the run does not have it"
        )
    return Geometry.parse(values)


def _recorded(run: Run) -> list[Recorded]:
    by_device: dict[tuple[str, str, str], list[Recorded]] = {}
    for stream, sections in run.streams.items():
        for section in sections:
            for one in _of_descriptor(section, run, stream):
                parts = by_device.setdefault((one.detector, one.calib, stream), [])
                if parts and _same(parts[-1], one):  # the descriptor changed in something else
                    parts.append(_joined(parts.pop(), one))
                else:
                    parts.append(one)
    results = [one for parts in by_device.values() for one in parts]
    return results or list(_of_start(run))


def _of_descriptor(section: Section, run: Run, stream: str) -> Iterator[Recorded]:
    """Yield what one descriptor recorded of each calibration, in parts where its events have other states or places."""
    for calibration in calibrations(section.descriptor):
        columns = Columns.of(calibration, section.descriptor, travelling_links(run, calibration), {})
        whole = record_of(section, run, stream, calibration)
        for part in state_parts(section.events, calibration, run):
            one = record_part(whole, run, calibration, part)
            for place in place_parts(columns, whole.geometry, part.events):
                of_place = replace(one, events=place.events)
                yield replace(of_place, geometry=None, reason=place.reason) if place.reason else of_place


def record_of(section: Section, run: Run, stream: str, calibration: Calibration) -> Recorded:
    """Return what a descriptor recorded of a calibration, for all of its events.

    Parameters
    ----------
    section
        The descriptor with its events.
    run, stream
        The run, and the stream.
    calibration
        What the descriptor recorded.

    Returns
    -------
    Recorded
        Without its status.
    """
    geometry, reason = _geometry(calibration)
    model = calibration.model()
    problem = "" if model is None or geometry is None else model.problem or disagreement(model, geometry)
    if problem:
        warn_once(f"run {run.uid}, {calibration.detector} {stream}: {problem}")
    return Recorded(
        run_uid=run.uid,
        stream=stream,
        detector=calibration.detector,
        calib=calibration.calib,
        geometry=geometry,
        reason=reason,
        prefix=calibration.prefix,
        image_shape=_shape(section, calibration.detector),
        notes=(*_notes(section, run, stream), *([problem] if problem else [])),
        **_identity(calibration),
        **_covered(section),
    )


def record_part(whole: Recorded, run: Run, calibration: Calibration, part: StatePart) -> Recorded:
    """Return what a descriptor recorded of a calibration, for a part of its events.

    Parameters
    ----------
    whole
        As `record_of` returns it.
    run, calibration
        The run, and what the descriptor recorded.
    part
        The events, with what is known of the status.

    Returns
    -------
    Recorded
        With the status.
    """
    return replace(
        whole,
        record=part.record,
        applicability=recorded_applicability(part.record, whole.geometry, whole.revision or 0, whole.files),
        notes=(*whole.notes, *status_notes(run, whole.stream, calibration, part)),
        events=part.events,
    )


def _of_start(run: Run) -> Iterator[Recorded]:
    """Yield the calibration of the start document for each stream: it holds for the whole run."""
    if not isinstance(run.start.get(METADATA), Mapping):
        return
    geometry, reason = None, ""
    try:
        geometry = geometry_of_start(run.start)
    except (NoGeometryError, GeometryError) as error:
        reason = str(error)
    metadata: Mapping[str, Any] = run.start[METADATA]
    notes = [f"from {metadata['poni_file_name']}"] if metadata.get("poni_file_name") else []
    if time := metadata.get("time"):
        notes.append(f"calibrated {from_posix(time) if isinstance(time, (int, float)) else time}")
    detectors = run.start.get("detectors") or []
    detector = detectors[0] if len(detectors) == 1 else ""
    for stream, sections in run.streams.items():
        for section in sections:
            yield Recorded(
                run_uid=run.uid,
                stream=stream,
                detector=detector,
                calib=METADATA,
                kind=METADATA,
                geometry=geometry,
                reason=reason,
                image_shape=_shape(section, detector),
                notes=(*notes, *_notes(section, run, stream)),
                **_covered(section),
            )


def _geometry(calibration: Calibration) -> tuple[Geometry | None, str]:
    """Return the geometry, or None and the reason why there is none."""
    try:
        return calibration.geometry(), ""
    except (NoGeometryError, GeometryError) as error:
        return None, str(error)


def _identity(calibration: Calibration) -> dict[str, Any]:
    """Return the fields that identify the revision; runs of xpdAcq have none of them."""
    values = {**calibration.values, "uid": calibration.values.get("revision_uid")}
    if values.get("revision") is None or values["uid"] is None:
        return {"kind": XPDACQ}
    since = calibration.since if values["uid"] else None  # with no active revision it is the time of the reading
    return {
        "kind": PONIKEEPER,
        "revision": int(values["revision"]) or None,
        "serial": None if values.get("serial") is None else int(values["serial"]),
        "since": None if since is None else from_posix(since),
        **{name: values.get(name) or None for name in _TEXTS},
        "files": calibration.files(),
        "covariance": calibration.part_of_provenance("covariance"),
        "valid_within": calibration.part_of_provenance("valid_within"),
        "integration": calibration.part_of_provenance("integration"),
        "model": calibration.model(),
    }


def _covered(section: Section) -> dict[str, Any]:
    return {
        "events": section.events,
        "begins": section.since,
        "ends": section.until,
        "events_unknown": section.events_unknown,
    }


def _shape(section: Section, detector: str) -> tuple[int, int] | None:
    try:
        return image_shape(section.descriptor, detector)
    except ShapeError:
        return None


def _notes(section: Section, run: Run, stream: str) -> tuple[str, ...]:
    notes = [_DARK_NOTE] if stream == "dark" else []
    covered = {event.seq_num for each in run.streams[stream] for event in each.events}
    count = run.event_count(stream)
    if run.stop is None:
        notes.append("the run has no end, so there may be more of it")
    elif count is not None and not section.events_unknown and len(covered) != count:
        notes.append(f"{len(covered)} of {count} events are there")
    return tuple(notes)


def _same(one: Recorded, other: Recorded) -> bool:
    """Return whether two records differ only in the events that they cover."""
    return replace(one, **{name: getattr(other, name) for name in _COVERED}) == other


def _joined(one: Recorded, other: Recorded) -> Recorded:
    return replace(one, events=(*one.events, *other.events), ends=other.ends)


def _from_angstrom(value: Any) -> float:
    """Convert ``bt_wavelength`` to m."""
    try:
        return float(value) * _ANGSTROM
    except (TypeError, ValueError):
        raise GeometryError(f"bt_wavelength {value!r} of the run is no number: expected angstrom") from None
