"""A Channel Access client that sends any bytes, and reads messages without any opinion about them."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple, Self

TIMEOUT = 20.0


class Message(NamedTuple):
    """One message of the server."""

    command: int
    data_type: int
    count: int
    parameter1: int
    parameter2: int
    payload: bytes


def message(command: int, payload: bytes = b"", data_type: int = 0, count: int = 0, p1: int = 0, p2: int = 0) -> bytes:
    """Write a message; the payload is padded, and the header extended where it must be."""
    payload += bytes(-len(payload) % 8)
    if len(payload) < 0xFFFF and count < 0xFFFF:
        return struct.pack(">HHHHII", command, len(payload), data_type, count, p1, p2) + payload
    return struct.pack(">HHHHIIII", command, 0xFFFF, data_type, 0, p1, p2, len(payload), count) + payload


def subscription(sid: int, number: int, data_type: int, count: int = 0, mask: int = 1) -> bytes:
    """Write a request for a subscription."""
    return message(1, struct.pack(">fffHH", 0, 0, 0, mask, 0), data_type, count, sid, number)


class Raw:
    """One connection.

    Parameters
    ----------
    port
        TCP port.
    receive_buffer
        Size of the socket's receive buffer (bytes).
    address
        Of the server.
    """

    def __init__(self, port: int, receive_buffer: int | None = None, address: str = "127.0.0.1") -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(TIMEOUT)
        try:
            self.sock.connect((address, port))
        except OSError:
            self.sock.close()
            raise
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._next_cid = 0
        self.send(message(0, count=13))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)  # also where another thread reads
        self.sock.close()

    def send(self, *messages: bytes) -> None:
        """Send messages in one segment."""
        self.sock.sendall(b"".join(messages))

    def receive(self, *commands: int) -> Message:
        """Return the next message, or the next with one of some commands; ConnectionError at the end."""
        while True:
            found = self._next()
            if found is None:
                self.fill()
            elif not commands or found.command in commands:
                return found

    def fill(self) -> None:
        """Receive once; ConnectionError at the end."""
        data = self.sock.recv(1 << 16)
        if not data:
            raise ConnectionError("the server closed the circuit")
        self._received += data

    def waiting(self) -> Iterator[Message]:
        """Yield the messages that were received whole."""
        return iter(self._next, None)

    def channel(self, name: str) -> int:
        """Create a channel and return the server's number; LookupError if the server has no such channel."""
        self._next_cid += 1
        self.send(message(18, name.encode("latin-1") + b"\0", p1=self._next_cid, p2=13))
        answer = self.receive(18, 26)
        if answer.command != 18:
            raise LookupError(name)
        return answer.parameter2

    def answers(self) -> bool:
        """Return whether the server still answers."""
        with contextlib.suppress(OSError):
            self.send(message(23))
            return self.receive(23).command == 23
        return False

    def _next(self) -> Message | None:
        if len(self._received) < 16:
            return None
        command, size, data_type, count, p1, p2 = struct.unpack_from(">HHHHII", self._received)
        begin = 16
        if size == 0xFFFF:
            if len(self._received) < 24:
                return None
            size, count = struct.unpack_from(">II", self._received, 16)
            begin = 24
        if len(self._received) < begin + size:
            return None
        payload = self._received[begin : begin + size]
        self._received = self._received[begin + size :]
        return Message(command, data_type, count, p1, p2, payload)
