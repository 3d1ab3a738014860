"""Guarded runs of a detector that moves, and of an IOC that stops: the record is always right, or the run fails."""

import contextlib
import json
import re
import signal
import threading
import time
from uuid import uuid4

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import pytest
from bluesky.utils import RunEngineInterrupted
from ophyd import Component as Cpt

import speak
from live import wait_for
from ponikeeper.errors import NotConnectedError, NotValidError, RecordError
from ponikeeper.protocol import LinkState
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.guard import calibration_guard
from ponikeeper_client.guard._policy import status_problem, unknown_links_problem
from ponikeeper_client.recall import azimuthal_integrator
from scripted import AFTER_SAVE, Scripted, attempt, commit, recorded, steps
from speak import GEOMETRY

NEAR, FAR = 200.0, 1000.0


@pytest.fixture(scope="module")
def linked(make_ioc_for_module, motors):
    links = motors.link("z", "Z:RBV", moving="Z:MOVN") + motors.link("y", "Y:RBV", moving="Y:MOVN")
    return make_ioc_for_module(more={"{Det:1}Calib:": "settle = 0.2\n" + links}, other_ports=(motors.port,)).start()


@pytest.fixture
def move(motors):
    """Return a function that moves a motor and sets its moving PV as a motor record does."""

    def moved(name, place):
        for suffix, value in (("MOVN", 1), ("RBV", place), ("MOVN", 0)):
            assert speak.put(motors.pv(f"{name}:{suffix}"), value) is None

    return moved


@pytest.fixture
def panel(make, linked, move):
    """A detector that was calibrated at far and near."""
    panel = make(Scripted, linked.prefix.removesuffix("Calib:"), "pe1")
    move("Y", 0.0)
    for place, dist in ((NEAR, 0.2), (FAR, 1.0)):
        move("Z", place)
        wait_for(lambda place=place: rests(panel, place))
        panel.calib.set({**GEOMETRY, "dist": dist}).wait(timeout=30)
        wait_for(lambda: panel.calib.read_snapshot().status == "VALID")
    return panel


def rests(panel, place):
    z, y = panel.calib.read_links()
    return z.value == place and y.value == 0.0 and not (z.unknown_because or y.unknown_because)


def stands(panel, status):
    return wait_for(lambda: panel.calib.read_snapshot().status == status)


def scan(panel, move, *places, name="Z"):
    """Record an event at each position when the given status is reached."""

    @bpp.stage_decorator([panel])
    @bpp.run_decorator()
    def plan():
        for place, status in places:
            move(name, place)
            stands(panel, status)
            yield from bps.trigger_and_read([panel])

    return plan()


def test_detector_that_moves_between_two_events_is_recorded_as_moved_and_warned_of(panel, move, take, caplog):
    run = take(calibration_guard(scan(panel, move, (FAR, "VALID"), (900.0, "MOVED"))))
    assert recorded(run, "status") == ["VALID", "MOVED"]
    (reported,) = [record.message for record in caplog.records]
    assert re.search(r"the status is MOVED, z \(.*\) is at 900 mm, calibrated at 1000 mm", reported)


def test_each_exposure_after_a_move_of_the_plan_waits_until_the_links_are_at_rest(panel, stage, take, caplog):
    """A plan of a beamline that knows nothing of calibrations: both distances in one run."""

    @bpp.stage_decorator([panel])
    @bpp.run_decorator()
    def near_far():
        for stream, place in {"near": NEAR, "far": FAR}.items():
            yield from bps.mv(stage, place)
            yield from bps.trigger_and_read([panel], name=stream)

    run = take(calibration_guard(near_far(), on_status="fail"))
    assert [recorded(run, "dist", stream) for stream in ("near", "far")] == [[0.2], [1.0]]
    assert caplog.records == []


def test_detector_that_has_moved_fails_a_run_that_is_to_fail(panel, move, run_engine):
    plan = scan(panel, move, (FAR, "VALID"), (900.0, "MOVED"))
    run, reported = attempt(run_engine, calibration_guard(plan, on_status="fail"))
    assert "the status is MOVED" in reported
    assert recorded(run, "status") == ["VALID"]


