"""Circuits: what one client does, or does not do, harms no other."""

import asyncio
import contextlib
import gc
import math
import signal
import socket
import struct
import threading
import time
from types import SimpleNamespace

import caproto as ca
import psutil
import pytest
from caproto import ChannelType

from live import TIMEOUT, free_ports, wait_for
from ponikeeper.access.rules import Right
from ponikeeper.ca.server.context import Limits
from ponikeeper.ca.server.dbr import DOUBLE, LONG, STRING
from ponikeeper.ca.server.searches import SearchResponder, _Endpoint
from ponikeeper.errors import RefusedError
from raw import Raw, message, subscription
from served import Served
from speak import Wire, commit_text, put, snapshot


@pytest.fixture(autouse=True)
def _loopback(monkeypatch):
    monkeypatch.setenv("EPICS_CA_SERVER_PORT", str(free_ports(1)[0]))
    monkeypatch.setenv("EPICS_CAS_BEACON_ADDR_LIST", "127.0.0.1")
    monkeypatch.setenv("EPICS_CAS_AUTO_BEACON_ADDR_LIST", "NO")


def subscribe(wire, channel, **options):
    """Subscribe, receive the first value, and return the subscription's id."""
    command = channel.subscribe(**options)
    wire.send(command)
    wire.receive(ca.EventAddResponse, lambda message: message.subscriptionid == command.subscriptionid)
    return command.subscriptionid


def next_value(wire, subscription=None):
    """Return the next value of a subscription, or of any."""
    message = wire.receive(ca.EventAddResponse, lambda message: subscription in (None, message.subscriptionid))
    return message.data[0]


def answers(served):
    """Return whether the server still answers a new client."""
    with Raw(served.port) as raw:
        return raw.answers()


def test_answers_leave_at_once():
    with Served() as served, Wire(served.port) as wire:
        sock = served.circuit(wire.sock).transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_peer_that_is_gone_is_noticed_by_keepalive():
    with Served() as served, Wire(served.port) as wire:
        sock = served.circuit(wire.sock).transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60


def stall(served, wire):
    """Subscribe to everything, stop reading, and publish until the socket is full; return the subscriptions."""
    subscriptions = [subscribe(wire, wire.channel(channel.pv.suffix)) for channel in served.numbers]
    text = wire.channel("Text")
    wire.send(text.subscribe(data_type=ChannelType.CHAR))
    wire.receive(ca.EventAddResponse)
    circuit = served.circuit(wire.sock)
    for number in range(2000):
        served.show(served.text, f"{number:015000d}")
        if circuit.full:
            return subscriptions
    raise AssertionError("the circuit does not stall")


def publish(served, turns):
    for turn in range(turns):
        for channel in served.numbers:
            served.show(channel, *(float(turn * 20 + number) for number in range(20)))


def test_stalled_client_keeps_no_other_from_its_monitors_and_has_the_last_values_when_it_resumes():
    with Served() as served, Wire(served.port, 4096) as stalled, Wire(served.port) as healthy:
        subscriptions = stall(served, stalled)
        publish(served, turns=10)
        watched = subscribe(healthy, healthy.channel("X3"))
        served.show(served.numbers[3], -1.0)
        while next_value(healthy, watched) != -1.0:
            continue
        for number, channel in enumerate(served.numbers):
            served.show(channel, 1000.0 + number)
        last = {}
        while any(last.get(key) != 1000.0 + number for number, key in enumerate(subscriptions)):
            message = stalled.receive(ca.EventAddResponse)
            last[message.subscriptionid] = message.data[0]


def test_updates_for_a_stalled_client_are_bounded():
    with Served() as served, Wire(served.port, 4096) as stalled:
        stall(served, stalled)
        circuit = served.circuit(stalled.sock)
        publish(served, turns=20)  # 4,000 updates
        assert len(circuit._late) <= 11  # the newest of each subscription
        assert circuit.transport.get_write_buffer_size() < 2**19


