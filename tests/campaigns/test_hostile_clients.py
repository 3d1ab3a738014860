"""Hostile clients: whatever they send, the IOC serves the others, gives right verdicts and frees what they took."""

import contextlib
import json
import random
import socket
import statistics
import struct
import threading
import time

import psutil
import pytest

from live import wait_for
from ponikeeper.protocol.pvs import DETECTOR_PVS
from raw import Raw, message, subscription
from speak import GEOMETRY, commit_text

MODIFIERS = (
    "", ".[0:0:1]", ".[0:1:0]", ".[5:1]", '.{"dbnd":{"abs":1}}', '.{"dbnd":{"rel":0}}', '.{"arr":{"i":0}}', ".$",
    '.{"ts":{}}', '.{"dec":{"n":2}}', '.{"sync":{"m":"while","s":"red"}}', ".{", ".EGU", ".SEVR",
)  # fmt: skip
TYPES = (*range(35), 37, 38)


class GoodClient(threading.Thread):
    """Commits, gets and reads its monitors all the time, and notes durations and wrong verdicts."""

    def __init__(self, port, prefix):
        super().__init__(daemon=True)
        self._port, self._prefix = port, prefix
        self._ended = threading.Event()
        self.gets, self.commits, self.wrong = [], 0, []

    def run(self):
        with Raw(self._port) as raw:
            dist, readback = raw.channel(f"{self._prefix}Dist"), raw.channel(f"{self._prefix}Dist_RBV")
            while not self._ended.wait(0.002):
                began = time.perf_counter()
                raw.send(message(15, b"", 6, 1, readback, 1))
                raw.receive(15)
                self.gets.append(time.perf_counter() - began)
                if len(self.gets) % 20:
                    continue
                value = 0.3 + 1e-6 * self.commits
                raw.send(message(19, struct.pack(">d", value), 6, 1, dist, 1))
                answer = raw.receive(19, 11)
                raw.send(message(15, b"", 6, 1, readback, 1))
                found = struct.unpack(">d", raw.receive(15).payload)[0]
                self.commits += 1
                if answer.command != 19 or found != value:
                    self.wrong.append((value, found, answer))

    def finish(self):
        self._ended.set()
        self.join(30)


