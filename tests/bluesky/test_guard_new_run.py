"""Guarded runs that go on as a new run when the geometry changes: bluesky needs no ``configure`` message for that."""

from types import SimpleNamespace

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import pytest
from bluesky import RunEngine
from bluesky.bundlers import RunBundler

from ponikeeper.errors import RecordError
from ponikeeper_client.guard import calibration_guard
from ponikeeper_client.guard._run_parts import chosen_way, has_configure_message
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


def test_metadata_of_the_geometry_are_those_of_each_run(panel, take):
    panel.script[("trigger", 2)] = lambda: commit(panel, 0.5)
    for wrapped in (
        calibration_md_wrapper(guarded(bp.count([panel], 2))),
        guarded(calibration_md_wrapper(bp.count([panel], 2))),
    ):
        commit(panel, FIRST)
        panel.done["trigger"] = 0
        panel.script[("trigger", 2)] = lambda: commit(panel, 0.5)
        written = [start.get("calibration_md", {}).get("dist") for start in take(wrapped)["start"]]
        assert written in ([FIRST, 0.5], [FIRST, None])


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