def test_client_that_sends_and_never_reads_costs_a_bounded_amount_of_memory():
    with Served() as served, Raw(served.port, 4096) as greedy:
        served.show(served.text, "x" * 16000)
        requests = message(15, data_type=4, count=16000, p1=greedy.channel("Text"), p2=1) * 1000
        circuit = served.circuit(greedy.sock)
        greedy.sock.settimeout(0.5)
        with contextlib.suppress(TimeoutError):  # the server reads no more
            for _ in range(1000):
                greedy.send(requests)
        wait_for(lambda: circuit.full)
        assert answers(served)
        pending = circuit.transport.get_write_buffer_size() + circuit.out_size + len(circuit._received)
        assert pending < 2_000_000
    gc.collect()
    assert served.lost == []


def test_two_puts_in_one_segment_keep_their_order():
    written, release = [], asyncio.Event()

    async def slow_first(value, _):
        if value == 1.0:
            await release.wait()
        written.append(value)

    with Served(slow_first) as served, Wire(served.port) as wire:
        channel, other = wire.channel("X0"), wire.channel("X1")
        wire.send(*(one.write([value], notify=True) for one, value in ((channel, 1.0), (channel, 2.0), (other, 3.0))))
        wire.receive(ca.WriteNotifyResponse)  # another channel does not wait
        served.loop.call_soon_threadsafe(release.set)
        wait_for(lambda: len(written) == 3)
        assert written == [3.0, 1.0, 2.0]


def test_puts_of_one_client_are_bounded_and_the_others_are_served():
    open_puts, most, release = 0, 0, asyncio.Event()

    async def slow(*_):
        nonlocal open_puts, most
        open_puts += 1
        most = max(most, open_puts)
        await release.wait()
        open_puts -= 1

    with Served(slow) as served, Wire(served.port) as wire:
        channels = [wire.channel(f"X{number}") for number in range(10)]
        wire.send(*(channels[number % 10].write([1.0], notify=True) for number in range(5000)))
        wait_for(lambda: most == 10)
        assert answers(served)
        assert served.circuit(wire.sock)._puts._open <= 16
        served.loop.call_soon_threadsafe(release.set)
        for _ in range(5000):
            wire.receive(ca.WriteNotifyResponse)
        assert most == 10


def test_channel_cleared_with_its_subscription_leaves_the_circuit_alive():
    with Served() as served, Wire(served.port) as wire:
        cleared, other = wire.channel("X0"), wire.channel("X1")
        subscribe(wire, cleared)
        watched = subscribe(wire, other)
        wire.send(cleared.clear())
        wire.receive(ca.ClearChannelResponse)
        served.show(served.numbers[0], 5.0)
        served.show(served.numbers[1], 6.0)
        assert next_value(wire, watched) == 6.0


def test_channel_cleared_during_a_put_leaves_the_circuit_alive():
    begun, release, written = threading.Event(), asyncio.Event(), []

    async def slow(value, _):
        begun.set()
        await release.wait()
        written.append(value)

    with Served(slow) as served, Wire(served.port) as wire:
        channel = wire.channel("X0")
        wire.send(channel.write([1.0], notify=True), channel.write([2.0], notify=True))
        assert begun.wait(TIMEOUT)
        wire.send(channel.clear())
        wire.receive(ca.ClearChannelResponse)
        served.loop.call_soon_threadsafe(release.set)
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

    with Served(slow) as served, Wire(served.port) as stays:
        with Wire(served.port) as leaves:
            leaves.send(leaves.channel("X0").write([1.0], notify=True))
            assert begun.wait(TIMEOUT)
        wait_for(lambda: len(served.context.circuits) == 1)
        served.loop.call_soon_threadsafe(release.set)
        assert done.wait(TIMEOUT)
        assert subscribe(stays, stays.channel("X1")) is not None
    gc.collect()
    assert served.lost == []


def test_value_that_does_not_convert_costs_this_update_alone():
    with Served() as served, Wire(served.port) as wire:
        served.show(served.string, "near")
        command = wire.channel("String").subscribe(data_type=ChannelType.TIME_DOUBLE)
        wire.send(command)
        updates = [wire.receive(ca.EventAddResponse)]
        for text in ("7.5", "far", "8.5 m"):
            served.show(served.string, text)
            updates.append(wire.receive(ca.EventAddResponse))
        fail, normal = ca.CAStatus.ECA_GETFAIL.value, ca.CAStatus.ECA_NORMAL.value
        assert [update.status for update in updates] == [fail, normal, fail, normal]
        assert [updates[1].data[0], updates[3].data[0]] == [7.5, 8.5]


