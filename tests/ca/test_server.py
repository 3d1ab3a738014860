"""Corrections of caproto 1.3; each test also runs on caproto's own server, and fails there."""

import asyncio
import contextlib
import gc
import signal
import socket
import threading
import time

import caproto
import pytest
from caproto import AlarmSeverity, AlarmStatus, ChannelType
from caproto.asyncio.server import Context as Stock

from live import TIMEOUT, free_ports, wait_for
from ponikeeper.ca.channels import make_channel
from ponikeeper.ca.server import Context
from ponikeeper.protocol.pvs import PV, Kind
from speak import Wire, commit_text, put, snapshot

FINE = AlarmSeverity.NO_ALARM, AlarmStatus.NO_ALARM
BACKLOG = 1000
"""Updates that stock's circuits hold, instead of 10,000: fewer are to be published before it stops."""


def on_stock_too(reason):
    """Run a test on both servers; it fails when caproto has corrected the defect itself."""
    defect = pytest.mark.xfail(strict=True, raises=(AssertionError, TimeoutError, ConnectionError), reason=reason)
    return pytest.mark.parametrize(
        "server", [pytest.param(Context, id="ponikeeper"), pytest.param(Stock, id="stock", marks=defect)]
    )


class Served:
    """Ten numbers and a long text on a server in a thread of this process."""

    def __init__(self, server, handler=None):
        self.numbers = [make_channel(PV(f"X{number}", Kind.DOUBLE, "", writable=True), handler) for number in range(10)]
        self.text = make_channel(PV("Text", Kind.TEXT, ""))
        self._server = server
        self.loop = asyncio.new_event_loop()
        self.lost = []
        self.loop.set_exception_handler(lambda _, context: self.lost.append(context))
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(TIMEOUT)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(TIMEOUT)
        self.loop.close()

    def _serve(self):
        asyncio.set_event_loop(self.loop)

        async def ready(_):
            self._ready.set()

        async def serve():
            self.context = self._server({channel.pv.suffix: channel for channel in (*self.numbers, self.text)})
            await self.context.run(startup_hook=ready)

        self._task = self.loop.create_task(serve())
        with contextlib.suppress(asyncio.CancelledError):
            self.loop.run_until_complete(self._task)
        rest = asyncio.all_tasks(self.loop)
        for task in rest:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())

    def run(self, awaitable):
        return asyncio.run_coroutine_threadsafe(awaitable, self.loop).result(TIMEOUT)

    def show(self, channel, *values):
        async def show():
            for value in values:
                await channel.post(value, 1.0, *FINE)

        self.run(show())

    def circuit(self, wire):
        """Return the server's end of a circuit."""
        ours = wire.sock.getsockname()
        return wait_for(lambda: [one for one in list(self.context.circuits) if one.circuit.address == ours])[0]


@pytest.fixture(autouse=True)
def _loopback(monkeypatch):
    monkeypatch.setenv("EPICS_CA_SERVER_PORT", str(free_ports(1)[0]))
    monkeypatch.setenv("EPICS_CAS_BEACON_ADDR_LIST", "127.0.0.1")
    monkeypatch.setenv("EPICS_CAS_AUTO_BEACON_ADDR_LIST", "NO")
    monkeypatch.setattr(caproto, "MAX_TOTAL_SUBSCRIPTION_BACKLOG", BACKLOG)


def subscribe(wire, channel):
    """Subscribe, receive the first value, and return the subscription's id."""
    command = channel.subscribe()
    wire.send(command)
    wire.receive(caproto.EventAddResponse, lambda message: message.subscriptionid == command.subscriptionid)
    return command.subscriptionid


def next_value(wire, subscription=None):
    """Return the next value of a subscription, or of any."""
    message = wire.receive(caproto.EventAddResponse, lambda message: subscription in (None, message.subscriptionid))
    return message.data[0]


@on_stock_too("asyncio leaves Nagle on, since the listening socket does not say that it is TCP")
def test_answers_leave_at_once(server):
    with Served(server) as served, Wire(served.context.port) as wire:
        sock = served.circuit(wire).client.writer.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@on_stock_too("monitors wait for a timer of 10 ms")
def test_updates_wait_for_no_timer(server):
    with Served(server) as served, Wire(served.context.port) as wire:
        circuit = served.circuit(wire)

        async def suspends():
            taking = circuit.get_from_sub_queue(timeout=0.01)
            try:
                taking.send(None)
            except StopIteration as stop:
                return stop.value is not None
            taking.close()
            return True

        assert not served.run(suspends())


def stall(served, wire):
    """Subscribe to everything, stop reading, and publish until the socket is full; return the subscriptions."""
    subscriptions = [subscribe(wire, wire.channel(channel.pv.suffix)) for channel in served.numbers]
    text = wire.channel("Text")
    wire.send(text.subscribe(data_type=ChannelType.CHAR))
    wire.receive(caproto.EventAddResponse)
    transport = served.circuit(wire).client.writer.transport
    for number in range(2000):
        served.show(served.text, f"{number:015000d}")
        if transport.get_write_buffer_size() > 2**16:
            return subscriptions
    raise AssertionError("the circuit does not stall")


def publish(served, turns):
    for turn in range(turns):
        for channel in served.numbers:
            served.show(channel, *(float(turn * 20 + number) for number in range(20)))


