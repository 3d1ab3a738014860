"""Clients that do what they should not: the service stays up, and Channel Access goes on meanwhile."""

import contextlib
import random
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

import speak
from live import wait_for
from ponikeeper.protocol.geometry_structure import NAME
from pva_wire import CREATE, MONITOR, PUT, PvaWire, bits, double, string, text

LONG = pytest.param(10, marks=pytest.mark.campaign)
"""How much more of it the campaign does."""

pytestmark = pytest.mark.parametrize("more", [1, LONG])


class Watched:
    """An IOC under attack: what Channel Access does, and what the process takes."""

    def __init__(self, ioc):
        self.ioc, self.prefix, self.port = ioc, ioc.prefix, ioc.pva_port
        self._number = 0
        assert speak.put(f"{self.prefix}Request", speak.commit_text("first")) is None
        self.times = self.puts(20)

    def client(self, **options):
        return PvaWire(self.port, "eve", **options)

    def puts(self, count):
        """Put over Channel Access; return how long each took (s)."""
        times = []
        for _ in range(count):
            self._number += 1
            began = time.monotonic()
            assert speak.put(f"{self.prefix}Dist", 0.2 + self._number * 1e-6) is None
            times.append(time.monotonic() - began)
        return times

    def memory(self):
        """Return the memory of the process (MB)."""
        return int(Path(f"/proc/{self.ioc.process.pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1000

    def files(self):
        return len(list(Path(f"/proc/{self.ioc.process.pid}/fd").iterdir()))

    def check(self, what):
        """Both protocols answer, and Channel Access as quickly as before."""
        times = self.puts(20)
        with self.client() as wire:
            assert wire.put(f"{self.prefix}Poni1", *double(0.1)) is None
        before, during = (sorted(each)[len(each) // 2] for each in (self.times, times))
        print(
            f"{what}: put over Channel Access {before * 1e3:.1f} ms before, {during * 1e3:.1f} ms (worst "
            f"{max(times) * 1e3:.0f} ms) meanwhile, {self.memory():.0f} MB"
        )
        assert max(times) < 1.0
        assert during < 5 * before + 0.02

    def quiet(self):
        assert "Traceback" not in self.ioc.stderr.read_text()
        assert self.ioc.process.poll() is None


@pytest.fixture
def watched(make_ioc):
    watched = Watched(make_ioc(pva=True).start())
    yield watched
    watched.check("at the end")
    watched.quiet()


def put_message(sid, operation, fields, value):
    return struct.pack("<IIB", sid, operation, 0) + fields + value


def test_what_is_no_protocol(watched, more):
    chance, files = random.Random(1), watched.files()
    for _ in range(50 * more):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", watched.port)) as sock:
            sock.sendall(chance.randbytes(chance.randrange(1, 2000)))
        with contextlib.suppress(OSError), watched.client() as wire:
            wire.send(chance.randrange(25), chance.randbytes(chance.randrange(300)))
    wait_for(lambda: watched.files() <= files + 5)
    watched.check("what is no protocol")


def test_puts_of_wrong_types_and_unknown_fields(watched, more):
    """The type is the server's: what does not fit is an error of the protocol, or a value that is refused."""
    chance, answered = random.Random(2), 0
    before = speak.snapshot(watched.prefix)
    for _ in range(50 * more):
        with contextlib.suppress(OSError), watched.client() as wire:
            sid = wire.channel(f"{watched.prefix}{NAME}")
            operation = wire.begin(PUT, sid)
            wire.begun(PUT)
            numbers = [chance.randrange(13, 200) for _ in range(chance.randrange(6))]
            wire.send(PUT, put_message(sid, operation, bits(*numbers), chance.randbytes(chance.randrange(400))))
            wire.sock.settimeout(0.2)
            wire.receive(PUT)
            answered += 1
    after = speak.snapshot(watched.prefix)
    assert answered > 10 * more
    assert (after["serial"], after["geometry"]) == (before["serial"], before["geometry"])
    watched.check(f"puts of wrong types, {answered} answered")


def test_numbers_that_are_none_and_texts_that_are_too_long(watched, more):
    with watched.client() as wire:
        for value in (float("nan"), float("inf"), -float("inf"), 1e308, -0.0):
            assert wire.put(f"{watched.prefix}{NAME}", *double(value)) is not None
        for suffix in ("Request", "Label", "Poni"):
            error = wire.put(f"{watched.prefix}{suffix}", *text("x" * (3_000_000 * more)))
            assert "expected at most" in error
    watched.check("long texts")
    assert watched.memory() < 200


def test_puts_whose_client_is_gone(watched, more):
    for number in range(30 * more):
        with watched.client() as wire:
            sid = wire.channel(f"{watched.prefix}Dist")
            operation = wire.begin(PUT, sid)
            wire.begun(PUT)
            wire.send(PUT, put_message(sid, operation, *double(0.3 + number * 1e-5)))
    watched.check("puts whose client is gone")


def test_thousands_of_puts_at_once(watched, more):
    with watched.client() as wire:
        sid = wire.channel(f"{watched.prefix}Dist")
        operations = [wire.begin(PUT, sid) for _ in range(200 * more)]
        for _ in operations:
            wire.begun(PUT)
        reading = _reading(wire)
        for operation in operations:
            wire.send(PUT, put_message(sid, operation, *double(0.3 + operation * 1e-6)))
        watched.check(f"{len(operations)} puts at once")
        wire.sock.shutdown(socket.SHUT_RDWR)
    reading.join()


def _reading(wire):
    """Read and drop what comes, in a thread, until the connection ends."""

    def read():
        with contextlib.suppress(OSError):
            while wire.sock.recv(1 << 16):
                pass

    thread = threading.Thread(target=read)
    thread.start()
    return thread


def _monitor(wire, name, count):
    for _ in range(count):
        sid = wire.channel(name)
        operation = wire.begin(MONITOR, sid)
        wire.begun(MONITOR)
        wire.send(MONITOR, struct.pack("<IIB", sid, operation, 0x44))


def test_thousands_of_monitors(watched, more):
    with watched.client() as wire:
        _monitor(wire, f"{watched.prefix}{NAME}", 300 * more)
        reading = _reading(wire)
        watched.check(f"{300 * more} monitors")
        watched.check(f"{300 * more} monitors, again")
        wire.sock.shutdown(socket.SHUT_RDWR)
    reading.join()


def test_client_that_does_not_read(watched, more):
    with watched.client(receive_buffer=4096) as wire:
        _monitor(wire, f"{watched.prefix}{NAME}", 100 * more)
        memory = watched.memory()
        for _ in range(3):
            watched.check(f"{100 * more} monitors that are not read")
        assert watched.memory() < memory + 30


def test_thousands_of_channels(watched, more):
    with watched.client() as wire:
        for number in range(1, 1000 * more):
            wire.send(CREATE, struct.pack("<HI", 1, number) + string(f"{watched.prefix}Dist_RBV"))
        reading = _reading(wire)
        watched.check(f"{1000 * more} channels")
        wire.sock.shutdown(socket.SHUT_RDWR)
    reading.join()
