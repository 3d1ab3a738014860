"""Which runs of a catalog were recorded with one revision."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ponikeeper.errors import ConfigError, MissingExtraError, NoGeometryError, NotConnectedError
from ponikeeper.text.timestamps import from_posix
from ponikeeper_client.documents import Calibration, calibrations
from ponikeeper_client.recall._best_known import judged
from ponikeeper_client.recall._histories import History
from ponikeeper_client.recall._reading import recorded
from ponikeeper_client.recall._runs import numbers
from ponikeeper_client.recall._sources import described
from ponikeeper_client.recall._values import BestKnown, Recorded


@dataclass(frozen=True, slots=True)
class Affected:
    """Events of a run that were recorded with a revision of the number.

    Parameters
    ----------
    scan_id
        None where the run has none.
    time
        When the run began, UTC ISO-8601.
    recorded
        What was recorded, with the events.
    now
        What is known of it now; None where it is another geometry of the same number.
    """

    run_uid: str
    scan_id: int | None
    time: str
    recorded: Recorded
    now: BestKnown | None

    def as_dict(self) -> dict[str, object]:
        """Give it as a JSON object."""
        now = self.now
        return {
            "run_uid": self.run_uid,
            "scan_id": self.scan_id,
            "time": self.time,
            "detector": self.recorded.detector,
            "stream": self.recorded.stream,
            "events": list(self.recorded.seq_nums),
            "untold": self.recorded.untold,
            "revision": self.recorded.revision,
            "uid": self.recorded.uid,
            "judged": [] if now is None else [correction.as_dict() for correction in now.chain],
            "right": None if now is None else now.revision,
        }

    def events(self) -> str:
        """Tell the events by their ranges."""
        return numbers(self.recorded.seq_nums) or f"({self.recorded.untold or 'none'})"

    def known(self) -> str:
        """Tell what is known now, in a few words."""
        now = self.now
        if now is None:
            return f"another geometry of that number, uid {self.recorded.uid}"
        if not now.chain:
            return "sound"
        return now.why or f"revision {now.revision} is right: {now.chain[0].reason}"


@dataclass(slots=True)
class Search:
    """What was found in a catalog.

    Parameters
    ----------
    affected
        Recorded with the revision itself.
    others
        Recorded with another geometry that had the same number on the same PVs: the store was begun anew.
    unreadable
        Runs that could not be read, and why.
    runs
        How many there are.
    """

    affected: list[Affected] = field(default_factory=list)
    others: list[Affected] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    runs: int = 0


def search(runs: Iterable[Any], prefix: str, number: int, history: History) -> Search:
    """Find the events that were recorded with a revision, by its uid; no image is loaded.

    The descriptors alone are read of a run, unless they have the revision.

    Parameters
    ----------
    runs
        Of a catalog.
    prefix
        PV prefix of the calibration.
    number
        Of the revision.
    history
        Which says what uid it has, and what was judged.

    Raises
    ------
    NoGeometryError
        There is no revision of that number.
    """
    revision = history.revision(number)
    if revision is None:
        raise NoGeometryError(f"{history.authority} has no revision {number}")
    found = Search()
    for run in runs:
        found.runs += 1
        try:
            _look(run, prefix, number, revision.uid, history, found)
        except Exception as error:  # noqa: BLE001  # one run that is broken must not hide the others
            start = run.metadata.get("start") or {}
            found.unreadable.append((str(start.get("uid")), f"{type(error).__name__}: {error}"))
    return found


def _look(run: Any, prefix: str, number: int, uid: str, history: History, found: Search) -> None:
    start, streams = described(run)
    wanted = [
        calibration
        for descriptors in streams.values()
        for descriptor in descriptors
        for calibration in calibrations(descriptor)
        if _is_of(calibration, prefix, number, uid)
    ]
    if not wanted:
        return
    head = (str(start["uid"]), start.get("scan_id"), from_posix(float(start["time"])))
    for each in recorded(run):
        if each.uid == uid:
            found.affected += [Affected(*head, part.recorded, part) for part in judged(each, history)]
        elif each.revision == number and each.prefix == prefix:
            found.others.append(Affected(*head, each, None))


def _is_of(calibration: Calibration, prefix: str, number: int, uid: str) -> bool:
    values = calibration.values
    return values.get("revision_uid") == uid or (values.get("revision") == number and calibration.prefix == prefix)


_DEPTH = 3
"""How many folders down runs are looked for."""


@contextlib.contextmanager
def open_catalog(name: str) -> Iterator[Any]:
    """Open a catalog as long as the block lasts.

    Parameters
    ----------
    name
        The address of a Tiled server or of a folder in it (``http://...``; the key in it, or in
        ``TILED_API_KEY``), a Tiled profile, or the name of a catalog of databroker.

    Raises
    ------
    ConfigError
        There is none of that name.
    NotConnectedError
        The server does not answer, or does not let us in.
    MissingExtraError
        Tiled is not installed.
    """
    try:
        from bluesky_tiled_plugins.clients import bluesky_run  # noqa: F401  # runs are read by its clients
        from tiled.client import from_profile, from_uri
        from tiled.profiles import list_profiles
    except ModuleNotFoundError as error:
        raise MissingExtraError("catalog", error.name or "tiled") from error
    profiles = list_profiles()
    if "://" not in name and name not in profiles:
        yield _of_databroker(name, profiles)
        return
    try:
        client = from_uri(name) if "://" in name else from_profile(name)
    except Exception as error:  # noqa: BLE001  # whatever its libraries raise on the way
        shown = name.partition("?")[0]  # the key stays unsaid
        told = f"{type(error).__name__}: {error}".replace(name, shown)
        raise NotConnectedError(f"the catalog {shown} cannot be opened: {told}") from None
    try:
        yield client
    finally:
        client.context.close()


def each_run(catalog: Any, depth: int = _DEPTH) -> Iterator[Any]:
    """Give each run of a catalog, and of the folders in it, one by one; no data is loaded."""
    for node in catalog.values():
        if "start" in (getattr(node, "metadata", None) or {}):
            yield node
        elif depth > 0 and getattr(node, "structure_family", None) == "container":
            yield from each_run(node, depth - 1)


def _of_databroker(name: str, profiles: Any) -> Any:
    """Open a catalog of databroker 1; those of version 2 are Tiled's profiles."""
    with contextlib.suppress(ImportError, KeyError, AttributeError):
        import databroker

        return databroker.catalog[name]  # pyright: ignore[reportAttributeAccessIssue]  # version 1 has it
    known = ", ".join(profiles) or "none"
    address = f"http://{name}" if {":", "/", "."} & set(name) else "http://..."
    raise ConfigError(
        f"there is no catalog {name or 'without a name'}: expected the address of a Tiled server ({address}), a "
        f"profile (there are {known}), or a catalog of databroker"
    )