def test_declared_scan_of_a_link_is_recorded_without_a_warning(panel, move, take, caplog):
    plan = scan(panel, move, (FAR, "VALID"), (900.0, "MOVED"), (FAR, "VALID"))
    run = take(calibration_guard(plan, on_status="fail", moving=["z"]))
    assert recorded(run, "status") == ["VALID", "MOVED", "VALID"]
    assert caplog.records == []


def test_link_out_of_service_does_not_disturb_a_run_and_the_record_says_why(panel, move, take, caplog, linked):
    why = "controller is being repaired"
    assert speak.put(f"{linked.prefix}OutOfService", f"z: {why}") is None
    try:
        wait_for(lambda: [link.name for link in panel.calib.read_links()] == ["y"])
        run = take(calibration_guard(scan(panel, move, (FAR, "VALID"), (900.0, "VALID")), on_status="fail"))
    finally:
        assert speak.put(f"{linked.prefix}InService", "z") is None
    assert caplog.records == []
    assert set(recorded(run, "status")) == {"VALID"}
    assert re.search(rf"z \(.*\) is out of service since .*: {why}", recorded(run, "reason")[0])
    z, y = json.loads(recorded(run, "link_states")[0])
    assert (z["name"], z["out_of_service"].endswith(why), y["out_of_service"]) == ("z", True, None)
    assert azimuthal_integrator(run)


def test_declared_scan_of_a_link_out_of_service_goes_on_with_one_warning_that_names_the_remedy(
    panel, move, take, caplog, linked
):
    """A guard of the session that declares z must not fail each run as long as the motor of z is being repaired."""
    assert speak.put(f"{linked.prefix}OutOfService", "z: no encoder") is None
    try:
        wait_for(lambda: [link.name for link in panel.calib.read_links()] == ["y"])
        plan = scan(panel, move, (FAR, "VALID"), (900.0, "VALID"), (FAR, "VALID"))
        run = take(calibration_guard(plan, on_status="fail", moving=["z"]))
        with pytest.raises(ValueError, match=r"moving=\['x'\]: x is not a link of the detectors; the links are y, z"):
            take(calibration_guard(scan(panel, move, (FAR, "VALID")), moving=["x"]))
    finally:
        assert speak.put(f"{linked.prefix}InService", "z") is None
    (message,) = [record.message for record in caplog.records if record.name == "ponikeeper_client.guard"]
    assert re.match(
        r"pe1_calib: z is in moving, but z \(.*Z:RBV\) is out of service since .*: no encoder: the status does not",
        message,
    )
    assert message.endswith(f"before the run: ponikeeper in-service '{linked.prefix}' z")
    assert recorded(run, "status") == ["VALID"] * 3
    wait_for(lambda: len(panel.calib.read_links()) == 2)


@pytest.fixture
def repair(panel, linked):
    """Mark z as out of service, until the end of the test."""

    def begin():
        assert speak.put(f"{linked.prefix}OutOfService", "z: controller is being repaired") is None
        wait_for(lambda: "out of service" in panel.calib.read_snapshot().reason)

    yield begin
    speak.put(f"{linked.prefix}InService", "z")


@pytest.mark.parametrize("moment", ["read", "trigger"])
def test_link_that_is_taken_out_of_service_within_a_run_is_recorded(panel, move, take, repair, moment):
    """The other link keeps the status VALID, which says nothing of this one from then on."""

    def leave():
        repair()
        move("Z", 500.0)

    panel.script[moment, 2] = leave
    run = take(calibration_guard(bp.count([panel], 3), on_change="fail", on_status="fail"))
    assert recorded(run, "status") == ["VALID"] * 3
    states = [json.loads(text)[0]["out_of_service"] is not None for text in recorded(run, "link_states")]
    assert states == [False, moment == "trigger", True]


def test_link_that_moves_in_addition_to_the_scanned_one_is_reported(panel, move, run_engine):
    plan = scan(panel, move, (3.0, "MOVED"), name="Y")
    _, reported = attempt(run_engine, calibration_guard(plan, on_status="fail", moving=["z"]))
    assert re.search(r"y \(.*\) is at 3 mm", reported)


