"""A limit for the log, so that no client can fill a disk: of each kind of message only some are written in a minute."""

import logging
from dataclasses import dataclass

PERIOD = 60.0
"""Seconds for which messages are counted."""

MAX_SAME, MAX_KIND = 5, 60
"""Messages of one kind with the same first argument (a peer, a PV), and with any, that are written in a period."""

NOT_LIMITED = "not_limited"
"""Attribute of a log record of which each one is written: who writes it has stored something larger before."""

_MAX_ENTRIES = 10_000


@dataclass(slots=True)
class _Count:
    since: float
    written: int = 0
    dropped: int = 0


class LogLimit(logging.Filter):
    """Drops messages that repeat too often; the first one of the next period says how many were dropped.

    The kind of a message is its logger and its text before the arguments are filled in.
    """

    def __init__(self) -> None:
        super().__init__()
        self._counts: dict[object, _Count] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a message is written."""
        if getattr(record, NOT_LIMITED, False):
            return True
        kind = (record.name, record.levelno, str(record.msg))
        first = record.args[0] if isinstance(record.args, tuple) and record.args else None
        return self._is_within(record, (*kind, str(first)), MAX_SAME) and self._is_within(record, kind, MAX_KIND)

    def _is_within(self, record: logging.LogRecord, key: object, limit: int) -> bool:
        count = self._counts.get(key)
        if count is None or record.created - count.since >= PERIOD or record.created < count.since:
            if len(self._counts) >= _MAX_ENTRIES:
                self._counts.clear()
            dropped = count.dropped if count is not None else 0
            self._counts[key] = count = _Count(record.created)
            if dropped:
                record.msg = f"{record.getMessage()} (and {dropped} more like it)"
                record.args = None
        if count.written >= limit:
            count.dropped += 1
            return False
        count.written += 1
        return True
