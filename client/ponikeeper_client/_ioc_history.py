"""Read the history of one detector from its IOC, piece by piece (Channel Access through ophyd)."""

import random
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from ponikeeper.errors import NotConnectedError
from ponikeeper.history import Correction, DerivedGeometry, Revision
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.records import LabelRecord, name_of
from ponikeeper.protocol import history_reading
from ponikeeper.protocol.history_query import HistoryQuery, Reply, parse_reply
from ponikeeper.text import timestamps
from ponikeeper_client._fresh_gets import raise_silent
from ponikeeper_client._guarded_signals import GuardedWritable, wait_for
from ponikeeper_client._signals import TextSignal

_RETRY_AFTER = 0.5
"""How long to wait for a reply before the query is sent again: another client's query may have replaced it (s)."""

_UNUSED_NUMBER = 10**14
"""No records have numbers from here on, so no other client queries them."""


_signals: dict[str, tuple[GuardedWritable, TextSignal]] = {}
"""Query and reply PV by prefix, kept as long as the process, so that the next history is read at once."""


class IocHistory:
    """The history of one detector, read from its IOC; no reply is older than this object.

    Parameters
    ----------
    prefix
        PV prefix of the calibration.
    timeout
        How long the IOC may take to answer (s).
    """

    def __init__(self, prefix: str, timeout: float) -> None:
        self._prefix, self._timeout = prefix, timeout
        self._query_pv, self._reply_pv = _signals_of(prefix)
        self._revisions: dict[int, Revision] = {}
        self._corrections: tuple[Correction, ...] | None = None
        self._labels: tuple[LabelRecord, ...] | None = None
        self._is_fresh = False

    @property
    def authority(self) -> str:
        """Where the history comes from, for a person."""
        return f"the IOC of {self._prefix}, now"

    def revision(self, number: int) -> Revision | None:
        """Return a revision by its number; None where there is none.

        Raises
        ------
        NotConnectedError
            The IOC does not answer.
        HistoryError
            The reply is damaged.
        """
        if number not in self._revisions and number >= 1:
            for record in self._query(HistoryQuery("revision", number)).records:
                self._revisions[name_of(record)[1]] = cast("Revision", record)
        return self._revisions.get(number)

    def corrections(self) -> Sequence[Correction]:
        """Return all corrections, in their order; the errors are those of `revision`."""
        if self._corrections is None:
            self._corrections = tuple(history_reading.run(history_reading.all_corrections(), self._query))
        return self._corrections

    def labels(self) -> Sequence[LabelRecord]:
        """Return all labels that revisions got after they were committed; the errors are those of `revision`."""
        if self._labels is None:
            self._labels = tuple(history_reading.run(history_reading.all_labels(), self._query))
        return self._labels

    def derived(self, serial: int) -> DerivedGeometry | None:
        """Return what a model gave for the activation of a serial; None where the revision itself was active.

        The errors are those of `revision`.
        """
        return history_reading.run(history_reading.derived_of(serial), self._query)

    def labelled(self, label: str) -> Revision:
        """Return the revision that a label means, as `activate` selects it; the errors are those of `revision`.

        Raises
        ------
        RefusedError
            There is none; the message has the labels that there are.
        """
        return history_reading.run(history_reading.labelled(label), self._query)

    def read_all(self) -> ExportedHistory:
        """Read all records as of one instant, while commits continue; the errors are those of `revision`.

        Raises
        ------
        RefusedError
            Records are added all the time.
        """
        records = history_reading.run(history_reading.full_history(), self._query)
        return ExportedHistory.of(self._prefix, timestamps.from_datetime(timestamps.now()), records)

    def read_after(self, known: Mapping[str, int]) -> history_reading.FullHistory:
        """Read the records from some on, as of one instant; the errors are those of `read_all`.

        Parameters
        ----------
        known
            Number of the newest record of each kind that is known: of this kind, the records from it on are read.

        Returns
        -------
        dict of str to list
            The records of each kind.
        """
        return history_reading.run(history_reading.full_history(known), self._query)

    def _query(self, query: HistoryQuery) -> Reply:
        if not self._is_fresh:
            # the first value of the monitor may be an old reply to the same query: no client has sent this one before,
            # and all that follows its reply is newer
            self._is_fresh = True
            self._query(HistoryQuery("activation", random.randrange(_UNUSED_NUMBER, 9 * _UNUSED_NUMBER)))  # noqa: S311
        deadline = time.monotonic() + self._timeout
        pv: Any = self._query_pv._write_pv
        while time.monotonic() < deadline:
            if not wait_for(lambda: pv.connected, deadline):
                raise_silent(self._query_pv.pvname, self._timeout)
            pv.put(str(query), use_complete=True)
            if wait_for(lambda: self._is_answered(query), min(deadline, time.monotonic() + _RETRY_AFTER)):
                reply = parse_reply(self._prefix, self._reply_pv.newest(deadline))
                if reply.read == str(query):
                    return reply
        raise NotConnectedError(f"{self._reply_pv.pvname} shows no answer to {query} within {self._timeout:g} s")

    def _is_answered(self, query: HistoryQuery) -> bool:
        text = self._reply_pv.newest(time.monotonic() + self._timeout)
        return f'"read": "{query}"' in text[:80]


def silent_iocs(prefixes: Iterable[str], timeout: float) -> list[str]:
    """Return those of many prefixes that no IOC serves; all are searched at once.

    Parameters
    ----------
    prefixes
        PV prefixes of calibrations.
    timeout
        How long to wait for all (s).
    """
    pvs: dict[str, Any] = {prefix: _signals_of(prefix)[0]._write_pv for prefix in prefixes}
    wait_for(lambda: all(pv.connected for pv in pvs.values()), time.monotonic() + timeout)
    return [prefix for prefix, pv in pvs.items() if not pv.connected]


def _signals_of(prefix: str) -> tuple[GuardedWritable, TextSignal]:
    if prefix not in _signals:
        _signals[prefix] = (
            GuardedWritable(f"{prefix}History:Read", name="history_read", string=True),
            TextSignal(f"{prefix}History:Read_RBV", name="history_answer"),
        )
    return _signals[prefix]
