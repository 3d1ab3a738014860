"""The results of recall: a recorded geometry, and the best known one. Frozen values. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Self, TypeVar

from ponikeeper.errors import NoGeometryError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.files import Files
from ponikeeper.geometry.units import DISPLAY_UNITS
from ponikeeper.history.corrections import correction_text
from ponikeeper.history.records import Correction
from ponikeeper.protocol.header import Header, short_uid
from ponikeeper.text.ascii import html_text
from ponikeeper_client.documents import Applicability, RecordedModel, StatusRecord, warn_once
from ponikeeper_client.recall._runs import Event, event_ranges

PONIKEEPER, XPDACQ, METADATA = "ponikeeper", "xpdAcq", "calibration_md"
"""How a run recorded a geometry: with its revision; the ten values alone; in its start document."""

STATUS_AT_START = "status known at the start of the stream only"
LINKS_AT_START = "link positions known at the start of the stream only"
START_ONLY = (STATUS_AT_START, LINKS_AT_START)
"""What is noted where nothing shows that the status, or the links, stayed as the descriptor recorded them."""

_GUARD = "with calibration_guard, or CalibrationData(per_event=True), each change is recorded"
_COLUMNS = ("detector", "events", "geometry", "", "active since", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A geometry that a run recorded, and the events that it covers.

    Parameters
    ----------
    run_uid
        The run, or the path of an image file.
    stream, detector, calib
        Where it was recorded: the stream, the device, its component (empty where the calibration
        itself was read). In an image file ``frames``, the PV prefix without its last colon, and nothing.
    kind
        ``ponikeeper``; ``xpdAcq``, the ten values alone; ``calibration_md``, in the start document.
        Only the first has a revision.
    geometry
        The geometry; None where there is none, and for events at another position than that for which a model gave it.
    reason
        Why there is no geometry; empty where there is one.
    prefix
        PV prefix of the calibration; None where the run does not have it.
    revision, uid, serial, checksum, label
        The active revision and its activation; None where the run does not have them.
    files
        Path and SHA-256 of each file of the geometry: of the detector by the keys of `detector_config`, and ``mask``.
    covariance
        Covariance of the values, as the provenance of a fit has it; None where there is none.
    valid_within
        Circle on the detector in which the geometry is certain (m); None where that is the whole detector.
    integration
        The settings with which the images are integrated; None where none were committed.
    model
        The model that gave the geometry, with the position for which it did; None where the geometry is that of the
        revision.
    record
        What the run recorded of the status.
    applicability
        The status of the geometry, computed from that.
    since
        When the revision was activated, UTC ISO 8601; None where the run does not have it.
    events
        The events that it covers, in their order.
    begins, ends
        The time that it covers (s since 1970), for events whose own time is not known; `ends` is None
        where the run has no end.
    events_unknown
        The reason why it is unknown which events it covers; empty where they are known.
    notes
        Further remarks, such as that the run has no end.
    image_shape
        Shape (y, x) of the detector's images in pixels; None where the run does not have it, or has
        several.
    header
        What a frame of an image file has; None for runs.
    """

    run_uid: str
    stream: str
    detector: str
    calib: str
    kind: str
    geometry: Geometry | None
    reason: str = ""
    prefix: str | None = None
    revision: int | None = None
    uid: str | None = None
    serial: int | None = None
    checksum: str | None = None
    label: str | None = None
    files: Files = field(default_factory=dict[str, Mapping[str, str]], repr=False, hash=False)  # mappings have none
    covariance: Mapping[str, Any] | None = field(default=None, repr=False, hash=False)
    valid_within: Mapping[str, float] | None = field(default=None, repr=False, hash=False)
    integration: Mapping[str, Any] | None = field(default=None, repr=False, hash=False)
    model: RecordedModel | None = field(default=None, repr=False)
    record: StatusRecord = field(default=StatusRecord(), repr=False)
    applicability: Applicability = field(default=Applicability(), repr=False)
    since: str | None = None
    events: tuple[Event, ...] = field(default=(), repr=False)
    begins: float = field(default=0.0, repr=False)
    ends: float | None = field(default=None, repr=False)
    events_unknown: str = ""
    notes: tuple[str, ...] = ()
    image_shape: tuple[int, int] | None = field(default=None, repr=False)
    header: Header | None = field(default=None, repr=False, hash=False)

    @property
    def status(self) -> str:
        """Name of the status of the geometry; ``not recorded`` where the run has none."""
        return self.applicability.status

    @property
    def status_reason(self) -> str:
        """Why the geometry has this status."""
        return self.applicability.reason

    @property
    def seq_nums(self) -> tuple[int, ...]:
        """The numbers of the events, in their order."""
        return tuple(event.seq_num for event in self.events)

    @property
    def scope(self) -> str:
        """Stream and events: ``primary 1-4``."""
        if self.events:
            return f"{self.stream} {event_ranges(self.seq_nums)}"
        return f"{self.stream} ({self.events_unknown or 'no events'})"

    @property
    def summary(self) -> str:
        """What was recorded, in a few words: ``revision 12 near VALID``."""
        if self.geometry is None and self.model is not None:
            return f"revision {self.revision}, a model; {self.reason}"
        if self.geometry is None:
            return f"no geometry: {self.reason}"
        if self.kind != PONIKEEPER:
            return f"{self.kind}, no revision"
        return " ".join(str(part) for part in ("revision", self.revision, self.label, self.status) if part)

    def has_uid(self, uid: str) -> bool:
        """Return whether a uid is the recorded one, of which the header of a frame has only the start.

        Parameters
        ----------
        uid
            The whole uid of a revision.

        Returns
        -------
        bool
            False where no uid was recorded.
        """
        return self.uid in (uid, self.header and short_uid(uid))

    def require_geometry(self, *, any_status: bool = False) -> Geometry:
        """Return the geometry, or raise the reason why there is none, or why it does not apply.

        Parameters
        ----------
        any_status
            Return it also where it does not apply.

        Returns
        -------
        Geometry
            The recorded geometry.

        Raises
        ------
        NoGeometryError
            There is none; the message has the reason.
        NotValidError
            It does not apply; the message has status and reason, and what to do.
        """
        return _required(self, any_status)


