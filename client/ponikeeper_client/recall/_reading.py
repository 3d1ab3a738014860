"""Every geometry that a run recorded, with the events that it covers."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ponikeeper.errors import GeometryError, NoGeometryError, ShapeError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.parameters import PARAMETERS
from ponikeeper.text import strictjson
from ponikeeper.text.timestamps import from_posix
from ponikeeper_client.documents import Calibration, calibrations, image_shape
from ponikeeper_client.recall._runs import Run, Section
from ponikeeper_client.recall._sources import as_run
from ponikeeper_client.recall._values import METADATA, PONIKEEPER, XPDACQ, Geometries, Recorded

_TEXTS = ("uid", "checksum", "label", "status")
_DARK = "a dark frame that was used again has the geometry of its own time"


def recorded(run: Any, detector: str | None = None, stream: str | None = None) -> Geometries[Recorded]:
    """Give every geometry that a run recorded, in order, with the events that each covers.

    Parameters
    ----------
    run
        Its documents (pairs of kind and document, or lists by kind), a Tiled client of it, or a run of
        databroker, version 1 or 2.
    detector, stream
        Of this detector, of this stream alone.

    Returns
    -------
    tuple of Recorded
        By detector and stream as the run has them. Descriptors that say the same one after another are one.

    Raises
    ------
    ValueError
        The detector or the stream is no name.
    NoGeometryError
        It is no run, or it recorded nothing of that detector or stream, not even that there was none.
    """
    for which, name in (("detector", detector), ("stream", stream)):
        if not isinstance(name, str | None):
            raise ValueError(f"{which}={name!r} is no name: expected a text, {which}='pe1'; a history as history=...")
    whole = as_run(run)
    found = _recorded(whole)
    if detector is not None or stream is not None:
        chosen = [each for each in found if detector in (None, each.detector) and stream in (None, each.stream)]
        if not chosen:
            there = ", ".join(dict.fromkeys(f"{each.detector} in {each.stream}" for each in found)) or "none at all"
            asked = " ".join(filter(None, (detector and f"of {detector}", stream and f"in {stream}")))
            raise NoGeometryError(f"run {whole.uid} recorded no geometry {asked}: recorded are {there}")
        found = chosen
    return Geometries(found)


def of_descriptor(section: Section, run: Run, stream: str) -> Iterator[Recorded]:
    """Give what one descriptor recorded of each calibration."""
    for calibration in calibrations(section.descriptor):
        geometry, why = _geometry(calibration)
        yield Recorded(
            run_uid=run.uid,
            stream=stream,
            detector=calibration.detector,
            calib=calibration.calib,
            geometry=geometry,
            why=why,
            prefix=calibration.prefix,
            image_shape=_shape(section, calibration.detector),
            notes=_notes(section, run, stream),
            **_identity(calibration),
            **_covered(section),
        )


def _recorded(run: Run) -> list[Recorded]:
    by_place: dict[tuple[str, str, str], list[Recorded]] = {}
    for stream, sections in run.streams.items():
        for section in sections:
            for each in of_descriptor(section, run, stream):
                parts = by_place.setdefault((each.detector, each.calib, stream), [])
                if parts and _same(parts[-1], each):
                    each = _joined(parts.pop(), each)  # noqa: PLW2901  # the descriptor changed in something else
                parts.append(each)
    found = [each for parts in by_place.values() for each in parts]
    return found or list(_in_start(run))


def _in_start(run: Run) -> Iterator[Recorded]:
    """Give the calibration of the start document for each stream: it holds for the whole run."""
    if not isinstance(run.start.get(KEY), Mapping):
        return
    geometry, why = None, ""
    try:
        geometry = geometry_of_start(run.start)
    except (NoGeometryError, GeometryError) as error:
        why = str(error)
    given = run.start[KEY]
    time = given.get("time")
    notes = [f"from {given['poni_file_name']}"] if given.get("poni_file_name") else []
    notes += (
        [f"calibrated {from_posix(time)}"] if isinstance(time, (int, float)) else [f"calibrated {time}"] * bool(time)
    )
    detectors = run.start.get("detectors") or []
    detector = detectors[0] if len(detectors) == 1 else ""
    for stream, sections in run.streams.items():
        for section in sections:
            yield Recorded(
                run_uid=run.uid,
                stream=stream,
                detector=detector,
                calib=KEY,
                kind=METADATA,
                geometry=geometry,
                why=why,
                image_shape=_shape(section, detector),
                notes=(*notes, *_notes(section, run, stream)),
                **_covered(section),
            )


def _geometry(calibration: Calibration) -> tuple[Geometry | None, str]:
    try:
        return calibration.geometry(), ""
    except (NoGeometryError, GeometryError) as error:
        return None, str(error)


def _identity(calibration: Calibration) -> dict[str, Any]:
    """Give what names the geometry; runs of xpdAcq have nothing of it."""
    values = {**calibration.values, "uid": calibration.values.get("revision_uid")}
    if values.get("revision") is None or values["uid"] is None:
        return {"kind": XPDACQ}
    since = calibration.since if values["uid"] else None  # of nothing in force it is when it was looked for
    return {
        "kind": PONIKEEPER,
        "revision": int(values["revision"]) or None,
        "serial": None if values.get("serial") is None else int(values["serial"]),
        "since": None if since is None else from_posix(since),
        **{name: values.get(name) or None for name in _TEXTS},
    }


def _covered(section: Section) -> dict[str, Any]:
    return {"events": section.events, "begins": section.since, "ends": section.until, "untold": section.untold}


def _shape(section: Section, detector: str) -> tuple[int, int] | None:
    try:
        return image_shape(section.descriptor, detector)
    except ShapeError:
        return None


def _notes(section: Section, run: Run, stream: str) -> tuple[str, ...]:
    notes = [_DARK] if stream == "dark" else []
    covered = {event.seq_num for each in run.streams[stream] for event in each.events}
    announced = run.announced(stream)
    if run.stop is None:
        notes.append("the run has no end, so there may be more of it")
    elif announced is not None and not section.untold and len(covered) != announced:
        notes.append(f"{len(covered)} of {announced} events are there")
    return tuple(notes)


_COVERED = ("events", "begins", "ends")


def _same(one: Recorded, other: Recorded) -> bool:
    return replace(one, **{name: getattr(other, name) for name in _COVERED}) == other


def _joined(one: Recorded, other: Recorded) -> Recorded:
    return replace(one, events=(*one.events, *other.events), ends=other.ends)


KEY = "calibration_md"

_ANGSTROM = 1e-10
_CONFIG = ("orientation", "max_shape", "sensor", "parallax")


def geometry_of_start(start: Mapping[str, Any]) -> Geometry:
    """Give the geometry of a start document.

    The values are pyFAI's, in m and rad; those of Fit2D beside them (mm, px, deg, um) say the same, rounded.

    Parameters
    ----------
    start
        The start document; where its calibration has no wavelength, ``bt_wavelength`` (angstrom) is it.

    Raises
    ------
    NoGeometryError
        Something is missing.
    GeometryError
        A value is none of a geometry.
    """
    given: Mapping[str, Any] = start[KEY]
    values = {name: given[name] for name in PARAMETERS if given.get(name) is not None}
    if "wavelength" not in values and start.get("bt_wavelength") is not None:
        values["wavelength"] = _angstrom(start["bt_wavelength"])
    missing = [name for name in PARAMETERS if name not in values]
    if missing:
        raise NoGeometryError(f"{KEY} of the run is no whole geometry: {', '.join(missing)} missing")
    spline = given.get("splineFile")
    if spline:
        raise NoGeometryError(f"{KEY} of the run needs the file {spline}, which corrects the detector: it is not kept")
    try:  # as a catalog has it: what pyFAI gives of it is of its own types
        config = strictjson.loads(strictjson.dumps({key: given[key] for key in _CONFIG if given.get(key) is not None}))
    except (TypeError, ValueError) as error:
        raise GeometryError(f"{KEY} of the run is no JSON: {error}") from None
    return Geometry.parse({**values, "detector": given.get("detector") or "Detector", "detector_config": config})


def _angstrom(value: Any) -> float:
    try:
        return float(value) * _ANGSTROM
    except (TypeError, ValueError):
        raise GeometryError(f"bt_wavelength {value!r} of the run is no number: expected angstrom") from None
