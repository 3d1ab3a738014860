"""A put as one line of JSON, with the keys of caPutJsonLog and additional ones. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from ponikeeper.protocol import Result
from ponikeeper.text import strictjson, timestamps

Outcome = Literal["accepted", "refused", "denied"]


@dataclass(frozen=True, slots=True)
class Put:
    """A put of a client, with its outcome.

    Parameters
    ----------
    time
        Time of the reply (s since 1970).
    user, host
        As the client claims; neither protocol checks them. PVAccess does not tell the host.
    address
        Address of the client.
    pv
        Name of the PV.
    new, old
        The value that was put, as received, and the value of the PV before.
    outcome
        ``denied`` by the access rules, else the outcome of the request.
    reason
        Why it was not accepted, not shortened.
    result
        Result of the request, where one was accepted.
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
        """Format the put as one line, nothing shortened.

        The keys ``date``, ``time`` (local), ``host``, ``user``, ``pv``, ``new`` and ``old`` are those of
        caPutJsonLog, as are the texts for numbers that JSON cannot express: ``"NaN"``, ``"Infinity"``.
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
    """Convert a value to plain JSON types; bytes to text, an array of one element to that element, fields by name."""
    if isinstance(value, (bytes, bytearray)):
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            return bytes(value).decode("latin-1")  # each byte is a character: nothing is lost
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, (str, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, Sequence):
        items = [_plain(item) for item in value]
        return items[0] if len(items) == 1 else items
    return str(value)
