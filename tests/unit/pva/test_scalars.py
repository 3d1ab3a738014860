"""The PVs of the contract as normative types, with the values that Channel Access publishes."""

import asyncio

import pytest
from caproto import AlarmSeverity, AlarmStatus

from ponikeeper.access.identity import ClientIdentity
from ponikeeper.access.rules import Right
from ponikeeper.ca.channels import make_channel
from ponikeeper.errors import RefusedError
from ponikeeper.protocol.pvs import DETECTOR_PVS, IOC_PVS, PV, Kind
from ponikeeper.pva.scalars import Scalar

EVE = ClientIdentity("eve", "", "10.0.0.9")
BY_SUFFIX = {pv.suffix: pv for pv in (*DETECTOR_PVS, *IOC_PVS)}


def served(suffix, handler=None):
    channel = make_channel(BY_SUFFIX[suffix], handler)
    channel.name = f"P:{suffix}"
    return channel, Scalar(channel)


@pytest.mark.parametrize("pv", BY_SUFFIX.values(), ids=lambda pv: pv.suffix)
def test_each_pv_has_all_fields_of_its_type(pv):
    _, scalar = served(pv.suffix)
    names = [name for name, _ in scalar.type.spec]
    assert set(names) == scalar.metadata().keys() | scalar.update().keys()
    assert scalar.needed is ((Right.READ if pv.query_only else Right.WRITE) if pv.writable else None)


def test_number_has_units_precision_and_limits():
    _, scalar = served("Dist")
    metadata = scalar.metadata()
    assert metadata["display"] | {"form": None} == {
        "description": "Sample to PONI distance", "units": "m", "precision": 9, "limitLow": 0.0, "limitHigh": 100.0,
        "form": None,
    }  # fmt: skip
    assert metadata["control"] == {"limitLow": 0.0, "limitHigh": 100.0, "minStep": 0.0}


def test_update_has_value_alarm_and_time():
    channel, scalar = served("Status_RBV")
    channel.post("MOVED", 1_790_000_000.25, AlarmSeverity.MAJOR_ALARM, AlarmStatus.STATE)
    assert scalar.update() == {
        "value": {"index": 3},
        "alarm": {"severity": 2, "status": 1, "message": "STATE"},
        "timeStamp": {"secondsPastEpoch": 1_790_000_000, "nanoseconds": 250_000_000, "userTag": 0},
    }
    assert scalar.metadata()["value"]["choices"][3] == "MOVED"


def test_long_text_is_a_string():
    channel, scalar = served("Reason_RBV")
    channel.post("z is at 3 mm", 1e9)
    assert scalar.update()["value"] == "z is at 3 mm"


def test_watcher_is_called_for_each_update_that_subscribers_get():
    channel, scalar = served("Dist_RBV")
    seen = []

    def watcher():
        seen.append(scalar.update()["value"])

    scalar.watch(watcher)
    channel.post(0.25, 1e9)
    channel.post(0.25, 2e9)
    channel.post(0.25, 3e9, only_changes=True)
    channel.post(0.26, 3e9, only_changes=True)
    scalar.unwatch(watcher)
    channel.post(0.27, 4e9)
    assert seen == [0.25, 0.25, 0.26]


def put(suffix, **changed):
    """Put some fields; return what the handler of the PV got."""
    received = []

    async def handle(value, identity):
        assert identity is EVE
        received.append(value)

    _, scalar = served(suffix, handle)
    asyncio.run(scalar.put({name.replace("__", "."): value for name, value in changed.items()}, EVE))
    return received


@pytest.mark.parametrize(
    ("suffix", "changed", "received"),
    [
        ("Dist", {"value": 0.3}, 0.3),
        ("Dist", {"value": 0.3, "display__units": "mm", "alarm__severity": 3}, 0.3),
        ("History:Select", {"value": 3}, 3),
        ("Follow", {"value__index": 1}, "On"),
        ("Activate", {"value": "near"}, "near"),
        ("Poni", {"value": "# \xe9"}, "# \xe9".encode()),
    ],
)
def test_put_reaches_the_handler_as_over_channel_access(suffix, changed, received):
    assert put(suffix, **changed) == [received]


@pytest.mark.parametrize(
    ("suffix", "changed", "says"),
    [
        ("Follow", {"value__index": 7}, "there is no such state: expected Off, On"),
        ("Follow", {"value__index": -1}, "there is no such state: expected Off, On"),
        ("Activate", {"value": "x" * 40}, "40 bytes: expected at most 39"),
        ("Poni", {"value": "x" * 16_001}, "16001 bytes: expected at most 16000"),
    ],
)
def test_value_that_the_pv_cannot_have_reaches_the_handler_as_an_error(suffix, changed, says):
    (error,) = put(suffix, **changed)
    assert isinstance(error, ValueError)
    assert str(error) == says


def test_put_without_a_value_is_refused():
    with pytest.raises(RefusedError, match="P:Dist: value is not put: nothing else of this PV can be"):
        put("Dist", display__units="mm")


def test_put_log_has_the_value():
    _, scalar = served("Follow")
    assert scalar.attempted({"value.index": 1, "alarm.severity": 0}) == 1
    assert scalar.attempted({"alarm.severity": 0}) == {"alarm.severity": 0}
    assert Scalar(make_channel(PV("X", Kind.DOUBLE, ""))).attempted({"value": 0.5}) == 0.5
