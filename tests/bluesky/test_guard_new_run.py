"""Guarded runs that go on as a new run when the geometry changes: bluesky needs no ``configure`` message for that."""

from collections import Counter
from types import SimpleNamespace

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import pytest
from bluesky import RunEngine
from bluesky.bundlers import RunBundler
from bluesky_darkframes import DarkFramePreprocessor, SnapshotDevice
from ophyd import Component as Cpt

from assets import Hdf5Detector, StreamHdf5Detector, TiffDetector
from live import TIMEOUT
from ponikeeper.errors import RecordError
from ponikeeper_client.device import CalibrationData, CalibrationMixin
from ponikeeper_client.guard import calibration_guard
from ponikeeper_client.guard._run_parts import chosen_way, has_configure_message
from ponikeeper_client.images import Collector
from ponikeeper_client.recall import recorded as recalled
from ponikeeper_client.xpdacq import calibration_md_wrapper
from scripted import Scripted, attempt, commit
from speak import GEOMETRY

FIRST = GEOMETRY["dist"]


@pytest.fixture(scope="module")
def run_engine():
    """A RunEngine without the message."""
    engine = RunEngine({}, context_managers=[])
    engine.unregister_command("configure")
    return engine


@pytest.fixture
def connect(make, fresh_prefix):
    def connected(name="pe1"):
        panel = make(Scripted, fresh_prefix().removesuffix("Calib:"), name)
        commit(panel, FIRST)
        return panel

    return connected


@pytest.fixture
def panel(connect):
    return connect()


def guarded(plan, **options):
    return calibration_guard(plan, renew_by="new_run", **options)


def parts(run):
    """Return the documents of each run, in their order."""
    descriptors = {each["uid"]: each["run_start"] for each in run.get("descriptor", ())}
    result = []
    for start in run["start"]:
        uid = start["uid"]
        mine = {"start": [start], "stop": [each for each in run["stop"] if each["run_start"] == uid]}
        mine["descriptor"] = [each for each in run.get("descriptor", ()) if each["run_start"] == uid]
        mine["event"] = [each for each in run.get("event", ()) if descriptors[each["descriptor"]] == uid]
        result.append(mine)
    return result


def distances(run, stream=None):
    """Return the distance and the events of each run."""
    return [
        [(one.geometry.dist, one.seq_nums) for one in recalled(part) if stream in (None, one.stream)]
        for part in parts(run)
    ]


def test_each_geometry_is_a_run_that_names_the_one_before(panel, take):
    panel.script[("trigger", 3)] = lambda: commit(panel, 0.5)
    run = take(guarded(bp.count([panel], 4, md={"sample": "Ni"})))
    assert distances(run) == [[(FIRST, (1, 2))], [(0.5, (1, 2))]]
    first, second = run["start"]
    assert (first.get("continues_run"), second["continues_run"]) == (None, first["uid"])
    assert [(each["sample"], each["plan_name"]) for each in (first, second)] == [("Ni", "count")] * 2
    assert [each["exit_status"] for each in run["stop"]] == ["success"] * 2
    assert "the next run continues this one" in run["stop"][0]["reason"]
    (mark,) = second["calibration_guard"]
    assert mark["renew_by"] == "new_run"


def test_event_during_whose_reading_the_geometry_changes_is_read_again_in_the_next_run(panel, take):
    panel.script[("read", 2)] = lambda: commit(panel, 0.5)
    run = take(guarded(bp.count([panel], 3)))
    assert distances(run) == [[(FIRST, (1,))], [(0.5, (1, 2))]]


