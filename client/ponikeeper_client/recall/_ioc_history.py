"""The history of one detector as its IOC tells it now, piece by piece (Channel Access through ophyd)."""

import random
import time
from collections.abc import Sequence
from typing import Any, cast

from ophyd import EpicsSignal

from ponikeeper.errors import NotConnectedError
from ponikeeper.history.records import Correction, Record, Revision, name_of
from ponikeeper.protocol.history_query import HistoryQuery, Reply, parse_reply
from ponikeeper_client._fresh_gets import raise_silent, wait_for
from ponikeeper_client._signals import TextSignal

_PATIENCE = 0.5
"""How long an answer is waited for before it is asked again: somebody else's may have covered it (s)."""

_NOBODYS = 10**14
"""From here on there are no records: a question there is nobody else's."""


_signals: dict[str, tuple[EpicsSignal, TextSignal]] = {}
"""Question and answer by prefix, kept as long as the process: a signal that is destroyed while a thread of ophyd's
still asks for its metadata brings libca, and so the process, down."""


class LiveHistory:
    """The history of one detector, asked of its IOC; nothing that it gives is older than itself.

    Parameters
    ----------
    prefix
        PV prefix of the calibration.
    timeout
        How long the IOC may be silent (s).
    """

    def __init__(self, prefix: str, timeout: float) -> None:
        self._prefix, self._timeout = prefix, timeout
        self._question, self._answer = _signals_of(prefix)
        self._revisions: dict[int, Revision] = {}
        self._corrections: tuple[Correction, ...] | None = None
        self._proved = False

    @property
    def authority(self) -> str:
        """Whose history it is, for a person."""
        return f"the IOC of {self._prefix}, now"

    def revision(self, number: int) -> Revision | None:
        """Give a revision by its number; None where there is none.

        Raises
        ------
        NotConnectedError
            The IOC does not answer.
        HistoryError
            What it answers is not what was written.
        """
        if number not in self._revisions and number >= 1:
            for record in self._ask(HistoryQuery("revision", number)).records:
                self._revisions[name_of(record)[1]] = cast("Revision", record)
        return self._revisions.get(number)

    def corrections(self) -> Sequence[Correction]:
        """Give all judgements, in their order; raises as `revision`."""
        if self._corrections is None:
            found: list[Record] = []
            while True:
                reply = self._ask(HistoryQuery("judgement", len(found) + 1))
                found += reply.records
                if len(found) >= reply.count or not reply.records:
                    break
            self._corrections = cast("tuple[Correction, ...]", tuple(found))
        return self._corrections

    def _ask(self, query: HistoryQuery) -> Reply:
        if not self._proved:
            # what the monitor brings first may be an old answer to the same question: this one nobody asked before,
            # and what comes after its answer is newer
            self._proved = True
            self._ask(HistoryQuery("activation", random.randrange(_NOBODYS, 9 * _NOBODYS)))  # noqa: S311
        deadline = time.monotonic() + self._timeout
        pv: Any = self._question._write_pv
        while time.monotonic() < deadline:
            if not wait_for(lambda: pv.connected, deadline):
                raise_silent(self._question.pvname, self._timeout)
            pv.put(str(query), use_complete=True)
            if wait_for(lambda: self._heard(query), min(deadline, time.monotonic() + _PATIENCE)):
                reply = parse_reply(self._prefix, self._answer.newest(deadline))
                if reply.read == str(query):
                    return reply
        raise NotConnectedError(f"{self._answer.pvname} shows no answer to {query} within {self._timeout:g} s")

    def _heard(self, query: HistoryQuery) -> bool:
        text = self._answer.newest(time.monotonic() + self._timeout)
        return f'"read": "{query}"' in text[:80]


def _signals_of(prefix: str) -> tuple[EpicsSignal, TextSignal]:
    if prefix not in _signals:
        _signals[prefix] = (
            EpicsSignal(f"{prefix}History:Read", name="history_read", string=True),
            TextSignal(f"{prefix}History:Read_RBV", name="history_answer"),
        )
    return _signals[prefix]
