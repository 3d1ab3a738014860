"""Guarded runs: a geometry that changes during a run gets a new descriptor, or fails the run."""

import re
import time
import types
from uuid import uuid4

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import event_model
import pytest
from bluesky.utils import RunEngineInterrupted
from ophyd import Signal
from ophyd.sim import NullStatus, motor

import speak
from ponikeeper.errors import RecordError
from ponikeeper_client.guard import calibration_guard
from ponikeeper_client.recall import recorded as recalled
from scripted import AFTER_SAVE, Scripted, attempt, commit, recorded, steps
from speak import GEOMETRY


@pytest.fixture
def connect(make, fresh_prefix):
    """Connect to a detector of its own, with a first geometry."""

    def connected(name="pe1", cls=Scripted):
        panel = make(cls, fresh_prefix().removesuffix("Calib:"), name)
        commit(panel, GEOMETRY["dist"])
        return panel

    return connected


@pytest.fixture
def panel(connect):
    return connect()


FIRST = GEOMETRY["dist"]


def test_event_after_a_change_is_recorded_with_the_new_geometry(panel, take):
    panel.script[("trigger", 3)] = lambda: commit(panel, 0.5)
    run = take(calibration_guard(bp.count([panel], 4)))
    assert recorded(run, "dist") == [FIRST, FIRST, 0.5, 0.5]
    assert len(run["descriptor"]) == 2
    assert [event["seq_num"] for event in run["event"]] == [1, 2, 3, 4]


def test_event_during_whose_reading_the_geometry_changes_is_read_again(panel, take):
    panel.script[("read", 1)] = lambda: commit(panel, 0.5)
    panel.script[("read", 4)] = lambda: commit(panel, 0.6)
    run = take(calibration_guard(bp.count([panel], 3)))
    assert recorded(run, "dist") == [0.5, 0.5, 0.6]
    assert [event["seq_num"] for event in run["event"]] == [1, 2, 3]


def test_run_during_which_the_clock_of_the_client_is_set_back_is_recalled_in_its_order(panel, take, monkeypatch):
    """The times of descriptors and events are the client's; the order is that of events and serials."""
    changes = []
    clock = types.SimpleNamespace(time=lambda: time.time() - 3600 * len(changes))
    monkeypatch.setattr(event_model, "ttime", clock)

    def change(dist):
        commit(panel, dist)
        changes.append(dist)

    panel.script[("trigger", 2)] = lambda: change(0.5)
    panel.script[("trigger", 4)] = lambda: change(0.6)
    run = take(calibration_guard(bp.count([panel], 4)))
    times = [each["time"] for each in run["descriptor"]]
    assert times == sorted(times, reverse=True)
    for descriptors in (run["descriptor"], run["descriptor"][::-1]):
        parts = recalled({**run, "descriptor": descriptors})
        assert [part.geometry.dist for part in parts] == [FIRST, 0.5, 0.6]
        assert [part.seq_nums for part in parts] == [(1,), (2, 3), (4,)]


def test_run_fails_where_a_change_is_to_fail_it(panel, run_engine):
    panel.script[("trigger", 2)] = lambda: commit(panel, 0.5)
    run = {}
    with pytest.raises(RecordError, match="pe1_calib: the geometry changed during the run, from serial 1 to 2"):
        run_engine(
            calibration_guard(bp.count([panel], 3), on_change="fail"),
            lambda kind, document: run.setdefault(kind, []).append(document),
        )
    assert run["stop"][0]["exit_status"] == "fail"
    assert recorded(run, "dist") == [FIRST]


def test_warned_of_change_is_recorded_too(panel, take, caplog):
    panel.script[("trigger", 2)] = lambda: commit(panel, 0.5)
    run = take(calibration_guard(bp.count([panel], 3), on_change="warn"))
    assert recorded(run, "dist") == [FIRST, 0.5, 0.5]
    assert [r.message for r in caplog.records] == ["pe1_calib: the geometry changed during the run, from serial 1 to 2"]


