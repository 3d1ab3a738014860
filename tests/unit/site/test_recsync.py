"""The recceiver's protocol, byte by byte."""

import struct

import pytest

from ponikeeper.site import recsync
from ponikeeper.site.recsync import Announcement, Record, RecsyncError

FROM_THE_SENDER = bytes.fromhex("5243 0000 ffffffff 1388 0000 0000002a")


def test_announcement_names_its_sender_unless_it_names_another():
    assert recsync.read_announcement(FROM_THE_SENDER, "10.0.0.7") == Announcement("10.0.0.7", 5000, 42)
    proxied = FROM_THE_SENDER.replace(b"\xff" * 4, bytes([10, 1, 2, 3]))
    assert recsync.read_announcement(proxied + b"more", "10.0.0.7") == Announcement("10.1.2.3", 5000, 42)


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        FROM_THE_SENDER[:-1],
        b"XX" + FROM_THE_SENDER[2:],
        FROM_THE_SENDER[:2] + b"\0\1" + FROM_THE_SENDER[4:],
        FROM_THE_SENDER[:8] + b"\0\0" + FROM_THE_SENDER[10:],
    ],
    ids=["empty", "cut", "another protocol", "another version", "no port"],
)
def test_datagram_that_is_not_an_announcement_is_ignored(datagram):
    assert recsync.read_announcement(datagram, "10.0.0.7") is None


def test_upload_is_infos_records_with_theirs_and_an_end():
    message = recsync.upload(
        {"IOCNAME": "28id1"}, [Record("P:A", "ai", {"recordDesc": "first"}), Record("P:B", "mbbi", {})]
    )
    assert message == (
        b"RC\0\6\0\0\0\x14" + struct.pack("!IBBH", 0, 7, 0, 5) + b"IOCNAME28id1"
        b"RC\0\3\0\0\0\x0d" + struct.pack("!IBBH", 1, 0, 2, 3) + b"aiP:A"
        b"RC\0\6\0\0\0\x17" + struct.pack("!IBBH", 1, 10, 0, 5) + b"recordDescfirst"
        b"RC\0\3\0\0\0\x0f" + struct.pack("!IBBH", 2, 0, 4, 3) + b"mbbiP:B"
        b"RC\0\5\0\0\0\4\0\0\0\0"
    )
    assert recsync.greeting(42) == b"RC\0\1\0\0\0\x08\0\0\0\0\0\0\0\x2a"


def test_only_pings_are_answered_with_their_number():
    ping = bytes.fromhex("5243 8002 00000004")
    assert recsync.reply(ping, b"abcd") == b"RC\0\2\0\0\0\4abcd"
    assert recsync.reply(bytes.fromhex("5243 8001 00000001"), b"\0") == b""
    assert recsync.reply(ping, b"") == b""
    assert recsync.is_greeting(bytes.fromhex("5243 8001 00000001"))
    assert not recsync.is_greeting(ping)


@pytest.mark.parametrize(
    ("header", "says"), [("4854 5450 2f312e31", "expected b'RC'"), ("5243 8002 7fffffff", "at most")]
)
def test_message_of_another_protocol_is_reported(header, says):
    with pytest.raises(RecsyncError, match=says):
        recsync.body_length(bytes.fromhex(header))
