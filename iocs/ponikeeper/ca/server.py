"""caproto's asyncio server with corrections: each override names the defect of caproto 1.3 that it corrects."""

import asyncio
import logging
import socket
import time
import weakref
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, Protocol

import caproto as ca
from caproto.asyncio.server import Context as _Context
from caproto.asyncio.server import VirtualCircuit as _VirtualCircuit
from caproto.server.common import DisconnectedCircuit

from ponikeeper.access.rules import OPEN, Right
from ponikeeper.ca.channels import ClientIdentity
from ponikeeper.ca.element_counts import MAX_VALUE_BYTES, exceeds_limit, padded
from ponikeeper.errors import PonikeeperError
from ponikeeper.protocol import Result
from ponikeeper.putlog.entry import Outcome, Put

log = logging.getLogger(__name__)

_SWEEP_MIN = 1000
_READ_WAIT = 0.25
"""How long a read waits for a put of the same client to the same channel, since a disk may not respond (s)."""


class Access(Protocol):
    """The access rules."""

    def right(self, user: str, address: str, level: int = 0) -> Right:
        """Return the right of a client for fields of an access security level."""
        ...


class UpdateQueue(asyncio.Queue[Any]):
    """The updates that wait for one client: an unbounded queue, so that putting never blocks.

    caproto's queue is bounded, and the loop that serves all clients waits for room in it: one
    stalled client stops the monitors of all others for good. The circuit holds the updates
    themselves, a few per subscription and always the newest; this queue has weak references, and
    dead ones are removed when there are many.
    """

    def __init__(self) -> None:
        super().__init__()
        self._sweep_at = _SWEEP_MIN

    async def put(self, item: "weakref.ref[Any]") -> None:
        """Append an update; never waits."""
        waiting: deque[weakref.ref[Any]] = self._queue  # type: ignore[attr-defined]  # the deque of asyncio.Queue
        if len(waiting) >= self._sweep_at:
            alive = [reference for reference in waiting if reference() is not None]
            waiting.clear()
            waiting.extend(alive)
            self._sweep_at = max(_SWEEP_MIN, 2 * len(alive))
        self.put_nowait(item)


