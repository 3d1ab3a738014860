"""One put as a line of JSON, under the names of caPutJsonLog and some of our own. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ponikeeper.protocol import Result
from ponikeeper.text import strictjson, timestamps

Outcome = Literal["accepted", "refused", "denied"]


@dataclass(frozen=True, slots=True)
class Put:
    """What one client put, and what became of it.

    Parameters
    ----------
    time
        When it was answered (s since 1970).
    user, host
        As the client claims.
    address
        Where its connection comes from.
    pv
        The whole name.
    new, old
        What was put, as it came, and what the PV showed before.
    outcome
        ``denied`` by the access rules, else as the transaction.
    reason
        Why it was not accepted, all of it.
    result
        Of the transaction, where it was one that was accepted.
    """

    time: float
    user: str
    host: str
    address: str
    pv: str
    new: Any
    old: Any
    outcome: Outcome
    reason: str = ""
    result: Result | None = None

    def line(self) -> str:
        """Write it as one line, nothing shortened.

        ``date``, ``time`` (local), ``host``, ``user``, ``pv``, ``new`` and ``old`` are caPutJsonLog's; no
        number is given as one there that JSON does not have: ``"NaN"``, ``"Infinity"``.
        """
        local = datetime.fromtimestamp(self.time).astimezone()
        row: dict[str, Any] = {
            "date": f"{local:%Y-%m-%d}",
            "time": f"{local:%H:%M:%S}.{local.microsecond // 1000:03}",
            "host": self.host,
            "user": self.user,
            "pv": self.pv,
            "new": _plain(self.new),
            "old": _plain(self.old),
            "utc": timestamps.from_posix(self.time),
            "address": self.address,
            "outcome": self.outcome,
        }
        if self.reason:
            row["reason"] = self.reason
        if self.result is not None:
            names = ("op", "request", "revision", "serial")
            row |= {name: value for name in names if (value := getattr(self.result, name)) is not None}
        return strictjson.dumps(row)


def _plain(value: Any) -> Any:
    """Give a value as JSON has it; a text's bytes as text, one of several elements as itself."""
    if isinstance(value, (bytes, bytearray)):
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            return bytes(value).decode("latin-1")  # each byte is a character: nothing is lost
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, (str, int, float)):
        return value
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, Sequence):
        items = [_plain(item) for item in value]
        return items[0] if len(items) == 1 else items
    return str(value)
