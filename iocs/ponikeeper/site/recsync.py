"""The recsync protocol, by which an IOC registers its records with a recceiver, and so with ChannelFinder. Pure.

A recceiver announces itself by UDP; the IOC connects, uploads the names of its records, and answers
pings until the connection ends. All numbers are big-endian.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ponikeeper.errors import RecsyncError

HEADER_BYTES = 8
"""Length of the header of each message."""

_MAGIC = int.from_bytes(b"RC")
_VERSION = 0
_ANNOUNCEMENT = struct.Struct("!HHIHxxI")
_HEADER = struct.Struct("!HHI")
_FROM_THE_SENDER = 0xFFFFFFFF

_CLIENT_GREETING, _PONG, _ADD_RECORD, _DONE, _ADD_INFO = 1, 2, 3, 5, 6
_SERVER_GREETING, _PING = 0x8001, 0x8002
_IOC = 0
"""Record number of infos about the IOC itself."""

_LONGEST = 64
"""Length of the longest body that a recceiver sends (bytes)."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """Address and port at which a recceiver accepts IOCs, and the key of its announcement."""

    host: str
    port: int
    key: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the IOC.

    Parameters
    ----------
    name
        Name of the PV.
    type
        Record type, as ``.RTYP`` reports it.
    infos
        Properties of the record, such as ``recordDesc``.
    """

    name: str
    type: str
    infos: Mapping[str, str]


def read_announcement(datagram: bytes, sender: str) -> Announcement | None:
    """Parse an announcement.

    Parameters
    ----------
    datagram
        What was received by UDP.
    sender
        Address that it came from: that of the recceiver, unless the announcement has another.

    Returns
    -------
    Announcement or None
        None for any other datagram.
    """
    if len(datagram) < _ANNOUNCEMENT.size:
        return None
    magic, version, address, port, key = _ANNOUNCEMENT.unpack_from(datagram)
    if (magic, version) != (_MAGIC, _VERSION) or port == 0:
        return None
    host = sender if address == _FROM_THE_SENDER else ".".join(map(str, address.to_bytes(4)))
    return Announcement(host, port, key)


def body_length(header: bytes) -> int:
    """Return the length of the body that follows a header (bytes); raises `RecsyncError` for an invalid header."""
    magic, _, length = _HEADER.unpack(header)
    if magic != _MAGIC:
        raise RecsyncError(f"a message begins with {header[:2]!r}: expected b'RC'")
    if length > _LONGEST:
        raise RecsyncError(f"a message of {length} bytes: expected at most {_LONGEST}")
    return int(length)


def is_greeting(header: bytes) -> bool:
    """Return whether a header is that of the greeting, which a recceiver sends first."""
    return bool(_HEADER.unpack(header)[1] == _SERVER_GREETING)


def reply(header: bytes, body: bytes) -> bytes:
    """Return the reply to a message: a pong with the number of the ping, nothing for any other message."""
    is_ping = _HEADER.unpack(header)[1] == _PING and len(body) >= 4  # its number
    return _message(_PONG, body[:4]) if is_ping else b""


def greeting(key: int) -> bytes:
    """Format the first message of the IOC, with the key of the announcement."""
    return _message(_CLIENT_GREETING, struct.pack("!BBxxI", _VERSION, 0, key))


def upload(infos: Mapping[str, str], records: Iterable[Record]) -> bytes:
    """Format the upload of an IOC: its infos, its records with theirs, and the end mark."""
    parts = [_info(_IOC, key, value) for key, value in infos.items()]
    for number, record in enumerate(records, _IOC + 1):
        name, kind = record.name.encode(), record.type.encode()
        parts.append(_message(_ADD_RECORD, struct.pack("!IBBH", number, 0, len(kind), len(name)) + kind + name))
        parts += [_info(number, key, value) for key, value in record.infos.items()]
    return b"".join(parts) + _message(_DONE, bytes(4))


def _info(number: int, key: str, value: str) -> bytes:
    name, text = key.encode(), value.encode()
    return _message(_ADD_INFO, struct.pack("!IBxH", number, len(name), len(text)) + name + text)


def _message(kind: int, body: bytes) -> bytes:
    return _HEADER.pack(_MAGIC, kind, len(body)) + body
