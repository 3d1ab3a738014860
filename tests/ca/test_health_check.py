"""The watchdog is notified as long as monitors arrive and the store's thread works, and not longer."""

import asyncio
import contextlib
import signal
import socket
import threading
import time

import pytest

from live import TIMEOUT, free_ports, wait_for
from ponikeeper.ca import health_check
from ponikeeper.ca.channels import make_channel
from ponikeeper.ca.health_check import HealthCheck, feed_watchdog
from ponikeeper.ca.server import Context
from ponikeeper.ca.server.circuit import Circuit
from ponikeeper.protocol.pvs import PV, Kind
from ponikeeper.store.sqlite_storage import SQLiteStorage
from ponikeeper.store.store_thread import StoreThread
from speak import Wire, get
from trouble import require_strace, syncs

BEAT = 0.02
FRESH = 0.5


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(health_check, "_MAX_AGE", FRESH)
    monkeypatch.setattr(health_check, "_MAX_PING", FRESH)
    monkeypatch.setattr(health_check, "_PAUSE", BEAT)
    monkeypatch.setenv("EPICS_CA_SERVER_PORT", str(free_ports(1)[0]))
    monkeypatch.setenv("EPICS_CAS_BEACON_ADDR_LIST", "127.0.0.1")
    monkeypatch.setenv("EPICS_CAS_AUTO_BEACON_ADDR_LIST", "NO")


async def until(condition):
    """Wait for a condition while the server in the same loop runs."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(BEAT)


class Watched:
    """A server with a heartbeat, its health check, a store, and the notifications of the watchdog."""

    def __init__(self, folder):
        self.channel = make_channel(PV("HEARTBEAT", Kind.DOUBLE, ""))
        self.context = Context({"HEARTBEAT": self.channel})
        self.store = StoreThread(SQLiteStorage(folder / "store" / "ponikeeper.sqlite"))
        self.notifications = []

    async def beat(self):
        number = 0.0
        while True:
            number += 1
            self.channel.post(number, time.time())
            await asyncio.sleep(BEAT)

    def notify(self, message):
        assert message == "WATCHDOG=1"
        self.notifications.append(time.monotonic())

    async def get(self):
        """Get the heartbeat as a client does, in another thread, while the server's loop runs."""

        def ask():
            with Wire(self.context.tcp_port) as wire:
                wire.send(wire.channel("HEARTBEAT").read())
                return wire.receive(health_check.ca.ReadNotifyResponse).data[0]

        return await asyncio.to_thread(ask)

    async def notified(self):
        """Wait for the next notification."""
        had = len(self.notifications)
        await until(lambda: len(self.notifications) > had)

    async def silent(self):
        """Wait until notifications have stopped: none came for longer than one can be late."""
        await until(lambda: time.monotonic() - self.notifications[-1] > 3 * FRESH)


