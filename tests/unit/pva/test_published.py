"""Alarm and time of a reading, as PVAccess has them."""

import pytest
from caproto import AlarmStatus

from ponikeeper.ca.server import dbr
from ponikeeper.pva.published import EPICS_EPOCH, alarm_of, time_of


@pytest.mark.parametrize("status", AlarmStatus)
def test_each_status_of_epics_base_has_its_name(status):
    alarm = alarm_of(dbr.Reading(dbr.DOUBLE, 0.0, status.value, 2))
    assert alarm["message"] == ("" if status is AlarmStatus.NO_ALARM else status.name)
    assert (alarm["severity"], alarm["status"] > 0) == (2, status is not AlarmStatus.NO_ALARM)


def test_unknown_status_is_undefined():
    assert alarm_of(dbr.Reading(dbr.DOUBLE, 0.0, 77, 3)) == {"severity": 3, "status": 6, "message": "UNKNOWN"}


def test_message_may_be_another():
    assert alarm_of(dbr.Reading(dbr.DOUBLE, 0.0, 7, 2), "z moves")["message"] == "z moves"


def test_time_counts_from_1970():
    assert EPICS_EPOCH == dbr.EPICS_EPOCH
    reading = dbr.Reading(dbr.DOUBLE, 0.0, 0, 0, *dbr.stamp_of(1_790_000_000.5))
    assert time_of(reading) == {"secondsPastEpoch": 1_790_000_000, "nanoseconds": 500_000_000, "userTag": 0}