def test_geometry_that_follows_the_detector_within_a_run_is_recorded_for_each_event(panel, move, take):
    plan = scan(panel, move, (FAR, "VALID"), (NEAR, "VALID"), (FAR, "VALID"))
    run = take(calibration_guard(plan, moving=["z"]))
    assert recorded(run, "dist") == [1.0, 0.2, 1.0]


def there_and_back(panel):
    """Move the detector away and back, and wait until the IOC has seen it."""
    for place in (FAR + 3, FAR):
        assert speak.put(panel.calib.read_links()[0].pv, place) is None
        wait_for(lambda place=place: panel.calib.read_links()[0].value == place)
    wait_for(lambda: rests(panel, FAR))
    stands(panel, "VALID")


def test_link_that_left_and_came_back_during_an_exposure_is_in_the_record(panel, take, move, caplog):
    """The status is VALID before and after it, and of the event after that one."""
    move("Z", FAR)
    wait_for(lambda: rests(panel, FAR))
    stands(panel, "VALID")
    panel.script["trigger", 2] = lambda: there_and_back(panel)
    run = take(calibration_guard(bp.count([panel], 3)))
    assert recorded(run, "status") == ["VALID", "MOVING", "VALID"]
    assert re.match(r"z \(.*\) moved during the exposure, from 1000 to 1003 mm", recorded(run, "reason")[1])
    (message,) = [record.message for record in caplog.records]
    assert "moved during the exposure" in message
    with pytest.raises(NotValidError, match=r"MOVING: z .* moved during the exposure"):
        azimuthal_integrator(run, event=2)
    assert azimuthal_integrator(run, event=3)


def test_link_that_moves_and_returns_during_an_exposure_is_reported(panel, move, run_engine):
    panel.script[("trigger", 1)] = lambda: there_and_back(panel)
    _, reported = attempt(run_engine, calibration_guard(bp.count([panel]), on_status="fail"))
    assert "z (" in reported
    assert "during the exposure" in reported


@pytest.mark.parametrize("number", range(1, AFTER_SAVE + 1))
def test_link_that_moves_and_returns_while_bluesky_repeats_an_exposure_is_reported(panel, move, run_engine, number):
    """After a pause bluesky repeats the messages since the last checkpoint, without the plan."""
    plan = calibration_guard(steps(panel, (2, number)), on_status="fail")
    with pytest.raises(RunEngineInterrupted):
        run_engine(plan)
    panel.script[("trigger", 3)] = lambda: there_and_back(panel)
    with pytest.raises(RecordError, match="during the exposure"):
        run_engine.resume()


@pytest.mark.parametrize("number", range(1, AFTER_SAVE + 1))
def test_link_that_moves_and_returns_during_a_pause_is_not_reported(panel, move, run_engine, number):
    plan = calibration_guard(steps(panel, (2, number)), on_status="fail")
    with pytest.raises(RunEngineInterrupted):
        run_engine(plan)
    there_and_back(panel)
    run_engine.resume()


def warnings_of_device(caplog):
    return [record.message for record in caplog.records if record.name == "ponikeeper_client.device"]


def test_run_without_a_guard_warns_once_of_a_geometry_that_does_not_apply(panel, move, take, caplog):
    take(bp.count([panel], 3))
    assert caplog.records == []
    move("Z", 900.0)
    stands(panel, "MOVED")
    for number in (1, 2):
        take(bp.count([panel], 3))
        assert len(warnings_of_device(caplog)) == number
    assert re.search(r"pe1_calib: the status is MOVED, z \(.*\) is at 900 mm", warnings_of_device(caplog)[-1])
    panel.calib.configure({})
    repr(panel.calib.status.get())
    assert len(warnings_of_device(caplog)) == 2


