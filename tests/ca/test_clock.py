"""An IOC whose clock jumps, by libfaketime: true times, the order of the serials, and an alarm meanwhile."""

import json
import os
import time
from pathlib import Path

import pytest
from caproto import AlarmSeverity

import speak
from live import wait_for
from ponikeeper.text.timestamps import to_posix
from speak import GEOMETRY, commit_text, get, read

NAMED = os.environ.get("LIBFAKETIME")
LIBRARY = NAMED or next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
pytestmark = pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed: apt install faketime")

YEAR_2000 = 946_684_800.0


class Clock:
    """An IOC, and by how much its clock is wrong (s)."""

    def __init__(self, make_ioc, folder):
        self._file = folder / "faketime"
        self.error = 0.0
        self.set(0.0)
        self.ioc = make_ioc(
            detectors=("{Det:1}Calib:",),
            environment={
                "LD_PRELOAD": str(LIBRARY),
                "FAKETIME_TIMESTAMP_FILE": str(self._file),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "NO_FAKE_STAT": "1",
            },
        )
        self.number = 0

    def set(self, error):
        """Set the clock."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{error:+f}\n")
        new.replace(self._file)
        self.error = error

    def commit(self):
        """Commit; return by how much the time of the record is wrong, and that of the readback (s)."""
        self.number += 1
        result = speak.request(
            self.ioc.prefix, commit_text(f"c{self.number}", geometry={**GEOMETRY, "dist": 0.2 + self.number / 100})
        )
        assert (result["outcome"], result["serial"]) == ("accepted", self.number)
        active = json.loads(get(f"{self.ioc.prefix}Snapshot_RBV"))
        (shown,) = read([f"{self.ioc.prefix}Dist_RBV"])
        return to_posix(active["activated"]) - time.time(), shown.timestamp - time.time()

    def status(self):
        """Return status, severity and message of the clock."""
        status, message = (f"{self.ioc.name}{{IOC}}Clock:{part}_RBV" for part in ("Status", "Message"))
        (value,) = read([status], str)
        return value, AlarmSeverity(value.severity), get(message)


@pytest.fixture
def clock(make_ioc, tmp_path):
    return Clock(make_ioc, tmp_path)


def commit_at_the_right_time(clock):
    """Commit: record and readback have the time of the clock."""
    assert clock.commit() == (pytest.approx(clock.error, abs=60), pytest.approx(clock.error, abs=60))


@pytest.mark.parametrize("jump", [3600.0, -3600.0, 40 * 86400.0])
def test_jump_there_and_back_leaves_the_rest_of_the_history_right(clock, jump):
    clock.ioc.start()
    for error in (0.0, jump, 0.0, 0.0):
        direction = "forward" if error > clock.error else "back"
        is_step, text = error != clock.error, f"the clock of this host was set {direction} by"
        clock.set(error)
        wait_for(lambda is_step=is_step, text=text: not is_step or text in clock.status()[2])
        commit_at_the_right_time(clock)
    wait_for(lambda: clock.status()[0] == "OK")


def test_alarm_lasts_while_the_newest_record_lies_ahead_also_across_a_restart(clock):
    clock.set(3600.0)
    clock.ioc.start()
    commit_at_the_right_time(clock)
    clock.set(0.0)
    wait_for(lambda: clock.status()[0] == "FAILED")
    assert clock.status()[1] == AlarmSeverity.MAJOR_ALARM
    clock.ioc.kill()
    clock.ioc.start()
    speak.forget()
    assert clock.status()[0] == "FAILED"
    (shown,) = read([f"{clock.ioc.prefix}Dist_RBV"])
    assert abs(shown.timestamp - time.time()) < 30, "no readback is dated into the future"
    assert "ahead of the clock of this host" in clock.ioc.stderr.read_text()
    commit_at_the_right_time(clock)
    wait_for(lambda: clock.status()[0] == "OK")


def test_start_before_the_clock_is_set_is_an_alarm_and_names_its_records_when_it_is_set(clock):
    clock.set(YEAR_2000 - time.time())
    clock.ioc.start()
    assert clock.status()[0] == "FAILED"
    assert "it was not set" in clock.status()[2]
    commit_at_the_right_time(clock)
    clock.set(0.0)
    wait_for(lambda: clock.status()[0] == "OK")
    assert f"by the clock before: {clock.ioc.prefix} serial 1" in clock.status()[2]
    commit_at_the_right_time(clock)
