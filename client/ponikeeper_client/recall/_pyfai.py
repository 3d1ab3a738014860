"""One geometry of a run for other programs: pyFAI's integrator, a PONI file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ponikeeper.errors import NoGeometryError
from ponikeeper.geometry import poni as poni_text
from ponikeeper.history.corrections import correction_text
from ponikeeper.protocol import LinkState
from ponikeeper.protocol.link_values import quantity
from ponikeeper.protocol.origin import certainty_lines, reduction_lines
from ponikeeper.system.atomic_write import write_atomic
from ponikeeper.text.ascii import to_ascii
from ponikeeper.text.strictjson import canonical, plain
from ponikeeper_client.documents import integrator_of, verify_files
from ponikeeper_client.recall._best_known import best_known
from ponikeeper_client.recall._histories import Histories
from ponikeeper_client.recall._reading import recorded
from ponikeeper_client.recall._values import BestKnown, Geometries, Recorded, recorded_of


def azimuthal_integrator(
    source: Any,
    *,
    detector: str | None = None,
    stream: str | None = None,
    event: int | None = None,
    best: bool = False,
    revision: int | None = None,
    history: Histories | None = None,
    shape: Sequence[int] | None = None,
    any_status: bool = False,
) -> Any:
    """Build pyFAI's integrator for one geometry of a run, bit-exact in the nine numbers.

    Parameters
    ----------
    source
        A run, or a result of `recorded` or `best_known`.
    detector, stream, event
        The detector, the stream, the number of an event in the stream: needed where the run has
        several geometries that differ.
    best
        For a run: use what is known now instead of what was recorded.
    revision
        For a run: use the revision of this number instead of the recorded one.
    history
        With `best` or `revision`: exported histories to look in instead of asking the IOC.
    shape
        Shape (y, x) of the images in pixels. If given, the detector is built with that shape;
        otherwise it is pyFAI's, and must fit the images that the run describes.
    any_status
        Use the geometry also where it does not apply.

    Returns
    -------
    pyFAI.integrator.azimuthal.AzimuthalIntegrator
        With the recorded detector, pixel sizes (m), distance (m), PONI (m), rotations (rad) and wavelength (m).

    Raises
    ------
    NoGeometryError
        There is none, or several match: the message names them.
    NotValidError
        The geometry does not apply where the links of the run were: the message has status and reason, and what to
        do.
    NotConnectedError, HistoryError
        With `best` or `revision`, as `best_known`.
    ShapeError
        The detector, or the mask, does not have the shape of the images.
    GeometryFileError
        A file of the detector, or the mask, is missing or has another content than when the geometry was committed.
    ValueError
        `event` is not a number, `best` and `revision` are both given, or `history` without one of them.
    MissingExtraError
        pyFAI is not installed.

    Examples
    --------
    >>> integrator = azimuthal_integrator(catalog[uid], event=3, best=True)
    >>> integrator.integrate1d(image, 1000, unit="2th_deg")
    """
    result = select_geometry(source, detector, stream, event, best, history, revision)
    images = None if shape is not None else recorded_of(result).image_shape
    return integrator_of(result.require_geometry(any_status=any_status), images, shape, files=result.files)


def poni(source: Recorded | BestKnown, *, any_status: bool = False) -> str:
    """Format a geometry as a PONI text, with comments that say where it comes from, and whether it applies.

    Parameters
    ----------
    source
        One result of `recorded` or `best_known`.
    any_status
        Format it also where it does not apply.

    Returns
    -------
    str
        PONI text as pyFAI reads it, ASCII.

    Raises
    ------
    NoGeometryError
        The result has no geometry.
    NotValidError
        The geometry does not apply.
    GeometryFileError
        A file that the geometry names, or the mask, is missing or has another content.
    ValueError
        `source` is not one result.
    """
    geometry = require_one(source).require_geometry(any_status=any_status)
    verify_files(geometry, source.files)
    return poni_text.write(geometry, origin_lines(source))


def write_poni(source: Recorded | BestKnown, path: str | Path, *, any_status: bool = False) -> None:
    """Write a geometry to a PONI file, its status in the comments; an existing file is replaced.

    Parameters
    ----------
    source
        One result of `recorded` or `best_known`.
    path
        The file.
    any_status
        Write it also where it does not apply.

    Raises
    ------
    NoGeometryError
        The result has no geometry.
    NotValidError
        The geometry does not apply; no file is written.
    GeometryFileError
        A file that the geometry names, or the mask, is missing or has another content; no file is written.
    ValueError
        `source` is not one result.
    FileWriteError
        The file cannot be written; it is then as it was before.

    Examples
    --------
    >>> write_poni(recorded(catalog[uid])[0], "near.poni")
    """
    write_atomic(Path(path), poni(source, any_status=any_status).encode("ascii"))


def origin_lines(source: Recorded | BestKnown) -> list[str]:
    """Format where a geometry comes from, in lines of ASCII."""
    record = recorded_of(source)
    lines = [f"of run {record.run_uid}, {record.detector} {record.scope}"]
    if source.uid is not None:
        of = f" of {record.prefix}" if record.prefix else ""
        lines.append(f"revision {source.revision}{of}, uid {source.uid}, {source.checksum}")
    else:
        lines.append(record.summary)
    computed = _model_lines(source, record)
    lines += computed
    if isinstance(source, BestKnown):
        if source.corrected:
            lines.append(f"recorded was revision {record.revision}, uid {record.uid}")
        lines += [correction_text(correction) for correction in source.chain]
        lines.append(f"as known to {source.authority}")
    lines += [
        *certainty_lines({"covariance": source.covariance, "valid_within": source.valid_within}),
        *reduction_lines(source.files, source.integration),
        applicability_line(source),
        *_link_lines(source.applicability.links, "computed for" if computed else "calibrated at"),
        *record.notes,
    ]
    return [to_ascii(" ".join(line.split())) for line in lines]


def _model_lines(source: Recorded | BestKnown, record: Recorded) -> list[str]:
    """Format for which position a model gave a geometry; empty where it is that of a calibration."""
    if isinstance(source, BestKnown) and source.computed:
        return [f"what this model gives for {source.computed}, computed by recall"]
    if record.model is None or record.model.problem or source.uid != record.uid:
        return []
    place = source.place if isinstance(source, BestKnown) else ""
    return [f"what this model gave for {place or record.model.place}"]


def applicability_line(source: Recorded | BestKnown) -> str:
    """Format the status of a geometry with its reason."""
    return f"status: {source.status}" + (f": {source.status_reason}" if source.status_reason else "")


def _link_lines(links: Sequence[LinkState] | None, holds: str) -> list[str]:
    """Format where each link was, and for which position the geometry was calibrated or computed."""
    if links is None:
        return ["link positions: not recorded"]
    return [
        f"link {link}: {_place(link, link.value)}, {holds} {_place(link, link.calibrated)}"
        + (f", {link.out_of_service}" if link.out_of_service else "")
        for link in links
    ]


def _place(link: LinkState, value: float | None) -> str:
    return "an unknown value" if value is None else quantity(value, link.units)


def require_one(source: Any) -> Recorded | BestKnown:
    """Return one result of recall unchanged; raise `ValueError` if `source` is several, or a run."""
    if isinstance(source, (Recorded, BestKnown)):
        return source
    what = f"{len(source)} geometries are" if isinstance(source, Geometries) else f"a {type(source).__name__} is"
    raise ValueError(f"{what} given: expected one geometry of a run, such as recorded(run)[0] or best_known(run)[0]")


def select_geometry(
    source: Any,
    detector: str | None = None,
    stream: str | None = None,
    event: int | None = None,
    best: bool = False,
    history: Histories | None = None,
    revision: int | None = None,
) -> Recorded | BestKnown:
    """Select one geometry of a run.

    Parameters
    ----------
    source
        A run, or a result of `recorded` or `best_known`.
    detector, stream
        Only of this detector, only of this stream.
    event
        Only the one of the event of this number in the stream.
    best
        For a run: what is known now, instead of what was recorded.
    history
        With `best` or `revision`, as for `best_known`.
    revision
        For a run: the revision of this number, instead of the recorded one.

    Returns
    -------
    Recorded or BestKnown
        The first that matches and does not apply, otherwise the first; others that match have the same geometry.

    Raises
    ------
    NoGeometryError
        None matches, or several that differ.
    ValueError
        `event` is not a number, `best` and `revision` are both given, or `history` without one of them.
    """
    if isinstance(event, bool) or not (event is None or hasattr(event, "__index__")):
        raise ValueError(f"event={event!r} is no number of an event: expected 1, 2, ...")
    if best and revision is not None:
        raise ValueError(f"best=True and revision={revision} are both given: give the one that you want")
    if history is not None and not best and revision is None:
        raise ValueError(
            "history= is given without best=True or revision=: what was recorded is read from the run itself"
        )
    results: Sequence[Recorded | BestKnown]
    if isinstance(source, (Recorded, BestKnown)):
        results = [source]
    elif isinstance(source, Geometries):
        results = source
    elif best or revision is not None:
        results = best_known(source, detector, stream, revision=revision, history=history)
    else:
        results = recorded(source, detector, stream)
    matches = [one for one in results if detector in (None, one.detector) and stream in (None, one.stream)]
    if event is not None:
        matches = [one for one in matches if event in one.seq_nums]
    if not matches:
        names = "; ".join(_description(one) for one in results)
        wanted = " ".join(filter(None, (detector, stream, "" if event is None else f"event {event}"))) or "the run"
        there = f"recorded are {names}" if names else "no detector of the run has a calibration"
        raise NoGeometryError(f"no geometry of {wanted} was recorded: {there}")
    if len({(one.geometry, recorded_of(one).image_shape, canonical(plain(one.files))) for one in matches}) > 1:
        names = "; ".join(_description(one) for one in matches)
        raise NoGeometryError(f"several geometries match: select one with detector=, stream= or event= ({names})")
    return next((one for one in matches if not one.applicability.permits_use), matches[0])


def _description(result: Recorded | BestKnown) -> str:
    return f"{result.detector} {result.scope}: {result.summary}"
