"""The channel of one PV, with the type and metadata of the contract.

A put never changes the value of a channel: it is passed to the handler, and the channel shows only
what was posted. Each channel has its own alarm (a PVGroup of caproto shares one).
"""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import caproto as ca
from caproto import AccessRights, AlarmSeverity, AlarmStatus, ChannelType
from caproto._backend import convert_values
from caproto._utils import ConversionDirection

from ponikeeper.access.rules import Right
from ponikeeper.geometry.parameters import parse_number
from ponikeeper.protocol import Result
from ponikeeper.protocol.pvs import PV, Kind

Value = float | int | str


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """The identity of a client: user and host as it claims, and the address of its TCP connection."""

    user: str
    host: str
    address: str

    def __str__(self) -> str:
        text = f"{self.user or 'unknown'}@{self.host or self.address}"
        return "".join(char for char in text if char.isascii() and char.isprintable())[:80]


PutHandler = Callable[[Any, ClientIdentity], Awaitable[Result | None]]
"""Handles a put; returns the result of the request, if the put was one."""

_PLAIN = {
    ChannelType.STRING, ChannelType.INT, ChannelType.FLOAT, ChannelType.ENUM,
    ChannelType.CHAR, ChannelType.LONG, ChannelType.DOUBLE,
}  # fmt: skip
_BACKLOG = {Kind.TEXT: 4}
"""Updates kept for a slow client, per subscription; the newest is always among them."""


class _Channel:
    """Mixin of all channels of ponikeeper; precedes a caproto class in the bases."""

    level = 0
    """Access security level: that of a record's value."""

    def __init__(self, pv: PV, handler: PutHandler | None = None, **options: Any) -> None:
        self.pv = pv
        self._handler = handler
        self._fields: dict[str, Any] = {}
        self._published_at = 0.0
        options["reported_record_type"] = pv.record_type
        options["max_subscription_backlog"] = _BACKLOG.get(pv.kind, 32)
        super().__init__(**options)

    def access_rights(self, right: Right) -> AccessRights:
        """Return the CA access rights of a client with a right; WRITE needs a handler, and a query only READ."""
        needed = Right.READ if self.pv.query_only else Right.WRITE
        offered = AccessRights.READ if right >= Right.READ else AccessRights.NO_ACCESS
        return offered | AccessRights.WRITE if self._handler and right >= needed else offered

    async def handle_put(self, data: Any, data_type: ChannelType, identity: ClientIdentity) -> Result | None:
        """Pass a put to the handler and return its result; the access rights were checked before.

        Raises
        ------
        RefusedError
            The handler refused the put.
        """
        assert self._handler is not None
        try:
            value = self._parsed(data, _plain(data_type))
        except (ValueError, TypeError, OverflowError, ca.CaprotoError) as error:
            value = error
        return await self._handler(value, identity)

    async def post(
        self,
        value: Value,
        timestamp: float,
        severity: AlarmSeverity = AlarmSeverity.NO_ALARM,
        status: AlarmStatus = AlarmStatus.NO_ALARM,
    ) -> None:
        """Publish a value with its alarm and time (s since 1970, never before the previous one) to all subscribers."""
        self._published_at = timestamp = max(timestamp, self._published_at)  # the clock may be set back
        await self.alarm.write(status=status, severity=severity, publish=False)  # type: ignore[attr-defined]
        await self.write(value, timestamp=timestamp, verify_value=False)  # type: ignore[attr-defined]

    def get_field(self, name: str) -> Any:
        """Return one of the few record fields that clients read; they are read-only.

        Raises
        ------
        KeyError
            There is no such field.
        """
        if name in ("", "VAL"):
            return self
        if name not in self._fields:
            self._fields[name] = self._make_field(name)
        return self._fields[name]

    def _make_field(self, name: str) -> Any:
        if name == "DESC":
            return _ReadOnlyString(value=self.pv.desc)
        if name == "EGU":
            return _ReadOnlyString(value=self.pv.units)
        if name == "RTYP":
            return _ReadOnlyString(value=self.pv.record_type)
        if name == "PREC" and self.pv.kind is Kind.DOUBLE:
            return _ReadOnlyShort(value=self.pv.precision)
        raise KeyError(name)

    def _parsed(self, data: Any, data_type: ChannelType) -> Any:
        """Convert received data to the type of the channel.

        Raises
        ------
        ValueError
            The data cannot be converted.
        """
        values = convert_values(
            values=data,
            from_dtype=data_type,
            to_dtype=self.data_type,  # type: ignore[attr-defined]
            string_encoding="latin-1",
            enum_strings=getattr(self, "enum_strings", None),
            direction=ConversionDirection.FROM_WIRE,
        )
        if len(values) != 1:
            raise ValueError(f"{len(values)} values for {self.pv.suffix}: expected one")
        return values[0]


class _ReadOnly:
    """Mixin of the record fields; precedes a caproto class in the bases."""

    level = 1

    def access_rights(self, right: Right) -> AccessRights:
        return AccessRights.READ if right >= Right.READ else AccessRights.NO_ACCESS


