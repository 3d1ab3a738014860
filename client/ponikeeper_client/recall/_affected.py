"""Find the runs of a catalog that were recorded with one revision."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ponikeeper.errors import NoGeometryError, RefusedError
from ponikeeper.history.typed_numbers import revision_number
from ponikeeper.protocol.models import members_of
from ponikeeper.text import typed_times
from ponikeeper.text.timestamps import from_posix, to_posix
from ponikeeper.text.typed_times import TypedTime
from ponikeeper_client.documents import Calibration, RecordedModel, calibrations
from ponikeeper_client.recall._best_known import apply_corrections
from ponikeeper_client.recall._catalogs import Period, count_runs, each_run, open_catalog, runs_with
from ponikeeper_client.recall._histories import Histories, History
from ponikeeper_client.recall._lookup import look_up
from ponikeeper_client.recall._reading import recorded
from ponikeeper_client.recall._runs import event_ranges
from ponikeeper_client.recall._sources import read_descriptors
from ponikeeper_client.recall._values import BestKnown, Recorded

Watch = Callable[["SearchResult"], None]


@dataclass(frozen=True, slots=True)
class Affected:
    """Events of a run that were recorded with a revision of the given number.

    Parameters
    ----------
    run_uid
        The run.
    scan_id
        None where the run has none.
    time
        When the run began, UTC ISO 8601.
    recorded
        What was recorded, with the events.
    known
        What is known of it now; None where it is another geometry of the same number.
    member
        Number of the revision where the run was recorded with a model that was fitted to it; None where it was
        recorded with the revision itself.
    """

    run_uid: str
    scan_id: int | None
    time: str
    recorded: Recorded
    known: BestKnown | None
    member: int | None = None

    def as_dict(self) -> dict[str, object]:
        """Return it as a JSON object."""
        known = self.known
        return {
            "run_uid": self.run_uid,
            "scan_id": self.scan_id,
            "time": self.time,
            "detector": self.recorded.detector,
            "stream": self.recorded.stream,
            "events": list(self.recorded.seq_nums),
            "untold": self.recorded.events_unknown,
            "revision": self.recorded.revision,
            "uid": self.recorded.uid,
            "member": self.member,
            "judged": [] if known is None else [correction.as_dict() for correction in known.chain],
            "right": None if known is None else known.revision,
            "status": self.recorded.status if known is None else known.status,
            "status_reason": self.recorded.status_reason if known is None else known.status_reason,
        }

    def events_text(self) -> str:
        """Format the events as ranges."""
        return event_ranges(self.recorded.seq_nums) or f"({self.recorded.events_unknown or 'none'})"

    def known_text(self) -> str:
        """Format what is known now, in a few words."""
        known = self.known
        if known is None:
            return f"another geometry of that number, uid {self.recorded.uid}"
        status = "" if known.geometry is None else f", {known.status}"
        if not known.chain and self.member is not None:
            return f"by a model that was fitted to revision {self.member}, {known.status}"
        if not known.chain:
            return f"not corrected{status}"
        return known.reason or f"revision {known.revision} is right{status}: {known.chain[0].reason}"


@dataclass(slots=True)
class SearchResult:
    """The runs of a catalog that were recorded with a revision.

    Parameters
    ----------
    affected
        Recorded with the revision itself.
    others
        Recorded with another geometry that had the same number on the same PVs: the store was created
        again in between.
    unreadable
        Uids of runs that could not be read, each with the reason.
    runs
        How many runs were read.
    every_run
        Whether every run of the period was read; otherwise the catalog was asked for those that have the uid, and
        `others` was not searched.
    last
        Uid of the run that was read last.
    total
        About how many runs are to be read; None where the catalog does not say.
    """

    affected: list[Affected] = field(default_factory=list)
    others: list[Affected] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    runs: int = 0
    every_run: bool = True
    last: str = ""
    total: int | None = None


def affected(
    catalog: Any,
    prefix: str,
    revision: int,
    *,
    history: Histories | None = None,
    since: str | None = None,
    until: str | None = None,
    after: str | None = None,
    every_run: bool = False,
    timeout: float = 5.0,
    watch: Watch | None = None,
) -> SearchResult:
    """Find the runs of a catalog that were recorded with a revision, or with a model that was fitted to it.

    A catalog that can search the documents of its runs (the SQL catalog of Tiled) is asked for those that have the uid
    of the revision, and only these are read. Of others every run is read that ended after the revision was made.

    Parameters
    ----------
    catalog
        The client of a catalog, or what the command `ponikeeper affected` takes: a Tiled address, a Tiled profile, or
        the name of a catalog of databroker.
    prefix
        PV prefix of the calibration.
    revision
        Number of the revision.
    history
        As for `best_known`.
    since, until
        Only runs that began in this period (ISO 8601 with a zone).
    after
        Uid of a run: only those that follow it in the catalog. So an interrupted search is continued.
    every_run
        Read every run of the period, whatever the catalog can search. Only then `others` is searched.
    timeout
        How long the IOC may take to answer (s).
    watch
        Called with the result so far after each run that was read.

    Returns
    -------
    SearchResult
        `affected` has the streams and events of each run, and what is known of them now.

    Raises
    ------
    NoGeometryError
        There is no revision of that number.
    RefusedError
        `since` or `until` is no time, `after` is no run that was found, several histories are of that prefix, or
        `catalog` is a run.
    ConfigError
        `revision` is no number.
    NotConnectedError
        The IOC or the catalog does not answer.
    HistoryError
        A history is damaged.

    Examples
    --------
    >>> [one.run_uid for one in affected(catalog, "XF:28ID1-ES{Det:PE1}Calib:", 12).affected]
    """
    begin, end = _typed("since", since), _typed("until", until)
    begin, end = begin and begin.start, end and end.end
    if begin and end and begin >= end:
        raise RefusedError(f"no run began since {since} and until {until}: expected the earlier one as since")
    number = revision_number(str(revision))
    if "start" in (getattr(catalog, "metadata", None) or {}):
        raise RefusedError("a run is given: expected the catalog that has it")
    records = look_up(prefix, number, history, timeout)
    created = records.revision(number)
    period = Period(
        begin and begin.timestamp(), end and end.timestamp(), None if created is None else to_posix(created.created)
    )
    with open_catalog(catalog) if isinstance(catalog, str) else contextlib.nullcontext(catalog) as opened:
        return _search(opened, prefix, number, records, period, after, every_run, watch)


def find_affected(
    runs: Iterable[Any],
    prefix: str,
    number: int,
    history: History,
    watch: Watch | None = None,
    result: SearchResult | None = None,
) -> SearchResult:
    """Find the events that were recorded with a revision, or with a model that was fitted to it; no image is loaded.

    Of a run that does not have the revision only the descriptors are read.

    Parameters
    ----------
    runs
        The runs of a catalog.
    prefix
        PV prefix of the calibration.
    number
        Number of the revision.
    history
        The history that has its uid and its corrections.
    watch
        As for `affected`.
    result
        What the results are added to; if omitted, a new one.

    Returns
    -------
    SearchResult
        All runs with a revision of that number.

    Raises
    ------
    NoGeometryError
        There is no revision of that number.
    """
    uid = _uid_of(history, number)
    result = SearchResult() if result is None else result
    for run in runs:
        result.runs += 1
        result.last = _run_uid(run)
        try:
            _search_run(run, prefix, number, uid, history, result)
        except Exception as error:  # noqa: BLE001  # one broken run must not hide the others
            result.unreadable.append((result.last, f"{type(error).__name__}: {error}"))
        if watch is not None:
            watch(result)
    return result


def _typed(name: str, text: str | None) -> TypedTime | None:
    """Parse a limit of the search, by its name; raises `RefusedError`."""
    try:
        return None if text is None else typed_times.parse(text)
    except ValueError as error:
        raise RefusedError(f"{name} {error}") from None


def _search(
    catalog: Any,
    prefix: str,
    number: int,
    history: History,
    period: Period,
    after: str | None,
    every_run: bool,
    watch: Watch | None,
) -> SearchResult:
    result = SearchResult()
    asked = None if every_run else runs_with(catalog, _uid_of(history, number), period)
    if asked is None:
        runs, result.total = each_run(catalog, period), count_runs(catalog, period) if watch else None
    else:
        runs, result.total = asked
        result.every_run = False
    following = runs if after is None else _following(runs, after)
    return find_affected(following, prefix, number, history, watch, result)


def _following(runs: Iterator[Any], uid: str) -> Iterator[Any]:
    """Return the runs after that of a uid; raises `RefusedError` where it is none of them."""
    if not any(_run_uid(run) == uid for run in runs):  # takes the runs up to it
        raise RefusedError(f"no run {uid} is among those that are searched: expected the last uid that was printed")
    return runs


def _run_uid(run: Any) -> str:
    metadata = getattr(run, "metadata", None) or {}
    return str((metadata.get("start") or {}).get("uid"))


def _uid_of(history: History, number: int) -> str:
    revision = history.revision(number)
    if revision is None:
        raise NoGeometryError(
            f"there is no revision {number}, as known to {history.authority}: ponikeeper history lists them"
        )
    return revision.uid


def _search_run(run: Any, prefix: str, number: int, uid: str, history: History, result: SearchResult) -> None:
    start, streams = read_descriptors(run)
    if not any(
        _has_revision(calibration, prefix, number, uid)
        for descriptors in streams.values()
        for descriptor in descriptors
        for calibration in calibrations(descriptor)
    ):
        return
    head = (str(start["uid"]), start.get("scan_id"), from_posix(float(start["time"])))
    for record in recorded(run):
        if record.uid == uid or _is_member(record.model, uid):
            member = None if record.uid == uid else number
            parts = apply_corrections(record, history)
            result.affected += [Affected(*head, part.recorded, part, member) for part in parts]
        elif record.revision == number and record.prefix == prefix:
            result.others.append(Affected(*head, record, None))


def _has_revision(calibration: Calibration, prefix: str, number: int, uid: str) -> bool:
    values = calibration.values
    if values.get("revision_uid") == uid or (values.get("revision") == number and calibration.prefix == prefix):
        return True
    return _is_member(calibration.model(), uid)


def _is_member(recorded: RecordedModel | None, uid: str) -> bool:
    """Return whether a model was fitted to the revision of a uid."""
    if recorded is None or recorded.problem:
        return False
    return any(member == uid for _, member in members_of(recorded.model))