@pytest.mark.parametrize(
    "modifier",
    ["[0:0:5]", "[0:1:0]", "[5:1]", '{"dbnd":{"abs":1}}', '{"arr":{"i":0}}', '{"ts":{}}', '{"dec":{"n":3}}', "$"],
)
@pytest.mark.parametrize("name", ["X0", "Text", "String", "Enum"])
def test_modifiers_of_a_name_end_no_server(name, modifier):
    with Served() as served, Raw(served.port) as raw:
        if modifier == "$" and name in ("X0", "Enum"):
            with pytest.raises(LookupError):
                raw.channel(f"{name}.$")
            return
        sid = raw.channel(f"{name}.{modifier}")
        types = (*range(35), 37, 38)
        for data_type in types:
            for count in (0, 1, 3):
                number = data_type * 4 + count
                raw.send(
                    subscription(sid, number, data_type, count), message(15, b"", data_type, count, p1=sid, p2=number)
                )
        for value in (1.0, math.nan, -3.0):
            served.show(served.numbers[0], value)
        served.show(served.text, "hello", "", "x" * 16000)
        served.show(served.string, "near", "", "7")
        served.show(served.enum, "Do", "Idle")
        assert raw.answers()
    assert served.lost == []


@pytest.mark.parametrize(
    "name",
    [
        "X0.{",
        "X0.[]",
        "X0.[a:b]",
        'X0.{"sync":{"m":"while","s":"red"}}',
        'X0.{"dbnd":{"abs":"x"}}',
        "X0.{}{}",
        "X0." + "[" * 4000,
    ],
)
def test_unknown_modifier_is_refused_when_the_channel_is_created(name):
    with Served() as served, Raw(served.port) as raw:
        with pytest.raises(LookupError):
            raw.channel(name)
        assert raw.answers()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Text.[0:3]", (4, b"hell")),
        ("Text.[-3:-1]", (3, b"llo")),
        ("Text.[0:2:4]", (3, b"hlo")),
        ('Text.{"arr":{"s":1,"e":3}}', (3, b"ell")),
    ],
)
def test_part_of_an_array_is_announced_and_sent(name, expected):
    with Served() as served, Wire(served.port) as wire:
        served.show(served.text, "hello")
        channel = wire.channel(name)
        wire.send(channel.read(data_type=ChannelType.CHAR, data_count=0))
        answer = wire.receive(ca.ReadNotifyResponse)
        assert (channel.native_data_count, bytes(answer.buffers[1])[: answer.data_count]) == expected


@pytest.mark.parametrize(
    ("modifier", "expected"),
    [
        ('{"dbnd":{"abs":1.5}}', [0.0, 2.0, 4.0, 6.0]),
        ('{"dbnd":{"rel":50}}', [0.0, 1.0, 2.0, 4.0]),
        ('{"dec":{"n":3}}', [0, 3, 6]),
    ],
)
def test_deadband_and_decimation_leave_updates_out(modifier, expected):
    with Served() as served, Raw(served.port) as raw:
        served.show(served.numbers[0], 0.0)
        raw.send(subscription(raw.channel(f"X0.{modifier}"), 1, 6))
        values = [struct.unpack(">d", raw.receive(1).payload)[0]]
        served.show(served.numbers[0], *map(float, range(1, 7)))
        while len(values) < len(expected):
            values.append(struct.unpack(">d", raw.receive(1).payload)[0])
        assert values == expected
        assert raw.answers()


def test_alarm_subscription_hears_of_alarms_only():
    with Served() as served, Wire(served.port) as wire:
        alarms = subscribe(wire, wire.channel("X0"), mask=ca.SubscriptionType.DBE_ALARM)
        served.show(served.numbers[0], 1.0, 2.0)
        served.show(served.numbers[0], 3.0, severity=2)
        served.show(served.numbers[0], 4.0, severity=2)
        served.show(served.numbers[0], 5.0)
        assert [next_value(wire, alarms), next_value(wire, alarms)] == [3.0, 5.0]


