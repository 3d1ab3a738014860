"""Messages of Channel Access: headers, status codes and replies that report an error. Pure.

The numbers are those of the CA protocol specification (EPICS base, ``caProto.h`` and ``caerr.h``).
"""

import struct
from typing import NamedTuple

VERSION, EVENT_ADD, EVENT_CANCEL, READ, WRITE, SNAPSHOT, SEARCH = range(7)
EVENTS_OFF, EVENTS_ON, READ_SYNC, ERROR, CLEAR_CHANNEL, RSRV_IS_UP, NOT_FOUND, READ_NOTIFY = range(8, 16)
CREATE_CHANNEL, WRITE_NOTIFY, CLIENT_NAME, HOST_NAME, ACCESS_RIGHTS, ECHO = range(18, 24)
CREATE_FAILED = 26

MINOR_VERSION = 13
"""Version of the protocol: CA 4.13."""

DO_REPLY = 10
"""The client of a search wants an answer also where the name is unknown."""

NORMAL, TOLARGE, BADTYPE, INTERNAL, GETFAIL, PUTFAIL = 1, 72, 114, 142, 152, 160
BADCOUNT, BADMONID, NORDACCESS, NOWTACCESS, ALLOCMEM, BADMASK = 176, 242, 368, 376, 48, 330
"""Status codes with their severity."""

DBE_VALUE, DBE_LOG, DBE_ALARM, DBE_PROPERTY = 1, 2, 4, 8

HEADER = struct.Struct(">HHHHII")
EXTENDED = struct.Struct(">HHHHIIII")
SIZES = struct.Struct(">II")
EXTENDED_SIZE = 0xFFFF
"""A payload size that announces an extended header."""

MAX_ERROR_TEXT = 200


class Header(NamedTuple):
    """The fields of a message before its payload."""

    command: int
    size: int
    data_type: int
    data_count: int
    parameter1: int
    parameter2: int


def text_of(payload: bytes) -> str:
    """Return the text of a payload, up to its first NUL."""
    return payload.partition(b"\0")[0].decode("latin-1")


def message(command: int, data_type: int, count: int, parameter1: int, parameter2: int, payload: bytes = b"") -> bytes:
    """Write a message; its header is extended where size or count needs it.

    Parameters
    ----------
    command
        Number of the command.
    data_type, count, parameter1, parameter2
        The fields of the header.
    payload
        A multiple of 8 bytes.

    Returns
    -------
    bytes
        Header and payload.
    """
    size = len(payload)
    if size < EXTENDED_SIZE and count < EXTENDED_SIZE:
        return HEADER.pack(command, size, data_type, count, parameter1, parameter2) + payload
    extended = EXTENDED.pack(command, EXTENDED_SIZE, data_type, 0, parameter1, parameter2, size, count)
    return extended + payload


def error(request: Header, cid: int, status: int, text: str) -> bytes:
    """Write the report of an error about a request.

    Parameters
    ----------
    request
        The request; its header is repeated in the report.
    cid
        The client's id of the channel; 0xFFFFFFFF without one.
    status
        Status code.
    text
        At most 200 characters of it are sent.

    Returns
    -------
    bytes
        The message.
    """
    command, size, data_type, count, parameter1, parameter2 = request
    if size < EXTENDED_SIZE and count < EXTENDED_SIZE:
        header = HEADER.pack(command, size, data_type, count, parameter1, parameter2)
    else:
        header = EXTENDED.pack(command, EXTENDED_SIZE, data_type, 0, parameter1, parameter2, size, count)
    body = header + text.encode("latin-1", "replace")[:MAX_ERROR_TEXT] + b"\0"
    return message(ERROR, 0, 0, cid, status, body + bytes(-len(body) % 8))
