"""The page about a run: with which geometry it was taken, whether that applied, and what is known of it now."""

from collections.abc import Iterator, Sequence
from typing import Any

from ponikeeper.errors import HistoryError, ImageError, NoGeometryError, NotConnectedError
from ponikeeper.text import timestamps
from ponikeeper_client.recall import best_known, geometries, recorded
from ponikeeper_client.recall._histories import Histories
from ponikeeper_client.recall._pyfai import origin_lines
from ponikeeper_client.recall._runs import Run
from ponikeeper_client.recall._sources import read_run
from ponikeeper_client.recall._values import BestKnown, Recorded
from ponikeeper_client.report._page import Section, page, values_section
from ponikeeper_client.report._picture import draw

_START = ("scan_id", "plan_name", "sample_name", "purpose", "operator", "proposal_id")
"""Keys of a start document that are shown where they are there."""


def run_report(run: Any, history: Histories | None = None, *, picture: bool = True) -> str:
    """Format a page about a run.

    Parameters
    ----------
    run
        The run of a catalog, ``catalog[uid]``, or its documents.
    history
        Exported histories, or their files, in which corrections are looked up. If omitted, the IOC is asked; where it
        does not answer, the page says so.
    picture
        Whether to draw the first image with the rings of its geometry.

    Returns
    -------
    str
        HTML in one file: each recorded geometry with its events, status, uncertainty and provenance, what is known of
        it now, the status of every event, and a picture for each detector.

    Raises
    ------
    NoGeometryError
        `run` is no run, or has no geometry.
    HistoryError
        A history is damaged.
    MissingExtraError
        Libraries of the extra ``plot`` are not installed.

    Examples
    --------
    >>> Path("run.html").write_text(run_report(catalog[uid]))
    """
    whole = read_run(run)
    title = f"Geometry of run {whole.uid}"
    return page(
        title,
        timestamps.now(),
        _sections(run, whole, history, picture=picture),
    )


def _sections(run: Any, whole: Run, history: Histories | None, *, picture: bool) -> Iterator[Section]:
    yield Section("Run", columns=("", ""), rows=_run_rows(whole))
    parts = recorded(whole)
    known = _known(whole, history)
    if isinstance(known, str):
        yield Section("Corrections", (known,))
    else:
        yield Section("As it is known now", [f"{one.detector} {one.scope}: {one.summary}" for one in known])
    yield Section(
        "Events",
        columns=("detector", "events", "recorded", "status", "reason"),
        rows=[(part.detector, part.scope, part.summary, part.status, part.status_reason) for part in parts],
    )
    if any(part.model is not None for part in parts):
        yield Section(
            "Positions",
            ("the geometry of each event, where a model was active",),
            ("detector", "event", "position", "geometry", "status", "reason"),
            [_position_row(one) for one in geometries(whole)],
        )
    for part in parts:
        yield _part_section(part)
    for device, stream in dict.fromkeys((part.detector, part.stream) for part in parts) if picture else ():
        yield _picture_section(run, whole, [part for part in parts if (part.detector, part.stream) == (device, stream)])


def _run_rows(run: Run) -> list[tuple[str, object]]:
    end = "the run has no end" if run.stop is None else timestamps.from_posix(float(run.stop["time"]))
    status = {} if run.stop is None else {"exit_status": run.stop.get("exit_status", "")}
    return [
        ("uid", run.uid),
        ("begin", timestamps.from_posix(float(run.start["time"]))),
        ("end", end),
        *((key, run.start[key]) for key in _START if key in run.start),
        *status.items(),
    ]


def _known(run: Run, history: Histories | None) -> Sequence[BestKnown] | str:
    """Return what is known now, or why that could not be looked up."""
    try:
        return best_known(run, history=history)
    except (NotConnectedError, NoGeometryError) as error:
        return f"not looked up: {error}"
    except HistoryError:
        if history is not None:
            raise
        return "not looked up: the reply of the IOC is damaged"


def _part_section(part: Recorded) -> Section:
    title = f"{part.detector} {part.scope}"
    lines = origin_lines(part)[1:]
    if part.geometry is None:
        return Section(title, (part.reason, *lines))
    return values_section(title, part.geometry, part.covariance, lines)


def _position_row(one: Any) -> tuple[object, ...]:
    place = ", ".join(f"{name} {value:.10g}" for name, value in one.position.items())
    distance = "" if one.geometry is None else f"{1e3 * one.geometry.dist:.6g} mm"
    return one.detector, one.recorded.scope, place, distance, one.status, one.status_reason or one.reason


def _picture_section(run: Any, whole: Run, parts: Sequence[Recorded]) -> Section:
    """Return the picture of the first event with a geometry."""
    part = next((part for part in parts if part.geometry is not None and part.events), None)
    if part is None:
        return Section(f"{parts[0].detector} {parts[0].stream}: picture", ("no event has a geometry",))
    title = f"{part.detector} {part.stream} {part.seq_nums[0]}: image and pattern"
    try:
        return Section(title, picture=draw(run, whole, part))
    except (ImageError, ValueError, ImportError) as error:
        return Section(title, (f"no picture: {error}",))
