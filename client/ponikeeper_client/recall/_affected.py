"""Find the runs of a catalog that were recorded with one revision."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ponikeeper.errors import ConfigError, MissingExtraError, NoGeometryError, NotConnectedError
from ponikeeper.protocol.models import members_of
from ponikeeper.text.timestamps import from_posix
from ponikeeper_client.documents import Calibration, RecordedModel, calibrations
from ponikeeper_client.recall._best_known import apply_corrections
from ponikeeper_client.recall._histories import History
from ponikeeper_client.recall._reading import recorded
from ponikeeper_client.recall._runs import event_ranges
from ponikeeper_client.recall._sources import read_descriptors
from ponikeeper_client.recall._values import BestKnown, Recorded

_DEPTH = 3
"""How many folders down runs are looked for."""


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
        How many runs the catalog has.
    """

    affected: list[Affected] = field(default_factory=list)
    others: list[Affected] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    runs: int = 0


def find_affected(runs: Iterable[Any], prefix: str, number: int, history: History) -> SearchResult:
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

    Returns
    -------
    SearchResult
        All runs with a revision of that number.

    Raises
    ------
    NoGeometryError
        There is no revision of that number.
    """
    revision = history.revision(number)
    if revision is None:
        raise NoGeometryError(f"{history.authority} has no revision {number}")
    result = SearchResult()
    for run in runs:
        result.runs += 1
        try:
            _search_run(run, prefix, number, revision.uid, history, result)
        except Exception as error:  # noqa: BLE001  # one broken run must not hide the others
            start = run.metadata.get("start") or {}
            result.unreadable.append((str(start.get("uid")), f"{type(error).__name__}: {error}"))
    return result


@contextlib.contextmanager
def open_catalog(name: str) -> Iterator[Any]:
    """Open a catalog for the duration of a block.

    Parameters
    ----------
    name
        The address of a Tiled server or of a folder in it (``http://...``; the key in it, or in
        ``TILED_API_KEY``), a Tiled profile, or the name of a catalog of databroker.

    Yields
    ------
    Any
        The client of the catalog.

    Raises
    ------
    ConfigError
        There is no catalog of that name.
    NotConnectedError
        The server does not answer, or denies access.
    MissingExtraError
        Tiled is not installed.
    """
    try:
        from tiled.client import from_profile, from_uri
        from tiled.profiles import list_profiles
    except ModuleNotFoundError as error:
        raise MissingExtraError("catalog", error.name or "tiled") from error
    profiles = list_profiles()
    if "://" not in name and name not in profiles:
        yield _from_databroker(name, profiles)
        return
    try:
        client = from_uri(name) if "://" in name else from_profile(name)
    except Exception as error:  # noqa: BLE001  # its libraries raise many kinds of errors here
        address = name.partition("?")[0]  # the message must not contain the key
        cause = f"{type(error).__name__}: {error}".replace(name, address)
        raise NotConnectedError(f"the catalog {address} cannot be opened: {cause}") from None
    try:
        yield client
    finally:
        client.context.close()


def each_run(catalog: Any, depth: int = _DEPTH) -> Iterator[Any]:
    """Yield each run of a catalog, and of the folders in it, one by one; no data is loaded."""
    for node in catalog.values():
        if "start" in (getattr(node, "metadata", None) or {}):
            yield node
        elif depth > 0 and getattr(node, "structure_family", None) == "container":
            yield from each_run(node, depth - 1)


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


def _from_databroker(name: str, profiles: Any) -> Any:
    """Open a catalog of databroker 1; those of version 2 are Tiled profiles."""
    with contextlib.suppress(ImportError, KeyError, AttributeError):
        import databroker

        return databroker.catalog[name]  # pyright: ignore[reportAttributeAccessIssue]  # version 1 has it
    known = ", ".join(profiles) or "none"
    address = f"http://{name}" if {":", "/", "."} & set(name) else "http://..."
    raise ConfigError(
        f"there is no catalog {name or 'without a name'}: expected the address of a Tiled server ({address}), a "
        f"profile (there are {known}), or a catalog of databroker"
    )
