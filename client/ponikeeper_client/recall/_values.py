"""What recall gives: a recorded geometry, and what is known of it now. Frozen values. Pure."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Self, TypeVar

from ponikeeper.errors import NoGeometryError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.units import DISPLAY_UNITS
from ponikeeper.history.records import Correction
from ponikeeper_client.recall._runs import Event, numbers

PONIKEEPER, XPDACQ, METADATA = "ponikeeper", "xpdAcq", "calibration_md"
"""How a run can have recorded a geometry: with its revision; the ten values alone; in its start document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A geometry that a run recorded, and the events that it covers.

    Parameters
    ----------
    run_uid
        The run.
    stream, detector, calib
        Where it was recorded: the stream, the device, its component (empty where the calibration was
        recorded by itself).
    kind
        ``ponikeeper``; ``xpdAcq``, the ten values alone; ``calibration_md``, in the start document.
        Only the first names its revision.
    prefix
        PV prefix of the calibration; None where the run does not say.
    geometry
        None where there is none: `why` says why not.
    revision, uid, serial, checksum, label, status
        What was in force; None where the run does not say.
    since
        Since when it was in force, UTC ISO-8601; None where the run does not say.
    events
        The events that it covers, in their order.
    begins, ends
        The time that it covers (s since 1970), for events whose own time is not known; `ends` is None
        where the run has no end.
    untold
        Why it cannot be told which events it covers; empty where that is known.
    notes
        What else has to be known about it.
    image_shape
        Shape (y, x) of the detector's images; None where the run does not say, or has several.
    """

    run_uid: str
    stream: str
    detector: str
    calib: str
    kind: str
    geometry: Geometry | None
    why: str = ""
    prefix: str | None = None
    revision: int | None = None
    uid: str | None = None
    serial: int | None = None
    checksum: str | None = None
    label: str | None = None
    status: str | None = None
    since: str | None = None
    events: tuple[Event, ...] = field(default=(), repr=False)
    begins: float = field(default=0.0, repr=False)
    ends: float | None = field(default=None, repr=False)
    untold: str = ""
    notes: tuple[str, ...] = ()
    image_shape: tuple[int, int] | None = field(default=None, repr=False)

    @property
    def seq_nums(self) -> tuple[int, ...]:
        """The numbers of the events, in their order."""
        return tuple(event.seq_num for event in self.events)

    @property
    def place(self) -> str:
        """Which events these are: ``primary 1-4``."""
        return _place(self)

    @property
    def told(self) -> str:
        """What was recorded, in a few words: ``revision 12 near VALID``."""
        if self.geometry is None:
            return f"no geometry: {self.why}"
        if self.kind != PONIKEEPER:
            return f"{self.kind}, no revision"
        return " ".join(str(part) for part in ("revision", self.revision, self.label, self.status) if part)

    def require_geometry(self) -> Geometry:
        """Give the geometry; raises `NoGeometryError` where there is none."""
        if self.geometry is None:
            raise NoGeometryError(f"{self.detector} {self.place}: {self.why}")
        return self.geometry


@dataclass(frozen=True, slots=True, kw_only=True)
class BestKnown:
    """What is known now of a geometry that a run recorded.

    Parameters
    ----------
    recorded
        What was recorded, with the events that this is about alone.
    geometry
        The geometry that is right; None where there is none: `why` says why not.
    revision, uid, checksum, label
        Of the revision that is right; None where there is none, or the run names none.
    chain
        The judgements that lead from the recorded revision to the right one; empty where it is sound.
    authority
        Whose judgements these are: the IOC, or which export.
    """

    recorded: Recorded
    geometry: Geometry | None
    why: str = ""
    revision: int | None = None
    uid: str | None = None
    checksum: str | None = None
    label: str | None = None
    chain: tuple[Correction, ...] = ()
    authority: str = ""

    @property
    def changed(self) -> bool:
        """Whether it was judged since the run recorded it."""
        return bool(self.chain)

    @property
    def stream(self) -> str:
        """The stream."""
        return self.recorded.stream

    @property
    def detector(self) -> str:
        """The device."""
        return self.recorded.detector

    @property
    def events(self) -> tuple[Event, ...]:
        """The events that it is about, in their order."""
        return self.recorded.events

    @property
    def seq_nums(self) -> tuple[int, ...]:
        """The numbers of the events, in their order."""
        return self.recorded.seq_nums

    @property
    def place(self) -> str:
        """Which events these are: ``primary 1-4``."""
        return self.recorded.place

    @property
    def told(self) -> str:
        """What is known, in a few words, with each judgement: who said so, when and why."""
        if not self.chain:
            return self.recorded.told + (f" ({self.why})" if self.why and self.recorded.geometry else "")
        steps = "; ".join(explained(correction) for correction in self.chain)
        right = f"no geometry: {self.why}" if self.geometry is None else f"revision {self.revision} {self.label or ''}"
        return f"{right.strip()} (recorded: {self.recorded.told}; {steps})"

    def require_geometry(self) -> Geometry:
        """Give the geometry that is right; raises `NoGeometryError` where there is none."""
        if self.geometry is None:
            raise NoGeometryError(f"{self.detector} {self.place}: {self.why}")
        return self.geometry


Found = TypeVar("Found", Recorded, BestKnown)


class Geometries(tuple[Found, ...], Generic[Found]):
    """Geometries in the order of the run, shown as a person reads them."""

    __slots__ = ()

    def __new__(cls, found: Iterable[Found] = ()) -> Self:
        """Take the geometries as they are."""
        return super().__new__(cls, found)

    def lines(self) -> list[str]:
        """Tell each detector's geometries in one line: ``pe1: primary 1-4: revision 12 near VALID; 5-10: ...``."""
        by_detector: dict[tuple[str, str], list[Found]] = {}
        for each in self:
            by_detector.setdefault(_device(each), []).append(each)
        return [
            f"{'.'.join(filter(None, device))}: {'; '.join(_parts(found))}" for device, found in by_detector.items()
        ]

    def __repr__(self) -> str:
        return "\n".join(self.lines()) or "no geometry was recorded"

    def _repr_html_(self) -> str:
        return _as_html([(".".join(filter(None, _device(each))), each.place, *_cells(each)) for each in self])


