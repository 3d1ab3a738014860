"""One geometry of a run for other programs: pyFAI's integrator, a PONI file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ponikeeper.errors import NoGeometryError
from ponikeeper.geometry import poni as poni_text
from ponikeeper.history.corrections import correction_text
from ponikeeper.system.atomic_write import write_atomic
from ponikeeper.text.ascii import to_ascii
from ponikeeper_client.documents import integrator_of
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
    history: Histories | None = None,
    shape: Sequence[int] | None = None,
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
    history
        With `best`: exported histories to look in instead of asking the IOC.
    shape
        Shape (y, x) of the images in pixels. If given, the detector is built with that shape;
        otherwise it is pyFAI's, and must fit the images that the run describes.

    Returns
    -------
    pyFAI.integrator.azimuthal.AzimuthalIntegrator
        With the recorded detector, pixel sizes (m), distance (m), PONI (m), rotations (rad) and wavelength (m).

    Raises
    ------
    NoGeometryError
        There is none, or several match: the message names them.
    NotConnectedError, HistoryError
        With `best`, as `best_known`.
    ShapeError
        The detector does not have the shape of the images.
    ValueError
        `event` is not a number, or `history` is given without `best`.
    MissingExtraError
        pyFAI is not installed.

    Examples
    --------
    >>> integrator = azimuthal_integrator(catalog[uid], event=3, best=True)
    >>> integrator.integrate1d(image, 1000, unit="2th_deg")
    """
    result = select_geometry(source, detector, stream, event, best, history)
    images = None if shape is not None else recorded_of(result).image_shape
    return integrator_of(result.require_geometry(), images, shape)


def poni(source: Recorded | BestKnown) -> str:
    """Format a geometry as a PONI text, with comments that say where it comes from.

    Parameters
    ----------
    source
        One result of `recorded` or `best_known`.

    Returns
    -------
    str
        PONI text as pyFAI reads it, ASCII.

    Raises
    ------
    NoGeometryError
        The result has no geometry.
    ValueError
        `source` is not one result.
    """
    return poni_text.write(source.require_geometry(), origin_lines(require_one(source)))


def write_poni(source: Recorded | BestKnown, path: str | Path) -> None:
    """Write a geometry to a PONI file; an existing file is replaced.

    Parameters
    ----------
    source
        One result of `recorded` or `best_known`.
    path
        The file.

    Raises
    ------
    NoGeometryError
        The result has no geometry.
    ValueError
        `source` is not one result.
    FileWriteError
        The file cannot be written; it is then as it was before.

    Examples
    --------
    >>> write_poni(recorded(catalog[uid])[0], "near.poni")
    """
    write_atomic(Path(path), poni(source).encode("ascii"))


def origin_lines(source: Recorded | BestKnown) -> list[str]:
    """Format where a geometry comes from, in lines of ASCII."""
    record = recorded_of(source)
    lines = [f"of run {record.run_uid}, {record.detector} {record.scope}"]
    if source.uid is not None:
        of = f" of {record.prefix}" if record.prefix else ""
        lines.append(f"revision {source.revision}{of}, uid {source.uid}, {source.checksum}")
    else:
        lines.append(record.summary)
    if isinstance(source, BestKnown):
        if source.corrected:
            lines.append(f"recorded was revision {record.revision}, uid {record.uid}")
        lines += [correction_text(correction) for correction in source.chain]
        lines.append(f"as known to {source.authority}")
    return [to_ascii(" ".join(line.split())) for line in lines]


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
        With `best`, as for `best_known`.

    Returns
    -------
    Recorded or BestKnown
        The first that matches; others that match have the same geometry.

    Raises
    ------
    NoGeometryError
        None matches, or several that differ.
    ValueError
        `event` is not a number, or `history` is given without `best`.
    """
    if isinstance(event, bool) or not (event is None or hasattr(event, "__index__")):
        raise ValueError(f"event={event!r} is no number of an event: expected 1, 2, ...")
    if history is not None and not best:
        raise ValueError("history= is given without best=True: what was recorded is read from the run itself")
    results: Sequence[Recorded | BestKnown]
    if isinstance(source, (Recorded, BestKnown)):
        results = [source]
    elif isinstance(source, Geometries):
        results = source
    elif best:
        results = best_known(source, detector, stream, history=history)
    else:
        results = recorded(source, detector, stream)
    matches = [one for one in results if detector in (None, one.detector) and stream in (None, one.stream)]
    if event is not None:
        matches = [one for one in matches if event in one.seq_nums]
    if not matches:
        names = "; ".join(_description(one) for one in results) or "none at all"
        wanted = " ".join(filter(None, (detector, stream, "" if event is None else f"event {event}"))) or "the run"
        raise NoGeometryError(f"no geometry of {wanted} was recorded: recorded are {names}")
    if len({(one.geometry, recorded_of(one).image_shape) for one in matches}) > 1:
        names = "; ".join(_description(one) for one in matches)
        raise NoGeometryError(f"several geometries match: select one with detector=, stream= or event= ({names})")
    return matches[0]


def _description(result: Recorded | BestKnown) -> str:
    return f"{result.detector} {result.scope}: {result.summary}"
