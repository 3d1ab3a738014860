"""The PVAccess server (p4p): its thread asks the loop for everything, so only the loop touches the state of the IOC.

The loop in turn never waits for the thread of the server: an operation that would is left to a thread of its own, so
that no PVAccess client can hold up Channel Access. PVs without a PVAccess client cost nothing.
"""

import asyncio
import concurrent.futures
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from p4p import Type, Value  # pyright: ignore[reportMissingImports]
from p4p.server import DynamicProvider, Server  # pyright: ignore[reportMissingImports]
from p4p.server.raw import SharedPV  # pyright: ignore[reportMissingImports]

from ponikeeper.access.gate import Attempt, Gate
from ponikeeper.access.identity import ClientIdentity
from ponikeeper.access.rules import Right
from ponikeeper.pva.handover import Answer, Handler, Mirror
from ponikeeper.pva.open_puts import OpenPuts
from ponikeeper.pva.peers import host_of
from ponikeeper.pva.published import Published

log = logging.getLogger(__name__)

_MAX_WAIT = 2.0
"""How long the thread of the server waits for the loop (s)."""

_RUNNING = 4
"""Puts of one host that run at a time; the others wait, in their order."""

_SLOW = 1e-3
"""How long an update may take in the loop (s): it costs some microseconds for each subscription."""

_SLOW_UPDATES = 3
"""Slow updates after each other from which on a PV is updated in another thread."""


class Access(Protocol):
    """The access rules."""

    def right(self, user: str, address: str, level: int = 0) -> Right:
        """Return the right of a client."""
        ...


@dataclass(eq=False, slots=True)
class _Turn:
    """The puts of one host: so many run at a time, since the puts of others wait for those that run."""

    running: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_RUNNING))
    waiting: int = 0


