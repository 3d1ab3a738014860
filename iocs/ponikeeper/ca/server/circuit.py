"""The circuit of one client: its channels, subscriptions and puts, with the commands of the CA protocol.

What a command does wrong is answered as EPICS base answers it; a client that breaks the protocol is disconnected.
"""

import functools
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from caproto import AccessRights

from ponikeeper.access.identity import ClientIdentity
from ponikeeper.access.rules import Right
from ponikeeper.ca.server import dbr
from ponikeeper.ca.server import messages as m
from ponikeeper.ca.server.messages import Header
from ponikeeper.ca.server.names import Modifiers
from ponikeeper.ca.server.put_queue import Channel, PutQueue, PutServer
from ponikeeper.ca.server.source import Encoded, Source, Subscription
from ponikeeper.ca.server.stream import HIGH_WATER, Stream, Turn

MAX_VALUE_BYTES = 1 << 20
"""Longest value that is made (bytes): more than the longest text as an array of strings."""

_MAX_CHANNELS = 50_000
"""Channels, and subscriptions, of one client."""

_NO_CHANNEL = 0xFFFFFFFF
_CHEAP, _READ_COST, _PUT_COST = 1, 4, 32
_BYTES_PER_COST = 256
"""Bytes that are made or parsed at the cost of one cheap message."""

_RIGHTS_PER_TURN = 2000
"""Channels whose rights are looked up in one turn."""
_MASK = struct.Struct(">12xH")


class Access(Protocol):
    """The access rules."""

    def right(self, user: str, address: str, level: int = 0) -> Right:
        """Return the right of a client for fields of an access security level."""
        ...


class CircuitServer(PutServer, Protocol):
    """What a circuit needs of the server."""

    access: Access
    tcp_port: int
    turn: Turn
    update_turn: Turn

    def find(self, name: str) -> tuple[Source, Modifiers] | None:
        """Return the PV of a channel name, and its modifiers."""
        ...

    def add_circuit(self, circuit: "Circuit") -> bool:
        """Add a client; False if there are too many."""
        ...

    def discard_circuit(self, circuit: "Circuit") -> None:
        """Remove a client."""
        ...