def test_streams_of_different_devices_are_recorded(panel, connect, take):
    """With a configure message bluesky 1.15 cannot do this."""
    other = connect("pe2")

    @bpp.run_decorator()
    def plan():
        yield from bps.trigger_and_read([panel], name="one")
        yield from bps.trigger_and_read([panel, other], name="both")
        commit(panel, 0.5)
        yield from bps.trigger_and_read([panel], name="one")
        commit(other, 0.6)
        yield from bps.trigger_and_read([panel, other], name="both")

    run = take(guarded(plan()))
    found = [[(one.detector, one.stream, one.geometry.dist) for one in recalled(part)] for part in parts(run)]
    assert found == [
        [("pe1", "one", FIRST), ("pe1", "both", FIRST), ("pe2", "both", FIRST)],
        [("pe1", "one", 0.5), ("pe1", "both", 0.5), ("pe2", "both", 0.6)],
    ]


def test_streams_that_were_declared_and_devices_that_are_monitored_go_on(panel, connect, take):
    other = connect("pe2")

    @bpp.stage_decorator([panel])
    @bpp.run_decorator()
    def plan():
        yield from bps.declare_stream(panel, name="primary")
        yield from bps.monitor(other.gain, name="gain")
        for number in range(2):
            yield from bps.trigger_and_read([panel])
            commit(panel, 0.5 + number)
        yield from bps.trigger_and_read([panel])
        yield from bps.unmonitor(other.gain)

    run = take(guarded(plan()))
    assert distances(run, "primary") == [[(FIRST, (1,))], [(0.5, (1,))], [(1.5, (1,))]]
    assert [sorted(each["name"] for each in part["descriptor"]) for part in parts(run)] == [["gain", "primary"]] * 3


def written(run):
    """Return the distance in each start document."""
    return [start.get("calibration_md", {}).get("dist") for start in run["start"]]


def test_start_document_of_each_run_has_its_own_geometry(panel, take):
    panel.script[("trigger", 2)] = lambda: commit(panel, 0.5)
    run = take(calibration_md_wrapper(guarded(bp.count([panel], 3)), on_change="fail"))
    assert distances(run) == [[(FIRST, (1,))], [(0.5, (1, 2))]]
    assert written(run) == [FIRST, 0.5]


def test_run_whose_geometry_changes_before_its_first_event_is_begun_again(panel, take):
    """As a plan does that moves the detector in its run: the start document has the geometry of another place."""
    panel.script[("trigger", 1)] = lambda: commit(panel, 0.5)
    run = take(calibration_md_wrapper(guarded(bp.count([panel], 2)), on_change="fail"))
    assert distances(run) == [[], [(0.5, (1, 2))]]
    assert written(run) == [FIRST, 0.5]


def test_run_that_began_without_a_geometry_is_begun_again_with_one(connect, fresh_prefix, make, take, caplog):
    panel = make(Scripted, fresh_prefix().removesuffix("Calib:"), "pe1")
    panel.script[("trigger", 2)] = lambda: commit(panel, 0.5)
    run = take(calibration_md_wrapper(guarded(bp.count([panel], 2)), on_change="fail"))
    assert [one.geometry and one.geometry.dist for part in parts(run) for one in recalled(part)] == [None, 0.5]
    assert written(run) == [None, 0.5]


def test_start_document_that_the_preprocessor_does_not_see_has_no_geometry_and_the_log_says_why(panel, take, caplog):
    panel.script[("trigger", 2)] = lambda: commit(panel, 0.5)
    run = take(guarded(calibration_md_wrapper(bp.count([panel], 3), on_change="fail")))
    assert written(run) == [FIRST, None]
    (message,) = [record.getMessage() for record in caplog.records if record.name == "ponikeeper_client.xpdacq"]
    assert message.endswith("append calibration_md_wrapper to RE.preprocessors after calibration_guard")


@pytest.fixture(params=[TiffDetector, Hdf5Detector, StreamHdf5Detector], ids=lambda cls: cls.__name__)
def writer(request, fresh_prefix, tmp_path):
    """A detector that writes its frames into files, from when it is staged on."""
    calib = Cpt(CalibrationData, fresh_prefix(), kind="config")
    detector = type("Writer", (CalibrationMixin, request.param), {"calib": calib})(tmp_path, name="pe1")
    detector.wait_for_connection(timeout=30)
    commit(detector, FIRST)
    yield detector
    detector.destroy()


