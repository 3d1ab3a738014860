"""Runs whose start document has xpdAcq's ``calibration_md``: of a geometry that applies, or it says what it is."""

import functools
import logging

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import pytest
from ophyd.device import Staged

import speak
from live import wait_for
from panels import FlatPanel
from ponikeeper.errors import RecordError
from ponikeeper.geometry import Geometry
from ponikeeper_client.documents import calibration_md
from ponikeeper_client.guard import calibration_guard
from ponikeeper_client.recall import recorded as recalled
from ponikeeper_client.xpdacq import calibration_md_wrapper
from scripted import Scripted, attempt, commit, recorded
from speak import GEOMETRY

MD, SOURCE = "calibration_md", "calibration_md_source"
LOGGER = "ponikeeper_client.xpdacq"


@pytest.fixture
def connect(make, fresh_prefix):
    """Connect to a detector of its own, without a geometry."""
    return lambda name="pe1": make(Scripted, fresh_prefix().removesuffix("Calib:"), name)


@pytest.fixture
def panel(connect):
    panel = connect()
    commit(panel, 0.25)
    return panel


@pytest.fixture
def warnings(caplog):
    caplog.set_level(logging.WARNING, LOGGER)
    return lambda: [record.getMessage() for record in caplog.records if record.name == LOGGER]


def start_of(run):
    (start,) = run["start"]
    return start


def test_start_document_has_the_active_geometry_and_where_it_comes_from(panel, take, warnings):
    run = take(calibration_md_wrapper(bp.count([panel], 2)))
    start = start_of(run)
    assert start[MD] == calibration_md(Geometry(**{**GEOMETRY, "dist": 0.25}))
    source = {key: start[SOURCE][key] for key in ("calib", "prefix", "revision", "serial", "status", "written")}
    assert source == {
        "calib": "pe1_calib", "prefix": panel.calib.prefix, "revision": 1, "serial": 1, "status": "UNWATCHED",
        "written": True,
    }  # fmt: skip
    assert start["plan_name"] == "count"
    assert warnings() == []
    (found,) = recalled(run)
    assert (found.kind, found.revision) == ("ponikeeper", 1)


def test_geometry_that_was_never_committed_is_omitted(connect, take, warnings):
    start = start_of(take(calibration_md_wrapper(bp.count([connect()]))))
    assert MD not in start
    assert (start[SOURCE]["status"], start[SOURCE]["written"]) == ("UNSET", False)
    (message,) = warnings()
    assert "pe1_calib: the status is UNSET" in message
    assert message.endswith("calibration_md of the run is omitted")


def retract(panel):
    result = speak.request(
        panel.calib.prefix,
        '{"v": 1, "request": "r", "op": "retract", "revision": 1, "author": "eve", "reason": "wrong"}',
    )
    assert result["outcome"] == "accepted", result["errors"]
    wait_for(lambda: panel.calib.read_snapshot().status == "RETRACTED")


@pytest.mark.parametrize(("on_status", "is_written"), [("omit", False), ("write", True)])
def test_geometry_that_does_not_apply_is_written_on_request_only(panel, take, warnings, on_status, is_written):
    retract(panel)
    start = start_of(take(calibration_md_wrapper(bp.count([panel]), on_status=on_status)))
    assert (MD in start, start[SOURCE]["written"], start[SOURCE]["status"]) == (is_written, is_written, "RETRACTED")
    (message,) = warnings()
    assert "the status is RETRACTED" in message


def test_geometry_that_does_not_apply_can_fail_the_plan(panel, run_engine):
    retract(panel)
    run, message = attempt(run_engine, calibration_md_wrapper(bp.count([panel]), on_status="fail"), RecordError)
    assert run == {}
    assert "the status is RETRACTED" in message


def test_geometry_of_the_session_does_not_stand_for_one_that_does_not_apply(panel, run_engine):
    """Profiles for xpdAcq have it in RE.md, which is kept for years."""
    starts = []
    run_engine.md[MD] = {"dist": 1.0}
    try:
        run_engine(calibration_md_wrapper(bp.count([panel])), {"start": lambda _, start: starts.append(start)})
        retract(panel)
        run, message = attempt(run_engine, calibration_md_wrapper(bp.count([panel])), RecordError)
    finally:
        del run_engine.md[MD]
    assert [start[MD]["dist"] for start in starts] == [0.25]
    assert "event" not in run
    assert message.endswith('should have no calibration_md, but got that of RE.md: del RE.md["calibration_md"]')


def test_run_that_records_another_geometry_warns_once(panel, take, warnings):
    panel.script[("trigger", 2)] = lambda: commit(panel, 0.5)
    panel.script[("trigger", 3)] = lambda: commit(panel, 0.6)
    run = take(calibration_md_wrapper(calibration_guard(bp.count([panel], 3))))
    assert recorded(run, "dist") == [0.25, 0.5, 0.6]
    (message,) = warnings()
    assert "calibration_md of the run has revision 1, UNWATCHED, but the detector is read with revision 2" in message


