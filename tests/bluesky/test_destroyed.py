"""A destroyed device raises DestroyedError, in every thread, and never reaches libca."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter

import pytest
from ophyd import Component as Cpt
from ophyd import Device
from ophyd.utils import DestroyedError

import speak
from live import wait_for
from ponikeeper.protocol import RecordPosition
from ponikeeper_client._signals import ParameterSignal
from ponikeeper_client.device import CalibrationData, CalibrationMixin
from speak import GEOMETRY, commit_text

DEVICE_CALLS = {
    "read_snapshot": lambda calib: calib.read_snapshot(),
    "read_links": lambda calib: calib.read_links(),
    "read_configuration": lambda calib: calib.read_configuration(),
    "describe_configuration": lambda calib: calib.describe_configuration(),
    "configure": lambda calib: calib.configure({"dist": 0.3}),
    "set": lambda calib: calib.set({"dist": 0.3}).wait(10),
    "history": lambda calib: calib.history(),
    "transact": lambda calib: calib.transact(RecordPosition()),
    "wait_for_connection": lambda calib: calib.wait_for_connection(),
    "get": lambda calib: calib.get(),
}
SIGNAL_CALLS = {
    "get": lambda part: part.get(),
    "read": lambda part: part.read(),
    "describe": lambda part: part.describe(),
    "subscribe": lambda part: part.subscribe(print),
}
PV_CALLS = {"wait_for_connection": lambda part: part.wait_for_connection()}
PARAMETER_CALLS = {
    "put": lambda part: part.put(0.3),
    "set": lambda part: part.set(0.3).wait(10),
    "get_setpoint": lambda part: part.get_setpoint(),
}


class Panel(CalibrationMixin, Device):
    """A detector with a calibration."""

    calib = Cpt(CalibrationData, "", kind="config")


@pytest.fixture
def calibrated(prefix):
    speak.request(prefix, commit_text("begin", geometry=GEOMETRY))
    return prefix


@pytest.fixture
def connect(calibrated):
    """Connect to a device that the test destroys."""

    def connected(cls=CalibrationData):
        device = cls(calibrated, name="c")
        device.wait_for_connection(timeout=30)
        return device

    return connected


def raises_destroyed(call, subject):
    with pytest.raises(DestroyedError, match="was destroyed: make a new device"):
        call(subject)


@pytest.mark.parametrize("through", ["device", "parent"])
def test_every_call_and_signal_of_a_destroyed_device_raises(connect, through):
    top = connect(Panel if through == "parent" else CalibrationData)
    calib = top.calib if through == "parent" else top
    calib.read_configuration()
    used = {name: getattr(calib, name) for name in ("dist", "detector", *calib._signals)}
    top.destroy()
    for call in DEVICE_CALLS.values():
        raises_destroyed(call, calib)
    for name in calib.component_names:
        if name not in used:
            raises_destroyed(attrgetter(name), calib)
    for name, part in used.items():
        calls = (
            SIGNAL_CALLS | (PV_CALLS if hasattr(part, "pvname") else {}) | (PARAMETER_CALLS if name in GEOMETRY else {})
        )
        for call in calls.values():
            raises_destroyed(call, part)
    raises_destroyed(lambda _: calib.request.put("{}"), calib)
    assert "destroyed" in repr(calib)
    assert "destroyed" in calib._repr_html_()
    assert not calib.connected


def test_parent_of_a_destroyed_calibration_raises(connect):
    panel = connect(Panel)
    panel.destroy()
    raises_destroyed(lambda top: top.read_configuration(), panel)
    raises_destroyed(lambda top: top.configure({"calib.dist": 0.3}), panel)


def test_destroying_twice_is_allowed_and_leaves_other_devices_of_the_same_pvs(connect):
    first, second = connect(), connect()
    first.destroy()
    first.destroy()
    assert second.read_snapshot().revision == 1
    assert second.configure({"dist": 0.3})[1]["c_dist"]["value"] == 0.3
    second.destroy()


def test_subscription_of_a_destroyed_device_is_not_called_again(connect, calibrated):
    gone, there = connect(), connect()
    calls = {"gone": [], "there": []}
    for name, device in (("gone", gone), ("there", there)):
        for part in (device.serial, device.serial_pv, device.snapshot):
            part.subscribe(lambda name=name, **_: calls[name].append(1))
    gone.destroy()
    before = len(calls["gone"]), len(calls["there"])
    speak.request(calibrated, commit_text("next", geometry={"dist": 0.3}))
    wait_for(lambda: len(calls["there"]) >= before[1] + 3)
    assert len(calls["gone"]) == before[0]
    there.destroy()


READS = {
    "snapshot": lambda calib: calib.read_snapshot(),
    "configuration": lambda calib: calib.read_configuration(),
    "links": lambda calib: calib.read_links(),
    "parameter": lambda calib: calib.dist.get(),
    "setpoint": lambda calib: calib.dist.get_setpoint(),
    "plain PV": lambda calib: calib.status_pv.get(),
    "value of the snapshot": lambda calib: calib.status.get(),
    "subscription": lambda calib: calib.label.subscribe(lambda **_: None),
    "commit": lambda calib: calib.configure({"dist": 0.3}),
    "description": lambda calib: calib.dist.describe(),
}


def use_until_destroyed(calib, call, began):
    """Call again and again; return the error that ended it."""
    while True:
        try:
            call(calib)
        except Exception as error:  # noqa: BLE001
            return error
        finally:
            began.set()


def test_threads_that_use_a_device_while_it_is_destroyed_end_with_the_error(connect):
    for _ in range(5):
        calib, errors = connect(), {}
        began = {name: threading.Event() for name in READS}
        threads = [
            threading.Thread(
                target=lambda name=name, call=call, calib=calib, errors=errors, began=began: errors.update(
                    {name: use_until_destroyed(calib, call, began[name])}
                ),
                daemon=True,
            )
            for name, call in READS.items()
        ]
        for thread in threads:
            thread.start()
        assert all(event.wait(30) for event in began.values())
        calib.destroy()
        for thread in threads:
            thread.join(30)
        assert {name: type(error) for name, error in errors.items()} == dict.fromkeys(READS, DestroyedError), errors


def test_read_of_a_hung_ioc_ends_as_soon_as_the_device_is_destroyed(make_ioc):
    own = make_ioc().start()
    calib = CalibrationData(own.prefix, name="c", timeout=60.0)
    calib.wait_for_connection(timeout=30)
    own.signal(signal.SIGSTOP)
    try:
        errors, began = [], threading.Event()
        thread = threading.Thread(target=lambda: errors.append(use_until_destroyed(calib, READS["snapshot"], began)))
        thread.start()
        wait_for(lambda: calib.serial_pv._uses)
        since = time.monotonic()
        calib.destroy()
        thread.join(30)
        assert time.monotonic() - since < 10
        assert [type(error) for error in errors] == [DestroyedError]
    finally:
        own.signal(signal.SIGCONT)


def test_device_can_be_destroyed_before_it_is_connected(calibrated):
    for _ in range(100):
        CalibrationData(calibrated, name="c").destroy()
    calib = CalibrationData(calibrated, name="c")
    calib.wait_for_connection(timeout=30)
    assert calib.read_snapshot().revision == 1
    calib.destroy()


def test_value_that_is_used_first_while_the_device_is_destroyed_is_destroyed_too(connect, monkeypatch):
    calib = connect()
    make = ParameterSignal.__init__
    made = []

    def destroying(signal, *args, **kwargs):
        made.append(signal)
        make(signal, *args, **kwargs)
        calib.destroy()

    monkeypatch.setattr(ParameterSignal, "__init__", destroying)
    raises_destroyed(attrgetter("poni1"), calib)
    assert made[0]._destroyed
    assert made[0]._released


def test_threads_that_use_a_value_first_make_one_signal(connect):
    calib = connect()
    with ThreadPoolExecutor(8) as threads:
        signals = set(threads.map(lambda _: calib.rot1, range(8)))
    assert len(signals) == 1
    assert signals.pop().read()["c_rot1"]["value"] == GEOMETRY["rot1"]
    calib.destroy()
