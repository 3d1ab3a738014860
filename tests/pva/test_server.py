"""The server: what its thread and the loop hand over to each other, and what clients cost."""

import getpass
import struct
import time
from ipaddress import IPv4Network

import pytest

from live import wait_for
from ponikeeper.access.rules import Right, Rule, Rules
from ponikeeper.pva import open_puts
from ponikeeper.pva import server as server_module
from pva_clients import connected, get, monitoring, put
from pva_served import PvaServed
from pva_wire import NO_REQUEST, PUT, TIMEOUT, PvaWire, bits, block, double, error_of, index, text

ME = f"{getpass.getuser()}@127.0.0.1"


@pytest.fixture(scope="module")
def served():
    with PvaServed() as served:
        yield served


@pytest.fixture(scope="module")
def client(served):
    with connected(served.port) as context:
        yield context


@pytest.fixture(autouse=True)
def _forgotten(served):
    served.received.clear()
    served.on_put = None


def mirrors(served):
    return served.do(lambda: set(served.server._mirrors))


def test_pv_costs_something_while_it_has_clients_only(served):
    pv = "P:Dist_RBV"
    with connected(served.port) as one, connected(served.port) as other:
        served.post(pv, 0.25)
        with monitoring(one, pv):
            assert get(other, pv).value == 0.25
            assert mirrors(served) == {pv}
            assert served.channels[pv]._watchers
    wait_for(lambda: mirrors(served) == set())
    assert not served.channels[pv]._watchers
    served.post(pv, 0.26)
    with connected(served.port) as again:
        assert get(again, pv).value == 0.26


def test_every_value_arrives_in_order_as_far_as_the_client_reads(served, client):
    with monitoring(client, "P:Serial_RBV") as updates:
        for number in range(1, 200):
            served.post("P:Serial_RBV", number)
        wait_for(lambda: updates[-1].value == 199)
    values = [update.value for update in updates[1:]]
    assert values == sorted(values)
    assert {update.type().getID() for update in updates} == {"epics:nt/NTScalar:1.0"}


def test_pv_with_many_subscriptions_is_updated_in_another_thread_and_a_put_is_answered_after_that(served, monkeypatch):
    monkeypatch.setattr(server_module, "_SLOW", 0.0)
    served.on_put = lambda value: served.channels["P:Poni2_RBV"].post(value, time.time())
    with connected(served.port) as own, monitoring(own, "P:Poni2_RBV") as updates:
        for number in range(50):
            assert put(own, "P:Poni2", {"value": float(number)}) is None
            assert get(own, "P:Poni2_RBV").value == number
        wait_for(lambda: updates[-1].value == 49)
        assert served.do(lambda: served.server._mirrors["P:Poni2_RBV"].slow) == server_module._SLOW_UPDATES
        values = [update.value for update in updates[1:]]
        assert values == sorted(values)


def test_put_runs_in_the_loop_and_is_answered_with_what_became_of_it(served, client):
    assert put(client, "P:Dist", {"value": 0.3}) is None
    assert put(client, "P:Follow", {"value.index": 1}) is None
    assert put(client, "P:Reason_RBV", {"value": "x"}) == (
        "P:Reason_RBV is a readback and cannot be put: no PV sets it directly"
    )
    assert served.received == [(0.3, ME), ("On", ME)]


def begin_put(wire, value, request=NO_REQUEST, name="P:Dist"):
    """Begin a put of a number, and do not wait for its answer."""
    sid = wire.channel(name)
    number = wire.begin(PUT, sid, request)
    wire.begun(PUT)
    wire.send(PUT, struct.pack("<IIB", sid, number, 0) + b"".join(double(value)))


@pytest.mark.parametrize("request_value", [NO_REQUEST, block(b"false"), block(b"true")], ids=["none", "false", "true"])
def test_put_is_answered_after_it_is_done_whatever_block_says(served, request_value):
    served.do(served.hold.clear)
    with PvaWire(served.port, "eve") as wire:
        begin_put(wire, 0.4, request_value)
        wait_for(lambda: served.do(lambda: len(served.server._puts)) == 1)
        wire.sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            wire.receive(PUT)
        wire.sock.settimeout(TIMEOUT)
        served.do(served.hold.set)
        assert error_of(wire.receive(PUT)[5:]) is None