def explained(correction: Correction) -> str:
    """Say who judged what, when and why."""
    what = "retracted" if correction.by is None else f"superseded by revision {correction.by}"
    period = "".join(
        f" {word} {instant}"
        for word, instant in (("from", correction.since), ("until", correction.until))
        if instant is not None
    )
    said = f"{correction.author}, {correction.time}"
    return f"revision {correction.revision} {what}{period}: {correction.reason} [{said}]"


def _device(found: Recorded | BestKnown) -> tuple[str, str]:
    recorded = found if isinstance(found, Recorded) else found.recorded
    return recorded.detector, "" if recorded.calib == "calib" else recorded.calib


def _place(recorded: Recorded) -> str:
    if recorded.events:
        return f"{recorded.stream} {numbers(recorded.seq_nums)}"
    return f"{recorded.stream} ({recorded.untold or 'no events'})"


def _parts(found: Sequence[Found]) -> list[str]:
    """Tell each part, the stream where it changes alone; what has to be known of it in brackets."""
    parts: list[str] = []
    stream = None
    for each in found:
        place = each.place.removeprefix(f"{each.stream} ") if each.stream == stream else each.place
        stream = each.stream
        recorded = each if isinstance(each, Recorded) else each.recorded
        notes = f" ({'; '.join(recorded.notes)})" if recorded.notes else ""
        parts.append(f"{place}: {each.told}{notes}")
    return parts


def _cells(found: Recorded | BestKnown) -> tuple[str, ...]:
    recorded = found if isinstance(found, Recorded) else found.recorded
    values = ""
    if found.geometry is not None:
        values = ", ".join(DISPLAY_UNITS[name].text(getattr(found.geometry, name)) for name in ("dist", "energy"))
    return found.told, values, recorded.since or "", "; ".join(recorded.notes)


_HEAD = ("detector", "events", "geometry", "", "in force since", "")


def _as_html(rows: Iterable[Sequence[str]]) -> str:
    """Tell rows as a table for a notebook."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in _HEAD)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
