"""A PVAccess client byte by byte: it claims to be whom it likes, comes from any address, and sends what it likes."""

import socket
import struct
from typing import Any, NamedTuple, Self

TIMEOUT = 20.0

VALIDATION, CREATE, DESTROY, VALIDATED, GET, PUT, MONITOR = 1, 7, 8, 9, 10, 11, 13
INIT = 0x08
_CONTROL, _SERVER = 0x01, 0x40


class Message(NamedTuple):
    command: int
    payload: bytes


def size(number: int) -> bytes:
    """Write a size."""
    return bytes([number]) if number < 254 else b"\xfe" + struct.pack("<I", number)


def string(text: str | bytes) -> bytes:
    """Write a text."""
    data = text.encode() if isinstance(text, str) else text
    return size(len(data)) + data


def bits(*numbers: int) -> bytes:
    """Write the set of the fields that are put, by their numbers: 0 is all, 1 the first."""
    data = bytearray(max(numbers, default=0) // 8 + 1)
    for number in numbers:
        data[number // 8] |= 1 << number % 8
    return size(len(data)) + bytes(data)


NO_REQUEST = b"\x80\x00\x00"
"""The request of all fields, without options."""


def block(value: bytes) -> bytes:
    """Return the request of all fields with ``record[block=...]``."""
    options = b"\x80\x00\x01" + string("block") + b"\x60"
    record = b"\x80\x00\x01" + string("_options") + options
    return b"\x80\x00\x01" + string("record") + record + string(value)


class PvaWire:
    """One connection.

    Parameters
    ----------
    port
        Of the server, on loopback.
    user
        Who it claims to be; None: it does not tell.
    source
        The address that it comes from.
    receive_buffer
        Size of the socket's receive buffer (bytes): a small one lets a client that does not read stall soon.
    """

    def __init__(
        self, port: int, user: str | bytes | None = None, source: str = "127.0.0.1", receive_buffer: int | None = None
    ) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(TIMEOUT)
        self.sock.bind((source, 0))
        self.sock.connect(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        self._next = 0
        self.receive(VALIDATION)
        claim = string("anonymous") + b"\xff"
        if user is not None:
            kind = b"\x80\x00\x02" + string("user") + b"\x60" + string("host") + b"\x60"
            claim = string("ca") + kind + string(user) + string("hutch")
        self.send(VALIDATION, struct.pack("<IHH", 0x10000, 0x7FFF, 0) + claim)
        self.receive(VALIDATED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, command: int, payload: bytes) -> None:
        """Send one message."""
        self.sock.sendall(struct.pack("<BBBBI", 0xCA, 2, 0, command, len(payload)) + payload)

    def receive(self, command: int) -> bytes:
        """Return the content of the next message of a command; others before it are dropped."""
        while True:
            header = self._take(8)
            flags, received, length = header[2], header[3], struct.unpack("<I", header[4:])[0]
            if flags & _CONTROL:
                continue
            payload = self._take(length)
            if received == command:
                return payload

    def channel(self, name: str) -> int:
        """Create a channel, and return its number at the server."""
        self._next += 1
        self.send(CREATE, struct.pack("<HI", 1, self._next) + string(name))
        cid, sid = struct.unpack_from("<II", answer := self.receive(CREATE))
        assert cid == self._next
        assert answer[8] == 0xFF, answer
        return sid

    def begin(self, command: int, sid: int, request: bytes = NO_REQUEST) -> int:
        """Begin an operation on all fields of a channel, and return its number."""
        self._next += 1
        self.send(command, struct.pack("<IIB", sid, self._next, INIT) + request)
        return self._next

    def begun(self, command: int) -> bytes:
        """Wait until an operation has begun; return the description of the type."""
        while not (answer := self.receive(command))[4] & INIT:  # an update of a monitor
            pass
        assert answer[5] == 0xFF, answer
        return answer[6:]

    def put(self, name: str, fields: bytes, value: bytes) -> str | None:
        """Put some fields of a PV; return the error, None where it was accepted."""
        sid = self.channel(name)
        operation = self.begin(PUT, sid)
        self.begun(PUT)
        self.send(PUT, struct.pack("<IIB", sid, operation, 0) + fields + value)
        error = error_of(self.receive(PUT)[5:])
        self.send(DESTROY, struct.pack("<II", sid, 0))
        return error

    def _take(self, count: int) -> bytes:
        while len(self._rest) < count:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError("the server closed the connection")
            self._rest += data
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken


def error_of(status: bytes) -> str | None:
    """Return the error of a status; None if there is none."""
    if status[0] == 0xFF:
        return None
    length, start = (status[1], 2) if status[1] < 254 else (struct.unpack_from("<I", status, 2)[0], 6)
    return status[start : start + length].decode()


def double(value: float) -> tuple[bytes, bytes]:
    """Return the fields and the value of a put of a number."""
    return bits(1), struct.pack("<d", value)


def long(value: int) -> tuple[bytes, bytes]:
    """Return the fields and the value of a put of a whole number."""
    return bits(1), struct.pack("<i", value)


def text(value: Any) -> tuple[bytes, bytes]:
    """Return the fields and the value of a put of a text."""
    return bits(1), string(value)


def index(value: int) -> tuple[bytes, bytes]:
    """Return the fields and the value of a put of the index of an enum."""
    return bits(2), struct.pack("<i", value)