@dataclass(frozen=True, slots=True, kw_only=True)
class BestKnown:
    """What is known now of a geometry that a run recorded, after all corrections.

    Parameters
    ----------
    recorded
        What was recorded, with only the events that this result is about.
    geometry
        The right geometry; None where there is none.
    reason
        Why there is no right geometry, or why corrections could not be looked up.
    revision, uid, checksum, label
        Of the right revision; None where there is none, or the run recorded none.
    files
        Path and SHA-256 of each file of the geometry, as for `Recorded`.
    covariance, valid_within
        How certain the geometry is, as for `Recorded`.
    integration
        The settings with which the images are integrated, as for `Recorded`.
    computed
        The position for which recall computed the geometry with a model, for a person; empty where the geometry is
        a recorded one.
    place
        The position for which a model gave the geometry, if that is another one than the descriptor has.
    applicability
        The status of the geometry where the links of the run were.
    chain
        The corrections that lead from the recorded revision to the right one; empty where the
        recorded revision was never corrected.
    authority
        Where the corrections come from: the IOC, or which exported history.
    """

    recorded: Recorded
    geometry: Geometry | None
    reason: str = ""
    revision: int | None = None
    uid: str | None = None
    checksum: str | None = None
    label: str | None = None
    files: Files = field(default_factory=dict[str, Mapping[str, str]], repr=False, hash=False)  # mappings have none
    covariance: Mapping[str, Any] | None = field(default=None, repr=False, hash=False)
    valid_within: Mapping[str, float] | None = field(default=None, repr=False, hash=False)
    integration: Mapping[str, Any] | None = field(default=None, repr=False, hash=False)
    computed: str = ""
    place: str = field(default="", repr=False)
    applicability: Applicability = field(default=Applicability(), repr=False)
    chain: tuple[Correction, ...] = ()
    authority: str = ""

    @property
    def status(self) -> str:
        """Name of the status of the geometry; ``not recorded`` where the run has none."""
        return self.applicability.status

    @property
    def status_reason(self) -> str:
        """Why the geometry has this status."""
        return self.applicability.reason

    @property
    def corrected(self) -> bool:
        """Whether the recorded revision was corrected since."""
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
    def scope(self) -> str:
        """Stream and events: ``primary 1-4``."""
        return self.recorded.scope

    @property
    def summary(self) -> str:
        """What is known, in a few words, with author, time and reason of each correction."""
        if self.applicability == self.recorded.applicability and self.revision in (None, self.recorded.revision):
            return self.recorded.summary + (f" ({self.reason})" if self.reason and self.recorded.geometry else "")
        right = " ".join(str(part) for part in ("revision", self.revision, self.label, self.status) if part)
        if self.computed:
            right += f", computed by recall for {self.computed}"
        if self.geometry is None:
            right = f"no geometry: {self.reason}"
        steps = (correction_text(correction) for correction in self.chain)
        return f"{right} ({'; '.join([f'recorded: {self.recorded.summary}', *steps])})"

    def require_geometry(self, *, any_status: bool = False) -> Geometry:
        """Return the right geometry, or raise the reason why there is none, or why it does not apply.

        Parameters
        ----------
        any_status
            Return it also where it does not apply.

        Returns
        -------
        Geometry
            The right geometry.

        Raises
        ------
        NoGeometryError
            There is none; the message has the reason.
        NotValidError
            It does not apply; the message has status and reason, and what to do.
        """
        return _required(self, any_status)


