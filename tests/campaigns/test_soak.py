"""Many commits for many clients, one of which does not read for a while: memory is flat, all get the newest values."""

import json
import selectors
import statistics
import struct
import threading
import time

import psutil
import pytest

from live import wait_for
from raw import Raw, message, subscription
from speak import commit_text
from trouble import Stopwatch

RATE = 50
"""Commits each second."""

CLIENTS = 49
"""Clients that read; one more does not, for a while."""


class Subscriber:
    """A client with subscriptions to the snapshot and to one number."""

    def __init__(self, ioc, receive_buffer=None):
        self.raw = Raw(ioc.port, receive_buffer)
        for number, (name, kind) in enumerate((("Snapshot_RBV", 4), ("Dist_RBV", 20))):
            self.raw.send(subscription(self.raw.channel(ioc.prefix + name), number, kind))
        self.updates = 0
        self._snapshot = b""

    def read(self):
        """Read what has arrived."""
        self.raw.fill()
        for update in self.raw.waiting():
            self.updates += 1
            if update.command == 1 and update.parameter2 == 0:
                self._snapshot = update.payload

    def revision(self):
        """Return the revision of the last snapshot."""
        return json.loads(self._snapshot.partition(b"\0")[0] or b"{}").get("revision")


class Readers(threading.Thread):
    """Reads for all clients but the stalled one."""

    def __init__(self, clients):
        super().__init__(daemon=True)
        self._selector = selectors.DefaultSelector()
        self._ended = threading.Event()
        for client in clients:
            self.add(client)

    def add(self, client):
        self._selector.register(client.raw.sock, selectors.EVENT_READ, client)

    def remove(self, client):
        self._selector.unregister(client.raw.sock)

    def run(self):
        while not self._ended.is_set():
            for key, _ in self._selector.select(0.1):
                key.data.read()

    def finish(self):
        self._ended.set()
        self.join(30)
        self._selector.close()


class Committer(threading.Thread):
    """Commits at a rate, and notes how long each took."""

    def __init__(self, ioc):
        super().__init__(daemon=True)
        self.raw = Raw(ioc.port)
        text = commit_text().encode()
        self.raw.send(message(19, text, 4, len(text), self.raw.channel(f"{ioc.prefix}Request"), 1))
        assert self.raw.receive(19, 11).command == 19
        self._dist = self.raw.channel(f"{ioc.prefix}Dist")
        self._ended = threading.Event()
        self.durations, self.commits = [], 1

    def run(self):
        due = time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            due = max(due + 1 / RATE, time.monotonic() - 1.0)
            began = time.perf_counter()
            self.raw.send(message(19, struct.pack(">d", 0.3 + 1e-7 * self.commits), 6, 1, self._dist, 1))
            assert self.raw.receive(19, 11).command == 19
            self.commits += 1
            self.durations.append(time.perf_counter() - began)

    def finish(self):
        self._ended.set()
        self.join(30)


class Memory(threading.Thread):
    """Reads the memory of a process (MB) sixty times in a duration (s)."""

    def __init__(self, pid, duration):
        super().__init__(daemon=True)
        self._process, self._period = psutil.Process(pid), duration / 60
        self._ended = threading.Event()
        self.samples = []

    def run(self):
        while not self._ended.wait(self._period):
            self.samples.append(self._process.memory_info().rss / 1e6)

    def finish(self):
        self._ended.set()
        self.join(30)

    def growth(self):
        """Return the median of the last quarter of the samples minus that of the second quarter."""
        quarter = len(self.samples) // 4
        return statistics.median(self.samples[-quarter:]) - statistics.median(self.samples[quarter : 2 * quarter])


def soak(ioc, duration, stall):
    """Commit for a duration (s); from its first quarter on one client does not read for some time (s).

    Returns
    -------
    float
        Growth of the memory (MB).
    """
    clients = [Subscriber(ioc) for _ in range(CLIENTS)]
    stalled = Subscriber(ioc, 4096)
    threads = readers, committer, memory = (
        Readers([*clients, stalled]),
        Committer(ioc),
        Memory(ioc.process.pid, duration),
    )
    for thread in threads:
        thread.start()
    sleep = threading.Event().wait
    sleep(duration / 4)
    readers.remove(stalled)
    sleep(stall)
    seen, newest, watch = stalled.updates, committer.commits, Stopwatch()
    readers.add(stalled)
    wait_for(lambda: stalled.revision() >= newest, what="the newest values")
    caught_up, received = watch.read(), stalled.updates - seen
    sleep(3 * duration / 4 - stall)
    memory.finish()
    committer.finish()
    for client in (*clients, stalled):
        wait_for(lambda: client.revision() == committer.commits, what="the last values")  # noqa: B023
    readers.finish()
    for client in (*clients, stalled, committer):
        client.raw.close()
    durations = sorted(1e3 * each for each in committer.durations)
    print(
        f"\n{committer.commits} commits in {duration:g} s for {CLIENTS + 1} clients, "
        f"{statistics.median(client.updates for client in clients):.0f} updates each: median "
        f"{statistics.median(durations):.1f} ms, p99 {durations[len(durations) * 99 // 100]:.1f} ms, longest "
        f"{durations[-1]:.1f} ms; the client that stalled for {stall:g} s had the newest values after "
        f"{1e3 * caught_up:.0f} ms and {received} updates; memory {memory.growth():+.2f} MB:"
    )
    print(" ".join(f"{sample:.1f}" for sample in memory.samples))
    return memory.growth()


def test_soak_leaves_memory_flat_and_a_stalled_client_with_the_newest_values(make_ioc):
    soak(make_ioc(detectors=("{Det:1}Calib:",), forks=None).start(), 6.0, 2.0)


@pytest.mark.campaign
def test_hour_of_commits_leaves_memory_flat_and_a_stalled_client_with_the_newest_values(make_ioc):
    assert soak(make_ioc(detectors=("{Det:1}Calib:",), forks=None).start(), 3600.0, 600.0) < 2
