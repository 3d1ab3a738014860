"""A live IOC registers its PVs with a recceiver, and continues whatever the recceiver does."""

import contextlib
import socket
import struct

import pytest

from live import TIMEOUT, free_ports, wait_for
from ponikeeper.config import load
from ponikeeper.protocol.pvs import DETECTOR_PVS
from ponikeeper.site.pv_list import pv_list
from speak import get

KEY = 4711


class Recceiver:
    """A minimal recceiver."""

    def __init__(self, announce_port):
        self._to = ("127.0.0.1", announce_port)
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.2)
        self._port = self._listener.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._udp.close()
        self._listener.close()

    def announce(self, datagram=None):
        self._udp.sendto(datagram or struct.pack("!HHIHxxI", 0x5243, 0, 0xFFFFFFFF, self._port, KEY), self._to)

    def meet(self):
        """Announce until the IOC connects, and return the connection."""

        def connected():
            self.announce()
            with contextlib.suppress(TimeoutError):
                return self._listener.accept()[0]

        connection = wait_for(connected, what="a connection of the IOC")
        connection.settimeout(TIMEOUT)
        return connection


def receive(connection):
    magic, kind, length = struct.unpack("!HHI", connection.recv(8, socket.MSG_WAITALL))
    assert magic == 0x5243
    return kind, connection.recv(length, socket.MSG_WAITALL)


def uploaded(connection):
    """Greet, and return what the IOC uploads: its infos, and its records with theirs."""
    assert receive(connection) == (1, struct.pack("!BBxxI", 0, 0, KEY))
    connection.sendall(bytes.fromhex("5243 8001 00000001 00"))
    names, infos = {}, {}
    while True:
        kind, body = receive(connection)
        if kind == 3:
            number, alias, kind_bytes, name_bytes = struct.unpack_from("!IBBH", body)
            text = body[8:].decode()
            assert (alias, len(text)) == (0, kind_bytes + name_bytes)
            names[number] = (text[kind_bytes:], text[:kind_bytes])
        elif kind == 6:
            number, key_bytes, value_bytes = struct.unpack_from("!IBxH", body)
            text = body[8:].decode()
            assert len(text) == key_bytes + value_bytes
            infos.setdefault(number, {})[text[:key_bytes]] = text[key_bytes:]
        else:
            assert (kind, body) == (5, bytes(4))
            return infos.pop(0), {name: (kind, infos[number]) for number, (name, kind) in names.items()}


def ping(connection, number):
    connection.sendall(struct.pack("!HHI4s", 0x5243, 0x8002, 4, number))
    assert receive(connection) == (2, number)


@pytest.fixture
def announced(make_ioc):
    """Number of a UDP port, and an IOC that listens for announcements there."""
    (port,) = free_ports(1)
    return port, make_ioc(own=f'recsync_port = {port}\nengineer = "A. Name"').start()


def test_all_pvs_are_registered_and_pings_are_answered(announced):
    port, ioc = announced
    with Recceiver(port) as recceiver, recceiver.meet() as connection:
        infos, records = uploaded(connection)
        assert (infos["ENGINEER"], infos["RSRV_SERVER_PORT"]) == ("A. Name", str(ioc.port))
        assert infos["HOSTNAME"] == socket.gethostname()
        assert "LOCATION" not in infos
        assert list(records) == pv_list(load(ioc.config)).split()
        for pv in DETECTOR_PVS:
            assert records[ioc.prefix + pv.suffix] == (pv.record_type, {"recordDesc": pv.desc})
        for number in (b"\0\0\0\1", b"abcd"):
            ping(connection, number)


def test_pvs_are_registered_again_after_a_recceiver_was_gone(announced):
    port, _ = announced
    for _ in range(2):
        with Recceiver(port) as recceiver, recceiver.meet() as connection:
            assert len(uploaded(connection)[1]) > 100
            ping(connection, b"1234")


def test_peer_that_is_not_a_recceiver_does_no_harm(announced):
    port, ioc = announced
    with Recceiver(port) as recceiver:
        for nonsense in (b"", b"RC", b"\xff" * 1000):
            recceiver.announce(nonsense or b"\0")
        with recceiver.meet() as connection:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            wait_for(lambda: not connection.recv(100))
        with recceiver.meet() as connection:
            connection.sendall(bytes.fromhex("5243 8002 00000004 00000000"))  # a ping where a greeting is expected
            wait_for(lambda: not connection.recv(100))
        with recceiver.meet() as connection:
            assert len(uploaded(connection)[1]) > 100
    assert get(f"{ioc.prefix}Revision_RBV") == 0


def test_two_iocs_of_a_host_listen_on_one_port(make_ioc):
    (port,) = free_ports(1)
    iocs = [make_ioc(own=f"recsync_port = {port}").start() for _ in range(2)]
    assert [get(f"{ioc.prefix}Revision_RBV") for ioc in iocs] == [0, 0]
