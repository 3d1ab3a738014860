"""The fields of a record, read-only: those that clients and screens read of a record of the same type in EPICS base."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, cast

from caproto import AccessRights, AlarmStatus

from ponikeeper.access.rules import Right
from ponikeeper.ca.server import Source, dbr
from ponikeeper.protocol.pvs import PV, Kind

_SEVERITIES = ("NO_ALARM", "MINOR", "MAJOR", "INVALID")
_STATUSES = tuple(status.name for status in AlarmStatus)
_YES_NO = ("NO", "YES")
_SCANS = (
    "Passive", "Event", "I/O Intr", "10 second", "5 second", "2 second", "1 second", ".5 second", ".2 second",
    ".1 second",
)  # fmt: skip
_STATE_PREFIXES = ("ZR", "ON", "TW", "TH", "FR", "FV", "SX", "SV", "EI", "NI", "TE", "EL", "TV", "TT", "FT", "FF")


@dataclass(frozen=True, slots=True)
class _Fixed:
    """A field whose value never changes."""

    native: int
    value: Any = 0
    states: tuple[str, ...] = ()


_NONE = _Fixed(dbr.STRING, "")
_ZERO, _CHAR_ZERO, _DOUBLE_ZERO = _Fixed(dbr.SHORT), _Fixed(dbr.CHAR, b"\0"), _Fixed(dbr.DOUBLE, 0.0)
_NO_ALARM = _Fixed(dbr.ENUM, 0, _SEVERITIES)

_COMMON: Mapping[str, _Fixed] = MappingProxyType(
    {
        "SCAN": _Fixed(dbr.ENUM, 0, _SCANS), "PINI": _Fixed(dbr.ENUM, 0, _YES_NO), "PHAS": _ZERO, "EVNT": _NONE,
        "TSE": _ZERO, "TSEL": _NONE, "DTYP": _Fixed(dbr.ENUM, 0, ("Soft Channel",)), "DISV": _Fixed(dbr.SHORT, 1),
        "DISA": _ZERO, "SDIS": _NONE, "DISP": _CHAR_ZERO, "PROC": _CHAR_ZERO, "DISS": _NO_ALARM, "LCNT": _CHAR_ZERO,
        "PACT": _CHAR_ZERO, "PUTF": _CHAR_ZERO, "RPRO": _CHAR_ZERO,
        "PRIO": _Fixed(dbr.ENUM, 0, ("LOW", "MEDIUM", "HIGH")),
        "TPRO": _CHAR_ZERO, "FLNK": _NONE, "ASG": _NONE, "NSTA": _Fixed(dbr.ENUM, 0, _STATUSES), "NSEV": _NO_ALARM,
        "ACKS": _NO_ALARM, "ACKT": _Fixed(dbr.ENUM, 1, _YES_NO), "SIML": _NONE, "SIOL": _NONE, "SIMS": _NO_ALARM,
        "SIMM": _Fixed(dbr.ENUM, 0, _YES_NO),
    }
)  # fmt: skip

_STRING_SIZES = {"NAME": 61, "DESC": 41, "ASG": 29, "EGU": 16, **{f"{prefix}ST": 26 for prefix in _STATE_PREFIXES}}
"""Of the fields that are no 40 characters long in EPICS base."""

_ALARM_LIMITS = ("HHSV", "HSV", "LSV", "LLSV")


def make_field(record: Source, pv: PV, name: str) -> Source | None:
    """Build a field of a record.

    Parameters
    ----------
    record
        The value of the record.
    pv
        Its row of the contract.
    name
        In capitals, without the dot.

    Returns
    -------
    Source or None
        The field; None if records of this type do not have it.
    """
    live = _LIVE.get(name)
    if live is not None and (name != "NORD" or pv.kind is Kind.TEXT):
        return _Field(record, name, live.native, lambda: live.read(record), live.states)
    fixed = _fixed_fields(pv).get(name)
    return None if fixed is None else _Field(record, name, fixed.native, lambda: fixed.value, fixed.states)


@dataclass(frozen=True, slots=True)
class _Live:
    """A field that changes with the record."""

    native: int
    read: Callable[[Source], Any]
    states: tuple[str, ...] = ()


_LIVE = MappingProxyType(
    {
        "NAME": _Live(dbr.STRING, lambda record: record.name),
        "SEVR": _Live(dbr.ENUM, lambda record: record.reading().severity, _SEVERITIES),
        "STAT": _Live(dbr.ENUM, lambda record: record.reading().status, _STATUSES),
        "UDF": _Live(dbr.CHAR, lambda record: bytes([record.reading().status == AlarmStatus.UDF])),
        "NORD": _Live(dbr.LONG, lambda record: len(cast("bytes", record.reading().value))),
    }
)


@functools.cache  # of the rows of the contract
def _fixed_fields(pv: PV) -> dict[str, _Fixed]:
    link = "OUT" if pv.record_type.endswith("o") or pv.record_type.endswith("out") else "INP"
    fields = {
        **_COMMON,
        "DESC": _Fixed(dbr.STRING, pv.desc),
        "RTYP": _Fixed(dbr.STRING, pv.record_type),
        "EGU": _Fixed(dbr.STRING, pv.units),  # of any type, for clients that ask every PV for it
        link: _NONE,
    }
    if pv.kind in (Kind.DOUBLE, Kind.LONG):
        fields |= _number_fields(pv)
    elif pv.kind is Kind.ENUM:
        fields |= _enum_fields(pv)
    elif pv.kind is Kind.TEXT:
        fields |= {
            "NELM": _Fixed(dbr.LONG, pv.max_length),
            "FTVL": _Fixed(dbr.ENUM, 1, ("STRING", "CHAR")),
            "PREC": _ZERO,
        }
    return fields


def _number_fields(pv: PV) -> dict[str, _Fixed]:
    zero = _DOUBLE_ZERO if pv.kind is Kind.DOUBLE else _Fixed(dbr.LONG)
    low, high = pv.limits or (0.0, 0.0)
    fields = dict.fromkeys(_ALARM_LIMITS, _NO_ALARM)
    fields |= dict.fromkeys(("HIHI", "HIGH", "LOW", "LOLO", "HYST", "MDEL", "ADEL"), zero)
    fields |= {
        "HOPR": replace(zero, value=type(zero.value)(high)),
        "LOPR": replace(zero, value=type(zero.value)(low)),
    }
    if pv.kind is Kind.DOUBLE:
        fields["PREC"] = _Fixed(dbr.SHORT, pv.precision)
    if pv.writable:
        fields |= {
            "DRVH": fields["HOPR"],
            "DRVL": fields["LOPR"],
            "OMSL": _Fixed(dbr.ENUM, 0, ("supervisory", "closed_loop")),
        }
    return fields


def _enum_fields(pv: PV) -> dict[str, _Fixed]:
    fields = {"NOBT": _ZERO, "UNSV": _NO_ALARM, "COSV": _NO_ALARM}
    for index, prefix in enumerate(_STATE_PREFIXES):
        name = pv.states[index] if index < len(pv.states) else ""
        fields[f"{prefix}ST"] = _Fixed(dbr.STRING, name)
        fields[f"{prefix}VL"] = _Fixed(dbr.LONG, index)
        fields[f"{prefix}SV"] = _NO_ALARM
    return fields


class _Field(Source):
    """One field of a record."""

    level = 1

    def __init__(
        self, record: Source, name: str, native: int, read: Callable[[], Any], states: tuple[str, ...]
    ) -> None:
        super().__init__(replace(record.metadata, states=states), record.clock)
        self.string_size = _STRING_SIZES.get(name, dbr.STRING_SIZE)
        self._record, self._read = record, read
        self.native = native

    def access_rights(self, right: Right) -> AccessRights:
        """Return the CA access rights of a client with a right: no field can be put."""
        return AccessRights.READ if right >= Right.READ else AccessRights.NO_ACCESS

    def read_only_because(self, name: str) -> str:
        """Return why no client may put it: no field can be put."""
        return f"{name} is a field of a record and cannot be put: no field of this IOC can"

    def reading(self) -> dbr.Reading:
        """Return the value of the field, with alarm and time of the record."""
        return self._record.reading()._replace(native=self.native, value=self._read())

    def find_field(self, name: str) -> Source | None:  # noqa: ARG002
        """Return None: a field has no fields."""
        return None