class Circuit(_VirtualCircuit):
    """One client's connection."""

    def __init__(self, circuit: Any, client: Any, context: "Context") -> None:
        super().__init__(circuit, client, context)
        self.subscription_queue = UpdateQueue()
        self._server = context
        self._last_put: dict[int, asyncio.Task[None]] = {}
        self._sent_rights: dict[int, ca.AccessRights] = {}

    @property
    def identity(self) -> ClientIdentity:
        """The identity of the client, with the names that it claims and its address."""
        return ClientIdentity(self.client_username or "", self.client_hostname or "", str(self.circuit.address[0]))

    def rights(self, entry: Any, identity: ClientIdentity | None = None) -> ca.AccessRights:
        """Return the access rights of the client for a channel; every command that reads or puts is checked here."""
        identity = identity or self.identity
        return entry.access_rights(self._server.access.right(identity.user, identity.address, entry.level))

    async def update_access_rights(self) -> None:
        """Send the client its access rights, if they have changed.

        If a right to read has changed, the circuit is closed: the client reconnects and subscribes to
        what it may read then.
        """
        new = {sid: self.rights(self.context[self.circuit.channels_sid[sid].name]) for sid in self._sent_rights}
        changed = {sid: rights for sid, rights in new.items() if rights != self._sent_rights[sid]}
        if any((rights ^ self._sent_rights[sid]) & ca.AccessRights.READ for sid, rights in changed.items()):
            self.client.close()
            return
        self._sent_rights.update(changed)
        channels = self.circuit.channels_sid
        try:
            await self.send(*(ca.AccessRightsResponse(channels[sid].cid, rights) for sid, rights in changed.items()))
        except DisconnectedCircuit:
            log.debug("a client disconnected before its access rights were sent")

    async def get_from_sub_queue(self, timeout: float | None = None) -> Any:
        """Return the next update; None at once if there is none.

        caproto waits 10 ms for more before it sends what it has.
        """
        if timeout is not None and self.subscription_queue.empty():
            return None
        return await self.subscription_queue.get()

    async def send(self, *commands: Any) -> None:
        """Send messages; updates with as many elements as their subscriber requested."""
        await super().send(
            *(padded(each, each.data_count) if isinstance(each, ca.EventAddResponse) else each for each in commands)
        )

    async def _process_command(self, command: Any) -> Any:
        if isinstance(command, (ca.WriteRequest, ca.WriteNotifyRequest)):
            self._queue_put(command)
            return []
        if isinstance(command, (ca.ReadNotifyRequest, ca.ReadRequest, ca.EventAddRequest)):
            channel, entry = self._get_db_entry_from_command(command)
            if ca.AccessRights.READ not in self.rights(entry):
                return [
                    _error(command, channel, ca.CAStatus.ECA_NORDACCESS, "the access rules forbid reading it from here")
                ]
            if exceeds_limit(command.data_type, command.data_count):
                reason = (
                    f"{command.data_count} elements are more than {MAX_VALUE_BYTES} bytes: request 0, which means all"
                )
                return [_error(command, channel, ca.CAStatus.ECA_TOLARGE, reason)]
        if isinstance(command, ca.ReadNotifyRequest):
            await self._await_put(command.sid)
        if isinstance(command, ca.ClearChannelRequest):
            # caproto compares the channel with a number here and removes nothing; the circuit's task ends
            # with an error when the subscriptions of the cleared channel are updated
            channel, entry = self._get_db_entry_from_command(command)
            await self._cull_subscriptions(entry, lambda sub: sub.channel is channel)
            self._last_put.pop(command.sid, None)
            self._sent_rights.pop(command.sid, None)
        responses = await super()._process_command(command)
        if isinstance(command, (ca.ReadNotifyRequest, ca.ReadRequest)):
            read = (ca.ReadNotifyResponse, ca.ReadResponse)
            return [padded(each, command.data_count) if isinstance(each, read) else each for each in responses]
        if isinstance(command, ca.CreateChanRequest):
            return self._channel_created(command, responses)
        if isinstance(command, ca.ClientNameRequest):
            await self.update_access_rights()  # the client has another name now
        return responses

    def _channel_created(self, command: Any, responses: list[Any]) -> list[Any]:
        """Add the access rights to the reply; those of caproto depend on neither the rules nor the address."""
        for response in responses:
            if isinstance(response, ca.CreateChanResponse):
                self._sent_rights[response.sid] = rights = self.rights(self.context[command.name])
                return [ca.AccessRightsResponse(command.cid, rights), response]
        return responses

    async def _await_put(self, sid: int) -> None:
        """Wait for a running put before its channel is read: caput reads to print the new value."""
        put = self._last_put.get(sid)
        if put is not None and not put.done():
            await asyncio.wait([put], timeout=_READ_WAIT)

    def _queue_put(self, command: Any) -> None:
        """Queue a put after the previous one on the same channel.

        caproto runs each put as a task: of two successive puts the first could end last. Other channels do not
        wait, since a transaction waits for the disk.
        """
        before = self._last_put.get(command.sid)
        channel, entry = self._get_db_entry_from_command(command)  # the client may clear it before the put
        task = self.tasks.create(self._put(command, channel, entry, self.identity, before))
        self._last_put[command.sid] = task

    async def _put(
        self, command: Any, channel: Any, entry: Any, identity: ClientIdentity, before: "asyncio.Task[None] | None"
    ) -> None:
        if before is not None and not before.done():
            await asyncio.wait([before])
        old = entry.value
        outcome, reason, result = await self._execute_put(command, channel, entry, identity)
        if self._server.record_put is not None:
            new = command.data if command.data_type is not ca.ChannelType.CHAR else bytes(command.data)
            who = (identity.user, identity.host, identity.address)
            await self._server.record_put(Put(time.time(), *who, channel.name, new, old, outcome, reason, result))
        if outcome == "accepted" and not isinstance(command, ca.WriteNotifyRequest):
            return
        try:
            await self.send(self._reply(command, channel, entry, outcome, reason))
        except (DisconnectedCircuit, ca.LocalProtocolError):
            log.debug("the client of a put to %s has disconnected, or cleared the channel", channel.name)

    async def _execute_put(
        self, command: Any, channel: Any, entry: Any, identity: ClientIdentity
    ) -> tuple[Outcome, str, Result | None]:
        """Run a put if the client may write; return the outcome, the reason and the result."""
        if ca.AccessRights.WRITE not in self.rights(entry, identity):
            self._server.on_denied(channel.name, identity)
            return "denied", f"{channel.name} may not be written from here: the access rules forbid it", None
        try:
            return "accepted", "", await entry.handle_put(command.data, command.data_type, identity)
        except Exception as error:  # every put must be answered
            if not isinstance(error, (PonikeeperError, ca.CaprotoError)):
                log.exception("put to %s failed", channel.name)
            return "refused", str(error), None

    @staticmethod
    def _reply(command: Any, channel: Any, entry: Any, outcome: Outcome, reason: str) -> Any:
        if outcome == "accepted":
            return channel.write(ioid=command.ioid, status=True, data_count=entry.length)
        status = ca.CAStatus.ECA_NOWTACCESS if outcome == "denied" else ca.CAStatus.ECA_PUTFAIL
        return _error(command, channel, status, reason)