class PvaServer:
    """Serves PVs of the IOC over PVAccess.

    Parameters
    ----------
    sources
        What is served, by name.
    access
        The access rules; rules about reading know the address only.
    gate
        What each put passes.
    settings
        Addresses and ports, by the names of the EPICS variables.
    admitted
        Names that every client may read: that of the health check.
    """

    def __init__(
        self,
        sources: Mapping[str, Published],
        access: Access,
        gate: Gate,
        settings: Mapping[str, str],
        admitted: Sequence[str] = (),
    ) -> None:
        self._sources, self._access, self._gate = dict(sources), access, gate
        self._settings, self._admitted = dict(settings), frozenset(admitted)
        self.loop = asyncio.get_running_loop()
        self._mirrors: dict[str, Mirror] = {}
        self._types: dict[int, Any] = {}
        self.open_puts = OpenPuts()
        """The puts that are not answered; `Handler` counts them."""
        self._puts: set[asyncio.Task[None]] = set()
        self._turns: dict[str, _Turn] = {}
        self._denied: list[Any] = []
        self._late: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._server: Any = None
        self._effective: dict[str, str] = {}
        self._provider = DynamicProvider("ponikeeper", self)
        self._thread = threading.Thread(target=self._run_late, name="pva-answers", daemon=True)

    async def start(self) -> None:
        """Begin to serve.

        Raises
        ------
        OSError
            It cannot listen on an address.
        """
        self._thread.start()
        try:
            self._server = await asyncio.to_thread(Server, [self._provider], conf=self._settings)
        except RuntimeError as error:  # as pvxs reports what the system refuses
            raise OSError(str(error)) from error
        self._effective = self._server.conf()

    @property
    def port(self) -> int:
        """The TCP port."""
        return int(self._effective["EPICS_PVAS_SERVER_PORT"])

    @property
    def interfaces(self) -> str:
        """Where it listens, as ``EPICS_PVAS_INTF_ADDR_LIST`` says."""
        return self._effective["EPICS_PVAS_INTF_ADDR_LIST"]

    async def stop(self) -> None:
        """End all connections; a put that runs is finished, since it may be on disk already."""
        if self._server is not None:
            await asyncio.to_thread(self._server.stop)
        self._late.put(None)

    def update_access_rights(self) -> None:
        """Make every client connect again, after the rules about reading have changed."""
        closing = [mirror.pv for mirror in self._mirrors.values()] + self._denied
        for mirror in list(self._mirrors.values()):
            self.drop(mirror, mirror.pv)
        self._denied = []
        for pv in closing:
            self._late.put(pv.close)

    # called in the thread of the server

    def testChannel(self, name: str) -> bool:  # noqa: N802  # as p4p names it
        """Return whether a PV is served."""
        return name in self._sources

    def makeChannel(self, name: str, peer: str) -> Any:  # noqa: N802
        """Return the PV for a new channel of a client, opened by the loop."""
        made: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self.loop.call_soon_threadsafe(self._answer, made, lambda: self._channel(name, host_of(peer)))
        try:
            return made.result(_MAX_WAIT)
        except concurrent.futures.TimeoutError:
            made.cancel()
            log.warning("%s: no channel for %s: the IOC is busy", name, peer)
            return None

    # called in the loop

    def _answer(self, made: "concurrent.futures.Future[Any]", make: Callable[[], Any]) -> None:
        if made.set_running_or_notify_cancel():
            try:
                made.set_result(make())
            except Exception as error:  # noqa: BLE001  # it is the caller's
                made.set_exception(error)

    def _channel(self, name: str, host: str) -> Any:
        is_readable = name in self._admitted or self._access.right("", host) >= Right.READ
        if not is_readable or name not in self._sources:  # p4p prints an error where it gets no PV
            return self._denied_pv()
        mirror = self._mirrors.get(name)
        return self._open(name).pv if mirror is None else mirror.pv

    def _denied_pv(self) -> Any:
        """Return a PV that never has a value: for those who may not read, or did not search for the name."""
        if not self._denied:
            self._denied.append(SharedPV())
        return self._denied[0]

    def _open(self, name: str) -> Mirror:
        source = self._sources[name]
        mirror = Mirror(name, source, self._type(source))
        mirror.pv = SharedPV(handler=Handler(self, mirror))
        mirror.pv.open(Value(mirror.kind, _merged(source.metadata(), source.update())))
        mirror.watcher = lambda: self._post(mirror)
        source.watch(mirror.watcher)
        self._mirrors[name] = mirror
        return mirror

    def _type(self, source: Published) -> Any:
        kind = source.type
        if id(kind) not in self._types:
            self._types[id(kind)] = Type(kind.spec, id=kind.id)
        return self._types[id(kind)]

    def _post(self, mirror: Mirror) -> None:
        """Update a PV at once; in another thread, with the newest value only, where its subscribers make that slow."""
        try:
            value = Value(mirror.kind, mirror.source.update())
            if mirror.slow >= _SLOW_UPDATES:
                mirror.late.append(value)
                self._late.put(mirror.post_late)
                return
            began = time.perf_counter()
            mirror.pv.post(value)
            mirror.slow = mirror.slow + 1 if time.perf_counter() - began > _SLOW else 0
        except Exception:  # what is published by Channel Access stays published
            log.exception("%s cannot be published over PVAccess", mirror.name)

    def drop(self, mirror: Mirror, pv: Any) -> None:
        """Stop to publish a PV that has no clients."""
        if self._mirrors.get(mirror.name) is mirror and mirror.pv is pv:
            del self._mirrors[mirror.name]
            mirror.source.unwatch(mirror.watcher)

    def begin_put(
        self, mirror: Mirror, changed: Mapping[str, object], identity: ClientIdentity, answer: Answer
    ) -> None:
        """Run a put; `answer` gets the reason, empty where it was accepted."""
        source = mirror.source
        right = self._access.right(identity.user, identity.address)
        is_allowed = source.needed is not None and right >= source.needed
        attempt = Attempt(mirror.name, source.attempted(changed), identity, is_allowed)
        task = self.loop.create_task(self._put(source, changed, attempt, answer))
        self._puts.add(task)
        task.add_done_callback(self._puts.discard)

    async def _put(self, source: Published, changed: Mapping[str, object], attempt: Attempt, answer: Answer) -> None:
        identity, reason = attempt.identity, "this put could not be handled"
        turn = self._turns.setdefault(identity.address, _Turn())
        turn.waiting += 1
        await turn.running.acquire()
        try:
            verdict = await self._gate.execute(source, attempt, lambda: source.put(changed, identity))
            reason = verdict.reason if verdict.outcome != "accepted" else ""
        finally:
            turn.running.release()
            turn.waiting -= 1
            if not turn.waiting:
                self._turns.pop(identity.address, None)
            self.open_puts.end(identity.address)
            self._late.put(answer.answer(reason))

    # called in a thread of its own: p4p waits for the thread of the server there

    def _run_late(self) -> None:
        while (function := self._late.get()) is not None:
            try:
                function()
            except Exception:
                log.exception("an answer over PVAccess")
            del function


def _merged(metadata: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of both; those of a structure in both are united."""
    merged: dict[str, Any] = dict(metadata)
    for name, value in update.items():
        known = merged.get(name)
        merged[name] = {**known, **value} if isinstance(known, Mapping) else value
    return merged