@pytest.mark.parametrize("command", [3, 4, 15, 19, 1, 2, 12, 99])
def test_client_that_breaks_the_protocol_is_disconnected(command):
    with Served() as served, Raw(served.port) as raw:
        raw.send(message(command, bytes(16), data_type=6, count=1, p1=999, p2=1))
        assert raw.receive(11).parameter2 == ca.CAStatus.ECA_INTERNAL.value.code_with_severity
        with pytest.raises(ConnectionError, match="closed"):
            raw.receive()
        assert answers(served)
        wait_for(lambda: not served.context.circuits)


def test_message_that_claims_four_gigabytes_is_not_buffered():
    with Served() as served, Raw(served.port) as raw:
        circuit = served.circuit(raw.sock)
        raw.send(struct.pack(">HHHHIIII", 4, 0xFFFF, 4, 0, 1, 1, 0xFFFFFFF0, 1), bytes(1_000_000))
        assert raw.receive(11).parameter2 == ca.CAStatus.ECA_TOLARGE.value.code_with_severity
        wait_for(lambda: circuit._discard < 0xFFFFFFF0 - 900_000)
        assert len(circuit._received) < 1000


def test_connections_that_close_at_once_leave_nothing():
    with Served() as served:
        for _ in range(200):
            socket.create_connection(("127.0.0.1", served.port)).close()
        wait_for(lambda: not served.context.circuits)
        wait_for(lambda: served.call(lambda: len(asyncio.all_tasks())) <= 6)
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


def test_requests_that_waited_for_the_output_are_handled_after_it():
    """An update that is planned when the requests arrive must not keep them waiting for good."""
    with Served() as served, Raw(served.port) as raw:
        served.show(served.text, "x" * 16000)
        sid = raw.channel("Text")
        raw.send(subscription(sid, 1, 4))
        raw.receive(1)
        circuit = served.circuit(raw.sock)
        requests = message(15, b"", 4, 16000, sid, 1) * 20

        def update_and_receive():
            served.text.post("y" * 16000, time.time())  # plans a flush
            circuit.data_received(requests)

        served.call(update_and_receive)
        for _ in range(20):
            raw.receive(15)
        assert raw.answers()


def test_updates_that_wait_for_a_client_cost_no_memory_and_arrive_whole():
    process = psutil.Process()
    with Served() as served, Raw(served.port) as raw:
        served.show(served.text, "x" * 16000)
        sid = raw.channel("Text")
        before = process.memory_info().rss
        raw.send(message(8), *(subscription(sid, number, STRING, 16000) for number in range(1000)), message(23))
        raw.receive(23)  # each update is 640 kB
        assert process.memory_info().rss - before < 50e6
        raw.send(*(message(2, b"", STRING, 16000, sid, number) for number in range(995)), message(9))
        wanted = {raw.receive(1).parameter2 for _ in range(5)}
        while wanted - {995, 996, 997, 998, 999}:  # the confirmations of the cancelled ones
            wanted = {raw.receive(1).parameter2 for _ in range(5)}


def test_update_that_waits_is_not_sent_after_a_newer_one():
    with Served() as served, Raw(served.port) as raw:
        raw.send(subscription(raw.channel("X0"), 1, DOUBLE))
        raw.receive(1)
        circuit = served.circuit(raw.sock)

        def show():
            circuit._events_off = True
            served.numbers[0].post(1.0, time.time())
            circuit._events_off = False
            served.numbers[0].post(2.0, time.time())
            circuit.on_writable()

        served.call(show)
        raw.send(message(23))
        assert struct.unpack(">d", raw.receive(1, 23).payload) == (2.0,)
        assert raw.receive(1, 23).command == 23


def test_many_forms_of_one_value_do_not_hold_up_the_others(monkeypatch):
    with Served() as served, Raw(served.port) as raw:
        served.show(served.text, "x" * 16000)
        sid = raw.channel("Text")
        counts = range(10_000, 10_040)
        raw.send(*(subscription(sid, count, STRING, count) for count in counts))
        for _ in counts:
            raw.receive(1)
        encoded, encode = [], served.text._encode
        monkeypatch.setattr(served.text, "_encode", lambda key: encoded.append(key) or encode(key))

        def show():
            served.text.post("y" * 16000, time.time())
            return len(encoded)

        assert served.call(show) < 5
        assert {raw.receive(1).parameter2 for _ in counts} == set(counts)


