"""The stream of one client: messages in, bytes out, both bounded.

A client that sends faster than the server handles, or that does not read, is no longer read from, and costs a bounded
amount of memory. Work on what one client sent is done in slices, so that the others are served in between.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import cast

from ponikeeper.ca.server.messages import ERROR, EXTENDED_SIZE, HEADER, SIZES, TOLARGE, Header, error

log = logging.getLogger(__name__)

MAX_REQUEST = 1 << 16
"""Longest payload of a request (bytes): four times the longest text. Longer ones are discarded while they arrive."""

HIGH_WATER = 1 << 16
"""Bytes that wait for a client, in the transport, from which on nothing more is made for it."""

_SLICE, _TURN = 256, 1024
"""Cost of the messages that are handled for one client, and for all together, in one turn of the loop."""

_CLOSE_TIMEOUT = 1.0
"""How long a client may take to read the last bytes before it is disconnected (s)."""


class Turn:
    """Shares what may be done for clients in one turn of the loop; who has to wait is the first in the next turn.

    A client that does not wait yet can always do something: the requests of a client that sends few of them are not
    behind those of clients that send many.
    """

    def __init__(self) -> None:
        self._left = self._quantum = _TURN
        self._planned = False
        self._waiting: deque[Callable[[], None]] = deque()

    def share(self) -> int:
        """Return the cost that one client may cause now."""
        return max(1, min(_SLICE, self._quantum, self._left))

    def spend(self, cost: int) -> None:
        """Count a cost."""
        self._left -= cost
        if self._left < _TURN // 2:  # a little work needs no new turn
            self._plan()

    def wait(self, work: Callable[[], None]) -> None:
        """Call a function when there is something to share."""
        self._waiting.append(work)
        self._plan()

    def _plan(self) -> None:
        if not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        self._left, self._planned = _TURN, False
        self._quantum = _TURN // max(1, len(self._waiting))
        try:
            for _ in range(len(self._waiting)):
                if self._left <= 0:
                    break
                self._waiting.popleft()()
        finally:  # an error in the work for one client must not keep the others waiting
            self._quantum = _TURN
            if self._waiting:
                self._plan()


class Stream(asyncio.Protocol):
    """One TCP connection; subclasses handle its messages.

    Parameters
    ----------
    turn
        Shared by all connections of the server.
    """

    def __init__(self, turn: Turn) -> None:
        self.loop = asyncio.get_running_loop()
        self.turn = turn
        self.closed = False
        self._received = b""
        self._discard = 0
        self._out: list[bytes] = []
        self.out_size = 0
        self._flush_planned = self._parse_planned = self._reading_paused = False
        self.full = False

    def handle(self, header: Header, payload: bytes) -> int:
        """Handle one message and return its cost."""
        raise NotImplementedError

    def must_wait(self) -> bool:
        """Return whether the next message must wait."""
        return self.full or self.out_size >= HIGH_WATER

    def on_connected(self) -> None:
        """Begin to serve a client."""

    def on_disconnected(self) -> None:
        """Free what belongs to the client."""

    def on_writable(self) -> None:
        """Continue with what could not be sent before."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve a client."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(HIGH_WATER)
        self.on_connected()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Free everything that belongs to the client."""
        self.closed = True
        self._received = b""
        self._out.clear()
        self.on_disconnected()

    def pause_writing(self) -> None:
        """Note that the client does not read."""
        self.full = True

    def resume_writing(self) -> None:
        """Send what was kept, and handle what has arrived in the meantime."""
        self.full = False
        self.on_writable()
        self.resume()

    def send(self, data: bytes) -> None:
        """Send bytes, in one write with all others of this turn of the loop."""
        if self.closed:
            return
        self._out.append(data)
        self.out_size += len(data)
        if not self._flush_planned:
            self._flush_planned = True
            self.loop.call_soon(self._flush)

    def close(self) -> None:
        """Send what is left, and disconnect the client."""
        if self.closed:
            return
        self._flush()
        self.closed = True
        self._received = b""
        self.transport.close()
        self.loop.call_later(_CLOSE_TIMEOUT, self.transport.abort)

    def abort(self) -> None:
        """Disconnect the client at once."""
        self.closed = True
        self.transport.abort()

    def resume(self) -> None:
        """Handle the messages that had to wait."""
        if not self._parse_planned and not self.closed:
            self._parse_planned = True
            self.turn.wait(self._continue)

    def data_received(self, data: bytes) -> None:
        """Handle what has arrived."""
        if self._discard:
            discarded = min(self._discard, len(data))
            self._discard -= discarded
            data = data[discarded:]
        self._received = self._received + data if self._received else data
        if not self._parse_planned:
            self._parse()

    def _continue(self) -> None:
        self._parse_planned = False
        self._parse()

    def _parse(self) -> None:
        """Handle messages until one is incomplete, one must wait, or the slice is used up."""
        share = budget = self.turn.share()
        position = 0
        buffer, flush_planned = self._received, self._flush_planned
        length = len(buffer)
        self._flush_planned = True  # one write for all that these messages make
        try:
            while not self.closed and budget > 0 and not self.must_wait():
                begin = position + HEADER.size
                if begin > length:
                    break
                header = Header._make(HEADER.unpack_from(buffer, position))
                size = header.size
                if size == EXTENDED_SIZE:
                    if begin + SIZES.size > length:
                        break
                    size, count = SIZES.unpack_from(buffer, begin)
                    header = header._replace(size=size, data_count=count)
                    begin += SIZES.size
                end = begin + size
                if size > MAX_REQUEST:
                    self._refuse_long(header)
                    self._discard = max(end - length, 0)
                    position = min(end, length)
                    continue
                if end > length:
                    break
                budget -= self.handle(header, buffer[begin:end])
                position = end
        except Exception:  # a defect of ours costs this client its connection, and no other
            log.exception("a message of %s cannot be handled", self.transport.get_extra_info("peername"))
            self.close()
        finally:
            self._flush_planned = flush_planned
            self.turn.spend(share - budget)
        self._received = b"" if self.closed else buffer[position:]
        stopped = budget <= 0 or self.must_wait()
        if not flush_planned:
            self._flush()
        self._pause_reading(stopped and self._received != b"")
        if stopped and not self.must_wait():
            self.resume()

    def _pause_reading(self, pause: bool) -> None:
        if pause != self._reading_paused and not self.closed:
            self._reading_paused = pause
            (self.transport.pause_reading if pause else self.transport.resume_reading)()

    def _refuse_long(self, header: Header) -> None:
        text = f"a message of {header.size} bytes is too long: expected at most {MAX_REQUEST}"
        if header.command != ERROR:
            self.send(error(header, 0xFFFFFFFF, TOLARGE, text))

    def _flush(self) -> None:
        self._flush_planned = False
        if self._out and not self.closed:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out.clear()
            self.out_size = 0
            self.transport.write(data)
            if not self.full:
                self.on_writable()
            if self._received and not self.must_wait():
                self.resume()  # it may have waited for this
