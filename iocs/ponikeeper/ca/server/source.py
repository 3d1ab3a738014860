"""A source of values: one PV, with its subscriptions. A failure of one conversion or one client stays with it."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from caproto import AccessRights

from ponikeeper.access.identity import ClientIdentity
from ponikeeper.access.rules import Right
from ponikeeper.ca.server import dbr
from ponikeeper.ca.server.messages import (
    DBE_ALARM,
    DBE_LOG,
    DBE_VALUE,
    EVENT_ADD,
    EXTENDED_SIZE,
    GETFAIL,
    HEADER,
    NORMAL,
    message,
)
from ponikeeper.ca.server.names import PLAIN, Elements, Modifiers
from ponikeeper.protocol import Result

log = logging.getLogger(__name__)

_MAX_CACHED = 16
"""Encodings of one value that are kept: a client could request thousands of different counts."""

_SMALL, _LARGE = 512, 1 << 16
"""Longest encoding that is kept (bytes): without and with a subscription to it."""

_TURN, _FORM_COST, _SEND_COST = 1 << 17, 256, 16
"""Bytes that a change of a value encodes at once, with what each form and each update adds to them.

The updates beyond that are sent in turns of their own.
"""


class Client(Protocol):
    """The circuit of a client."""

    def takes_updates(self) -> bool:
        """Return whether the client reads, and wants updates now."""
        ...

    def send_update(self, subscription: "Subscription", encoded: "Encoded") -> None:
        """Send an update now; an older one that waits is not sent."""
        ...

    def send_later(self, subscription: "Subscription") -> None:
        """Send the newest value of a subscription when the client takes it, in a turn of its own."""
        ...


@dataclass(eq=False, slots=True)
class Subscription:
    """The subscription of one client to one PV.

    Parameters
    ----------
    client
        Receives the updates.
    id
        The client's number of the subscription.
    data_type, count
        DBR type and number of elements of the updates; 0 for all elements.
    mask
        The events that it wants: ``DBE_VALUE``, ``DBE_LOG``, ``DBE_ALARM``, ``DBE_PROPERTY``.
    modifiers
        The modifiers of its channel.
    """

    client: Client
    id: int
    data_type: int
    count: int
    mask: int
    modifiers: Modifiers = PLAIN
    key: "_Key" = field(init=False)
    _last: float | None = field(default=None, init=False)
    _passed: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.key = _key(self.data_type, self.count, self.modifiers)

    def passes(self, value: object) -> bool:
        """Return whether the filters let an update with this value pass, and remember it."""
        modifiers = self.modifiers
        if modifiers.deadband is not None and isinstance(value, int | float):
            last = self._last
            if last is not None:
                scale = abs(last) / 100 if modifiers.relative else 1.0
                if abs(value - last) <= modifiers.deadband * scale:
                    return False
            self._last = float(value)
        self._passed += 1
        return (self._passed - 1) % modifiers.decimate == 0


@dataclass(frozen=True, slots=True)
class Encoded:
    """A value as one DBR type: what the updates and answers of all clients have in common."""

    data_type: int
    count: int
    status: int
    payload: bytes

    def update(self, subscription_id: int) -> bytes:
        """Write the update of one subscription."""
        size = len(self.payload)
        if size < EXTENDED_SIZE and self.count < EXTENDED_SIZE:
            return HEADER.pack(EVENT_ADD, size, self.data_type, self.count, self.status, subscription_id) + self.payload
        return message(EVENT_ADD, self.data_type, self.count, self.status, subscription_id, self.payload)


_Key = tuple[int, int, Elements | None, bool, bool]


def _key(data_type: int, count: int, modifiers: Modifiers) -> _Key:
    """Return what an encoding depends on besides the value."""
    return data_type, count, modifiers.elements, modifiers.now, modifiers.long_string


class Source:
    """The value of a PV, encoded once for all clients that request it in the same form.

    Parameters
    ----------
    metadata
        What the PV has besides its value.
    clock
        Returns the present time (s since 1970), for the filter ``ts``.
    """

    def __init__(self, metadata: dbr.Metadata, clock: Callable[[], float]) -> None:
        self.name = ""
        self.metadata = metadata
        self.clock = clock
        self._encoded: dict[_Key, Encoded] = {}
        self._subscriptions: dict[_Key, dict[Subscription, None]] = {}

    string_size = dbr.STRING_SIZE
    """Characters of a string as a long string, with the NUL at its end."""

    level = 0
    """Access security level: 0 for the value of a record, 1 for its other fields."""
    native = dbr.DOUBLE
    """Its type: one of the seven plain DBR types."""
    capacity = 1
    """Number of elements that it can have."""

    def allows(self, modifiers: Modifiers) -> bool:
        """Return whether the PV can be sent so: only texts can be long strings."""
        return not modifiers.long_string or self.native in (dbr.STRING, dbr.CHAR)

    def shape(self, modifiers: Modifiers) -> tuple[int, int]:
        """Return type and number of elements of a channel with some modifiers, as clients are told."""
        native, capacity = self.native, self.capacity
        if modifiers.long_string and native == dbr.STRING:
            native, capacity = dbr.CHAR, self.string_size
        if modifiers.elements is not None and capacity > 1:
            capacity = len(modifiers.elements.of(capacity))
        return native, capacity

    def find_field(self, name: str) -> "Source | None":
        """Return a field of the record; None if it has no such field."""
        raise NotImplementedError

    def reading(self) -> dbr.Reading:
        """Return the value with alarm and time."""
        raise NotImplementedError

    def access_rights(self, right: Right) -> AccessRights:
        """Return the CA access rights of a client with a right."""
        raise NotImplementedError

    def present(self) -> object:
        """Return the present value, as the put log has it."""
        return self.reading().value

    def read_only_because(self, name: str) -> str | None:
        """Return why no client may ever put the PV, with what to do instead; None if the access rules decide.

        Parameters
        ----------
        name
            As the client created the channel.

        Returns
        -------
        str or None
        """
        raise NotImplementedError

    async def handle_put(self, data: list[Any] | bytes, data_type: int, identity: ClientIdentity) -> Result | None:
        """Handle a put of a client that may write; return the result of the request, if it was one."""
        raise NotImplementedError

    def encode(self, data_type: int, count: int, modifiers: Modifiers = PLAIN) -> Encoded:
        """Return the value as a DBR type; one that cannot be converted is zeros with the status GETFAIL.

        Parameters
        ----------
        data_type
            0 to 38.
        count
            Number of elements; 0 for all.
        modifiers
            The modifiers of the channel.

        Returns
        -------
        Encoded
            The value.
        """
        return self._encode(_key(data_type, count, modifiers))

    def add_subscription(self, subscription: Subscription) -> int:
        """Add a subscription, and send it the present value; return the bytes of that."""
        key = subscription.key
        self._subscriptions.setdefault(key, {})[subscription] = None
        if subscription.modifiers is not PLAIN:
            subscription.passes(self.reading().value)  # the first value always does
        client = subscription.client
        if not client.takes_updates():
            client.send_later(subscription)
            return 0
        encoded = self._encode(key)
        client.send_update(subscription, encoded)
        return len(encoded.payload)

    def remove_subscription(self, subscription: Subscription) -> None:
        """Remove a subscription."""
        key = subscription.key
        subscriptions = self._subscriptions.get(key, {})
        subscriptions.pop(subscription, None)
        if not subscriptions:
            self._subscriptions.pop(key, None)
            self._encoded.pop(key, None)

    def has_subscriptions(self) -> bool:
        """Return whether any client has subscribed."""
        return bool(self._subscriptions)

    def forget_encodings(self) -> None:
        """Drop what was encoded, after the value has changed."""
        self._encoded.clear()

    def notify(self, events: int) -> None:
        """Send the value to the subscriptions that want these events, after it has changed."""
        self.forget_encodings()
        value, budget = None, _TURN
        for key, subscriptions in self._subscriptions.items():
            encoded = None
            for subscription in subscriptions:
                if not subscription.mask & events:
                    continue
                if subscription.modifiers is not PLAIN:
                    value = self.reading().value if value is None else value
                    if not subscription.passes(value):
                        continue
                client = subscription.client
                if budget <= 0 or not client.takes_updates():
                    client.send_later(subscription)
                    continue
                if encoded is None:
                    encoded = self._encode(key)
                    budget -= _FORM_COST + len(encoded.payload)
                client.send_update(subscription, encoded)
                budget -= _SEND_COST

    def _encode(self, key: _Key) -> Encoded:
        encoded = self._encoded.get(key)
        if encoded is not None:
            return encoded
        data_type, count, elements, now, long_string = key
        status = NORMAL
        try:
            reading = self.reading()
            if long_string and isinstance(reading.value, str):
                reading = reading._replace(native=dbr.CHAR, value=reading.value.encode("latin-1", "replace") + b"\0")
            if elements is not None and isinstance(reading.value, bytes):
                indices = elements.of(len(reading.value))
                reading = reading._replace(value=bytes(reading.value[index] for index in indices))
            if now:
                seconds, nanoseconds = dbr.stamp_of(self.clock())
                reading = reading._replace(seconds=seconds, nanoseconds=nanoseconds)
            count, payload = dbr.encode(reading, self.metadata, data_type, count)
        except dbr.GetFailedError:
            status, (count, payload) = GETFAIL, dbr.encode_failure(data_type, count)
        except Exception:  # a defect of ours costs this update, not the server
            log.exception("the value of %s cannot be sent as type %d", self.name, data_type)
            status, (count, payload) = GETFAIL, dbr.encode_failure(data_type, count)
        encoded = Encoded(data_type, count, status, payload)
        is_wanted = len(payload) <= (_LARGE if key in self._subscriptions else _SMALL)
        if is_wanted and not now and len(self._encoded) < _MAX_CACHED:
            self._encoded[key] = encoded
        return encoded


def events_of(old: dbr.Reading, new: dbr.Reading) -> int:
    """Return the events that a change of the reading is: of its value, of its alarm, of both or of neither."""
    events = 0 if _is_same(old.value, new.value) else DBE_VALUE | DBE_LOG
    if (old.status, old.severity) != (new.status, new.severity):
        events |= DBE_ALARM
    return events


def _is_same(old: object, new: object) -> bool:
    """Return whether two values are the same to the bit."""
    if isinstance(old, float) and isinstance(new, float):
        if math.isnan(old) or math.isnan(new):
            return math.isnan(old) and math.isnan(new)
        return old == new and math.copysign(1, old) == math.copysign(1, new)
    return old == new
