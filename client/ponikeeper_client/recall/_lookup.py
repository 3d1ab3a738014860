"""Where a history is looked up: in those that are given, else at the IOC, else in the mirror of the site.

The mirror is asked where the IOC does not answer, or has no revision of the uid that a run recorded.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ponikeeper.errors import (
    HistoryError,
    MissingExtraError,
    NoGeometryError,
    NotConnectedError,
    PonikeeperError,
    RefusedError,
)
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper_client.recall._catalogs import open_catalog
from ponikeeper_client.recall._histories import (
    FileHistory,
    Histories,
    History,
    read_histories,
    select_history,
    select_prefix,
)
from ponikeeper_client.recall._mirror import find_mirror, read_mirror
from ponikeeper_client.recall._values import Recorded

if TYPE_CHECKING:
    from ponikeeper_client._ioc_history import IocHistory

VARIABLE = "PONIKEEPER_MIRROR"
"""Environment variable: the address of the mirror in Tiled, or a Tiled profile."""

_ADVICE = f"if it is gone for good, give its exported history as history= (--history), or a mirror of it in {VARIABLE}"

_SHORT = 0.5
"""How long an IOC may take that did not answer before, where there is a mirror (s)."""

_silent: set[str] = set()
"""Prefixes of the IOCs that did not answer when they were asked last."""

log = logging.getLogger(__name__)

T = TypeVar("T")


class Lookup:
    """Finds the history of each record of a run.

    Parameters
    ----------
    histories
        The only histories in which to look; None asks the IOC, and then the mirror.
    timeout
        How long the IOC may take to answer (s).
    """

    def __init__(self, histories: Sequence[ExportedHistory] | None, timeout: float) -> None:
        self._histories, self._timeout = histories, timeout
        self._live: dict[str, IocHistory | NotConnectedError | MissingExtraError] = {}
        self._whole: dict[str, FileHistory] = {}
        self._mirrored: dict[str | None, list[ExportedHistory]] = {}

    def of(self, record: Recorded) -> History:
        """Return the history of a record with a revision.

        Parameters
        ----------
        record
            What a run recorded.

        Returns
        -------
        History
            That of the IOC reads revisions when they are needed.

        Raises
        ------
        NoGeometryError
            No history has the revision.
        NotConnectedError
            The IOC does not answer, and there is no mirror that has it.
        HistoryError
            A history is damaged.
        """
        if self._histories is not None:
            return select_history(self._histories, record)
        where = f"{record.detector} {record.scope}"
        if record.prefix is None:
            return self._in_mirror(
                record,
                NoGeometryError(
                    f"{where}: the run does not say from which PVs it recorded revision {record.revision}: give the "
                    "exported history, best_known(run, history='FILE')"
                ),
            )
        live = self._ask(record.prefix)
        if isinstance(live, PonikeeperError):
            return self._in_mirror(record, live)
        revision = live.revision(record.revision or 0)
        if _address() and (revision is None or not record.has_uid(revision.uid)):
            text = f"{where}: {live.authority} has no revision {record.revision} with the uid {record.uid}"
            return self._in_mirror(record, NoGeometryError(text))
        return live

    def whole(self, record: Recorded) -> FileHistory:
        """Return the history of a record, all of it; parameters and errors are those of `of`."""
        history = self.of(record)
        if isinstance(history, FileHistory):
            return history
        prefix = record.prefix or ""
        if prefix not in self._whole:
            self._whole[prefix] = FileHistory(_ioc(prefix, self._timeout).read_all())
        return self._whole[prefix]

    def _ask(self, prefix: str) -> "IocHistory | NotConnectedError | MissingExtraError":
        if prefix not in self._live:
            try:
                self._live[prefix] = _connect(prefix, self._timeout)
            except (NotConnectedError, MissingExtraError) as error:
                self._live[prefix] = error
        return self._live[prefix]

    def _in_mirror(self, record: Recorded, problem: PonikeeperError) -> FileHistory:
        def select() -> FileHistory:
            if record.prefix not in self._mirrored:
                self._mirrored[record.prefix] = _read_mirror(record.prefix)
            return select_history(self._mirrored[record.prefix], record)

        return _after(problem, select)


def look_up(prefix: str, number: int, histories: Histories | None, timeout: float) -> History:
    """Return the history of a prefix that has a revision.

    Parameters
    ----------
    prefix
        PV prefix of the calibration.
    number
        Number of the revision.
    histories
        The only ones in which to look; None asks the IOC, and then the mirror.
    timeout
        How long the IOC may take to answer (s).

    Returns
    -------
    History

    Raises
    ------
    RefusedError
        The given histories do not have it, or have several revisions of that number.
    NotConnectedError
        The IOC does not answer, and there is no mirror that has it.
    HistoryError
        A history is damaged.
    """
    if histories is not None:
        return select_prefix(histories, prefix, number)
    try:
        return _connect(prefix, timeout)
    except (NotConnectedError, MissingExtraError) as error:
        return _after(error, lambda: select_prefix(_read_mirror(prefix), prefix, number))


def read_history(prefix: str, timeout: float = 10.0, *, mirror: Histories | None = None) -> ExportedHistory:
    """Read the whole history of a detector, from its IOC as of one instant, or from a mirror.

    Where the IOC does not answer, the mirror that the environment variable ``PONIKEEPER_MIRROR`` names is read.

    Parameters
    ----------
    prefix
        PV prefix of the calibration, such as ``XF:28ID1-ES{Det:PE1}Calib:``; or the file of an exported history.
    timeout
        How long the IOC may take for each answer (s).
    mirror
        A mirror in Tiled, its address or client: where `ponikeeper mirror` copied the history; or the file of an
        exported one. The IOC is not asked.

    Returns
    -------
    ExportedHistory
        All revisions, activations and corrections, each with its checksum verified.

    Raises
    ------
    NotConnectedError
        The IOC, or the catalog, does not answer.
    HistoryError
        A reply or the mirror is damaged; the mirror does not have the history, or has several of this prefix.
    RefusedError
        The file has the history of another detector.
    """
    if mirror is not None:
        return _only(read_histories(mirror, [prefix]), prefix, mirror)
    if Path(prefix).is_file():
        return read_histories(prefix)[0]
    return ask_history(prefix, timeout)[0]


def ask_history(prefix: str, timeout: float) -> tuple[ExportedHistory, bool]:
    """Read the whole history of a detector, and return whether it is that of the IOC; errors as `read_history`."""
    try:
        with _answering(prefix, timeout) as seconds:
            return _ioc(prefix, seconds).read_all(), True
    except (NotConnectedError, MissingExtraError) as error:
        return _after(error, lambda: _only(_read_mirror(prefix), prefix, _address())), False


def _only(histories: Sequence[ExportedHistory], prefix: str, source: object) -> ExportedHistory:
    """Return the only history of a prefix; raises as `read_history`."""
    matches = [one for one in histories if prefix in one.prefixes]
    if len(matches) == 1:
        return matches[0]
    if histories and not matches:
        name = str(source).partition("?")[0] if isinstance(source, (str, Path)) else "what is given"
        raise RefusedError(f"{name} is the history of {histories[0].prefixes[-1]}: expected one of {prefix}")
    if not matches:
        raise HistoryError(f"the mirror has none: expected one history of {prefix}")
    stores = ", ".join(f"{one.revisions[0].uid} of {one.revisions[0].created}" for one in matches)
    raise HistoryError(
        f"the mirror has {len(matches)} histories of {prefix}, whose first revisions are {stores}: expected one "
        "history; give the entry of one of them, whose name is that uid: MIRROR[UID], or its address"
    )


def _after(problem: PonikeeperError, read: Callable[[], T]) -> T:
    """Read from the mirror what the IOC does not have; if that fails, too, raise an error with both reasons."""
    if not _address():
        raise NotConnectedError(f"{problem}; {_ADVICE}") if isinstance(problem, NotConnectedError) else problem
    try:
        return read()
    except PonikeeperError as error:
        kind = NoGeometryError if isinstance(problem, NoGeometryError) else NotConnectedError
        raise kind(f"{problem}; the mirror {_shown()} ({VARIABLE}): {error}") from error


def _read_mirror(prefix: str | None) -> list[ExportedHistory]:
    with open_catalog(_address()) as catalog:
        return read_mirror(find_mirror(catalog), prefix)


def _address() -> str:
    return os.environ.get(VARIABLE, "")


def _shown() -> str:
    """Return the address of the mirror without the key that it may have."""
    return _address().partition("?")[0]


def _connect(prefix: str, timeout: float) -> "IocHistory":
    """Connect to the history of the IOC of a prefix, and read its corrections; raises `NotConnectedError`."""
    with _answering(prefix, timeout) as seconds:
        history = _ioc(prefix, seconds)
        history.corrections()
        return history


@contextmanager
def _answering(prefix: str, timeout: float) -> Iterator[float]:
    """Return a context with the time that an IOC may take; it remembers which IOC does not answer."""
    try:
        yield min(timeout, _SHORT) if prefix in _silent and _address() else timeout
    except NotConnectedError:
        if prefix not in _silent and _address():
            log.warning("the IOC of %s does not answer: its history is read from the mirror %s", prefix, _shown())
        _silent.add(prefix)
        raise
    _silent.discard(prefix)


def _ioc(prefix: str, timeout: float) -> "IocHistory":
    try:
        from ponikeeper_client._ioc_history import IocHistory
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "ophyd") from error
    return IocHistory(prefix, timeout)
