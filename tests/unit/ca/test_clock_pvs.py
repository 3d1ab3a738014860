"""The PVs of the clock: an alarm and one line of the log while the newest record lies ahead of it."""

import logging
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from caproto import AlarmSeverity

from ponikeeper.ca.channels import make_channel
from ponikeeper.ca.clock_pvs import ClockPVs
from ponikeeper.detector.clock_rules import ClockReading
from ponikeeper.history import Activation
from ponikeeper.protocol.pvs import IOC_PVS
from ponikeeper.store import StoredState
from ponikeeper.text.timestamps import from_datetime

NOW = datetime(2026, 11, 29, 9, tzinfo=UTC)


class Host:
    """A detector, and a clock that the test sets."""

    def __init__(self):
        self.time, self.steady = NOW, 100.0
        self.keeper = SimpleNamespace(state=SimpleNamespace(prefix="A:", stored=StoredState()))
        self.activate()
        self.channels = {pv.suffix: make_channel(pv) for pv in IOC_PVS}
        self.pvs = ClockPVs(self.channels, [self.keeper], self.reading())

    def reading(self):
        return ClockReading(self.time, self.steady)

    def activate(self):
        serial = self.keeper.state.stored.serial + 1
        self.keeper.state.stored = StoredState(
            activation=Activation(serial, serial, from_datetime(self.time), "commit", "alice")
        )

    def passes(self, seconds, set_by=0.0):
        """Advance the time, during which the clock may be set, and check it."""
        self.steady += seconds
        self.time += timedelta(seconds=seconds + set_by)
        self.pvs.check(self.reading())

    @property
    def shown(self):
        status, message = (self.channels[f"Clock:{part}_RBV"] for part in ("Status", "Message"))
        assert status.alarm.severity == message.alarm.severity
        return status.value, status.alarm.severity, message.value


@pytest.fixture
def host():
    return Host()


def test_right_clock_has_no_alarm(host):
    for _ in range(3):
        host.passes(1.0)
        host.activate()
    assert host.shown == ("OK", AlarmSeverity.NO_ALARM, "")


def test_jump_forward_and_back_is_an_alarm_until_the_next_record(host, caplog):
    caplog.set_level(logging.INFO)
    host.passes(1.0, 3600.0)
    assert host.shown[0] == "OK"
    assert "set forward by 3600.0 s" in host.shown[2]
    host.activate()
    host.passes(1.0)
    host.passes(1.0, -3600.0)
    for _ in range(5):
        status, severity, message = host.shown
        assert (status, severity) == ("FAILED", AlarmSeverity.MAJOR_ALARM)
        assert "activation 2 of A: is dated 2026-11-29T10:00:01Z, 35" in message
        assert "set back by 3600.0 s" in message
        assert "by the clock before: A: serial 2" in message
        host.passes(1.0)
    host.activate()
    host.passes(1.0)
    assert host.shown[:2] == ("OK", AlarmSeverity.NO_ALARM)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "ERROR", "INFO"]


def test_alarm_ends_when_the_clock_has_caught_up(host):
    host.passes(1.0, 30.0)
    host.activate()
    host.passes(1.0, -30.0)
    assert host.shown[0] == "FAILED"
    host.passes(60.0)
    assert host.shown[0] == "OK"


def test_start_before_the_clock_is_set_is_an_alarm_and_its_records_are_named_afterwards(host):
    late = Host()
    late.time = NOW - timedelta(hours=5)
    late.pvs = ClockPVs(late.channels, [late.keeper], late.reading())
    assert late.shown[0] == "FAILED"
    late.activate()
    late.passes(1.0)
    late.activate()
    late.passes(1.0, 5 * 3600.0)
    status, _, message = late.shown
    assert status == "OK"
    assert message.endswith("activated since 2026-11-29T04:00:00Z, by the clock before: A: serials 2 to 3")


@pytest.mark.parametrize("slew", [0.4, -0.4])
def test_corrections_of_a_time_server_are_not_reported(host, slew):
    for _ in range(20):
        host.activate()
        host.passes(1.0, slew)
    assert host.shown == ("OK", AlarmSeverity.NO_ALARM, "")