def mutated_datagrams(ioc, count, random_):
    """Send searches with changed, cut and repeated bytes."""
    whole = message(0, b"", 1, 13, 5) + b"".join(
        message(6, f"{ioc.prefix}{name}\0".encode(), 5, 13, 7, 7) for name in ("Dist", "Snapshot_RBV", "NONE")
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(count):
            sock.sendto(mutated(whole, random_), ("127.0.0.1", ioc.port))


def mutated(data, random_):
    """Change a few bytes, cut, or repeat."""
    data = bytearray(data)
    for _ in range(random_.randrange(1, 8)):
        data[random_.randrange(len(data))] = random_.choice((0, 0xFF, random_.randrange(256)))
    if random_.random() < 0.3:
        del data[random_.randrange(len(data)) :]
    return bytes(data) * (2 if random_.random() < 0.1 else 1)


def session(ioc):
    """Return what a client sends in a session, as messages."""
    names = [f"{ioc.prefix}{pv.suffix}" for pv in DETECTOR_PVS[:40]]
    parts = [message(0, count=13), message(20, b"eve\0"), message(21, b"here\0")]
    parts += [message(18, name.encode() + b"\0", p1=number, p2=13) for number, name in enumerate(names)]
    for sid in range(1, 30):
        parts.append(subscription(sid, sid, TYPES[sid]))
        parts.append(message(15, b"", TYPES[-sid], 1, sid, sid))
    parts += [message(19, bytes(40), 0, 1, sid, sid) for sid in (5, 6)]
    return [*parts, message(8), message(9), message(23), message(2, b"", 0, 1, 1, 1), message(12, b"", 0, 0, 2, 1)]


def mutated_circuits(ioc, count, random_):
    """Send sessions with changed bytes, each on a connection of its own; some are not read, some closed at once."""
    whole = b"".join(session(ioc))
    for _ in range(count):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", ioc.port), timeout=0.05) as sock:
            sock.sendall(mutated(whole, random_))
            if random_.random() < 0.3:
                sock.recv(1 << 16)


def bad_channels(ioc):
    """Use channels that do not exist."""
    for command in (1, 2, 3, 4, 12, 15, 19, 99):
        with contextlib.suppress(OSError), Raw(ioc.port) as raw:
            raw.send(message(command, bytes(16), 6, 1, 999, 1))
            raw.receive(1000)


def filters_and_types(ioc, pvs):
    """Subscribe to PVs with every modifier in every type."""
    for pv in pvs:
        for modifier in MODIFIERS:
            with contextlib.suppress(OSError, LookupError), Raw(ioc.port) as raw:
                sid = raw.channel(f"{ioc.prefix}{pv.suffix}{modifier}")
                raw.send(*(subscription(sid, kind, kind, kind % 3, 15) for kind in TYPES))
                raw.answers()


def never_reading(ioc, stack, clients):
    """Subscribe to long texts and get them without end, without ever reading."""
    for _ in range(clients):
        raw = stack.enter_context(Raw(ioc.port, 4096))
        sid = raw.channel(f"{ioc.prefix}Snapshot_RBV")
        raw.sock.settimeout(0.2)
        with contextlib.suppress(OSError):
            raw.send(*(subscription(sid, number, 18) for number in range(50)))
            raw.send(message(15, b"", 4, 16000, sid, 1) * 2000)


def huge_claims(ioc):
    """Announce messages of 4 GB, and ask for 4 GB of answers in 72 kB."""
    with contextlib.suppress(OSError), Raw(ioc.port) as raw:
        raw.send(struct.pack(">HHHHIIII", 4, 0xFFFF, 4, 0, 1, 1, 0xFFFFFFF0, 1), bytes(1_000_000))
    with contextlib.suppress(OSError), Raw(ioc.port, 4096) as raw:
        sid = raw.channel(f"{ioc.prefix}Snapshot_RBV")
        raw.sock.settimeout(0.5)
        raw.send(b"".join(subscription(sid, number, 5, 0xFFFFFFFF) for number in range(1000)))
        raw.send(b"".join(subscription(sid, number, 6, 100_000) for number in range(1000)))


def floods(ioc, scale):
    """Put, echo, create and search as fast as possible."""
    puts, echoes = int(20_000 * scale), int(100_000 * scale)
    with contextlib.suppress(OSError), Raw(ioc.port) as raw:
        sid = raw.channel(f"{ioc.prefix}Stage:Dist")
        raw.sock.settimeout(60)
        threading.Thread(target=read_all, args=(raw.sock,), daemon=True).start()
        raw.send(message(4, struct.pack(">d", 0.3), 6, 1, sid, 1) * puts)
        raw.send(message(23) * echoes)
    with contextlib.suppress(OSError), Raw(ioc.port) as raw:
        sid = raw.channel(f"{ioc.prefix}Dist")
        raw.send(message(4, b"nonsense\0", 0, 1, sid, 1) * (puts // 10))
        threading.Thread(target=read_all, args=(raw.sock,), daemon=True).start()
    with contextlib.suppress(OSError), Raw(ioc.port) as raw:
        name = f"{ioc.prefix}Dist_RBV\0".encode()
        for number in range(0, echoes // 10, 100):
            raw.send(b"".join(message(18, name, p1=number + each, p2=13) for each in range(100)))
            for _ in range(100):
                raw.receive(18)


def read_all(sock):
    with contextlib.suppress(OSError):
        while sock.recv(1 << 16):
            pass


def connect_storm(ioc, count):
    """Connect and close at once."""
    for _ in range(count):
        socket.create_connection(("127.0.0.1", ioc.port)).close()


def attack(make_ioc, scale, pvs):
    """Attack an IOC next to a good client; return its durations of gets, and what was not right."""
    random_ = random.Random(20261128)
    ioc = make_ioc(detectors=("{Det:1}Calib:",), forks=None).start()
    process = psutil.Process(ioc.process.pid)
    with Raw(ioc.port) as raw:
        text = commit_text().encode()
        raw.send(message(19, text, 4, len(text), raw.channel(f"{ioc.prefix}Request"), 1))
        assert raw.receive(19, 11).command == 19
    wait_for(lambda: clients_of(ioc, process) == 1)  # its own health check
    memory, files = process.memory_info().rss, process.num_fds()
    good = GoodClient(ioc.port, ioc.prefix)
    good.start()
    with contextlib.ExitStack() as stack:
        never_reading(ioc, stack, 20)
        bad_channels(ioc)
        huge_claims(ioc)
        floods(ioc, scale)
        connect_storm(ioc, int(5000 * scale))
        filters_and_types(ioc, pvs)
        mutated_datagrams(ioc, int(100_000 * scale), random_)
        mutated_circuits(ioc, int(30_000 * scale), random_)
    good.finish()
    wait_for(lambda: process.num_fds() <= files, timeout=60, what="the descriptors")
    grown = process.memory_info().rss - memory
    assert good.wrong == []
    assert good.commits > 0
    assert ioc.process.poll() is None
    log = ioc.stderr.stat().st_size
    with Raw(ioc.port) as raw:
        raw.send(message(15, b"", 4, 0, raw.channel(f"{ioc.prefix}Snapshot_RBV"), 1))
        shown = json.loads(raw.receive(15).payload.partition(b"\0")[0])
        assert (shown["geometry"]["poni1"], shown["geometry"]["rot1"]) == (GEOMETRY["poni1"], GEOMETRY["rot1"])
    assert "Traceback" not in ioc.stderr.read_text()
    assert ioc.stop() == 0
    p99 = statistics.quantiles(good.gets, n=100)[-1]
    print(
        f"\n{len(good.gets)} gets of the good client: median {1e3 * statistics.median(good.gets):.2f} ms, "
        f"p99 {1e3 * p99:.1f} ms; {good.commits} commits, 0 wrong verdicts; "
        f"memory {grown / 1e6:+.1f} MB, log {log / 1e3:.1f} kB"
    )
    return p99, grown, log


def clients_of(ioc, process):
    """Return the number of clients that are connected."""
    connections = process.net_connections("tcp")
    return sum(each.laddr.port == ioc.port and each.status != psutil.CONN_LISTEN for each in connections)


QUICK = ("Dist", "Label_RBV", "Status_RBV", "Reason_RBV")


def test_hostile_clients_end_nothing(make_ioc):
    attack(make_ioc, 0.02, [pv for pv in DETECTOR_PVS if pv.suffix in QUICK])


@pytest.mark.campaign
def test_hostile_clients_end_nothing_and_leave_nothing(make_ioc):
    p99, grown, log = attack(make_ioc, 1.0, DETECTOR_PVS)
    assert p99 < 0.05
    assert grown < 10e6
    assert log < 1e6
