"""The puts of one client: one after another for each channel, and each answered once it is done."""

import asyncio
import logging
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from caproto import AccessRights

from ponikeeper.access.gate import Attempt, Gate
from ponikeeper.access.identity import ClientIdentity
from ponikeeper.ca.server import dbr
from ponikeeper.ca.server.eager import run_eagerly
from ponikeeper.ca.server.messages import NOWTACCESS, PUTFAIL, WRITE, Header, error, message
from ponikeeper.ca.server.names import Modifiers
from ponikeeper.ca.server.source import Source, Subscription

log = logging.getLogger(__name__)

MAX_OPEN_PUTS = 16
"""Puts of one client that are not finished, from which on its next messages wait."""

MAX_WAITING = 1 << 16
"""Bytes of the reads of one client that wait for its puts, from which on its next messages wait."""

_READ_WAIT = 0.25
"""How long a read waits for a put of the same client to the same channel, since a disk may not respond (s)."""


@dataclass(slots=True, eq=False)
class Channel:
    """One channel of a client.

    Parameters
    ----------
    name
        As the client created it.
    cid, sid
        Its numbers at the client and here.
    source
        The PV.
    modifiers
        Those of the name.
    rights
        What the client may do, as it was last informed.
    puts
        Its puts that are not finished; the first one runs.
    subscriptions
        By the client's numbers.
    """

    name: str
    cid: int
    sid: int
    source: Source
    modifiers: Modifiers
    rights: AccessRights
    readable: bool = field(init=False)
    """Whether the rights have READ, and WRITE: they are looked at for each message, and flags are slow."""

    writable: bool = field(init=False)

    puts: "list[_Put]" = field(default_factory=list)
    subscriptions: dict[int, Subscription] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.set_rights(self.rights)

    def set_rights(self, rights: AccessRights) -> None:
        """Set what the client may do."""
        self.rights = rights
        self.readable, self.writable = AccessRights.READ in rights, AccessRights.WRITE in rights


@dataclass(slots=True, eq=False)
class _Put:
    header: Header
    data: list[Any] | bytes
    identity: ClientIdentity
    is_allowed: bool
    when_done: list[Callable[[], None]] = field(default_factory=list)


class PutServer(Protocol):
    """What the queue needs of the server."""

    @property
    def gate(self) -> Gate:
        """What each put passes."""
        ...


class PutQueue:
    """The unfinished puts of one client.

    Parameters
    ----------
    server
        Has the gate.
    send
        Sends a reply.
    on_finished
        Called after each put.
    """

    def __init__(self, server: PutServer, send: Callable[[bytes], None], on_finished: Callable[[], None]) -> None:
        self._server, self._send, self._on_finished = server, send, on_finished
        self._loop = asyncio.get_running_loop()
        self._open = self._waiting = 0
        self.full = False
        """Whether the next message must wait."""

    def add(self, channel: Channel, header: Header, payload: bytes, identity: ClientIdentity, is_allowed: bool) -> None:
        """Run a put after those before it on its channel; other channels do not wait, since a disk may be slow.

        Parameters
        ----------
        channel
            The channel.
        header, payload
            The message.
        identity
            The client, as it was when the message came.
        is_allowed
            Whether it was allowed to write then.
        """
        channel.puts.append(_Put(header, _data(header, payload), identity, is_allowed))
        self._count(+1)
        if len(channel.puts) == 1:
            run_eagerly(self._run(channel), self._loop)

    def after_put(self, channel: Channel, reply: Callable[[], object], size: int) -> None:
        """Reply after the last put of a channel, or soon.

        caput reads the channel to print the new value.

        Parameters
        ----------
        channel
            The channel, which has a put.
        reply
            Sends the reply.
        size
            Of the reply, about (bytes).
        """
        done = False

        def once() -> None:
            nonlocal done
            if not done:
                done = True
                self._count(0, -size)
                reply()
                self._on_finished()

        self._count(0, size)
        channel.puts[-1].when_done.append(once)
        self._loop.call_later(_READ_WAIT, once)

    def _count(self, puts: int, waiting: int = 0) -> None:
        """Add to the numbers of unfinished puts and of waiting bytes."""
        self._open += puts
        self._waiting += waiting
        self.full = self._open >= MAX_OPEN_PUTS or self._waiting >= MAX_WAITING

    async def _run(self, channel: Channel) -> None:
        while channel.puts:
            put = channel.puts[0]
            try:
                await self._execute(channel, put)
            except Exception:  # every put ends, whatever happens
                log.exception("put to %s", channel.name)
            finally:
                channel.puts.pop(0)
                self._count(-1)
                for reply in put.when_done:
                    reply()
                self._on_finished()

    async def _execute(self, channel: Channel, put: _Put) -> None:
        header, source = put.header, channel.source
        attempt = Attempt(channel.name, put.data, put.identity, put.is_allowed)
        verdict = await self._server.gate.execute(
            source, attempt, lambda: source.handle_put(put.data, header.data_type, put.identity)
        )
        if verdict.outcome != "accepted":
            status = PUTFAIL if put.is_allowed else NOWTACCESS
            self._send(error(header, channel.cid, status, verdict.reason))
        elif header.command != WRITE:
            self._send(message(header.command, header.data_type, header.data_count, 1, header.parameter2))


def _data(header: Header, payload: bytes) -> list[Any] | bytes:
    """Read the elements of a put: bytes of a CHAR array, else a list; fewer than announced if the payload is short."""
    data_type = header.data_type
    if data_type > dbr.DOUBLE:
        return b""  # no type of a put that is accepted
    size = dbr.ITEM_SIZES[data_type]
    count = min(header.data_count, len(payload) // size)
    if data_type == dbr.CHAR:
        return payload[:count]
    if data_type == dbr.STRING:
        if header.data_count == 1:  # the string may be shorter than its 40 bytes
            return [payload[:size]] if payload else []
        return [payload[index * size : (index + 1) * size] for index in range(count)]
    code = {dbr.SHORT: "h", dbr.FLOAT: "f", dbr.ENUM: "H", dbr.LONG: "i", dbr.DOUBLE: "d"}[data_type]
    return list(struct.unpack_from(f">{count}{code}", payload))
