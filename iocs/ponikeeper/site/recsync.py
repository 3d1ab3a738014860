"""The protocol by which IOCs tell a recceiver, and through it ChannelFinder, which records they have: pure.

A recceiver announces itself by UDP; the IOC connects, uploads the names of its records, and answers
pings as long as it lives. All numbers are big-endian.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

HEADER_BYTES = 8
"""What stands before the body of each message."""

_MAGIC = int.from_bytes(b"RC")
_VERSION = 0
_ANNOUNCEMENT = struct.Struct("!HHIHxxI")
_HEADER = struct.Struct("!HHI")
_FROM_THE_SENDER = 0xFFFFFFFF

_CLIENT_GREETING, _PONG, _ADD_RECORD, _DONE, _ADD_INFO = 1, 2, 3, 5, 6
_SERVER_GREETING, _PING = 0x8001, 0x8002
_IOC = 0
"""Number by which an info is meant of the IOC itself."""

_LONGEST = 64
"""Bytes of the longest body that a recceiver sends."""


class RecsyncError(ValueError):
    """What was received is not this protocol."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """Where a recceiver waits for IOCs, and the key by which it knows those that heard it."""

    host: str
    port: int
    key: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    Parameters
    ----------
    name
        Of the PV.
    type
        As ``.RTYP`` answers.
    infos
        What else is told of it, such as ``recordDesc``.
    """

    name: str
    type: str
    infos: Mapping[str, str]


def read_announcement(datagram: bytes, sender: str) -> Announcement | None:
    """Read an announcement, or give None for any other datagram.

    Parameters
    ----------
    sender
        Address it came from: that of the recceiver, unless it names another.
    """
    if len(datagram) < _ANNOUNCEMENT.size:
        return None
    magic, version, address, port, key = _ANNOUNCEMENT.unpack_from(datagram)
    if (magic, version) != (_MAGIC, _VERSION) or port == 0:
        return None
    host = sender if address == _FROM_THE_SENDER else ".".join(map(str, address.to_bytes(4)))
    return Announcement(host, port, key)


def body_length(header: bytes) -> int:
    """Give the length of the body that follows a header (bytes); raises `RecsyncError`."""
    magic, _, length = _HEADER.unpack(header)
    if magic != _MAGIC:
        raise RecsyncError(f"a message begins with {header[:2]!r}: expected b'RC'")
    if length > _LONGEST:
        raise RecsyncError(f"a message of {length} bytes: expected at most {_LONGEST}")
    return int(length)


def is_greeting(header: bytes) -> bool:
    """Tell whether a header is that of the recceiver's greeting, which comes first."""
    return bool(_HEADER.unpack(header)[1] == _SERVER_GREETING)


def reply(header: bytes, body: bytes) -> bytes:
    """Give what a message is answered with: a ping with its own number, all else with nothing."""
    is_ping = _HEADER.unpack(header)[1] == _PING and len(body) >= 4  # its number
    return _message(_PONG, body[:4]) if is_ping else b""


def greeting(key: int) -> bytes:
    """Write what the IOC says first: the key of the announcement that it heard."""
    return _message(_CLIENT_GREETING, struct.pack("!BBxxI", _VERSION, 0, key))


def upload(infos: Mapping[str, str], records: Iterable[Record]) -> bytes:
    """Write all that is told of an IOC: infos of its own, its records with theirs, and that this is all."""
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