def exposing(writer, meanwhile=None):
    """Return a plan of three events; a new geometry is committed after the first, or during the second exposure."""

    @bpp.stage_decorator([writer])
    @bpp.run_decorator()
    def plan():
        yield from bps.trigger_and_read([writer])
        if meanwhile is None:
            commit(writer, 0.5)
        else:
            yield from bps.trigger(writer, wait=True)
            meanwhile()
            yield from bps.create()
            yield from bps.read(writer)
            yield from bps.save()
        yield from bps.trigger_and_read([writer])
        yield from bps.trigger_and_read([writer])

    return plan()


def test_files_of_a_detector_belong_to_the_run_in_which_they_are_written(writer, run_engine):
    collector = Collector(timeout=TIMEOUT)
    uids = run_engine(guarded(exposing(writer)), collector)
    found = [collector.read(uid, writer.key) for uid in uids]
    assert [len(frames) for frames in found] == [1, 2]
    assert found[1].tolist() == writer.frames.tolist()


def test_change_during_an_exposure_to_files_fails_the_run_before_it_is_recorded(writer, run_engine):
    plan = guarded(exposing(writer, meanwhile=lambda: commit(writer, 0.5)))
    run, message = attempt(run_engine, plan, RecordError)
    assert "no new run can begin for the new geometry: pe1 has exposed to files of the run that is open" in message
    assert len(run["event"]) == len(run["start"]) == 1


@pytest.mark.parametrize(("after_guard", "darks"), [(True, [1, 1]), (False, [1, 0])])
def test_dark_frames_are_recorded_in_each_run_by_a_preprocessor_that_comes_after_the_guard(
    panel, take, after_guard, darks
):
    def dark_plan(detector):
        yield from bps.trigger(detector, group="bluesky-darkframes-trigger")
        yield from bps.wait("bluesky-darkframes-trigger")
        return SnapshotDevice(detector)

    dark = DarkFramePreprocessor(dark_plan=dark_plan, detector=panel, max_age=600)
    panel.script[("trigger", 3)] = lambda: commit(panel, 0.5)  # the first is that of the dark frame
    plan = bp.count([panel], 4)
    run = take(dark(guarded(plan)) if after_guard else guarded(dark(plan)))
    streams = [Counter(each["name"] for each in part["descriptor"]) for part in parts(run)]
    assert [each["dark"] for each in streams] == darks
    assert [each["primary"] for each in streams] == [1, 1]
    assert distances(run, "primary") == [[(FIRST, (1,))], [(0.5, (1, 2, 3))]]


def test_change_that_is_to_fail_the_run_does(panel, run_engine):
    panel.script[("trigger", 2)] = lambda: commit(panel, 0.5)
    run, message = attempt(run_engine, guarded(bp.count([panel], 3), on_change="fail"), RecordError)
    assert "the geometry changed during the run" in message
    assert len(run["start"]) == 1


def test_without_a_change_there_is_one_run(panel, take):
    run = take(guarded(bp.count([panel], 3)))
    assert distances(run) == [[(FIRST, (1, 2, 3))]]


def test_way_follows_what_bluesky_can_do():
    assert has_configure_message()
    assert not has_configure_message(SimpleNamespace, RunBundler)
    assert not has_configure_message(RunEngine, SimpleNamespace)
    assert [chosen_way(None, has_configure=each) for each in (True, False)] == ["configure", "new_run"]
    assert chosen_way("new_run", has_configure=True) == "new_run"
    with pytest.raises(ValueError, match="this bluesky has no configure message"):
        chosen_way("configure", has_configure=False)
    with pytest.raises(ValueError, match="renew_by='declare' is unknown"):
        calibration_guard(iter(()), renew_by="declare")