def test_put_whose_client_is_gone_is_finished(served):
    served.do(served.hold.clear)
    with PvaWire(served.port, "eve") as wire:
        begin_put(wire, 0.5, name="P:Poni1")
        wait_for(lambda: served.do(lambda: len(served.server._puts)) == 1)
    wait_for(lambda: "P:Poni1" not in mirrors(served))
    served.do(served.hold.set)
    wait_for(lambda: served.received == [(0.5, "eve@127.0.0.1")])
    with PvaWire(served.port, "eve") as wire:
        assert wire.put("P:Poni1", *double(0.6)) is None


def test_client_that_does_not_tell_its_user_is_anonymous(served):
    with PvaWire(served.port) as wire:
        assert wire.put("P:Dist", *double(0.7)) is None
    assert served.received == [(0.7, "anonymous@127.0.0.1")]


@pytest.mark.parametrize(
    ("name", "fields", "says"),
    [
        ("P:Label", text(b"\xff\xfe"), "P:Label: this put cannot be read: 'utf-8' codec can't decode byte 0xff"),
        ("P:Label", (bits(), b""), "P:Label: value is not put: nothing else of this PV can be"),
    ],
)
def test_put_that_cannot_be_read_says_so(served, name, fields, says):
    with PvaWire(served.port, "eve") as wire:
        assert (wire.put(name, *fields) or "").startswith(says)
        assert wire.put("P:Follow", *index(1)) is None
    assert served.received == [("On", "eve@127.0.0.1")]


def test_user_that_is_no_text_is_refused(served):
    with PvaWire(served.port, b"\xff") as wire:
        assert wire.put("P:Dist", *double(0.3)).startswith("P:Dist: this put cannot be read: 'utf-8' codec")
    assert served.received == []


def test_too_many_open_puts_are_refused(served, monkeypatch):
    monkeypatch.setattr(open_puts, "PER_HOST", 1)
    served.do(served.hold.clear)
    with PvaWire(served.port, "eve") as one, PvaWire(served.port, "eve") as other:
        begin_put(one, 0.4)
        wait_for(lambda: served.do(lambda: len(served.server._puts)) == 1)
        assert other.put("P:Dist", *double(0.3)) == (
            "1 puts of 127.0.0.1 are not finished: wait for their answers, then put again"
        )
        served.do(served.hold.set)
        assert error_of(one.receive(PUT)[5:]) is None
        assert other.put("P:Dist", *double(0.3)) is None


def test_puts_of_one_host_beyond_some_wait_and_run_in_their_order(served, monkeypatch):
    monkeypatch.setattr(server_module, "_RUNNING", 2)
    served.do(served.hold.clear)
    with PvaWire(served.port, "eve") as wire:
        for number in range(6):
            begin_put(wire, float(number))
        wait_for(lambda: served.do(lambda: len(served.server._puts)) == 6)
        served.do(served.hold.set)
        assert [error_of(wire.receive(PUT)[5:]) for _ in range(6)] == [None] * 6
    assert [value for value, _ in served.received] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert served.do(lambda: served.server._turns) == {}


def test_channel_of_a_name_that_is_not_served_has_no_value_and_prints_nothing(served, capfd):
    with PvaWire(served.port, "eve") as wire:
        wire.begin(PUT, wire.channel("P:" + "x" * 5000))
        wire.sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            wire.begun(PUT)
    assert capfd.readouterr() == ("", "")


HUTCH = frozenset({IPv4Network("127.0.0.2/32")})
BOTH = frozenset({IPv4Network("127.0.0.0/24")})


def test_client_that_may_not_read_gets_no_value_until_the_rules_change():
    with PvaServed(Rules((Rule(Right.WRITE, None, HUTCH),))) as served, connected(served.port) as client:
        served.post("P:Dist_RBV", 0.25)
        with pytest.raises(TimeoutError):
            client.get("P:Dist_RBV", timeout=0.5)
        with PvaWire(served.port, "eve", "127.0.0.2") as wire:
            assert wire.put("P:Dist", *double(0.3)) is None
        served.rules = Rules((Rule(Right.READ, None, BOTH),))
        served.do(served.server.update_access_rights)
        assert get(client, "P:Dist_RBV").value == 0.25
        served.rules = Rules((Rule(Right.READ, None, HUTCH),))
        with monitoring(client, "P:Dist_RBV") as updates:
            served.do(served.server.update_access_rights)
            wait_for(lambda: mirrors(served) == set())
            served.post("P:Dist_RBV", 0.99)
            time.sleep(0.3)
            assert [update.value for update in updates if not isinstance(update, Exception)] == [0.25]
