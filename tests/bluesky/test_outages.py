"""An IOC that hangs, dies or is restarted: every recorded value was read from the IOC just before."""

import signal
import time

import pytest

import speak
from live import wait_for
from ponikeeper.errors import NotConnectedError
from ponikeeper.geometry.parameters import NAMES
from ponikeeper_client._fresh_gets import silent_text
from ponikeeper_client.device import CalibrationData
from speak import GEOMETRY, commit_text

TIMEOUT = 1.0


@pytest.fixture
def own(make_ioc):
    """An IOC that this test may damage, with an active geometry."""
    ioc = make_ioc().start()
    assert speak.request(ioc.prefix, commit_text("begin", geometry=GEOMETRY))["outcome"] == "accepted"
    return ioc


def fails_within_its_timeout(calib, match):
    began = time.monotonic()
    with pytest.raises(NotConnectedError, match=match):
        calib.read_configuration()
    return time.monotonic() - began < 2 * TIMEOUT


def recovered(calib):
    try:
        return calib.read_configuration()
    except NotConnectedError:
        return None


@pytest.mark.parametrize(("seconds", "text"), [(0.9991, "1"), (0.05, "0.05"), (12.34, "12"), (120, "120"), (-1, "0")])
def test_message_says_the_time_in_two_digits(seconds, text):
    assert f" does not answer within {text} s: " in silent_text("P:Serial_RBV", seconds)


def test_hung_ioc_raises_naming_the_pv_and_is_read_again_when_it_goes_on(own, make):
    calib = make(CalibrationData, own.prefix, "c", timeout=TIMEOUT)
    before = calib.read_configuration()
    own.signal(signal.SIGSTOP)
    try:
        assert fails_within_its_timeout(calib, f"{own.prefix}Serial_RBV does not answer within 1 s")
        assert calib.describe_configuration().keys() == before.keys()  # the monitor knows them
    finally:
        own.signal(signal.SIGCONT)
    assert calib.read_configuration() == before


def test_hung_ioc_is_not_shown_with_its_last_status(own, make):
    calib = make(CalibrationData, own.prefix, "c")
    assert "UNWATCHED, revision 1" in repr(calib)
    own.signal(signal.SIGSTOP)
    try:
        wait_for(lambda: "UNKNOWN, revision 1" in repr(calib))
        text = "no sign of life from the IOC for"
        assert (text in repr(calib), text in calib._repr_html_()) == (True, True)
        assert "before that the status was UNWATCHED" in repr(calib)
    finally:
        own.signal(signal.SIGCONT)
    wait_for(lambda: "UNWATCHED, revision 1" in repr(calib))


def test_late_reply_of_a_hung_ioc_is_not_taken_for_a_fresh_one(own, make):
    calib = make(CalibrationData, own.prefix, "c", timeout=TIMEOUT)
    own.signal(signal.SIGSTOP)
    try:
        assert fails_within_its_timeout(calib, "does not answer")
    finally:
        own.signal(signal.SIGCONT)
    result = speak.request(own.prefix, commit_text("after", geometry={"dist": 0.7}))
    recorded = calib.read_configuration()
    assert (recorded["c_serial"]["value"], recorded["c_dist"]["value"]) == (result["serial"], 0.7)


def test_killed_ioc_raises_naming_the_pv_and_is_read_again_after_its_restart(own, make):
    calib = make(CalibrationData, own.prefix, "c", timeout=TIMEOUT)
    before = calib.read_configuration()
    own.kill()
    assert fails_within_its_timeout(calib, f"{own.prefix}Serial_RBV does not answer within 1 s")
    wait_for(lambda: "not connected" in repr(calib))
    own.start()
    assert wait_for(lambda: recovered(calib)) == before
    calib.dist.set(0.3).wait(timeout=30)
    assert calib.read_snapshot().geometry.dist == 0.3


def test_disconnection_can_be_recorded_as_unknown_without_numbers(own, make):
    calib = make(CalibrationData, own.prefix, "c", timeout=TIMEOUT, on_disconnect="record")
    assert calib.read_configuration()["c_status"]["value"] == "UNWATCHED"
    own.signal(signal.SIGSTOP)
    try:
        recorded = {key: row["value"] for key, row in calib.read_configuration().items()}
        assert (recorded["c_status"], recorded["c_revision"]) == ("UNKNOWN", 0)
        assert not {f"c_{name}" for name in NAMES} & set(recorded)
        assert list(calib.describe_configuration()) == list(recorded)
    finally:
        own.signal(signal.SIGCONT)
    assert calib.read_configuration()["c_dist"]["value"] == GEOMETRY["dist"]


def test_set_on_a_hung_ioc_fails_and_commits_nothing(own, make):
    calib = make(CalibrationData, own.prefix, "c", timeout=TIMEOUT)
    own.signal(signal.SIGSTOP)
    try:
        with pytest.raises(NotConnectedError, match="Serial_RBV"):
            calib.dist.set(0.3).wait(timeout=30)
    finally:
        own.signal(signal.SIGCONT)
    assert calib.read_snapshot().revision == 1


def test_prefix_that_no_ioc_serves_raises_naming_the_pv():
    calib = CalibrationData("NO{Such}Calib:", name="lost", timeout=TIMEOUT)
    assert fails_within_its_timeout(calib, r"NO{Such}Calib:Serial_RBV does not answer .* EPICS_CA_ADDR_LIST")
    calib.destroy()