class Writing(Scripted):
    """A detector that reports its files once, when it is read."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.assets = []

    def trigger(self):
        self.assets.append(("resource", self._resource()))
        return super().trigger()

    def _resource(self):
        return {"uid": uuid4().hex, "spec": "X", "root": "/", "resource_path": "x", "resource_kwargs": {}}

    def collect_asset_docs(self):
        reported, self.assets = self.assets, []
        yield from reported


def test_event_with_files_keeps_the_geometry_of_its_exposure_where_that_changes_while_it_is_read(connect, take):
    panel = connect(cls=Writing)
    panel.script[("read", 2)] = lambda: commit(panel, 0.5)
    run = take(calibration_guard(bp.count([panel], 3)))
    assert recorded(run, "dist") == [FIRST, FIRST, 0.5]
    assert len(run["resource"]) == 3


def judge(panel, serial=1):
    prefix = panel.calib.prefix
    text = f'{{"v": 1, "request": "{uuid4().hex}", "op": "retract", "revision": {serial}, "reason": "it was off"}}'
    assert speak.request(prefix, text)["outcome"] == "accepted"


def test_status_that_is_not_valid_is_warned_of_once_and_recorded(panel, take, caplog):
    panel.script[("trigger", 2)] = lambda: judge(panel)
    run = take(calibration_guard(bp.count([panel], 4)))
    (reported,) = [record.message for record in caplog.records]
    assert reported.startswith("pe1_calib: the status is RETRACTED, revision 1 was retracted: it was off")
    assert recorded(run, "status") == ["UNWATCHED", "RETRACTED", "RETRACTED", "RETRACTED"]


def test_status_that_is_not_valid_fails_the_run_before_its_first_event(panel, run_engine):
    judge(panel)
    run, reported = attempt(run_engine, calibration_guard(bp.count([panel]), on_status="fail"))
    assert "event" not in run
    assert "the status is RETRACTED" in reported
    assert run["stop"][0]["exit_status"] == "fail"
    assert "RETRACTED" in run["stop"][0]["reason"]


def test_plan_cleans_up_when_the_guard_fails_its_run(panel, run_engine):
    cleaned = []

    def closing():
        cleaned.append(True)
        yield from bps.null()

    judge(panel)
    attempt(run_engine, calibration_guard(bpp.finalize_wrapper(bp.count([panel]), closing), on_status="fail"))
    assert cleaned == [True]


def test_guard_of_the_session_guards_each_run(panel, run_engine, take):
    run_engine.preprocessors.append(calibration_guard)
    try:
        panel.script[("trigger", 2)] = lambda: commit(panel, 0.5)
        panel.script[("trigger", 6)] = lambda: commit(panel, 0.6)

        def plan():
            yield from bp.count([panel], 3)
            yield from bp.scan([panel], motor, -1, 1, 4)

        run = take(plan())
    finally:
        run_engine.preprocessors.remove(calibration_guard)
    assert recorded(run, "dist") == [FIRST, 0.5, 0.5, 0.5, 0.5, 0.6, 0.6]
    assert len(run["start"]) == 2


def test_guard_within_a_run_that_it_did_not_see_open_refuses_to_record_there(panel, run_engine, take):
    def steps():
        yield from bps.trigger_and_read([panel])

    _, message = attempt(run_engine, bpp.run_wrapper(calibration_guard(steps())))
    assert "cannot guard pe1_calib, because the run was opened outside of it" in message
    take(calibration_guard(steps_outside_of_runs(panel)))


def steps_outside_of_runs(panel):
    """Trigger and read a detector outside a run."""
    yield from bps.stage(panel)
    yield from bps.trigger(panel, wait=True)
    yield from bps.rd(panel.number)
    yield from bps.unstage(panel)


def test_readings_that_are_added_behind_the_guard_fail_the_run(panel, run_engine):
    panel.script[("trigger", 2)] = lambda: commit(panel, 0.5)
    added = bpp.SupplementalData(baseline=[panel.calib, motor])
    run_engine.preprocessors.extend([calibration_guard, added])
    try:
        run, message = attempt(run_engine, bp.count([panel], 3))
    finally:
        run_engine.preprocessors.clear()
    assert "pe1_calib in the stream baseline: append it to RE.preprocessors after the preprocessors" in message
    assert run["stop"][0]["exit_status"] == "fail"


def test_readings_that_are_added_before_the_guard_are_recorded_right(panel, run_engine, take):
    panel.script[("trigger", 2)] = lambda: commit(panel, 0.5)
    run_engine.preprocessors.extend([bpp.SupplementalData(baseline=[panel.calib, motor]), calibration_guard])
    try:
        run = take(bp.count([panel], 3))
    finally:
        run_engine.preprocessors.clear()
    assert recorded(run, "dist") == [FIRST, 0.5, 0.5]
    (_, last) = [each for each in run["descriptor"] if each["name"] == "baseline"]
    assert last["configuration"]["pe1_calib"]["data"]["pe1_calib_dist"] == 0.5


def test_guard_returns_the_result_of_the_plan_and_passes_every_response(panel, run_engine, take):
    answers = []

    def plan():
        uid = yield from bp.count([panel])
        answers.append((uid, (yield from bps.rd(panel.number, default_value=7))))
        return 3

    def outer():
        answers.append((yield from calibration_guard(plan())))

    run = take(outer())
    assert answers == [(run["start"][0]["uid"], 0), 3]


def test_runs_without_a_calibrated_detector_are_not_changed(take):
    def commands(plan):
        return [msg.command for msg in plan if msg.command not in ("subscribe", "unsubscribe")]

    plain, guarded = bp.scan([], motor, -1, 1, 3), calibration_guard(bp.scan([], motor, -1, 1, 3))
    assert commands(guarded) == commands(plain)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"on_change": "ignore"}, 'on_change=\'ignore\' is unknown: expected "new_descriptor", "fail" or "warn"'),
        ({"on_change": None}, "on_change=None is unknown: expected"),
        ({"on_status": "ignore"}, 'on_status=\'ignore\' is unknown: expected "warn" or "fail"'),
        ({"moving": "z"}, "moving='z' is not a list: expected names of links"),
        ({"moving": 3}, "moving=3 is not a list: expected names of links"),
        ({"moving": [3]}, "moving=(3,) are not all names: expected names of links"),
        ({"exempt": "align"}, "exempt='align' is not a list: expected names of plans, [\"align\"]"),
        ({"exempt": [None]}, "exempt=(None,) are not all names: expected names of plans"),
        ({"calibs": []}, "calibs is empty, so nothing would be guarded"),
        ({"calibs": motor}, "calibs=motor is not a list: expected a list of CalibrationData, [pe1.calib]"),
        ({"calibs": [motor]}, "are not all calibrations: expected a list of CalibrationData"),
    ],
)
def test_wrong_arguments_of_the_guard_are_reported_before_a_plan_begins(given, expected):
    with pytest.raises(ValueError, match=re.escape(expected)):
        calibration_guard(bp.count([motor]), **given)


def test_calibration_that_is_in_no_list_is_reported(panel):
    with pytest.raises(ValueError, match="calibs=pe1_calib is one calibration: expected a list"):
        calibration_guard(bp.count([panel]), panel.calib)


def test_function_that_would_give_a_plan_is_reported():
    with pytest.raises(ValueError, match=r"count is a function, not a plan: expected its result, count\(\.\.\.\)"):
        calibration_guard(bp.count)


def test_run_has_the_name_of_the_plan_that_is_guarded(panel, take):
    def exposure():
        yield from bps.open_run()
        yield from bps.trigger_and_read([panel])
        yield from bps.close_run()

    (start,) = take(calibration_guard(exposure()))["start"]
    assert start["plan_name"] == "exposure"


def test_only_the_calibrations_that_are_named_are_guarded(connect, take, run_engine):
    panel, other = connect("pe1"), connect("pe2")
    other.script[("trigger", 2)] = lambda: commit(other, 0.5)
    run = take(calibration_guard(bp.count([panel, other], 3), [panel.calib], on_change="fail"))
    assert len(run["descriptor"]) == 1
    other.script[("trigger", 5)] = lambda: commit(other, 0.6)
    _, reported = attempt(run_engine, calibration_guard(bp.count([panel, other], 3), [other.calib], on_change="fail"))
    assert reported.startswith("pe2_calib")


def test_calibrations_that_come_one_by_one_are_guarded(panel, run_engine):
    panel.script[("trigger", 2)] = lambda: commit(panel, 0.5)
    attempt(run_engine, calibration_guard(bp.count([panel], 3), (each.calib for each in [panel]), on_change="fail"))


def test_stream_of_dark_frames_is_not_changed(panel, take, run_engine):
    judge(panel)

    @bpp.run_decorator()
    def plan(stream):
        yield from bps.trigger_and_read([panel], name=stream)

    take(calibration_guard(plan("dark"), on_status="fail"))
    attempt(run_engine, calibration_guard(plan("primary"), on_status="fail"))


def streams(panel, *steps):
    """Build a plan with events in several streams, each of some devices."""

    @bpp.stage_decorator([panel])
    @bpp.run_decorator()
    def plan():
        for name, *devices in steps:
            yield from bps.trigger_and_read(devices, name=name)

    return plan()


def test_each_stream_is_recorded_with_the_geometry_of_its_time(panel, take):
    for number, dist in enumerate((0.5, 0.6, 0.7), 2):
        panel.script[("trigger", number)] = lambda dist=dist: commit(panel, dist)
    steps = [(name, panel) for name in ("near", "far", "near", "far", "far")]
    run = take(calibration_guard(streams(panel, *steps)))
    assert recorded(run, "dist", "near") == [FIRST, 0.6]
    assert recorded(run, "dist", "far") == [0.5, 0.7, 0.7]


def test_streams_of_which_one_has_a_further_device_are_recorded_right(panel, take):
    for number, dist in enumerate((0.5, 0.6, 0.7), 2):
        panel.script[("trigger", number)] = lambda dist=dist: commit(panel, dist)
    steps = [("near", panel), ("far", panel, motor), ("near", panel), ("far", panel, motor)]
    run = take(calibration_guard(streams(panel, *steps)))
    assert recorded(run, "dist", "near") == [FIRST, 0.6]
    assert recorded(run, "dist", "far") == [0.5, 0.7]


def test_streams_of_which_each_has_a_device_of_its_own_are_right_or_fail(panel, run_engine):
    from ponikeeper_client.guard._run_record import KEEPS_PER_STREAM

    panel.script[("trigger", 3)] = lambda: commit(panel, 0.6)
    ring = Signal(name="ring", value=1)
    steps = [("near", panel, ring), ("far", panel, motor), ("near", panel, ring)]
    plan = calibration_guard(streams(panel, *steps))
    if not KEEPS_PER_STREAM:
        pytest.skip("this bluesky records it right")
    run, reported = attempt(run_engine, plan)
    assert "cannot record a new geometry in a run whose streams read different devices" in reported
    assert "near: pe1, ring; far: pe1, motor" in reported
    assert recorded(run, "dist", "near") == [FIRST]


def test_calibration_that_is_in_the_baseline_by_itself_is_recorded_right_there_and_with_its_detector(panel, take):
    panel.script[("trigger", 2)] = lambda: commit(panel, 0.5)
    run = take(calibration_guard(bpp.baseline_wrapper(bp.count([panel], 3), [panel.calib])))
    assert recorded(run, "dist") == [FIRST, 0.5, 0.5]
    own = {each["uid"]: each["configuration"].get("pe1_calib", {}).get("data") for each in run["descriptor"]}
    baseline = [data["pe1_calib_dist"] for event in run["event"] if (data := own[event["descriptor"]])]
    assert baseline == [FIRST, 0.5]


def test_reused_dark_frame_is_not_changed(make, panel, take, run_engine):
    from bluesky_darkframes import DarkFramePreprocessor, SnapshotDevice

    def dark_plan(detector):
        yield from bps.trigger(detector, group="bluesky-darkframes-trigger")
        yield from bps.wait("bluesky-darkframes-trigger")
        return SnapshotDevice(detector)

    dark = DarkFramePreprocessor(dark_plan=dark_plan, detector=panel, max_age=600)
    take(calibration_guard(dark(bp.count([panel]))))
    commit(panel, 0.5)
    panel.script[("trigger", panel.done["trigger"] + 2)] = lambda: commit(panel, 0.6)
    run = take(calibration_guard(dark(bp.count([panel, motor], 2)), on_change="new_descriptor"))
    assert recorded(run, "dist", "dark") == [FIRST]
    assert recorded(run, "dist") == [0.5, 0.6]


def test_several_detectors_in_several_streams_are_each_recorded_right(connect, take):
    panel, other = connect("pe1"), connect("pe2")
    other.script[("trigger", 2)] = lambda: commit(other, 0.5)
    panel.script[("trigger", 3)] = lambda: commit(panel, 0.6)
    other.script[("trigger", 4)] = lambda: (commit(panel, 0.8), commit(other, 0.7))
    names = ("near", "near", "far", "near", "far")
    run = take(calibration_guard(streams(panel, *((name, panel, other) for name in names))))
    result = [[recorded(run, "dist", stream, name) for stream in ("near", "far")] for name in ("pe1", "pe2")]
    assert result == [[[FIRST, FIRST, 0.8], [0.6, 0.8]], [[FIRST, 0.5, 0.7], [0.5, 0.7]]]


def test_runs_that_are_open_at_once_are_each_recorded_right(connect, take):
    panel, other = connect("pe1"), connect("pe2")

    def plan():
        for key, detector in (("a", panel), ("b", other)):
            yield from bpp.set_run_key_wrapper(bps.open_run(), key)
            yield from bpp.set_run_key_wrapper(bps.trigger_and_read([detector, motor]), key)
        commit(panel, 0.5)
        commit(other, 0.6)
        for key, detector in (("b", other), ("a", panel)):
            yield from bpp.set_run_key_wrapper(bps.trigger_and_read([detector, motor]), key)
            yield from bpp.set_run_key_wrapper(bps.close_run(), key)

    run = take(calibration_guard(plan()))
    one = {"descriptor": [each for each in run["descriptor"] if "pe1" in each["configuration"]]}
    two = {"descriptor": [each for each in run["descriptor"] if "pe2" in each["configuration"]]}
    for mine in (one, two):
        mine["event"] = [
            event for event in run["event"] if event["descriptor"] in {each["uid"] for each in mine["descriptor"]}
        ]
    assert recorded(one, "dist") == [FIRST, 0.5]
    assert recorded(two, "dist", name="pe2") == [FIRST, 0.6]


def test_plan_that_drops_its_first_event_records_the_geometry_of_the_next(panel, take):
    @bpp.run_decorator()
    def plan():
        yield from bps.create("primary")
        yield from bps.read(panel)
        yield from bps.drop()
        commit(panel, 0.5)
        yield from bps.trigger_and_read([panel])

    assert recorded(take(calibration_guard(plan())), "dist") == [0.5]


def test_first_geometry_of_all_in_a_run_is_recorded(make, prefix, take):
    panel = make(Scripted, prefix.removesuffix("Calib:"), "pe1")
    panel.script[("trigger", 2)] = lambda: commit(panel, 0.5)
    run = take(calibration_guard(bp.count([panel], 2)))
    configured = [one["configuration"]["pe1"]["data"] for one in run["descriptor"]]
    assert [data["pe1_calib_status"] for data in configured] == ["UNSET", "UNWATCHED"]
    assert [data.get("pe1_calib_dist") for data in configured] == [None, 0.5]


class Flying(Scripted):
    """A detector that flies: it takes three frames between kickoff and completion."""

    def kickoff(self):
        self.happen("trigger")
        return NullStatus()

    def complete(self):
        self.happen("trigger")
        return NullStatus()

    def describe_collect(self):
        return {self.number.name: self.number.describe()[self.number.name]}

    def collect(self):
        for _ in range(3):
            yield {
                "time": time.time(),
                "data": {self.number.name: 1},
                "timestamps": {self.number.name: time.time()},
            }


def fly(panel, times=2):
    @bpp.run_decorator()
    def plan():
        yield from bps.declare_stream(panel, name="primary", collect=True)
        for _ in range(times):
            yield from bps.kickoff(panel, wait=True)
            yield from bps.complete(panel, wait=True)
            yield from bps.collect(panel, name="primary")

    return plan()


def flown(run):
    descriptors = {each["uid"]: each["configuration"]["pe1"]["data"] for each in run["descriptor"]}
    return [descriptors[page["descriptor"]]["pe1_calib_dist"] for page in run["event_page"]]


def test_fly_scan_is_recorded_with_its_geometry(connect, take):
    panel = connect(cls=Flying)
    assert flown(take(calibration_guard(fly(panel)))) == [FIRST, FIRST]


def test_geometry_that_changes_between_two_fly_scans_of_a_run_is_recorded(connect, take):
    panel = connect(cls=Flying)

    @bpp.run_decorator()
    def plan():
        yield from bps.declare_stream(panel, name="primary", collect=True)
        for dist in (0.5, 0.6):
            yield from bps.kickoff(panel, wait=True)
            yield from bps.complete(panel, wait=True)
            yield from bps.collect(panel, name="primary")
            commit(panel, dist)

    assert flown(take(calibration_guard(plan()))) == [FIRST, 0.5]


def test_geometry_that_changes_during_a_fly_scan_fails_the_run(connect, run_engine):
    panel = connect(cls=Flying)
    panel.script[("trigger", 2)] = lambda: commit(panel, 0.5)
    run, reported = attempt(run_engine, calibration_guard(fly(panel)))
    assert "pe1_calib: the geometry changed from serial 1 to 2 during a fly scan" in reported
    assert run["stop"][0]["exit_status"] == "fail"


@pytest.mark.parametrize("number", range(AFTER_SAVE))
@pytest.mark.parametrize("event", [1, 2])
def test_pause_during_which_the_geometry_changes_is_followed_by_the_new_one(panel, run_engine, event, number):
    run = {}
    with pytest.raises(RunEngineInterrupted):
        run_engine(
            calibration_guard(steps(panel, (event, number))),
            lambda kind, document: run.setdefault(kind, []).append(document),
        )
    commit(panel, 0.5)
    run_engine.resume()
    assert recorded(run, "dist") == {1: [0.5, 0.5, 0.5], 2: [FIRST, 0.5, 0.5]}[event]
    assert run["stop"][0]["exit_status"] == "success"


def test_event_that_bluesky_records_once_more_after_a_pause_fails_the_run_where_the_geometry_changed(panel, run_engine):
    """After a pause bluesky repeats the messages since the last checkpoint, without the plan."""
    run = {}
    with pytest.raises(RunEngineInterrupted):
        run_engine(
            calibration_guard(steps(panel, (2, AFTER_SAVE))),
            lambda kind, document: run.setdefault(kind, []).append(document),
        )
    commit(panel, 0.5)
    with pytest.raises(RecordError, match="was recorded with serial 1, while serial 2 was active"):
        run_engine.resume()
    assert run["stop"][0]["exit_status"] == "fail"


@pytest.mark.parametrize("number", range(AFTER_SAVE))
@pytest.mark.parametrize("event", [1, 3])
def test_pause_during_which_the_status_changes_is_followed_by_the_new_one(panel, run_engine, event, number):
    run = {}
    with pytest.raises(RunEngineInterrupted):
        run_engine(
            calibration_guard(steps(panel, (event, number))),
            lambda kind, document: run.setdefault(kind, []).append(document),
        )
    judge(panel)
    run_engine.resume()
    assert recorded(run, "status") == {1: ["RETRACTED"] * 3, 3: ["UNWATCHED", "UNWATCHED", "RETRACTED"]}[event]


def test_event_that_bluesky_records_once_more_after_a_pause_fails_the_run_where_it_is_no_longer_valid(
    panel, run_engine
):
    with pytest.raises(RunEngineInterrupted):
        run_engine(calibration_guard(steps(panel, (3, AFTER_SAVE))))
    judge(panel)
    with pytest.raises(RecordError, match="was recorded as UNWATCHED, while the status was RETRACTED"):
        run_engine.resume()