class _ReadOnlyString(_ReadOnly, ca.ChannelString):
    """A text field."""


class _ReadOnlyShort(_ReadOnly, ca.ChannelShort):
    """A number field."""


_NO_NUMBERS = ("nan", "inf", "+inf", "-inf")
"""Texts that caput sends for values that are not finite; they are refused as numbers, not as texts."""


class Double(_Channel, ca.ChannelDouble):
    """A number; NaN with INVALID alarm if there is no value."""

    def __init__(self, pv: PV, handler: PutHandler | None = None) -> None:
        limits: dict[str, float] = {}
        if pv.limits is not None:
            low, high = pv.limits
            limits = {
                "lower_ctrl_limit": low, "upper_ctrl_limit": high, "lower_disp_limit": low, "upper_disp_limit": high,
            }  # fmt: skip
        super().__init__(pv, handler, value=math.nan, units=pv.units, precision=pv.precision, **limits)

    def _parsed(self, data: Any, data_type: ChannelType) -> float:
        if data_type is not ChannelType.STRING:
            return float(super()._parsed(data, data_type))
        text = _text(data)
        try:
            return float(text) if text.strip().lower() in _NO_NUMBERS else parse_number(text)
        except ValueError:
            raise ValueError(f"{text!a} is not a number: expected a number of {self.pv.units}") from None


class Long(_Channel, ca.ChannelInteger):
    """A whole number."""

    def __init__(self, pv: PV, handler: PutHandler | None = None) -> None:
        super().__init__(pv, handler, value=0, units=pv.units)

    def _parsed(self, data: Any, data_type: ChannelType) -> int:
        value = _text(data) if data_type is ChannelType.STRING else super()._parsed(data, data_type)
        try:
            return int(value)
        except (ValueError, OverflowError):
            raise ValueError(f"{str(value)!a} is not a whole number") from None


class Enum(_Channel, ca.ChannelEnum):
    """An enum; a put may have the name of the state or its index."""

    def __init__(self, pv: PV, handler: PutHandler | None = None) -> None:
        super().__init__(pv, handler, value=pv.states[0], enum_strings=pv.states)

    def _parsed(self, data: Any, data_type: ChannelType) -> str:
        states = self.pv.states
        if data_type is ChannelType.STRING:
            text = _text(data).strip()
            if text in states:
                return text
            data = [int(text)] if text.isdigit() else [-1]
        index = int(data[0])
        if not 0 <= index < len(states):
            raise ValueError(f"{self.pv.suffix} has no such state: expected {', '.join(states)}")
        return states[index]


class String(_Channel, ca.ChannelString):
    """A text of at most 39 bytes."""

    def __init__(self, pv: PV, handler: PutHandler | None = None) -> None:
        super().__init__(pv, handler, value="")

    def _parsed(self, data: Any, data_type: ChannelType) -> str:
        if data_type is ChannelType.STRING:
            return _text(data)
        if data_type is ChannelType.CHAR:
            return _bytes(data).decode("latin-1")
        return str(super()._parsed(data, data_type))


class Text(_Channel, ca.ChannelChar):
    """A long text in a char waveform; a put arrives as bytes."""

    def __init__(self, pv: PV, handler: PutHandler | None = None) -> None:
        super().__init__(pv, handler, value="", max_length=pv.max_length)

    def _parsed(self, data: Any, data_type: ChannelType) -> bytes:
        if data_type is ChannelType.STRING:
            return _text(data).encode("latin-1")
        if data_type is not ChannelType.CHAR:
            raise ValueError(f"a put of type {data_type.name} is not accepted: expected a text")
        return _bytes(data)


_CLASSES: dict[Kind, Callable[[PV, PutHandler | None], Any]] = {
    Kind.DOUBLE: Double, Kind.LONG: Long, Kind.ENUM: Enum, Kind.STRING: String, Kind.TEXT: Text,
}  # fmt: skip


def make_channel(pv: PV, handler: PutHandler | None = None) -> Any:
    """Build the channel of a PV of the contract."""
    return _CLASSES[pv.kind](pv, handler)


def _plain(data_type: ChannelType) -> ChannelType:
    """Return the type if it carries only a value; the other types carry alarms and limits of the client."""
    if data_type not in _PLAIN:
        raise ValueError(f"a put of type {data_type.name} is not accepted: expected a plain value")
    return data_type


def _text(data: Any) -> str:
    """Return one CA string, given as bytes or text."""
    if len(data) != 1:
        raise ValueError(f"{len(data)} strings: expected one")
    item = data[0]
    return item.partition(b"\0")[0].decode("latin-1") if isinstance(item, bytes) else str(item).partition("\0")[0]


def _bytes(data: Any) -> bytes:
    """Return the bytes of a char waveform up to the first NUL, which some clients send."""
    raw = data if isinstance(data, (bytes, bytearray)) else bytes(int(item) & 0xFF for item in data)
    return bytes(raw).partition(b"\0")[0]
