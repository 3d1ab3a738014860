"""What the thread of the PVAccess server hands over to the loop, and back: puts, their answers, clients that leave."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from p4p import Value  # pyright: ignore[reportMissingImports]

from ponikeeper.access.identity import ClientIdentity
from ponikeeper.protocol import MAX_BYTES
from ponikeeper.pva.open_puts import OpenPuts
from ponikeeper.pva.peers import host_of
from ponikeeper.pva.published import Published


@dataclass(eq=False, slots=True)
class Mirror:
    """A PV while it has clients."""

    name: str
    source: Published
    kind: Any
    pv: Any = None
    watcher: Callable[[], None] = field(default=lambda: None)
    slow: int = 0
    late: deque[Any] = field(default_factory=lambda: deque(maxlen=1))

    def post_late(self) -> None:
        """Send the newest update, unless that has been done; not in the loop."""
        with contextlib.suppress(IndexError):
            self.pv.post(self.late.pop())


class Loop(Protocol):
    """The side of the loop."""

    loop: asyncio.AbstractEventLoop
    open_puts: OpenPuts

    def begin_put(
        self, mirror: Mirror, changed: Mapping[str, object], identity: ClientIdentity, answer: "Answer"
    ) -> None:
        """Run a put; `answer` gets the reason, empty where it was accepted."""
        ...

    def drop(self, mirror: Mirror, pv: Any) -> None:
        """Stop to publish a PV that has no clients."""
        ...


class Answer:
    """The answer to a put: the operation of p4p, which must not be forgotten in the loop."""

    def __init__(self, operation: Any) -> None:
        self._operation = [operation]

    def answer(self, reason: str) -> Callable[[], None]:
        """Return the function that answers, and forgets the operation."""
        return lambda: self._operation.pop().done(error=reason or None)


class Handler:
    """Hands over what clients do to one PV; p4p calls it in the thread of the server."""

    def __init__(self, server: Loop, mirror: Mirror) -> None:
        self._server, self._mirror = server, mirror

    def put(self, pv: Any, operation: Any) -> None:  # noqa: ARG002
        """Hand over a put."""
        server = self._server
        try:
            value = operation.value()
            identity = ClientIdentity(operation.account(), "", host_of(operation.peer()))
            changed = {name: _shortened(value[name]) for name in leaves(value)}
        except ValueError as error:  # a text that is no UTF-8
            operation.done(error=f"{self._mirror.name}: this put cannot be read: {error}")
            return
        reason = server.open_puts.begin(identity.address)
        if reason is not None:
            operation.done(error=reason)
            return
        answer = Answer(operation._op)
        server.loop.call_soon_threadsafe(server.begin_put, self._mirror, changed, identity, answer)

    def onLastDisconnect(self, pv: Any) -> None:  # noqa: N802
        """Hand over that the last client of a PV has left it."""
        self._server.loop.call_soon_threadsafe(self._server.drop, self._mirror, pv)


def leaves(value: Any) -> list[str]:
    """Return the names of the marked fields of a value that are no structures."""
    return sorted(name for name in value.changedSet(expand=True) if not isinstance(value[name], Value))


def _shortened(value: object) -> object:
    """Cut a text that is too long for any PV: that it is too long is found later."""
    return value[: MAX_BYTES + 1] if isinstance(value, str) else value
