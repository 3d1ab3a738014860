"""Histories in which a recorded revision is looked up: of the live IOC, or exported to files."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ponikeeper.errors import HistoryError, MissingExtraError, NoGeometryError, NotConnectedError, RefusedError
from ponikeeper.history import Correction, DerivedGeometry, Revision, history_file
from ponikeeper.history.derived import derived_by_serial
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper_client.recall._values import Recorded

if TYPE_CHECKING:
    from ponikeeper_client._ioc_history import IocHistory

Histories = ExportedHistory | str | Path | Iterable[ExportedHistory | str | Path]
"""An exported history, the file of one, or several."""

_ADVICE = "if the IOC is gone for good, give its exported history: best_known(run, history='FILE')"


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

    def derived(self, serial: int) -> DerivedGeometry | None:
        """Return what a model gave for the activation of a serial; None where the revision itself was active."""
        return self._derived.get(serial)

    def derived_of(self, revision: int) -> list[tuple[str, DerivedGeometry]]:
        """Return all that the model of a revision gave, each with the time of its activation, in their order."""
        activations = self._history.activations
        return [(activations[one.serial - 1].time, one) for one in self._history.derived if one.revision == revision]


def read_histories(source: Histories) -> list[ExportedHistory]:
    """Read histories, also from files.

    Parameters
    ----------
    source
        One or several histories or files.

    Returns
    -------
    list of ExportedHistory
        In the same order.

    Raises
    ------
    HistoryError
        A file cannot be read, or is damaged.
    """
    several = [source] if isinstance(source, (ExportedHistory, str, Path)) else list(source)
    return [one if isinstance(one, ExportedHistory) else _read(Path(one)) for one in several]


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
    matches = [history for history, uid in uids.items() if uid == recorded.uid]
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
    histories = [FileHistory(one) for one in read_histories(source) if prefix in one.prefixes]
    uids = {history: revision.uid for history in histories if (revision := history.revision(number)) is not None}
    if len(set(uids.values())) != 1:
        what = f"several geometries have the number {number}" if uids else f"there is no revision {number} of {prefix}"
        raise RefusedError(f"{what} in the given histories: give only the export that has it")
    return max(uids, key=lambda history: history.length)


def read_history(prefix: str, timeout: float = 10.0) -> ExportedHistory:
    """Read the whole history of a detector from its IOC, as of one instant.

    Parameters
    ----------
    prefix
        PV prefix of the calibration, such as ``XF:28ID1-ES{Det:PE1}Calib:``.
    timeout
        How long the IOC may take for each answer (s).

    Returns
    -------
    ExportedHistory
        All revisions, activations and corrections, each with its checksum verified.

    Raises
    ------
    NotConnectedError
        The IOC does not answer.
    HistoryError
        A reply is damaged.
    """
    return _ioc_history(prefix, timeout).read_all()


def read_ioc(prefix: str, timeout: float) -> History:
    """Connect to the history of the IOC that serves a prefix, and read its corrections.

    Parameters
    ----------
    prefix
        PV prefix of the calibration.
    timeout
        How long the IOC may take to answer (s).

    Returns
    -------
    History
        Reads revisions from the IOC when they are needed.

    Raises
    ------
    NotConnectedError
        The IOC does not answer; the message says what to do.
    """
    history = _ioc_history(prefix, timeout)
    try:
        history.corrections()
    except NotConnectedError as error:
        raise NotConnectedError(f"{error}; {_ADVICE}") from error
    return history


def _ioc_history(prefix: str, timeout: float) -> "IocHistory":
    try:
        from ponikeeper_client._ioc_history import IocHistory
    except ModuleNotFoundError as error:
        raise MissingExtraError("client", error.name or "ophyd") from error
    return IocHistory(prefix, timeout)


def _read(path: Path) -> ExportedHistory:
    try:
        return history_file.read(path.read_bytes())
    except OSError as error:
        raise HistoryError(f"{path}: {error.strerror}: expected an exported history") from error
    except HistoryError as error:
        raise HistoryError(f"{path}: {problem}" for problem in error.problems) from None