def test_moved_run_is_recalled_with_a_revision_that_the_ioc_has_for_the_place(panel, move, run_engine):
    """Everything live: the run is taken at a wrong place, calibrated there later, and the first revision corrected."""
    documents = []
    move("Z", 700.0)
    stands(panel, "MOVED")
    run_engine(calibration_guard(bp.count([panel])), lambda *document: documents.append(document))
    before = panel.calib.read_snapshot().revision
    with pytest.raises(NotValidError, match=r"MOVED: z \(.*\) is at 700 mm, calibrated at 1000 mm") as refused:
        azimuthal_integrator(documents)
    assert "revision=N" in refused.value.remedy
    panel.calib.set({**GEOMETRY, "dist": 0.7}).wait(timeout=30)
    stands(panel, "VALID")
    after = panel.calib.read_snapshot().revision
    assert azimuthal_integrator(documents, revision=after).dist == 0.7
    for number in range(1, before + 1):
        with pytest.raises(NotValidError, match="MOVED"):
            azimuthal_integrator(documents, revision=number)
    correction = {"op": "supersede", "revision": before, "by": after, "reason": "it was moved"}
    text = json.dumps({"v": 1, "request": uuid4().hex, **correction})
    assert speak.request(panel.calib.prefix, text)["outcome"] == "accepted"
    assert azimuthal_integrator(documents, best=True).dist == 0.7


def test_run_without_a_guard_warns_of_a_detector_that_is_unset(make, fresh_prefix, take, caplog):
    panel = make(Scripted, fresh_prefix().removesuffix("Calib:"), "pe1")
    take(bp.count([panel], 2))
    (message,) = warnings_of_device(caplog)
    assert message.startswith("pe1_calib: the status is UNSET, ")


def test_alignment_of_a_link_without_a_guard_goes_on(panel, move, take, caplog):
    run = take(scan(panel, move, (FAR, "VALID"), (900.0, "MOVED"), (800.0, "MOVED"), (FAR, "VALID")))
    assert len(run["event"]) == 4
    assert run["stop"][0]["exit_status"] == "success"


def moving_for(motors, panel, seconds):
    """Set the moving PV of z, and clear it after a while."""
    assert speak.put(motors.pv("Z:MOVN"), 1) is None
    stands(panel, "MOVING")
    timer = threading.Timer(seconds, lambda: speak.put(motors.pv("Z:MOVN"), 0))
    timer.start()
    return timer


def test_guard_waits_for_a_link_before_the_first_exposure(panel, move, motors, take, caplog):
    timer = moving_for(motors, panel, 1.0)
    run = take(calibration_guard(bp.count([panel], 2), on_status="fail"))
    timer.join()
    assert recorded(run, "status") == ["VALID", "VALID"]
    assert caplog.records == []


def test_guard_waits_for_a_link_that_settles(panel, motors, take):
    """Back within the tolerance, but not for the settling time yet."""
    for place in (FAR + 3, FAR):
        assert speak.put(motors.pv("Z:RBV"), place) is None
    run = take(calibration_guard(bp.count([panel]), on_status="fail"))
    assert recorded(run, "status") == ["VALID"]


def test_guard_does_not_wait_for_ever_and_not_at_all_for_a_link_that_is_moved_on_purpose(panel, motors, take, caplog):
    timer = moving_for(motors, panel, 60.0)
    try:
        began = time.monotonic()
        run = take(calibration_guard(bp.count([panel]), moving=["z"]))
        waited_on_purpose = time.monotonic() - began
        assert caplog.records == []
        began = time.monotonic()
        take(calibration_guard(bp.count([panel], 2)))
        waited = time.monotonic() - began
    finally:
        timer.cancel()
        assert speak.put(motors.pv("Z:MOVN"), 0) is None
    assert panel.calib.read_settle() == 0.2
    assert recorded(run, "status") == ["MOVING"]
    assert waited_on_purpose < 2.0 < waited
    assert waited - waited_on_purpose < 0.2 + 2.0 + 2.0  # the wait and a margin for a busy machine