def test_run_that_would_record_another_geometry_can_fail_before_it_does(panel, run_engine):
    panel.script[("trigger", 2)] = lambda: commit(panel, 0.5)
    run, message = attempt(run_engine, calibration_md_wrapper(bp.count([panel], 3), on_change="fail"), RecordError)
    assert recorded(run, "dist") == [0.25]
    assert "the detector is read with revision 2, UNWATCHED; on_change of calibration_md_wrapper is" in message
    assert 'calibration_guard(plan, renew_by="new_run")' in message
    assert panel._staged is Staged.no, "the plan has cleaned up"


def test_events_without_the_detector_and_dark_frames_are_not_compared(panel, take, warnings):
    @bpp.stage_decorator([panel])
    @bpp.run_decorator()
    def plan():
        yield from bps.trigger_and_read([panel])
        commit(panel, 0.5)
        yield from bps.trigger_and_read([panel.gain], name="baseline")
        yield from bps.trigger_and_read([panel], name="dark")

    take(calibration_md_wrapper(plan(), on_change="fail"))
    assert warnings() == []


def test_of_several_detectors_one_must_be_named(panel, connect, take, warnings):
    other = connect("pe2")
    commit(other, 0.75)
    start = start_of(take(calibration_md_wrapper(bp.count([panel, other]))))
    assert start.keys().isdisjoint([MD, SOURCE])
    (message,) = warnings()
    assert "pe1_calib, pe2_calib; give calib=" in message
    start = start_of(take(calibration_md_wrapper(bp.count([panel, other]), other.calib)))
    assert start[MD]["dist"] == 0.75


def test_run_of_one_detector_has_its_geometry_although_that_of_another_is_chosen(panel, connect, take):
    other = connect("pe2")
    commit(other, 0.75)
    assert start_of(take(calibration_md_wrapper(bp.count([panel]), other.calib)))[MD]["dist"] == 0.25
    assert start_of(take(calibration_md_wrapper(bp.count([]), other.calib)))[MD]["dist"] == 0.75


def test_uids_of_xpdacq_link_a_run_with_its_calibration(panel, take):
    wrapped = functools.partial(calibration_md_wrapper, exp_hash_uid="abc")
    client, server = "detector_calibration_client_uid", "detector_calibration_server_uid"
    start = start_of(take(wrapped(bp.count([panel]))))
    assert (start[client], server in start, MD in start) == ("abc", False, True)
    for md in ({"is_calibration": True}, {"plan_name": "calibrate"}):
        start = start_of(take(wrapped(bp.count([panel], md=md))))
        assert (start[client], start[server], MD in start) == ("abc", "abc", False)


def test_calibration_of_the_user_stays(panel, take):
    start = start_of(take(calibration_md_wrapper(bp.count([panel], md={MD: {"dist": 1.0}}))))
    assert start[MD] == {"dist": 1.0}
    assert SOURCE not in start


def test_for_all_plans_of_a_session_each_run_gets_its_own(panel, run_engine):
    starts = []
    run_engine.preprocessors += [calibration_md_wrapper, calibration_md_wrapper]
    try:
        for dist in (0.3, 0.4):
            commit(panel, dist)
            (uid,) = run_engine(bp.count([panel]), {"start": lambda _, start: starts.append(start)})
            assert starts[-1]["uid"] == uid
    finally:
        run_engine.preprocessors.clear()
    assert [start[MD]["dist"] for start in starts] == [0.3, 0.4]


def test_run_waits_while_a_link_settles(make, make_ioc, motors, take, warnings):
    ioc = make_ioc(more={"{Det:1}Calib:": "settle = 0.3\n" + motors.link("z", "Z:RBV")}, other_ports=(motors.port,))
    ioc.start()
    panel = make(FlatPanel, ioc.prefix.removesuffix("Calib:"))
    assert speak.put(motors.pv("Z:RBV"), 10.0) is None
    wait_for(lambda: [link.value for link in panel.calib.read_links() if link.moving is False] == [10.0])
    panel.calib.set(GEOMETRY).wait(timeout=30)
    wait_for(lambda: panel.calib.read_snapshot().status == "VALID")
    for place, statuses in ((500.0, ["MOVED"]), (10.0, ["VALID"])):
        assert speak.put(motors.pv("Z:RBV"), place) is None
        wait_for(lambda place=place: [link.value for link in panel.calib.read_links()] == [place])
        start = start_of(take(calibration_md_wrapper(bp.count([panel]))))
        assert [start[SOURCE]["status"]] == statuses
        assert start[SOURCE]["written"] == (MD in start) == (statuses == ["VALID"])
    (message,) = warnings()
    assert "the status is MOVED" in message


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"on_status": "warn"}, "on_status='warn' is unknown"),
        ({"on_change": "omit"}, "on_change='omit' is unknown"),
        ({"calib": "pe1"}, "calib='pe1' is no"),
    ],
)
def test_arguments_are_checked(options, why):
    with pytest.raises(ValueError, match=why):
        calibration_md_wrapper(iter(()), **options)
