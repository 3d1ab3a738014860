"""Histories that a recorded revision is looked up in, and those among them that were exported to a file."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from ponikeeper.errors import HistoryError, MissingExtraError, NoGeometryError, NotConnectedError
from ponikeeper.history import history_file
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.records import Correction, Revision
from ponikeeper_client.recall._values import Recorded

Histories = ExportedHistory | str | Path | Iterable[ExportedHistory | str | Path]
"""An exported history, the file of one, or several."""

_ADVICE = "where the IOC is gone for good, give its exported history: best_known(run, history='FILE')"


class History(Protocol):
    """All that is known of the revisions of one detector."""

    @property
    def authority(self) -> str:
        """Whose history it is, for a person."""
        ...

    def revision(self, number: int) -> Revision | None:
        """Give a revision by its number; None where there is none."""
        ...

    def corrections(self) -> Sequence[Correction]:
        """Give all judgements, in their order."""
        ...


class Exported:
    """A history that was exported."""

    def __init__(self, history: ExportedHistory) -> None:
        self._history = history

    @property
    def authority(self) -> str:
        """Whose history it is, for a person."""
        return f"the history of {self._history.prefix}, as exported {self._history.exported}"

    @property
    def length(self) -> tuple[int, int]:
        """How much it knows: of two exports of one store the later one has more."""
        return len(self._history.corrections), len(self._history.revisions)

    def revision(self, number: int) -> Revision | None:
        """Give a revision by its number; None where there is none."""
        revisions = self._history.revisions
        return revisions[number - 1] if 1 <= number <= len(revisions) else None

    def corrections(self) -> Sequence[Correction]:
        """Give all judgements, in their order."""
        return self._history.corrections


def read_all(given: Histories) -> list[ExportedHistory]:
    """Read histories, those of files too.

    Raises
    ------
    HistoryError
        A file cannot be read, or is not what was exported.
    """
    several = [given] if isinstance(given, (ExportedHistory, str, Path)) else list(given)
    return [each if isinstance(each, ExportedHistory) else _read(Path(each)) for each in several]


def holding(histories: Sequence[ExportedHistory], recorded: Recorded) -> Exported:
    """Give the history that has the revision which a run recorded, by its uid; of several the one that knows most.

    Raises
    ------
    NoGeometryError
        None of them has it.
    """
    number = recorded.revision or 0
    same = [each for each in histories if recorded.prefix in (None, each.prefix)]
    made = [Exported(each) for each in same]
    found = [each for each in made if (there := each.revision(number)) is not None and there.uid == recorded.uid]
    if found:
        return max(found, key=lambda each: each.length)
    where = f"{recorded.detector} {recorded.place}: revision {number} with the uid {recorded.uid}"
    if not same:
        there = ", ".join(dict.fromkeys(each.prefix for each in histories)) or "none at all"
        raise NoGeometryError(f"{where} is of {recorded.prefix}, but the histories that were given are of {there}")
    others = [f"{there.uid} in {each.authority}" for each in made if (there := each.revision(number)) is not None]
    told = f"there it has the uid {', '.join(others)}: the store was begun anew" if others else "they end before it"
    raise NoGeometryError(f"{where} is in none of the histories that were given ({told}): give an export that has it")


def ask_ioc(prefix: str, timeout: float) -> History:
    """Give the history of the IOC that serves a prefix.

    Raises
    ------
    NotConnectedError
        It does not answer; the message says what to do then.
    """
    try:
        from ponikeeper_client.recall._ioc_history import LiveHistory
    except ModuleNotFoundError as error:
        raise MissingExtraError("client", error.name or "ophyd") from error
    history = LiveHistory(prefix, timeout)
    try:
        history.corrections()
    except NotConnectedError as error:
        raise NotConnectedError(f"{error}; {_ADVICE}") from error
    return history


def _read(path: Path) -> ExportedHistory:
    try:
        return history_file.read(path.read_bytes())
    except OSError as error:
        raise HistoryError(f"{path}: {error.strerror}: expected an exported history") from error
    except HistoryError as error:
        raise HistoryError(f"{path}: {problem}" for problem in error.problems) from None
