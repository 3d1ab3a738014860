"""Each PV is the same over both protocols: value, units, precision, limits, states, alarm, time, access."""

import math

import pytest

import speak
from live import wait_for
from ponikeeper.protocol.geometry_structure import NAME
from ponikeeper.protocol.pvs import DETECTOR_PVS, IOC_PVS, Kind
from pva_clients import get, put
from pva_wire import PvaWire, double, index, long, text
from speak import GEOMETRY, Wire

EVERY = [*(("{Det:1}Calib:", pv) for pv in DETECTOR_PVS), *(("{IOC}", pv) for pv in IOC_PVS)]
ALARMS = {"": 0, "READ": 1, "WRITE": 2, "STATE": 7, "UDF": 17}
"""Alarm status of EPICS base by the message of PVAccess."""


@pytest.fixture(scope="module", autouse=True)
def _geometry(ioc, client):
    values = {**GEOMETRY, "detector_config": "{}", "label": "near", "provenance": '{"method": "fit", "n_rings": 7}'}
    assert put(client, f"{ioc.prefix}{NAME}", values) is None


def over_ca(name, pv):
    """Read a PV as a value of Python, with status, severity and time."""
    (value,) = speak.read([name], datatype=speak.DBR_CHAR_STR if pv.kind is Kind.TEXT else None)
    plain = {Kind.DOUBLE: float, Kind.LONG: int, Kind.ENUM: int}.get(pv.kind, str)(value)
    return plain, value.status, value.severity, value.raw_stamp


def over_pva(client, name, pv):
    value = get(client, name)
    stamp, alarm = value.timeStamp, value.alarm
    plain = value.value.index if pv.kind is Kind.ENUM else value.value
    return plain, ALARMS[alarm.message], alarm.severity, (stamp.secondsPastEpoch, stamp.nanoseconds)


def is_same(one, other):
    both_nan = all(isinstance(each[0], float) and math.isnan(each[0]) for each in (one, other))
    return one[1:] == other[1:] and (both_nan or (type(one[0]), one[0]) == (type(other[0]), other[0]))


@pytest.mark.parametrize(("part", "pv"), EVERY, ids=lambda item: getattr(item, "suffix", item))
def test_value_alarm_and_time_are_the_same(ioc, client, part, pv):
    name = ioc.name + part + pv.suffix
    if pv.suffix == "Alive_RBV":  # a get over Channel Access reads the clock
        assert over_pva(client, name, pv)[0] == pytest.approx(over_ca(name, pv)[0], abs=5)
        return

    def agree():
        before, other, after = over_ca(name, pv), over_pva(client, name, pv), over_ca(name, pv)
        return not is_same(before, after) or is_same(before, other) or (before, other)

    wait_for(lambda: agree() is True, 5, f"the same value of {name}")


@pytest.mark.parametrize("kind", Kind)
def test_units_precision_limits_and_states_are_the_same(ioc, client, kind):
    pvs = [(ioc.name + part + pv.suffix, pv) for part, pv in EVERY if pv.kind is kind]
    for (name, pv), ca in zip(pvs, speak.info([name for name, _ in pvs]), strict=True):
        value = get(client, name)
        assert value.display.description == speak.get(f"{name}.DESC") == pv.desc
        if kind is Kind.ENUM:
            assert list(value.value.choices) == list(ca.enums)
            continue
        assert value.display.units == pv.units
        if kind in (Kind.DOUBLE, Kind.LONG):
            assert value.display.units == ca.units
            assert value.display.precision == getattr(ca, "precision", 0)
            assert (value.display.limitLow, value.display.limitHigh) == (ca.lower_disp_limit, ca.upper_disp_limit)
            assert (value.control.limitLow, value.control.limitHigh) == (ca.lower_ctrl_limit, ca.upper_ctrl_limit)


WRONG = {
    Kind.DOUBLE: double(math.nan), Kind.LONG: long(-7), Kind.STRING: text("no such thing"), Kind.TEXT: text("{"),
    Kind.ENUM: index(99),
}  # fmt: skip


@pytest.mark.parametrize("pv", [pv for pv in DETECTOR_PVS if pv.writable], ids=lambda pv: pv.suffix)
def test_wrong_value_is_refused_for_the_same_reason(ioc, pv):
    name, fields = ioc.prefix + pv.suffix, WRONG[pv.kind]
    with PvaWire(ioc.pva_port, "eve") as wire:
        over_pva = wire.put(name, *fields)
    with Wire(ioc.port, user="eve", host="127.0.0.1") as wire:
        channel = wire.channel(name)
        value, kind = {
            Kind.DOUBLE: ([math.nan], 6), Kind.LONG: ([-7], 5), Kind.STRING: ([b"no such thing"], 0),
            Kind.TEXT: (b"{", 4), Kind.ENUM: ([99], 3),
        }[pv.kind]  # fmt: skip
        answer = wire.put(channel, value, speak.ca.ChannelType(kind))
        reason = getattr(answer, "error_message", None)
    assert (over_pva is None) is (reason is None)
    assert over_pva is None or over_pva.encode().startswith(bytes(reason).rstrip(b"\0"))  # caproto's client cuts it
    assert over_pva is None or len(reason) > 20