class Circuit(Stream):
    """One client's connection."""

    def __init__(self, server: CircuitServer) -> None:
        super().__init__(server.turn)
        self._server = server
        self.channels: dict[int, Channel] = {}
        self._subscriptions: dict[int, tuple[Channel, Subscription]] = {}
        self._late: OrderedDict[Subscription, None] = OrderedDict()
        self._late_planned = False
        self._unchecked: list[Channel] = []
        self._right_of_level: dict[int, Right] = {}
        self._puts = PutQueue(server, self.send, self.resume)
        self._events_off = False
        self._next_sid = 0
        self.identity = ClientIdentity("", "", "")

    def on_connected(self) -> None:
        """Send the version, as EPICS base does."""
        host, port, *_ = self.transport.get_extra_info("peername") or ("", 0)
        self.address = (host, port)
        self.identity = ClientIdentity("", "", host)
        if not self._server.add_circuit(self):
            self.abort()
            return
        self.send(m.message(m.VERSION, 0, m.MINOR_VERSION, 0, 0))

    def on_disconnected(self) -> None:
        """End all subscriptions; a put that runs is finished, since it may be on disk already."""
        for channel, subscription in self._subscriptions.values():
            channel.source.remove_subscription(subscription)
        self._subscriptions.clear()
        self._late.clear()
        self._unchecked.clear()
        self.channels.clear()
        self._server.discard_circuit(self)

    def count_subscriptions(self) -> int:
        """Return the number of monitors of the client."""
        return len(self._subscriptions)

    def must_wait(self) -> bool:
        """Return whether the next message must wait."""
        return self.full or self.out_size >= HIGH_WATER or self._puts.full

    def takes_updates(self) -> bool:
        """Return whether the client reads, and wants updates now."""
        return not (self.full or self._events_off or self.out_size >= HIGH_WATER)

    def send_update(self, subscription: Subscription, encoded: Encoded) -> None:
        """Send an update now; an older one that waits is not sent."""
        if self._late:
            self._late.pop(subscription, None)
        self.send(encoded.update(subscription.id))

    def send_later(self, subscription: Subscription) -> None:
        """Send the newest value of a subscription when the client takes it, in a turn of its own."""
        self._late[subscription] = None
        self.on_writable()

    def on_writable(self) -> None:
        """Send the updates that wait, as soon as it is this client's turn."""
        if self._late and not self._late_planned and not self.closed and self.takes_updates():
            self._late_planned = True
            self._server.update_turn.wait(self._send_late)

    def _send_late(self) -> None:
        """Send updates that waited, as many as the client reads, and not too many in one turn."""
        self._late_planned = False
        share = budget = self._server.update_turn.share()
        while self._late and budget > 0 and not self.closed and self.takes_updates():
            subscription, _ = self._late.popitem(last=False)
            channel, _ = self._subscriptions[subscription.id]
            encoded = self._value(channel, subscription.data_type, subscription.count)
            self.send(encoded.update(subscription.id))
            budget -= _CHEAP + len(encoded.payload) // _BYTES_PER_COST
        self._server.update_turn.spend(share - budget)
        self.on_writable()

    def update_access_rights(self) -> int:
        """Look up the rights of the client again, and send it those that have changed.

        Returns
        -------
        int
            Number of channels that this concerns.
        """
        old, self._right_of_level = self._right_of_level, {}
        if all(self._right(level) is right for level, right in old.items()):
            return 0
        self._unchecked = list(self.channels.values())
        self._update_rights()
        return len(self.channels)

    def _update_rights(self) -> None:
        """Send rights that have changed, of so many channels in one turn; puts do not wait for it."""
        for channel in self._unchecked[:_RIGHTS_PER_TURN]:
            if channel.sid not in self.channels:
                continue
            old = channel.rights
            channel.set_rights(self._rights(channel.source))
            if channel.rights == old:
                continue
            self.send(m.message(m.ACCESS_RIGHTS, 0, 0, channel.cid, int(channel.rights)))
            if (channel.rights ^ old) & AccessRights.READ:
                for subscription in list(channel.subscriptions.values()):
                    self._begin_updates(channel, subscription)
        del self._unchecked[:_RIGHTS_PER_TURN]
        if self._unchecked:
            self.loop.call_soon(self._update_rights)

    def handle(self, header: Header, payload: bytes) -> int:
        """Handle one message and return its cost."""
        handler = _HANDLERS.get(header.command)
        if handler is None:
            self._end(header, "invalid request code")
            return _CHEAP
        return handler(self, header, payload) or _CHEAP

    def _rights(self, source: Source) -> AccessRights:
        return source.access_rights(self._right(source.level))

    def _right(self, level: int) -> Right:
        """Return the right of the client for fields of a level, which is looked up once."""
        right = self._right_of_level.get(level)
        if right is None:
            identity = self.identity
            right = self._server.access.right(identity.user, identity.address, level)
            self._right_of_level[level] = right
        return right

    def _end(self, header: Header, text: str, cid: int = _NO_CHANNEL, status: int = m.INTERNAL) -> None:
        """Report an error and disconnect the client, which does not keep to the protocol."""
        self.send(m.error(header, cid, status, text))
        self.close()

    def _channel(self, header: Header) -> Channel | None:
        channel = self.channels.get(header.parameter1)
        if channel is None:
            self._end(header, f"there is no channel {header.parameter1}")
        return channel

    def _ignore(self, header: Header, payload: bytes) -> None:
        """Ignore a message that needs no reply."""

    def _echo(self, header: Header, payload: bytes) -> None:
        self.send(m.message(header.command, *header[2:], payload))

    def _search(self, header: Header, payload: bytes) -> int:
        """Answer a search that came by TCP, from a client with ``EPICS_CA_NAME_SERVERS``."""
        if self._server.find(m.text_of(payload)) is not None:
            self.send(m.message(m.SEARCH, self._server.tcp_port, 0, _NO_CHANNEL, header.parameter2))
        elif header.data_type == m.DO_REPLY:
            self.send(m.message(m.NOT_FOUND, *header[2:]))
        return _READ_COST

    def _set_user(self, header: Header, payload: bytes) -> int:  # noqa: ARG002
        return self._set_identity(replace(self.identity, user=m.text_of(payload)))

    def _set_host(self, header: Header, payload: bytes) -> int:  # noqa: ARG002
        return self._set_identity(replace(self.identity, host=m.text_of(payload)))

    def _set_identity(self, identity: ClientIdentity) -> int:
        if identity == self.identity:
            return _CHEAP
        self.identity = identity
        return _PUT_COST + self.update_access_rights()

    def _create(self, header: Header, payload: bytes) -> int:
        found = self._server.find(m.text_of(payload)) if len(self.channels) < _MAX_CHANNELS else None
        cid = header.parameter1
        if found is None:
            self.send(m.message(m.CREATE_FAILED, 0, 0, cid, 0))
            return _READ_COST
        source, modifiers = found
        self._next_sid += 1
        channel = Channel(m.text_of(payload), cid, self._next_sid, source, modifiers, self._rights(source))
        self.channels[channel.sid] = channel
        native, count = source.shape(modifiers)
        self.send(m.message(m.ACCESS_RIGHTS, 0, 0, cid, int(channel.rights)))
        self.send(m.message(m.CREATE_CHANNEL, native, count, cid, channel.sid))
        return 2 * _READ_COST

    def _clear(self, header: Header, payload: bytes) -> None:  # noqa: ARG002
        channel = self._channel(header)
        if channel is None:
            return
        for subscription in list(channel.subscriptions.values()):
            self._drop(channel, subscription)
        del self.channels[channel.sid]
        self.send(m.message(m.CLEAR_CHANNEL, 0, 0, channel.sid, channel.cid))

    def _read(self, header: Header, payload: bytes) -> int:  # noqa: ARG002
        channel = self._channel(header)
        if channel is None or self._is_impossible(channel, header):
            return _READ_COST
        if not channel.puts:
            return self._reply_read(channel, header)
        size = dbr.payload_size(header.data_type, header.data_count or channel.source.capacity)
        self._puts.after_put(channel, functools.partial(self._reply_read, channel, header), size)
        return _READ_COST

    def _reply_read(self, channel: Channel, header: Header) -> int:
        """Reply to a read, and return its cost."""
        encoded = self._value(channel, header.data_type, header.data_count)
        first = encoded.status if header.command == m.READ_NOTIFY else channel.cid
        if header.command == m.READ and encoded.status != m.NORMAL:
            self.send(m.error(header, channel.cid, encoded.status, channel.name))
        else:
            self.send(
                m.message(header.command, header.data_type, encoded.count, first, header.parameter2, encoded.payload)
            )
        return _READ_COST + len(encoded.payload) // _BYTES_PER_COST

    def _value(self, channel: Channel, data_type: int, count: int) -> Encoded:
        """Return the value as the client may see it."""
        if channel.readable:
            return channel.source.encode(data_type, count, channel.modifiers)
        return Encoded(data_type, *_no_access(data_type, count))

    def _is_impossible(self, channel: Channel, header: Header) -> bool:
        """Refuse a type that there is not, and more elements than are ever sent."""
        if header.data_type > dbr.LAST_TYPE:
            self._end(header, f"there is no type {header.data_type}", channel.cid, m.BADTYPE)
            return True
        if header.data_count > 1 and dbr.payload_size(header.data_type, header.data_count) > MAX_VALUE_BYTES:
            reason = f"{header.data_count} elements are more than {MAX_VALUE_BYTES} bytes: request 0, which means all"
            self.send(m.error(header, channel.cid, m.TOLARGE, reason))
            return True
        return False

    def _subscribe(self, header: Header, payload: bytes) -> int:
        channel = self._channel(header)
        if channel is None or self._is_impossible(channel, header):
            return _READ_COST
        mask = _MASK.unpack_from(payload)[0] if len(payload) >= _MASK.size else 0
        if not mask & (m.DBE_VALUE | m.DBE_LOG | m.DBE_ALARM | m.DBE_PROPERTY):
            self._end(header, f"{channel.name}: a subscription without events", channel.cid, m.BADMASK)
            return _READ_COST
        if len(self._subscriptions) >= _MAX_CHANNELS:
            self.send(m.error(header, channel.cid, m.ALLOCMEM, f"{_MAX_CHANNELS} subscriptions of one client"))
            return _READ_COST
        number = header.parameter2
        if number in self._subscriptions:
            self._drop(*self._subscriptions[number])
        subscription = Subscription(self, number, header.data_type, header.data_count, mask, channel.modifiers)
        self._subscriptions[number] = channel, subscription
        channel.subscriptions[number] = subscription
        return _READ_COST + self._begin_updates(channel, subscription) // _BYTES_PER_COST

    def _begin_updates(self, channel: Channel, subscription: Subscription) -> int:
        """Subscribe at the PV, and return the bytes of the first update; one without rights gets one that says so."""
        if channel.readable:
            return channel.source.add_subscription(subscription)
        channel.source.remove_subscription(subscription)
        self.send_later(subscription)
        return 0

    def _cancel(self, header: Header, payload: bytes) -> None:  # noqa: ARG002
        channel = self._channel(header)
        if channel is None:
            return
        subscription = channel.subscriptions.get(header.parameter2)
        if subscription is None:
            self._end(header, channel.name, channel.cid, m.BADMONID)
            return
        self._drop(channel, subscription)
        # EPICS base confirms with the type and the ids, without a value
        self.send(m.message(m.EVENT_ADD, header.data_type, header.data_count, channel.sid, header.parameter2))

    def _drop(self, channel: Channel, subscription: Subscription) -> None:
        channel.source.remove_subscription(subscription)
        channel.subscriptions.pop(subscription.id, None)
        self._subscriptions.pop(subscription.id, None)
        self._late.pop(subscription, None)

    def _switch_events(self, header: Header, payload: bytes) -> None:  # noqa: ARG002
        self._events_off = header.command == m.EVENTS_OFF
        if not self._events_off:
            self.on_writable()

    def _write(self, header: Header, payload: bytes) -> int:
        channel = self._channel(header)
        if channel is not None:
            if header.data_type > dbr.LAST_TYPE:
                self._end(header, f"there is no type {header.data_type}", channel.cid, m.BADTYPE)
            else:
                is_known = not self._unchecked  # otherwise the rights have just changed
                is_allowed = channel.writable if is_known else AccessRights.WRITE in self._rights(channel.source)
                self._puts.add(channel, header, payload, self.identity, is_allowed)
        return _PUT_COST + len(payload) // _BYTES_PER_COST


def _no_access(data_type: int, count: int) -> tuple[int, int, bytes]:
    """Return count, status and payload for a client that may not read."""
    count, payload = dbr.encode_failure(data_type, count or 1)
    return count, m.NORDACCESS, payload


_HANDLERS: dict[int, Callable[[Circuit, Header, bytes], int | None]] = {
    m.VERSION: Circuit._ignore,  # its priority means nothing here
    m.EVENT_ADD: Circuit._subscribe,
    m.EVENT_CANCEL: Circuit._cancel,
    m.READ: Circuit._read,
    m.WRITE: Circuit._write,
    m.SEARCH: Circuit._search,
    m.EVENTS_OFF: Circuit._switch_events,
    m.EVENTS_ON: Circuit._switch_events,
    m.READ_SYNC: Circuit._echo,
    m.CLEAR_CHANNEL: Circuit._clear,
    m.READ_NOTIFY: Circuit._read,
    m.CREATE_CHANNEL: Circuit._create,
    m.WRITE_NOTIFY: Circuit._write,
    m.CLIENT_NAME: Circuit._set_user,
    m.HOST_NAME: Circuit._set_host,
    m.ECHO: Circuit._echo,
}