def test_link_that_drifts_within_its_tolerance_causes_no_new_descriptor(panel, take):
    """The reason and the links of the snapshot are recorded, and are no part of what the guard compares."""
    z, tolerance = panel.calib.read_links()[0], panel.calib.read_links()[0].tolerance

    def drift(step):
        assert speak.put(z.pv, FAR + step * tolerance / 5) is None
        wait_for(lambda: panel.calib.read_links()[0].value == FAR + step * tolerance / 5)

    for number in (1, 2, 3, 4):
        panel.script[("trigger", number)] = lambda number=number: drift(number)
    run = take(calibration_guard(bp.count([panel], 4)))
    drift(0)
    assert len(run["descriptor"]) == 1
    assert len(run["event"]) == 4


def test_guarded_run_is_marked_in_its_start_document(panel, take):
    mark = {"on_change": "fail", "on_status": "warn", "moving": ["z"], "calibs": ["pe1_calib"]}
    inner = calibration_guard(bp.count([panel]), [panel.calib], on_change="fail", moving=["z"])
    run = take(calibration_guard(inner))
    assert run["start"][0]["calibration_guard"] == [
        mark,
        {"on_change": "new_descriptor", "on_status": "warn", "moving": []},
    ]
    assert "calibration_guard" not in take(bp.count([panel]))["start"][0]


def test_name_that_is_not_a_link_is_reported_with_the_names_of_the_links(panel, take):
    with pytest.raises(ValueError, match=r"moving=\['zz'\]: zz is not a link of the detectors; the links are y, z"):
        take(calibration_guard(bp.count([panel]), moving=["zz"]))


class Patient(Scripted):
    """A detector that waits for its IOC to be restarted."""

    calib = Cpt(CalibrationData, "Calib:", kind="config", timeout=30)


class Recording(Scripted):
    """A detector that records that its IOC does not answer."""

    calib = Cpt(CalibrationData, "Calib:", kind="config", timeout=0.5, on_disconnect="record")


@pytest.fixture
def served(make_ioc, make):
    """A detector, and its IOC."""

    def connected(cls=Scripted):
        ioc = make_ioc().start()
        panel = make(cls, ioc.prefix.removesuffix("Calib:"), "pe1")
        commit(panel, 0.3)
        return ioc, panel

    return connected


def test_ioc_that_dies_in_a_run_fails_it(served, run_engine):
    ioc, panel = served()
    panel.script[("trigger", 3)] = ioc.kill
    run, reported = attempt(run_engine, calibration_guard(bp.count([panel], 5)), NotConnectedError)
    assert "does not answer" in reported
    assert recorded(run, "dist") == [0.3, 0.3]
    assert run["stop"][0]["exit_status"] == "fail"


def test_ioc_that_dies_while_an_event_is_read_fails_the_run(served, run_engine):
    ioc, panel = served()
    panel.script[("read", 2)] = ioc.kill
    run, _ = attempt(run_engine, calibration_guard(bp.count([panel], 5)), NotConnectedError)
    assert recorded(run, "dist") == [0.3]


def test_ioc_that_hangs_in_a_run_fails_it(served, run_engine):
    ioc, panel = served()
    panel.script[("trigger", 2)] = lambda: ioc.signal(signal.SIGSTOP)
    try:
        run, _ = attempt(run_engine, calibration_guard(bp.count([panel], 3)), NotConnectedError)
    finally:
        ioc.signal(signal.SIGCONT)
    assert recorded(run, "dist") == [0.3]


def test_ioc_that_comes_back_in_time_is_waited_for(served, take):
    ioc, panel = served(Patient)

    def restart():
        ioc.kill()
        ioc.start()

    panel.script[("trigger", 2)] = restart
    run = take(calibration_guard(bp.count([panel], 3)))
    assert recorded(run, "dist") == [0.3, 0.3, 0.3]