Result = TypeVar("Result", Recorded, BestKnown)


class Geometries(tuple[Result, ...], Generic[Result]):
    """A tuple of the geometries of a run, in its order; its repr and HTML are for people.

    Parameters
    ----------
    results
        `Recorded` or `BestKnown`.
    """

    __slots__ = ()

    def __new__(cls, results: Iterable[Result] = ()) -> Self:
        return super().__new__(cls, results)

    def lines(self) -> list[str]:
        """Format the geometries of each detector in one line.

        Returns
        -------
        list of str
            One for each detector: ``pe1: primary 1-4: revision 12 near VALID; 5-10: ...``.
        """
        by_detector: dict[str, list[Result]] = {}
        for result in self:
            by_detector.setdefault(_device(result), []).append(result)
        return [f"{device}: {'; '.join(_parts(results))}" for device, results in by_detector.items()]

    def __repr__(self) -> str:
        return "\n".join(self.lines()) or "no geometry was recorded"

    def _repr_html_(self) -> str:
        return _html_table([(_device(result), result.scope, *_cells(result)) for result in self])


def recorded_of(result: Recorded | BestKnown) -> Recorded:
    """Return the recorded part of a result."""
    return result if isinstance(result, Recorded) else result.recorded


def _required(result: Recorded | BestKnown, any_status: bool) -> Geometry:
    """Return the geometry of a result; errors as `Recorded.require_geometry`."""
    if result.geometry is None:
        raise NoGeometryError(f"{result.detector} {result.scope}: {result.reason}")
    recorded = recorded_of(result)
    if not any_status:
        name = "the geometry" if result.revision is None else f"revision {result.revision}"
        result.applicability.require(f"run {recorded.run_uid}, {result.detector} {result.scope}: {name}")
        for note in recorded.notes:
            if note in START_ONLY:
                warn_once(f"run {recorded.run_uid}, {result.detector} {result.stream}: {note}; {_GUARD}")
    return result.geometry


def _device(result: Recorded | BestKnown) -> str:
    """Return the name of the device, with the component unless that is called calib."""
    recorded = recorded_of(result)
    calib = "" if recorded.calib == "calib" else recorded.calib
    return ".".join(filter(None, (recorded.detector, calib)))


def _parts(results: Sequence[Result]) -> list[str]:
    """Format each part, with the stream only where it changes and its notes in brackets."""
    parts: list[str] = []
    stream = None
    for result in results:
        scope = result.scope.removeprefix(f"{result.stream} ") if result.stream == stream else result.scope
        stream = result.stream
        notes = recorded_of(result).notes
        remarks = f" ({'; '.join(notes)})" if notes else ""
        parts.append(f"{scope}: {result.summary}{remarks}")
    return parts


def _cells(result: Recorded | BestKnown) -> tuple[str, ...]:
    recorded, geometry = recorded_of(result), result.geometry
    values = ""
    if geometry is not None:
        values = ", ".join(DISPLAY_UNITS[name].text(getattr(geometry, name)) for name in ("dist", "energy"))
    return result.summary, values, recorded.since or "", "; ".join(recorded.notes)


def _html_table(rows: Iterable[Sequence[str]]) -> str:
    """Format rows as a table for a notebook."""
    head = "".join(f"<th>{html_text(cell)}</th>" for cell in _COLUMNS)
    body = "".join(f"<tr>{''.join(f'<td>{html_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