def watch(folder, story):
    """Run a scenario on a watched server."""

    async def run():
        watched = Watched(folder)
        ready = asyncio.Event()

        async def started(_):
            ready.set()

        tasks = [asyncio.create_task(watched.context.run(startup_hook=started)), asyncio.create_task(watched.beat())]
        try:
            await ready.wait()
            check = HealthCheck("127.0.0.1", watched.context.tcp_port, "HEARTBEAT", watched.context.admit)
            tasks.append(asyncio.create_task(check.run()))
            await check.wait_for_heartbeat(TIMEOUT)
            tasks.append(asyncio.create_task(feed_watchdog(check, watched.store, watched.notify, BEAT)))
            await watched.notified()
            await story(watched)
        finally:
            for task in reversed(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(BEAT)  # sockets close in the loop's next round
            watched.store.close()

    asyncio.run(run())


def test_watchdog_is_not_notified_when_monitors_stop_although_gets_work(tmp_path, monkeypatch, caplog):
    async def story(watched):
        first = await watched.get()
        with monkeypatch.context() as patch:
            patch.setattr(Circuit, "takes_updates", lambda _: False)
            await watched.silent()
            assert await watched.get() > first  # gets still work
        assert "the watchdog is not fed: no heartbeat has arrived by monitor" in caplog.text

    watch(tmp_path, story)


def test_lost_circuit_is_opened_again(tmp_path):
    async def story(watched):
        for _ in range(3):
            before = set(watched.context.circuits)
            for circuit in before:
                circuit.abort()
            await until(lambda before=before: set(watched.context.circuits) - before)
            lost = time.monotonic()
            while time.monotonic() < lost + 2 * FRESH:  # by then the heartbeats before the loss no longer count
                await watched.notified()

    watch(tmp_path, story)


def test_watchdog_is_not_notified_when_the_thread_hangs_for_another_reason_than_the_disk(tmp_path, caplog):
    async def story(watched):
        going_on = threading.Event()
        stuck = asyncio.create_task(watched.store.read(lambda _: going_on.wait(TIMEOUT)))
        await watched.silent()
        assert "the store's thread does not answer, and does not wait for the disk" in caplog.text
        going_on.set()
        await stuck
        await watched.notified()

    watch(tmp_path, story)


def test_heartbeat_that_may_not_be_read_is_replaced_by_echoes(make_ioc, systemd, tmp_path, caplog):
    rules = tmp_path / "none.acf"
    rules.write_text("ASG(DEFAULT) {\n  RULE(0, NONE)\n}\n")
    ioc = make_ioc(access=f'file = "{rules}"', environment=watchdog(systemd, 0.3)).start()
    assert messages(systemd, 4) == ["READY=1", *["WATCHDOG=1"] * 3]
    assert "the access rules forbid this host to read" in ioc.stderr.read_text()


# --- a live IOC, and the messages that systemd receives from it


@pytest.fixture
def systemd(tmp_path):
    """The socket of systemd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(TIMEOUT)
        yield listening


def watchdog(systemd, seconds):
    return {"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": str(round(seconds * 1e6))}


def messages(systemd, count):
    return [systemd.recv(100).decode() for _ in range(count)]


def test_watchdog_is_notified_three_times_per_interval(make_ioc, systemd):
    make_ioc(environment=watchdog(systemd, 1.5)).start()
    assert messages(systemd, 2) == ["READY=1", "WATCHDOG=1"]
    began = time.monotonic()
    assert messages(systemd, 6) == ["WATCHDOG=1"] * 6
    assert 2.5 < time.monotonic() - began < 6  # 3 s, and what a busy machine adds


def test_watchdog_of_a_stopped_process_is_not_notified(make_ioc, systemd):
    ioc = make_ioc(environment=watchdog(systemd, 0.3)).start()
    messages(systemd, 3)
    ioc.signal(signal.SIGSTOP)
    systemd.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            systemd.recv(100)
    threading.Event().wait(1.0)  # nothing is to come, however long
    with pytest.raises(BlockingIOError):
        systemd.recv(100)
    ioc.signal(signal.SIGCONT)
    systemd.settimeout(TIMEOUT)
    assert messages(systemd, 1) == ["WATCHDOG=1"]


def test_disk_that_hangs_is_an_alarm_and_no_reason_to_restart(make_ioc, systemd):
    require_strace()
    ioc = make_ioc(environment=watchdog(systemd, 0.3)).start()
    messages(systemd, 2)
    with syncs(ioc, "delay_enter=13000000"), Wire(ioc.port) as wire:
        wire.send(wire.channel(f"{ioc.prefix}Follow").write([0], notify=True))
        status = f"{ioc.name}{{IOC}}Storage:Status_RBV"
        wait_for(lambda: get(status) == 1, what="the alarm")
        began = time.monotonic()
        while time.monotonic() - began < 11:  # longer than a thread may be busy with something else
            assert systemd.recv(100) == b"WATCHDOG=1"
        assert get(status) == 1