def test_reads_that_wait_for_a_put_are_bounded():
    gate = asyncio.Event()

    async def wait(_, __):
        await gate.wait()

    with Served(wait) as served, Raw(served.port) as raw:
        sid = raw.channel("X0")
        circuit = served.circuit(raw.sock)
        raw.send(message(19, struct.pack(">d", 1), DOUBLE, 1, sid, 1))
        raw.send(*(message(15, b"", STRING, 100, sid, number) for number in range(1000)))
        wait_for(circuit.must_wait)
        assert len(served.call(lambda: circuit.channels[sid].puts[0].when_done)) < 20
        served.call(gate.set)
        assert [raw.receive(15).parameter2 for _ in range(1000)] == list(range(1000))


class Rules:
    """Access rules that are counted: only boss may write."""

    def __init__(self):
        self.asked = 0

    def right(self, user, address, level=0):  # noqa: ARG002
        self.asked += 1
        return Right.WRITE if user == "boss" else Right.READ


def test_new_name_of_a_client_looks_its_rights_up_once_and_not_for_each_channel():
    rules = Rules()
    with Served(access=rules) as served, Raw(served.port) as raw:
        raw.send(*(message(18, b"X0\0", p1=number, p2=13) for number in range(500)))
        for _ in range(500):
            raw.receive(18)
        rules.asked = 0
        raw.send(*(message(20, f"user{number}\0".encode()) for number in range(100)), message(23))
        raw.receive(23)
        assert rules.asked <= 100


def test_put_has_the_rights_that_its_client_had_when_it_sent_it():
    accepted = []

    async def accept(value, _):
        await asyncio.sleep(0)
        accepted.append(value)

    with Served(accept, access=Rules()) as served, Raw(served.port) as raw:
        sid = raw.channel("X0")
        puts = [message(19, struct.pack(">d", number), DOUBLE, 1, sid, number) for number in range(8)]
        raw.send(message(20, b"boss\0"), *puts[:4], message(20, b"guest\0"), *puts[4:])
        outcomes = [raw.receive(19, 11).command for _ in range(8)]
    assert (accepted, outcomes) == ([0, 1, 2, 3], [19] * 4 + [11] * 4)


def test_own_health_check_is_admitted_however_many_clients_there_are():
    with (
        Served(limits=Limits(clients=1, per_host=1)) as served,
        Raw(served.port) as first,
        contextlib.closing(socket.socket()) as sock,
    ):
        assert first.answers()
        sock.bind(("127.0.0.1", 0))
        served.call(lambda: served.context.admit(sock.getsockname()))
        sock.connect(("127.0.0.1", served.port))
        sock.sendall(message(23))
        assert len(sock.recv(32, socket.MSG_WAITALL)) == 32  # the version and the echo
        with Raw(served.port) as other:
            assert not other.answers()


def test_put_of_an_enum_without_elements_is_refused():
    async def refuse(value, _):
        raise RefusedError(str(value))

    with Served(refuse) as served, Raw(served.port) as raw:
        served.enum._handler = refuse
        raw.send(message(19, b"", LONG, 0, raw.channel("Enum"), 1))
        assert b"there is no such state: expected Idle, Do" in raw.receive(11, 19).payload


def test_searches_beyond_what_one_turn_can_answer_are_left_unanswered():
    with Served() as served:
        endpoint = served.call(lambda: _endpoint(served))
        replies = []

        def flood():
            endpoint.transport = SimpleNamespace(sendto=lambda reply, _: replies.append(reply))
            for _ in range(100):
                endpoint.datagram_received(message(6, b"X0\0", 5, 13, 1, 1) * 300, ("127.0.0.1", 1))
            return len(replies)

        assert 5 < served.call(flood) < 15
        served.call(flood)
        assert len(replies) > 12  # the next turn


def _endpoint(served):
    endpoint = _Endpoint(SearchResponder(served.context.find, served.port))
    endpoint.transport = None
    return endpoint
