"""Devices that are made and destroyed again and again leave nothing behind: no thread, channel or connection."""

import gc
from collections import Counter
from pathlib import Path

import ophyd  # noqa: F401  # before epics, which it sets up
import pytest

from epics import ca, pv

import speak
from live import wait_for
from ponikeeper_client.device import CalibrationData
from speak import GEOMETRY, commit_text


def remains():
    """Count what there is: threads by name, channels of libca, PVs of pyepics."""
    gc.collect()
    names = Counter(path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm"))
    del names["errlog"]  # one in each process, which begins with the first message that libca prints
    return names | Counter(channels=sum(map(len, ca._cache.values())), PVs=len(pv._PVcache_))


def use_and_destroy(prefix, number):
    """Make a device, use it in one of four ways, and destroy it."""
    calib = CalibrationData(prefix, name="c")
    if number % 4:  # otherwise it is destroyed while it connects
        calib.wait_for_connection(timeout=30)
        assert calib.read_snapshot().revision >= 1
    if number % 4 == 2:
        calib.status.subscribe(lambda **_: None)
        calib.links.subscribe(lambda **_: None)
    if number % 4 == 3:
        calib.dist.set(0.2 + number * 1e-5).wait(timeout=30)
    calib.destroy()


def go(prefix, count):
    speak.request(prefix, commit_text("begin", geometry=GEOMETRY))
    for number in range(4):  # what is made only once
        use_and_destroy(prefix, number)
    before = remains()
    for number in range(count):
        use_and_destroy(prefix, number)
    wait_for(lambda: remains() <= before, what=f"nothing but {before}, as before {count} devices")
    print(f"before {count} devices: {dict(before)}; after them: {dict(remains())}")


def test_no_thread_and_no_channel_is_left_after_devices_were_destroyed(prefix):
    go(prefix, 60)


@pytest.mark.campaign
def test_no_thread_and_no_channel_is_left_after_a_thousand_devices_were_destroyed(prefix):
    go(prefix, 1000)
