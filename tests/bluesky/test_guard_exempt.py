"""Dark frames, alignments and calibrations go on although the geometry does not apply, with and without the guard."""

import functools

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import pytest
from bluesky_darkframes import DarkFramePreprocessor, SnapshotDevice
from ophyd.sim import motor

import speak
from calibrating import Recorder
from live import wait_for
from ponikeeper.errors import RecordError
from ponikeeper_client.documents import GUARD_KEY
from ponikeeper_client.guard import calibration_guard
from ponikeeper_client.xpdacq import XrayBasicPlans
from scripted import Scripted, attempt, recorded
from speak import GEOMETRY

PLACE = 500.0


@pytest.fixture(scope="module")
def linked(make_ioc_for_module, motors):
    """An IOC with a detector that is calibrated at one place, and one that never was."""
    links = "settle = 0.2\n" + motors.link("z", "Z:RBV", moving="Z:MOVN")
    more = dict.fromkeys(("{Det:1}Calib:", "{Det:2}Calib:"), links)
    return make_ioc_for_module(more=more, other_ports=(motors.port,)).start()


@pytest.fixture
def panel(make, linked, motors):
    panel = make(Scripted, linked.prefixes[0].removesuffix("Calib:"), "pe1")
    for suffix, value in {"Z:RBV": PLACE, "Z:MOVN": 0}.items():
        assert speak.put(motors.pv(suffix), value) is None
    wait_for(lambda: [(link.value, link.unknown_because) for link in panel.calib.read_links()] == [(PLACE, None)])
    panel.calib.set(GEOMETRY).wait(timeout=30)
    stands(panel, "VALID")
    return panel


@pytest.fixture
def empty(make, linked):
    return make(Scripted, linked.prefixes[1].removesuffix("Calib:"), "pe1")


def stands(panel, status):
    return wait_for(lambda: panel.calib.read_snapshot().status == status)


def move(panel, motors):
    assert speak.put(motors.pv("Z:RBV"), PLACE + 90) is None
    stands(panel, "MOVED")


def warnings(caplog):
    return [record.message for record in caplog.records if record.name.startswith("ponikeeper_client")]


def of_darkframes(panel):
    """Return a run with a dark frame of bluesky-darkframes; its plan stages the detector again."""

    def dark_plan(detector):
        yield from bps.unstage(detector)
        yield from bps.stage(detector)
        yield from bps.trigger(detector, group="bluesky-darkframes-trigger")
        yield from bps.wait("bluesky-darkframes-trigger")
        return SnapshotDevice(detector)

    return DarkFramePreprocessor(dark_plan=dark_plan, detector=panel, max_age=600)(bp.count([panel]))


def of_xpdacq(panel):
    plans = XrayBasicPlans(Recorder(name="shutter"), "open", "closed")
    return plans.create_dark_frame_preprocessor(detector=panel, max_age=600)(plans.count([panel]))


@bpp.run_decorator()
def of_a_stream(panel):
    for name in ("dark", "primary"):
        yield from bps.trigger_and_read([panel, motor], name=name)


def of_a_group(panel):
    @bpp.stage_decorator([panel])
    @bpp.run_decorator()
    def plan():
        for group, name in (("my_dark", "dark"), ("light", "primary")):
            yield from bps.trigger(panel, group=group, wait=True)
            yield from bps.create(name)
            yield from bps.read(panel)
            yield from bps.save()

    return plan()


ALL = [of_darkframes, of_xpdacq, of_a_stream, of_a_group]


@pytest.mark.parametrize("darks", ALL)
def test_guard_waits_for_a_moving_link_before_the_light_and_not_before_the_dark(panel, motors, take, caplog, darks):
    commands = []
    assert speak.put(motors.pv("Z:MOVN"), 1) is None
    stands(panel, "MOVING")

    def look(msg):
        commands.append((msg.command, msg.obj))
        if msg.command == "sleep":
            assert speak.put(motors.pv("Z:MOVN"), 0) is None
        return msg

    run = take(bpp.msg_mutator(calibration_guard(darks(panel), on_status="fail"), look))
    dark, light = [number for number, one in enumerate(commands) if one == ("trigger", panel)]
    assert ("sleep", None) not in commands[:dark]
    assert ("sleep", None) in commands[dark:light]
    assert recorded(run, "status") == ["VALID"]
    assert [event["seq_num"] for event in run["event"]] == [1, 1]
    assert warnings(caplog) == []