def check_outage(served, take, seconds):
    """Kill the IOC in a run that records this, and start it again after a while."""
    ioc, panel = served(Recording)
    back = threading.Timer(seconds, ioc.start)
    panel.script[("trigger", 3)] = ioc.kill

    def plan():
        for _ in range(3):  # the IOC is away during the whole reading of the third event
            yield from bps.trigger_and_read([panel])
        back.start()
        while panel.calib.read_configuration()["pe1_calib_status"]["value"] != "UNWATCHED":
            yield from bps.trigger_and_read([panel])
        yield from bps.trigger_and_read([panel])

    run = take(calibration_guard(bpp.run_wrapper(plan())))
    back.join()
    statuses = recorded(run, "status")
    descriptors = {one["uid"]: one["configuration"]["pe1"]["data"] for one in run["descriptor"]}
    numbers = ["pe1_calib_dist" in descriptors[event["descriptor"]] for event in run["event"]]
    away = slice(2, 2 + statuses.count("UNKNOWN"))  # from the event in which it died
    wrong = sum(status != "UNKNOWN" for status in statuses[away])
    print(f"\nIOC back after {seconds:g} s: {len(statuses)} events, {statuses.count('UNKNOWN')} UNKNOWN, {wrong} wrong")
    assert statuses[:2] == ["UNWATCHED", "UNWATCHED"]
    assert statuses[-1] == "UNWATCHED"
    assert numbers == [status == "UNWATCHED" for status in statuses]
    assert "UNKNOWN" in statuses
    assert wrong == 0


def test_ioc_that_is_away_for_a_while_is_recorded_as_unknown_without_numbers(served, take):
    check_outage(served, take, 1.0)


@pytest.mark.campaign
@pytest.mark.parametrize("seconds", [1.0, 10.0, 60.0])
def test_ioc_that_is_away_is_recorded_as_unknown_without_numbers_at_length(served, take, seconds):
    check_outage(served, take, seconds)


@pytest.mark.campaign
@pytest.mark.parametrize("seconds", [1.0, 10.0, 60.0])
def test_run_in_which_the_ioc_dies_fails_and_the_next_one_records_what_is_live(served, run_engine, take, seconds):
    ioc, panel = served()
    back = threading.Timer(seconds, ioc.start)
    panel.script[("trigger", 3)] = lambda: (ioc.kill(), back.start())
    run = {}
    with contextlib.suppress(NotConnectedError):
        run_engine(calibration_guard(bp.count([panel], 5)), lambda kind, doc: run.setdefault(kind, []).append(doc))
    # back within the timeout it is the same geometry, which is verified again
    assert recorded(run, "dist") == [0.3] * (5 if run["stop"][0]["exit_status"] == "success" else 2)
    back.join()
    panel.calib.wait_for_connection(timeout=60)
    wait_for(lambda: heard(panel), timeout=60)
    commit(panel, 0.4)
    assert recorded(take(calibration_guard(bp.count([panel]))), "dist") == [0.4]


def heard(panel):
    try:
        return panel.calib.read_snapshot()
    except NotConnectedError:
        return None


def test_status_problems_are_reported_unless_a_declared_scan_explains_them():
    def link(name, **keys):
        values = {"pv": name, "kind": "motor", "units": "mm", "tolerance": 0.1, "value": 1.0, "calibrated": 1.0}
        return LinkState(name, **{**values, "moving": False, "connected": True, "within": True, **keys})

    here, away, unknown = link("z"), link("z", within=False), link("e", within=None)
    table = [
        ("VALID", [here], [], None),
        ("MOVED", [away], ["z"], None),
        ("MOVED", [away, link("y")], ["z"], None),
        ("MOVED", [away, link("y", within=False)], ["z"], "reported"),
        ("MOVING", [link("z", moving=True)], ["z"], None),
        ("MISMATCH", [here, unknown], ["e"], None),
        ("MISMATCH", [here, unknown], ["z"], "reported"),
        ("MOVED", [away], [], "reported"),
        ("MOVED", [here], ["z"], "reported"),
        ("UNKNOWN", [link("z", connected=False, within=None)], ["z"], "reported"),
        ("RETRACTED", [away], ["z"], "reported"),
        ("UNSET", [], ["z"], "reported"),
    ]
    for status, links, moving, expected in table:
        result = status_problem(status, "why", links, moving)
        assert result == (expected and f"the status is {status}, why"), (status, links, moving)
    assert unknown_links_problem(["z"], [here]) is None
