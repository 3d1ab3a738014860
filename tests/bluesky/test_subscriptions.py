"""Values of the snapshot call their subscribers, so that suspenders of bluesky work on them."""

import json
import os
import signal
import subprocess
import sys
import threading

import bluesky.plan_stubs as bps
import pytest
from bluesky.suspenders import SuspendCeil, SuspenderBase, SuspendWhenChanged

import speak
from live import wait_for
from ponikeeper_client.device import CalibrationData
from speak import GEOMETRY, commit_text


@pytest.fixture
def calibrated(prefix):
    speak.request(prefix, commit_text("begin", geometry=GEOMETRY, label="near"))
    return prefix


@pytest.fixture
def calib(make, calibrated):
    return make(CalibrationData, calibrated, "c")


class SuspendUnless(SuspenderBase):
    """Suspend while the value is not one of some."""

    def __init__(self, part, *allowed, **options):
        super().__init__(part, **options)
        self.allowed = allowed

    def _should_suspend(self, value):
        return value not in self.allowed

    def _should_resume(self, value):
        return value in self.allowed


def follow(part):
    """Subscribe to a part; return the list of what it publishes."""
    seen = []
    part.subscribe(lambda value, **_: seen.append(value))
    return seen


def test_subscriber_gets_the_present_value_and_each_new_one(calib, calibrated):
    seen = {name: follow(getattr(calib, name)) for name in ("serial", "revision", "label", "detector_config", "status")}
    assert {name: values[0] for name, values in seen.items()} == {
        "serial": 1, "revision": 1, "label": "near", "detector_config": "{}", "status": "UNWATCHED",
    }  # fmt: skip
    for number, label in ((2, "far"), (3, "far")):
        speak.request(calibrated, commit_text(label + str(number), geometry={"dist": 0.2 + number}, label=label))
        for name, value in (("serial", number), ("revision", number), ("label", label)):
            wait_for(lambda name=name, value=value: seen[name][-1] == value)  # CA may skip values for a late client
    assert seen == {
        "serial": [1, 2, 3], "revision": [1, 2, 3], "label": ["near", "far"], "detector_config": ["{}"],
        "status": ["UNWATCHED"],
    }  # fmt: skip


def test_second_subscriber_gets_the_present_value_and_one_that_unsubscribed_none(calib, calibrated):
    first = []
    token = calib.serial.subscribe(lambda value, **_: first.append(value))
    second = follow(calib.serial)
    assert second == [1]
    calib.serial.unsubscribe(token)
    speak.request(calibrated, commit_text("next", geometry={"dist": 0.3}))
    wait_for(lambda: second == [1, 2])
    assert first == [1]


def test_status_is_unknown_while_the_ioc_is_away(make_ioc, make):
    ioc = make_ioc().start()
    speak.request(ioc.prefix, commit_text("begin", geometry=GEOMETRY))
    calib = make(CalibrationData, ioc.prefix, "c")
    status, serial = follow(calib.status), follow(calib.serial)
    ioc.kill()
    wait_for(lambda: status[-1] == "UNKNOWN")
    ioc.start()
    wait_for(lambda: status == ["UNWATCHED", "UNKNOWN", "UNWATCHED"])
    assert serial == [1]


def test_status_is_unknown_while_the_ioc_hangs_and_its_channels_are_connected(make_ioc, make):
    ioc = make_ioc().start()
    speak.request(ioc.prefix, commit_text("begin", geometry=GEOMETRY))
    calib = make(CalibrationData, ioc.prefix, "c")
    status, serial = follow(calib.status), follow(calib.serial)
    ioc.signal(signal.SIGSTOP)
    try:
        wait_for(lambda: status[-1] == "UNKNOWN")
        assert calib.snapshot.connected  # libca notices it after half a minute
    finally:
        ioc.signal(signal.SIGCONT)
    wait_for(lambda: status == ["UNWATCHED", "UNKNOWN", "UNWATCHED"])
    assert serial == [1]


def counting(begun, end, counted):
    begun.set()
    while not end.is_set():
        counted.append(1)
        yield from bps.sleep(0.01)


def suspends(run_engine, suspender, disturb, restore):
    """Run a plan; disturb it and restore; return whether it was suspended in between and then ended by itself."""
    begun, end, counted, states = threading.Event(), threading.Event(), [], []

    def day():
        assert begun.wait(30)
        try:
            disturb()
            wait_for(lambda: suspender.tripped)
            states.append(suspender.tripped)
            wait_for(lambda: _rests(counted))
            restore()
            wait_for(lambda: not suspender.tripped)
            before = len(counted)
            wait_for(lambda: len(counted) > before + 3)
        finally:
            end.set()

    thread = threading.Thread(target=day, daemon=True)
    run_engine.install_suspender(suspender)
    try:
        thread.start()
        run_engine(counting(begun, end, counted))
        thread.join(60)
    finally:
        run_engine.remove_suspender(suspender)
    return states == [True] and not thread.is_alive()


def _rests(counted):
    """Return whether a plan that counts each 0.01 s does not for 0.3 s."""
    before = len(counted)
    threading.Event().wait(0.3)
    return len(counted) == before


CHANGES = {
    "far": commit_text("far", geometry={"dist": 0.9}, label="far"),
    "first again": json.dumps({"v": 1, "op": "activate", "request": "back", "revision": 1}),
    "retracted": json.dumps({"v": 1, "op": "retract", "request": "wrong", "revision": 1, "reason": "beam stop moved"}),
}


@pytest.mark.parametrize(
    ("make_suspender", "disturbed", "restored"),
    [
        (lambda calib: SuspendUnless(calib.status, "UNWATCHED"), "retracted", "far"),
        (lambda calib: SuspendUnless(calib.label, "near"), "far", "first again"),
        (
            lambda calib: SuspendWhenChanged(calib.label, expected_value="near", allow_resume=True),
            "far",
            "first again",
        ),
        (lambda calib: SuspendWhenChanged(calib.revision_uid, allow_resume=True), "far", "first again"),
        (lambda calib: SuspendCeil(calib.revision, 1.5), "far", "first again"),
    ],
)
def test_suspender_holds_a_plan_and_lets_it_go_on(calib, calibrated, run_engine, make_suspender, disturbed, restored):
    assert suspends(
        run_engine,
        make_suspender(calib),
        lambda: speak.request(calibrated, CHANGES[disturbed]),
        lambda: speak.request(calibrated, CHANGES[restored]),
    )


def test_other_control_layer_is_named():
    code = "import ponikeeper_client; ponikeeper_client.CalibrationData('X:', name='x')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OPHYD_CONTROL_LAYER": "caproto"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.stderr.splitlines()[-1] == (
        "ponikeeper.errors.ControlLayerError: ophyd's control layer is caproto: CalibrationData needs pyepics. Write "
        'OPHYD_CONTROL_LAYER=pyepics into the environment, or ophyd.set_cl("pyepics") before the first device is made'
    )