@on_stock_too("the loop that serves all clients waits for room in the queue of the one that stalled")
def test_stalled_client_keeps_no_other_from_its_monitors_and_has_the_last_values_when_it_resumes(server):
    with Served(server) as served, Wire(served.context.port, 4096) as stalled, Wire(served.context.port) as healthy:
        subscriptions = stall(served, stalled)
        publish(served, turns=10)
        healthy.sock.settimeout(2.0)
        watched = subscribe(healthy, healthy.channel("X3"))
        served.show(served.numbers[3], -1.0)
        while next_value(healthy, watched) != -1.0:
            continue
        for number, channel in enumerate(served.numbers):
            served.show(channel, 1000.0 + number)
        last = {}
        while any(last.get(key) != 1000.0 + number for number, key in enumerate(subscriptions)):
            message = stalled.receive(caproto.EventAddResponse)
            last[message.subscriptionid] = message.data[0]


def test_updates_for_a_stalled_client_are_bounded():
    with Served(Context) as served, Wire(served.context.port, 4096) as stalled:
        stall(served, stalled)
        circuit = served.circuit(stalled)
        publish(served, turns=20)  # 4,000 updates
        wait_for(lambda: served.context.subscription_queue.empty())
        held = [len(updates) for updates in circuit.unexpired_updates.values()]
        assert len(held) == 11
        assert max(held) <= 32
        assert circuit.subscription_queue.qsize() <= 2 * BACKLOG


@on_stock_too("puts are tasks of their own: of two the second may win")
def test_two_puts_in_one_segment_keep_their_order(server):
    written, release = [], asyncio.Event()

    async def slow_first(value, _):
        if value == 1.0:
            await release.wait()
        written.append(value)

    with Served(server, slow_first) as served, Wire(served.context.port) as wire:
        channel, other = wire.channel("X0"), wire.channel("X1")
        wire.send(*(one.write([value], notify=True) for one, value in ((channel, 1.0), (channel, 2.0), (other, 3.0))))
        wire.receive(caproto.WriteNotifyResponse)  # another channel does not wait
        served.loop.call_soon_threadsafe(release.set)
        wait_for(lambda: len(written) == 3, timeout=TIMEOUT if server is Context else 3)  # stock never ends it
        assert written == [3.0, 1.0, 2.0]


@on_stock_too("a subscription that outlives its channel ends the circuit's task")
def test_channel_cleared_with_its_subscription_leaves_the_circuit_alive(server):
    with Served(server) as served, Wire(served.context.port) as wire:
        wire.sock.settimeout(2.0)
        cleared, calibrated = wire.channel("X0"), wire.channel("X1")
        subscribe(wire, cleared)
        watched = subscribe(wire, calibrated)
        wire.send(cleared.clear())
        wire.receive(caproto.ClearChannelResponse)
        served.show(served.numbers[0], 5.0)
        served.show(served.numbers[1], 6.0)
        assert next_value(wire, watched) == 6.0


def test_channel_cleared_during_a_put_leaves_the_circuit_alive():
    begun, release, written = threading.Event(), asyncio.Event(), []

    async def slow(value, _):
        begun.set()
        await release.wait()
        written.append(value)

    with Served(Context, slow) as served, Wire(served.context.port) as wire:
        channel = wire.channel("X0")
        wire.send(channel.write([1.0], notify=True), channel.write([2.0], notify=True))
        assert begun.wait(TIMEOUT)
        wire.send(channel.clear())
        wire.receive(caproto.ClearChannelResponse)
        served.loop.call_soon_threadsafe(release.set)
        wire.send(caproto.EchoRequest())
        wire.receive(caproto.EchoResponse)
        assert subscribe(wire, wire.channel("X1")) is not None
        wait_for(lambda: len(written) == 2)
        assert written == [1.0, 2.0]
    gc.collect()
    assert served.lost == []


def test_client_that_disconnects_during_a_put_disturbs_no_other():
    begun, done, release = threading.Event(), threading.Event(), asyncio.Event()

    async def slow(*_):
        begun.set()
        await release.wait()
        done.set()

    with Served(Context, slow) as served, Wire(served.context.port) as stays:
        with Wire(served.context.port) as leaves:
            leaves.send(leaves.channel("X0").write([1.0], notify=True))
            assert begun.wait(TIMEOUT)
        wait_for(lambda: len(served.context.circuits) == 1)
        served.loop.call_soon_threadsafe(release.set)
        assert done.wait(TIMEOUT)
        assert subscribe(stays, stays.channel("X1")) is not None
    gc.collect()
    assert served.lost == []


def test_ioc_with_a_stalled_client_serves_the_others_and_stops_on_sigterm(make_ioc):
    ioc = make_ioc(detectors=("{Det:1}Calib:",)).start()
    assert put(f"{ioc.prefix}Request", commit_text()) is None
    with Wire(ioc.port, 4096) as stalled:
        channel = stalled.channel(f"{ioc.prefix}Results_RBV")
        stalled.send(*(channel.subscribe() for _ in range(100)))
        for number in range(30):
            assert put(f"{ioc.prefix}Dist", 0.3 + number / 1000) is None
        assert snapshot(ioc.prefix)["revision"] == 31
        began = time.monotonic()
        ioc.signal(signal.SIGTERM)
        assert ioc.stop() == 0
        assert time.monotonic() - began < 5.0
