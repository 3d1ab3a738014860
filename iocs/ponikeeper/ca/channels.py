"""The channel of one PV, with the type and metadata of the contract.

A put never changes the value of a channel: it is passed to the handler, and the channel shows only
what was posted. Each channel has its own alarm (a PVGroup of caproto shares one).
"""

import math
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import caproto as ca
from caproto import AccessRights, AlarmSeverity, AlarmStatus, ChannelType, TimeStamp

from ponikeeper.access.rules import Right
from ponikeeper.ca.record_fields import make_field
from ponikeeper.ca.server import ClientIdentity, Source, dbr, events_of
from ponikeeper.ca.server.messages import DBE_ALARM, DBE_LOG, DBE_VALUE
from ponikeeper.ca.server.names import PLAIN, Modifiers
from ponikeeper.ca.server.source import Encoded
from ponikeeper.geometry.parameters import parse_number
from ponikeeper.protocol import MAX_STRING_BYTES, Result
from ponikeeper.protocol.pvs import PV, Kind, setter_of

Value = float | int | str

PutHandler = Callable[[Any, ClientIdentity], Awaitable[Result | None]]
"""Handles a put; returns the result of the request, if the put was one."""


class _Channel(Source):
    """Mixin of all channels of ponikeeper; precedes a caproto class in the bases, which holds value, alarm and time."""

    _data: dict[str, Any]

    def __init__(self, pv: PV, handler: PutHandler | None = None, **options: Any) -> None:
        limits = pv.limits or (0.0, 0.0)
        metadata = dbr.Metadata(
            units=pv.units,
            precision=pv.precision,
            display_limits=limits,
            control_limits=limits,
            states=pv.states,
            record_type=pv.record_type,
        )
        Source.__init__(self, metadata, time.time)
        self.pv = pv
        self._handler = handler
        self._fields: dict[str, Source] = {}
        self._published_at = 0.0
        self._reading: dbr.Reading | None = None
        self._watchers: list[Callable[[], None]] = []
        super(Source, self).__init__(**options)  # type: ignore[call-arg]  # caproto's class

    def access_rights(self, right: Right) -> AccessRights:
        """Return the CA access rights of a client with a right; WRITE needs a handler, and a query only READ."""
        needed = Right.READ if self.pv.query_only else Right.WRITE
        offered = AccessRights.READ if right >= Right.READ else AccessRights.NO_ACCESS
        return offered | AccessRights.WRITE if self._handler and right >= needed else offered

    def read_only_because(self, name: str) -> str | None:  # noqa: ARG002  # the client may have used another name
        """Return why no client may put it, with the PV to put instead; None if some may."""
        if self._handler is not None:
            return None
        setter, prefix = setter_of(self.pv), self.name.removesuffix(self.pv.suffix)
        instead = f"put {prefix}{setter} instead" if setter else "no PV sets it directly"
        return f"{self.name} is a readback and cannot be put: {instead}"

    async def handle_put(self, data: list[Any] | bytes, data_type: int, identity: ClientIdentity) -> Result | None:
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

    async def handle_value(self, value: Value, identity: ClientIdentity) -> Result | None:
        """Pass a put of a value of this PV's own type to the handler, as `handle_put` does; of an enum, the index.

        Raises
        ------
        RefusedError
            The handler refused the put.
        """
        assert self._handler is not None
        if not isinstance(value, str):
            return await self.handle_put([value], self.native, identity)
        data, longest = value.encode(), MAX_STRING_BYTES if self.native == dbr.STRING else self.capacity
        if len(data) > longest:
            return await self._handler(ValueError(f"{len(data)} bytes: expected at most {longest}"), identity)
        return await self.handle_put(data if self.native == dbr.CHAR else [data], self.native, identity)

    def watch(self, watcher: Callable[[], None]) -> None:
        """Register a function that is called after each update that subscribers get."""
        self._watchers.append(watcher)

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Remove a function that was registered."""
        self._watchers.remove(watcher)

    def post(
        self,
        value: Value,
        timestamp: float,
        severity: AlarmSeverity = AlarmSeverity.NO_ALARM,
        status: AlarmStatus = AlarmStatus.NO_ALARM,
        *,
        only_changes: bool = False,
    ) -> None:
        """Publish a value with its alarm to all subscribers.

        Parameters
        ----------
        value
            Of the type of the PV.
        timestamp
            Seconds since 1970; at least the previous one, unless that lies ahead of the clock, which was set back.
        severity, status
            Its alarm.
        only_changes
            Whether subscribers are informed only if value or alarm have changed.
        """
        old = self.reading() if self._watchers or self.has_subscriptions() else None
        alarm = self._alarm_data()
        alarm["status"], alarm["severity"] = status, severity
        self._store(value, timestamp)
        if old is None:
            self.forget_encodings()
        else:
            events = events_of(old, self.reading())
            events = events if only_changes else events | DBE_VALUE | DBE_LOG
            self.notify(events)
            for watcher in self._watchers if events else ():
                watcher()
        for field in self._fields.values():
            field.notify(DBE_VALUE | DBE_LOG | DBE_ALARM)

    def _store(self, value: Value, timestamp: float) -> None:
        if self._published_at <= self.clock():
            timestamp = max(timestamp, self._published_at)
        self._published_at = timestamp
        self._data["value"] = self.preprocess_value(value)  # type: ignore[attr-defined]
        self._data["timestamp"] = TimeStamp(*dbr.stamp_of(timestamp))
        self._reading = None

    def reading(self) -> dbr.Reading:
        """Return the value with alarm and time."""
        if self._reading is None:
            alarm, stamp = self._alarm_data(), self._data["timestamp"]
            self._reading = dbr.Reading(
                self.native, self._wire_value(), int(alarm["status"]), int(alarm["severity"]), stamp.secondsSinceEpoch,
                stamp.nanoSeconds,
            )  # fmt: skip
        return self._reading

    def _alarm_data(self) -> dict[str, Any]:
        return self.alarm._data  # type: ignore[attr-defined]

    def _wire_value(self) -> Any:
        return self._data["value"]

    def find_field(self, name: str) -> Source | None:
        """Return a field of the record, read-only; None if a record of this type has no such field."""
        if name not in self._fields:
            made = make_field(self, self.pv, name)
            if made is None:
                return None
            self._fields[name] = made
        return self._fields[name]

    def _parsed(self, data: Any, data_type: int) -> Any:  # noqa: ARG002
        """Convert received data to the type of the channel.

        Raises
        ------
        ValueError
            The data cannot be converted.
        """
        if len(data) != 1:
            raise ValueError(f"{len(data)} values for {self.pv.suffix}: expected one")
        return data[0]


_NO_NUMBERS = ("nan", "inf", "+inf", "-inf")
"""Texts that caput sends for values that are not finite; they are refused as numbers, not as texts."""


class Double(_Channel, ca.ChannelDouble):
    """A number; NaN with INVALID alarm if there is no value."""

    native = dbr.DOUBLE

    def __init__(self, pv: PV, handler: PutHandler | None = None) -> None:
        super().__init__(pv, handler, value=math.nan)

    def _parsed(self, data: Any, data_type: int) -> float:
        if data_type != dbr.STRING:
            return float(super()._parsed(data, data_type))
        text = _text(data)
        try:
            return float(text) if text.strip().lower() in _NO_NUMBERS else parse_number(text)
        except ValueError:
            raise ValueError(
                f"{text!a} is not a number{_number_meant(text)}: expected a number of {self.pv.units}"
            ) from None


class Clock(Double):
    """The present time (s since 1970): each get reads the clock, and subscribers get what is posted.

    Two gets of a server that is alive differ; those that a gateway answers from its cache do not.
    """

    def encode(self, data_type: int, count: int, modifiers: Modifiers = PLAIN) -> Encoded:
        """Return the present time as a DBR type."""
        now = self.clock()
        self._store(now, now)
        self.forget_encodings()
        return super().encode(data_type, count, modifiers)

    def beat(self) -> None:
        """Publish the present time to all subscribers."""
        now = self.clock()
        self.post(now, now)


def _number_meant(text: str) -> str:
    """Return what to type instead of a number with a comma or a unit."""
    match = re.fullmatch(r"\s*([-+0-9.,eE]*[0-9.])\s*([^\W\d_]*)\s*", text)
    if match is None:
        return ""
    try:
        number = parse_number(match[1].replace(",", "."))
    except ValueError:
        return ""
    return f" (type it without a unit: {number:g})" if match[2] else f" (did you mean {number:g}?)"


class Long(_Channel, ca.ChannelInteger):
    """A whole number."""

    native = dbr.LONG

    def __init__(self, pv: PV, handler: PutHandler | None = None) -> None:
        super().__init__(pv, handler, value=0)

    def _parsed(self, data: Any, data_type: int) -> int:
        value = _text(data) if data_type == dbr.STRING else super()._parsed(data, data_type)
        try:
            return int(value)
        except (ValueError, OverflowError):
            raise ValueError(f"{str(value)!a} is not a whole number") from None


class Enum(_Channel, ca.ChannelEnum):
    """An enum; a put may have the name of the state or its index."""

    native = dbr.ENUM

    def __init__(self, pv: PV, handler: PutHandler | None = None) -> None:
        super().__init__(pv, handler, value=pv.states[0], enum_strings=pv.states)

    def _wire_value(self) -> int:
        value = self._data["value"]
        return self.pv.states.index(value) if isinstance(value, str) else int(value)

    def _parsed(self, data: Any, data_type: int) -> str:
        states = self.pv.states
        if data_type == dbr.STRING:
            text = _text(data).strip()
            if text in states:
                return text
            data = [int(text)] if text.isdigit() else [-1]
        index = int(data[0]) if data else -1
        if not 0 <= index < len(states):
            raise ValueError(f"there is no such state: expected {', '.join(states)}")
        return states[index]


class String(_Channel, ca.ChannelString):
    """A text of at most 39 bytes."""

    native = dbr.STRING

    def __init__(self, pv: PV, handler: PutHandler | None = None) -> None:
        super().__init__(pv, handler, value="")

    def _parsed(self, data: Any, data_type: int) -> str:
        if data_type == dbr.STRING:
            return _text(data)
        if data_type == dbr.CHAR:
            return _bytes(data).decode("latin-1")
        value = super()._parsed(data, data_type)
        return f"{value:.15g}" if isinstance(value, float) else str(value)


class Text(_Channel, ca.ChannelChar):
    """A long text in a char waveform; a put arrives as bytes."""

    native = dbr.CHAR

    def __init__(self, pv: PV, handler: PutHandler | None = None) -> None:
        super().__init__(pv, handler, value="", max_length=pv.max_length)
        self.capacity = pv.max_length

    def _wire_value(self) -> bytes:
        value = self._data["value"]
        text = value[0] if isinstance(value, list) and value else value or ""
        data = text if isinstance(text, bytes) else str(text).encode("latin-1", "replace")
        return data[: self.capacity]

    def _parsed(self, data: Any, data_type: int) -> bytes:
        if data_type == dbr.STRING:
            return _text(data).encode("latin-1")
        if data_type != dbr.CHAR:
            raise ValueError(f"a put of type {ChannelType(data_type).name} is not accepted: expected a text")
        return _bytes(data)


_CLASSES: dict[Kind, Callable[[PV, PutHandler | None], Any]] = {
    Kind.DOUBLE: Double, Kind.LONG: Long, Kind.ENUM: Enum, Kind.STRING: String, Kind.TEXT: Text,
}  # fmt: skip


def make_channel(pv: PV, handler: PutHandler | None = None) -> Any:
    """Build the channel of a PV of the contract."""
    return _CLASSES[pv.kind](pv, handler)


def _plain(data_type: int) -> int:
    """Return the type if it carries only a value; the other types carry alarms and limits of the client."""
    if data_type > dbr.DOUBLE:
        raise ValueError(f"a put of type {ChannelType(data_type).name} is not accepted: expected a plain value")
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
