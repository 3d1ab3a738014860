"""Histories in which a recorded revision is looked up: exported ones, their files, and mirrors."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from ponikeeper.errors import HistoryError, NoGeometryError, RefusedError
from ponikeeper.history import Correction, DerivedGeometry, Revision, history_file
from ponikeeper.history.derived import derived_by_serial
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.records import LabelRecord
from ponikeeper_client.recall._catalogs import open_catalog
from ponikeeper_client.recall._mirror import find_mirror, read_mirror
from ponikeeper_client.recall._values import Recorded

Histories = ExportedHistory | str | Path | Any | Iterable[ExportedHistory | str | Path | Any]
"""An exported history, the file of one, a mirror in Tiled or one history in it (address or client), or several."""


class History(Protocol):
    """The history of one detector, as recall needs it."""

    @property
    def authority(self) -> str:
        """Where the history comes from, for a person."""
        ...

    def revision(self, number: int) -> Revision | None:
        """Return a revision by its number; None where there is none."""
        ...

    def corrections(self) -> Sequence[Correction]:
        """Return all corrections, in their order."""
        ...

    def labels(self) -> Sequence[LabelRecord]:
        """Return all labels that revisions got after they were committed, in their order."""
        ...

    def derived(self, serial: int) -> DerivedGeometry | None:
        """Return what a model gave for the activation of a serial; None where the revision itself was active."""
        ...


class FileHistory:
    """A history that was exported to a file.

    Parameters
    ----------
    history
        The content of the file.
    """

    def __init__(self, history: ExportedHistory) -> None:
        self._history = history
        self._derived = derived_by_serial(history.derived)

    @property
    def authority(self) -> str:
        """Where the history comes from, for a person."""
        return f"the history of {self._history.prefixes[-1]}, as exported {self._history.exported}"

    @property
    def length(self) -> tuple[int, int]:
        """Numbers of corrections and revisions: of two exports of one store the later one has more."""
        return len(self._history.corrections), len(self._history.revisions)

    def revision(self, number: int) -> Revision | None:
        """Return a revision by its number; None where there is none."""
        revisions = self._history.revisions
        return revisions[number - 1] if 1 <= number <= len(revisions) else None

    def corrections(self) -> Sequence[Correction]:
        """Return all corrections, in their order."""
        return self._history.corrections

    def labels(self) -> Sequence[LabelRecord]:
        """Return all labels that revisions got after they were committed, in their order."""
        return self._history.labels

    def derived(self, serial: int) -> DerivedGeometry | None:
        """Return what a model gave for the activation of a serial; None where the revision itself was active."""
        return self._derived.get(serial)

    def derived_of(self, revision: int) -> list[tuple[str, DerivedGeometry]]:
        """Return all that the model of a revision gave, each with the time of its activation, in their order."""
        activations = self._history.activations
        return [(activations[one.serial - 1].time, one) for one in self._history.derived if one.revision == revision]


def read_histories(source: Histories, prefixes: Iterable[str | None] = (None,)) -> list[ExportedHistory]:
    """Read histories, also from files and mirrors.

    Parameters
    ----------
    source
        One or several histories, files or mirrors.
    prefixes
        Of the detectors whose histories are read from a mirror; None stands for all.

    Returns
    -------
    list of ExportedHistory
        In the same order.

    Raises
    ------
    HistoryError
        A file cannot be read, something is damaged, or there is no mirror.
    NotConnectedError
        The catalog does not answer.
    """
    wanted = list(dict.fromkeys(prefixes))
    is_one = isinstance(source, (ExportedHistory, str, Path)) or _is_node(source)
    sources: list[Any] = [source] if is_one else list(source)  # pyright: ignore[reportArgumentType, reportGeneralTypeIssues]
    return [history for one in sources for history in _read(one, wanted)]


def select_history(histories: Sequence[ExportedHistory], recorded: Recorded) -> FileHistory:
    """Select the history that has a recorded revision, by its uid; of several the longest.

    Parameters
    ----------
    histories
        Of any detectors.
    recorded
        A record with a revision.

    Returns
    -------
    FileHistory
        The history of that revision.

    Raises
    ------
    NoGeometryError
        None of them has it.
    """
    number = recorded.revision or 0
    same_prefix = [FileHistory(one) for one in histories if recorded.prefix in (None, *one.prefixes)]
    uids = {history: revision.uid for history in same_prefix if (revision := history.revision(number)) is not None}
    matches = [history for history, uid in uids.items() if recorded.has_uid(uid)]
    if matches:
        return max(matches, key=lambda history: history.length)
    where = f"{recorded.detector} {recorded.scope}: revision {number} with the uid {recorded.uid}"
    if not same_prefix:
        prefixes = ", ".join(dict.fromkeys(prefix for one in histories for prefix in one.prefixes)) or "none at all"
        raise NoGeometryError(f"{where} is of {recorded.prefix}, but the given histories are of {prefixes}")
    others = ", ".join(f"{uid} in {history.authority}" for history, uid in uids.items())
    why = f"there it has the uid {others}: the store was created again" if others else "they end before it"
    raise NoGeometryError(f"{where} is in none of the given histories ({why}): give an export that has it")


def select_prefix(source: Histories, prefix: str, number: int) -> FileHistory:
    """Select the history of a prefix that has a revision; of several exports of one store the longest.

    Parameters
    ----------
    source
        One or several histories or files.
    prefix
        PV prefix of the calibration.
    number
        Number of the revision.

    Returns
    -------
    FileHistory
        The history.

    Raises
    ------
    RefusedError
        None of them has it, or they have several revisions of that number: of a store that was created again.
    HistoryError
        A file cannot be read, or is damaged.
    """
    histories = [FileHistory(one) for one in read_histories(source, [prefix]) if prefix in one.prefixes]
    uids = {history: revision.uid for history in histories if (revision := history.revision(number)) is not None}
    if len(set(uids.values())) != 1:
        what = f"several geometries have the number {number}" if uids else f"there is no revision {number} of {prefix}"
        raise RefusedError(f"{what} in the given histories: give only the export that has it")
    return max(uids, key=lambda history: history.length)


def _is_node(source: Any) -> bool:
    """Return whether this is the client of a Tiled container."""
    return hasattr(source, "structure_family")


def _read(source: Any, prefixes: Sequence[str | None]) -> list[ExportedHistory]:
    if isinstance(source, ExportedHistory):
        return [source]
    if _is_node(source):
        return _read_mirror(source, prefixes)
    if isinstance(source, str) and "://" in source:
        with open_catalog(source) as catalog:
            return _read_mirror(catalog, prefixes)
    return [_read_file(Path(source))]


def _read_mirror(catalog: Any, prefixes: Sequence[str | None]) -> list[ExportedHistory]:
    mirror = find_mirror(catalog)
    wanted = [None] if None in prefixes else prefixes
    return [history for prefix in wanted for history in read_mirror(mirror, prefix)]


def _read_file(path: Path) -> ExportedHistory:
    try:
        return history_file.read(path.read_bytes())
    except OSError as error:
        raise HistoryError(f"{path}: {error.strerror}: expected an exported history") from error
    except HistoryError as error:
        raise HistoryError(f"{path}: {problem}" for problem in error.problems) from None