@pytest.mark.parametrize("darks", ALL)
def test_guard_waits_before_the_light_for_a_link_that_moves_after_the_dark(panel, motors, take, darks):
    commands = []

    def begin():
        assert speak.put(motors.pv("Z:MOVN"), 1) is None
        wait_for(lambda: panel.calib.read_links()[0].moving)

    def look(msg):
        commands.append(msg.command)
        if msg.command == "sleep":
            assert speak.put(motors.pv("Z:MOVN"), 0) is None
        return msg

    panel.script[("trigger", 1)] = begin
    run = take(bpp.msg_mutator(calibration_guard(darks(panel), on_status="fail"), look))
    assert "sleep" in commands
    assert recorded(run, "status") == ["VALID"]


@pytest.mark.parametrize("darks", ALL)
def test_dark_of_a_detector_that_has_moved_is_taken_under_the_guard_and_the_light_is_refused(
    panel, motors, run_engine, caplog, darks
):
    move(panel, motors)
    run, reported = attempt(run_engine, calibration_guard(darks(panel), on_status="fail"))
    assert "the status is MOVED" in reported
    assert len(recorded(run, "status", "dark")) == 1
    assert recorded(run, "status") == []
    assert warnings(caplog) == []


@pytest.mark.parametrize("darks", ALL)
def test_guard_that_warns_does_so_once_for_dark_and_light(panel, motors, take, caplog, darks):
    move(panel, motors)
    take(calibration_guard(darks(panel)))
    (message,) = warnings(caplog)
    assert message.startswith("pe1_calib: the status is MOVED, z (")


@pytest.mark.parametrize(("darks", "expected"), [(of_darkframes, 1), (of_xpdacq, 1), (of_a_stream, 2), (of_a_group, 1)])
def test_dark_without_a_guard_warns_at_most_once(panel, motors, take, caplog, darks, expected):
    """And so does the light after it where the detector is not staged."""
    move(panel, motors)
    take(darks(panel))
    assert len(warnings(caplog)) == expected
    assert all(message.endswith("the run records this") for message in warnings(caplog))


def test_alignment_while_no_geometry_was_ever_committed_goes_on_with_one_warning(empty, take, caplog):
    run = take(bp.rel_scan([empty], motor, -1, 1, 5))
    assert recorded(run, "status") == ["UNSET"] * 5
    (message,) = warnings(caplog)
    assert message.startswith("pe1_calib: the status is UNSET")


def align(panel):
    """An alignment plan of a beamline, which moves and exposes."""

    @bpp.stage_decorator([panel])
    @bpp.run_decorator()
    def inner():
        for place in (1.0, 2.0, 3.0):
            yield from bps.mv(motor, place)
            yield from bps.trigger_and_read([panel, motor])

    return (yield from inner())


@pytest.mark.parametrize("plan", [align, lambda panel: bp.scan([panel], motor, 0, 1, 3, md={"plan_name": "align"})])
def test_alignment_is_exempt_from_a_guard_that_fails_all_other_runs(empty, run_engine, take, caplog, plan):
    guard = functools.partial(calibration_guard, on_status="fail", exempt=["align"])
    run_engine.preprocessors.append(guard)
    try:
        run = take(plan(empty))
        attempt(run_engine, bp.count([empty]), RecordError)
    finally:
        run_engine.preprocessors.clear()
    assert recorded(run, "status") == ["UNSET"] * 3
    assert GUARD_KEY not in run["start"][0]
    (message,) = warnings(caplog)
    assert message.endswith("the run records this")


def test_exposure_without_an_event_is_held_back_for_rest_and_not_lost(panel, motors, take):
    """What looks like an exposure of `trigger_and_read`, but is followed by something else, is one to light."""
    commands = []

    @bpp.run_decorator()
    def plan():
        yield from bps.trigger(panel, group="trigger-own", wait=True)
        yield from bps.null()

    assert speak.put(motors.pv("Z:MOVN"), 1) is None
    stands(panel, "MOVING")

    def look(msg):
        commands.append(msg.command)
        if msg.command == "sleep":
            assert speak.put(motors.pv("Z:MOVN"), 0) is None
        return msg

    take(bpp.msg_mutator(calibration_guard(plan()), look))
    order = [command for command in commands if command in ("sleep", "trigger", "wait", "null")]
    assert order[0] == "sleep"
    assert [command for command in order if command != "sleep"] == ["trigger", "wait", "null"]
