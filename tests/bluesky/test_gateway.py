"""Behind a CA gateway with a cache: runs are recorded as without it, and an IOC that hangs fails them."""

import asyncio
import signal
import threading
import time

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import pytest
from bluesky.run_engine import call_in_bluesky_event_loop
from bluesky.suspenders import SuspendWhenChanged

import speak
from live import wait_for
from panels import FlatPanel
from ponikeeper.errors import NotConnectedError
from ponikeeper_client.async_device import AsyncCalibrationData
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.guard import calibration_guard
from speak import GEOMETRY, commit_text

# of other tests, which spoke by aioca in a thread of their own before pyepics' context was there to be shared
pytestmark = pytest.mark.filterwarnings("ignore:There is already a CA context for this thread")

HUNG = (
    r"Alive_RBV stays at \d+\.\d+ for .* s, so what is shown may be old: the IOC hangs"
    r"|Serial_RBV does not answer within 2"
)
"""EPICS' gateway passes some gets on to the IOC, instead of answering them from its cache."""


@pytest.fixture
def behind(make_ioc, gateway_to):
    """An IOC with a geometry, and the prefix of its detector behind a gateway."""
    ioc = make_ioc(detectors=("{Det:1}Calib:",)).start()
    assert speak.request(ioc.prefix, commit_text("begin", geometry=GEOMETRY))["outcome"] == "accepted"
    gateway = gateway_to(ioc)
    speak.forget()
    return ioc, gateway.prefix


@pytest.fixture
def connect(run_engine):
    """Connect an ophyd-async calibration in the loop of the RunEngine, which is in use."""
    del run_engine

    def connected(prefix, **options):
        calib = AsyncCalibrationData(prefix, name="c", **options)
        call_in_bluesky_event_loop(calib.connect(timeout=20))
        return calib

    return connected


def test_device_reads_and_commits_behind_a_gateway(behind, make):
    ioc, prefix = behind
    calib = make(CalibrationData, prefix, "c")
    assert calib.read_configuration()["c_dist"]["value"] == GEOMETRY["dist"]
    calib.dist.set(0.3).wait(timeout=30)
    assert calib.read_snapshot().geometry.dist == speak.snapshot(ioc.prefix)["geometry"]["dist"] == 0.3


def test_reads_behind_a_gateway_wait_for_no_update_once_the_ioc_is_known_to_be_alive(behind, make):
    calib = make(CalibrationData, behind[1], "c")
    calib.read_snapshot()
    began = time.monotonic()
    for _ in range(50):
        calib.read_snapshot()
    assert time.monotonic() - began < 5  # each would wait up to a second


def test_hung_ioc_behind_a_gateway_is_noticed_by_the_device(behind, make):
    ioc, prefix = behind
    calib = make(CalibrationData, prefix, "c", timeout=1.0)
    before = calib.read_configuration()
    ioc.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(NotConnectedError, match=HUNG):
            wait_for(lambda: calib.read_configuration() is None)
        assert time.monotonic() - began < 8
        assert calib.snapshot.connected  # by which nothing could be noticed
    finally:
        ioc.signal(signal.SIGCONT)
    assert calib.read_configuration() == before


def test_device_that_connects_while_the_ioc_hangs_does_not_take_the_cache_for_the_ioc(behind, make):
    ioc, prefix = behind
    first = make(CalibrationData, prefix, "first")  # for whom the gateway keeps the values
    first.read_snapshot()
    ioc.signal(signal.SIGSTOP)
    try:
        calib = make(CalibrationData, prefix, "c", timeout=1.0)
        with pytest.raises(NotConnectedError, match=HUNG):
            calib.read_configuration()
        recording = make(CalibrationData, prefix, "d", timeout=1.0, on_disconnect="record")
        recorded = recording.read_configuration()
        assert (recorded["d_status"]["value"], recorded["d_revision"]["value"]) == ("UNKNOWN", 0)
    finally:
        ioc.signal(signal.SIGCONT)


def test_hung_ioc_behind_a_gateway_suspends_the_plan_until_it_goes_on(behind, make, run_engine):
    """The channels stay connected and no update comes; only the time of the IOC stands still."""
    ioc, prefix = behind
    calib = make(CalibrationData, prefix, "c", timeout=1.0)
    seen = []
    calib.status.subscribe(lambda value, **_: seen.append(value))
    suspender = SuspendWhenChanged(calib.status, expected_value="UNWATCHED", allow_resume=True)
    begun, end, passed = threading.Event(), threading.Event(), []

    def plan():
        begun.set()
        while not end.is_set():
            passed.append(1)
            yield from bps.sleep(0.01)

    def day():
        assert begun.wait(30)
        try:
            ioc.signal(signal.SIGSTOP)
            wait_for(lambda: suspender.tripped)
            assert calib.snapshot.connected
            assert seen == ["UNWATCHED", "UNKNOWN"]
            ioc.signal(signal.SIGCONT)
            wait_for(lambda: seen == ["UNWATCHED", "UNKNOWN", "UNWATCHED"])
            before = len(passed)
            wait_for(lambda: len(passed) > before + 3)
            passed.append("ended")
        finally:
            ioc.signal(signal.SIGCONT)
            end.set()

    thread = threading.Thread(target=day, daemon=True)
    run_engine.install_suspender(suspender)
    try:
        thread.start()
        run_engine(plan())
        thread.join(60)
    finally:
        run_engine.remove_suspender(suspender)
    assert "ended" in passed


def test_hung_ioc_behind_a_gateway_fails_the_run_that_the_guard_guards(behind, make, run_engine):
    ioc, prefix = behind
    panel = make(FlatPanel, prefix.removesuffix("Calib:"), "pe1")
    events = []

    def plan():
        for _ in range(3):
            yield from bps.trigger_and_read([panel])
        ioc.signal(signal.SIGSTOP)
        until = time.monotonic() + 10.0
        while time.monotonic() < until:
            yield from bps.trigger_and_read([panel])

    try:
        with pytest.raises(NotConnectedError, match=HUNG):
            run_engine(
                calibration_guard(bpp.run_wrapper(plan())), lambda kind, document: events.append((kind, document))
            )
    finally:
        ioc.signal(signal.SIGCONT)
    assert [kind for kind, _ in events].count("event") >= 3


def test_hung_ioc_behind_a_gateway_is_noticed_by_the_async_device(behind, connect, run_engine):
    ioc, prefix = behind
    calib = connect(prefix, timeout=1.0)

    async def read_until_it_fails():
        while True:
            await calib.read_configuration()

    before = call_in_bluesky_event_loop(calib.read_configuration())
    ioc.signal(signal.SIGSTOP)
    try:
        with pytest.raises(NotConnectedError, match=HUNG):
            call_in_bluesky_event_loop(asyncio.wait_for(read_until_it_fails(), 10))
    finally:
        ioc.signal(signal.SIGCONT)
    assert call_in_bluesky_event_loop(calib.read_configuration()) == before