def _error(command: Any, channel: Any, status: Any, message: str) -> Any:
    return ca.ErrorResponse(command, channel.cid, status=status, error_message=message[:200])


class Context(_Context):
    """The server of one IOC.

    Parameters
    ----------
    pvdb
        Channel data by PV name.
    interfaces
        Addresses to listen on; None is those of the environment.
    port
        UDP port for searches and the first TCP port to try; None is that of the environment.
    access
        The access rules.
    on_denied
        Called with the PV and the client of each put that the rules deny.
    record_put
        Records each put before it is answered.
    """

    CircuitClass = Circuit

    def __init__(
        self,
        pvdb: dict[str, Any],
        interfaces: list[str] | None = None,
        port: int | None = None,
        access: Access = OPEN,
        on_denied: Callable[[str, ClientIdentity], None] = lambda name, identity: None,  # noqa: ARG005
        record_put: Callable[[Put], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(pvdb, interfaces)
        self.access, self.on_denied, self.record_put = access, on_denied, record_put
        if port is not None:
            self.ca_server_port = port
        self._failing_beacons: set[Any] = set()

    def count_clients(self) -> tuple[int, int]:
        """Return the number of connected clients and of their channels."""
        return len(self.circuits), sum(len(circuit.circuit.channels_sid) for circuit in self.circuits)

    async def update_access_rights(self) -> None:
        """Send every client its access rights, after the rules have changed."""
        for circuit in list(self.circuits):
            await circuit.update_access_rights()

    async def _bind_tcp_sockets_with_consistent_port_number(self, make_socket: Any) -> Any:  # noqa: ARG002
        """Listen on sockets with an explicit TCP protocol.

        Otherwise asyncio leaves Nagle's algorithm on, and a put takes 40 ms.
        """
        return await super()._bind_tcp_sockets_with_consistent_port_number(_tcp_socket)

    async def broadcast_beacon_loop(self) -> NoReturn:
        """Send beacons; log a failing address once, not at every beacon."""
        period = 0.02
        while True:
            for address, (interface, sock) in self.beacon_socks.items():
                beacon = self.broadcaster.send(ca.Beacon(13, self.port, self.beacon_count, interface))
                try:
                    await sock.send(beacon)
                except (OSError, ca.CaprotoNetworkError) as error:
                    self._log_once(address, error)
            self.beacon_count += 1
            period = min(2 * period, float(self.environ["EPICS_CAS_BEACON_PERIOD"]))
            await asyncio.sleep(period)

    def _log_once(self, address: Any, error: Exception) -> None:
        if address not in self._failing_beacons:
            self._failing_beacons.add(address)
            log.info("no beacons to %s:%d: %s", *address, error)


async def _tcp_socket(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setblocking(False)
    try:
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    return sock
