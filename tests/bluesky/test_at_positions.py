"""Several distances: no image is taken with the geometry of another one."""

import re

import bluesky.plans as bp
import pytest
from ophyd.sim import det as unmovable
from ophyd.sim import motor as unlinked

import speak
from live import wait_for
from ponikeeper.errors import CalibrationError
from ponikeeper_client.guard import calibration_guard
from ponikeeper_client.plans import at_positions
from scripted import Scripted, commit, recorded
from speak import GEOMETRY

PLACES = {"near": 200.0, "far": 1000.0}
DISTANCES = {"near": 0.2, "far": 1.0}


@pytest.fixture(scope="module")
def linked(make_ioc_for_module, motors):
    links = "settle = 0.2\n" + motors.link("z", "Z:RBV", moving="Z:MOVN")
    detectors = ("{Det:1}Calib:", "{Det:2}Calib:", "{Det:3}Calib:")
    more = {"{Det:1}Calib:": links, "{Det:3}Calib:": links}
    return make_ioc_for_module(detectors=detectors, more=more, other_ports=(motors.port,)).start()


@pytest.fixture(scope="module")
def other(linked):
    """The prefix of another detector on the same stage."""
    return linked.prefixes[2]


@pytest.fixture
def panel(make, linked, stage):
    """A detector that was calibrated at both places."""
    panel = make(Scripted, linked.prefix.removesuffix("Calib:"), "pe1")
    for name, place in PLACES.items():
        stage.set(place).wait(timeout=30)
        wait_for(lambda place=place: (link := panel.calib.read_links()[0]).value == place and not link.unknown_because)
        geometry = {**GEOMETRY, "dist": DISTANCES[name]}
        panel.calib.set(geometry).wait(timeout=30)
        wait_for(lambda: panel.calib.read_snapshot().status == "VALID")
    return panel


def per_run(run):
    """Return the distances that the events of each run recorded, by the name of the position."""
    result = {}
    for start in run["start"]:
        mine = [one for one in run["descriptor"] if one["run_start"] == start["uid"]]
        uids = {one["uid"] for one in mine}
        events = [event for event in run["event"] if event["descriptor"] in uids]
        result[start["position"]] = recorded({"descriptor": mine, "event": events}, "dist")
    return result


def test_each_position_is_a_run_of_its_own_with_its_geometry(panel, stage, take):
    run = take(at_positions([panel], stage, PLACES, num=3, md={"sample": "Ni"}))
    assert per_run(run) == {"near": [0.2] * 3, "far": [1.0] * 3}
    assert [start["sample"] for start in run["start"]] == ["Ni", "Ni"]
    places = [event["data"]["stage_readback"] for event in run["event"]]
    assert places == [200.0] * 3 + [1000.0] * 3


def test_each_position_is_a_stream_of_one_run(panel, stage, take):
    run = take(at_positions([panel], stage, PLACES, num=2, one_run=True))
    assert len(run["start"]) == 1
    assert recorded(run, "dist", "near") == [0.2, 0.2]
    assert recorded(run, "dist", "far") == [1.0, 1.0]
    assert set(recorded(run, "status", "near") + recorded(run, "status", "far")) == {"VALID"}


def test_present_position_is_measured_at_once(panel, stage, take):
    serial = panel.calib.read_snapshot().serial
    assert per_run(take(at_positions([panel], stage, {"far": 1000.0}))) == {"far": [1.0]}
    assert panel.calib.read_snapshot().serial == serial


def test_plan_of_the_user_runs_at_each_position(panel, stage, take):
    def scan(detectors, md):
        return bp.scan(detectors, unlinked, 0, 1, 2, md=md)

    run = take(at_positions([panel], stage, PLACES, per_position=scan))
    assert per_run(run) == {"near": [0.2] * 2, "far": [1.0] * 2}
    assert run["start"][0]["plan_name"] == "at_positions"


def test_position_that_was_never_calibrated_is_reported_and_not_measured(panel, stage, run_engine):
    run = {}
    plan = at_positions([panel], stage, {"far": 1000.0, "middle": 600.0}, timeout=3.0)
    with pytest.raises(CalibrationError) as failed:
        run_engine(plan, lambda kind, document: run.setdefault(kind, []).append(document))
    reported = str(failed.value)
    assert "pe1_calib: timed out after 3 s waiting for a geometry that applies with stage at 600" in reported
    assert re.search(r"z \(.*\) is at 600 mm, calibrated at 1000 mm", reported)
    assert per_run(run) == {"far": [1.0]}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"positions": {}}, "no positions are given"),
        ({"detectors": [unlinked]}, "motor has no calibration"),
        ({"one_run": True, "per_position": bp.count}, "one_run and per_position are both given"),
        ({"positions": [200.0]}, r"positions=\[200.0\] have no names: expected labels, .*, or names and positions"),
        ({"positions": {"near": "200"}}, "the position near is '200': expected a number"),
        ({"positions": {"near": None}}, "the position near is None: expected a number"),
        ({"positions": {"near": float("nan")}}, "the position near is nan: expected a number"),
        ({"positions": {"far": 1000.0, "near": float("inf")}}, "the position near is inf: expected a number"),
        ({"positions": {1: 200.0}}, "1 is not a name of a position"),
        ({"positions": {"dark": 200.0}, "one_run": True}, "the name dark is reserved for streams of dark frames"),
        ({"detectors": unlinked}, r"detectors=motor is not a list: expected a list of devices, \[motor\]"),
        ({"detectors": "pe1"}, r"detectors=pe1 is not a list: expected a list of devices, \[pe1\]"),
        ({"detectors": ["pe1"]}, "pe1: expected devices, not their names"),
        ({"motor": "stage"}, "motor='stage' cannot be moved: expected a device"),
        ({"motor": unmovable}, "motor=det cannot be moved: expected the motor that moves the detector"),
        ({"num": 2.5}, "num=2.5 is not allowed: expected a number of exposures"),
        ({"num": 0}, "num=0 is not allowed: expected a number of exposures"),
        ({"num": -1}, "num=-1 is not allowed: expected a number of exposures"),
        ({"num": None}, "num=None is not allowed: expected a number of exposures"),
        ({"per_position": lambda detectors: bp.count(detectors)}, r"<lambda>\(detectors, md=.*unexpected keyword"),
    ],
)
def test_impossible_measurement_is_reported_before_anything_moves(panel, stage, take, wrong, message):
    arguments = {"detectors": [panel], "motor": stage, "positions": {"near": 200.0}, **wrong}
    with pytest.raises(CalibrationError, match=message):
        take(at_positions(**arguments))
    assert stage.position == 1000.0


def test_detector_that_the_motor_does_not_move_is_measured_together_with_one_that_it_does(
    make, linked, panel, stage, take
):
    fixed = make(Scripted, linked.prefixes[1].removesuffix("Calib:"), "pe2")
    commit(fixed, 0.4)
    run = take(at_positions([panel, fixed], stage, PLACES, num=2))
    assert per_run(run) == {"near": [0.2] * 2, "far": [1.0] * 2}
    assert recorded(run, "dist", name="pe2") == [0.4] * 4


@pytest.mark.parametrize("together", [False, True])
def test_detector_whose_link_is_out_of_service_is_not_measured(make, linked, other, panel, stage, take, together):
    """Its geometry would stay that of the last place; next to a detector that follows it would pass for a fixed one."""
    detectors = [panel, *([make(Scripted, other.removesuffix("Calib:"), "pe3")] if together else [])]
    assert speak.put(f"{linked.prefix}OutOfService", "z: no encoder") is None
    try:
        wait_for(lambda: panel.calib.read_links() == ())
        reason = r"pe1_calib does not follow stage: z \(.*Z:RBV\) is out of service since .*: no encoder; return it to"
        with pytest.raises(CalibrationError, match=rf"{reason} service: ponikeeper in-service '.*' z"):
            take(at_positions(detectors, stage, PLACES))
    finally:
        assert speak.put(f"{linked.prefix}InService", "z") is None
        wait_for(lambda: panel.calib.read_links())
    assert stage.position == 1000.0


def test_detector_whose_ioc_has_no_links_cannot_follow(make, prefix, stage, take):
    panel = make(Scripted, prefix.removesuffix("Calib:"), "pe9")
    commit(panel, 0.3)
    reason = "pe9_calib does not follow stage: no links are configured for it in the IOC"
    with pytest.raises(CalibrationError, match=reason):
        take(at_positions([panel], stage, {"near": 200.0}))


def test_motor_that_is_not_a_link_is_reported(panel, take):
    place = unlinked.position + 1
    with pytest.raises(CalibrationError, match=r"the serial is still \d+, and no link is a PV of motor"):
        take(at_positions([panel], unlinked, {"near": place}, timeout=0.5))


def mistaken(run):
    """Count the events that were recorded with the geometry of another place, or with another status than VALID."""
    descriptors = {one["uid"]: one["configuration"]["pe1"]["data"] for one in run["descriptor"]}
    places = {place: DISTANCES[name] for name, place in PLACES.items()}
    recorded_with = [(descriptors[event["descriptor"]], event["data"]["stage_readback"]) for event in run["event"]]
    return sum(
        data["pe1_calib_dist"] != places[place] or data["pe1_calib_status"] != "VALID" for data, place in recorded_with
    )


def measure(panel, stage, take, times):
    """Measure near and far repeatedly, as separate runs and as streams of one run."""
    for one_run in (False, True):
        events = wrong = 0
        for number in range(times):
            places = dict(sorted(PLACES.items(), reverse=number % 2 == 0))
            run = take(at_positions([panel], stage, places, num=2, one_run=one_run))
            events += len(run["event"])
            wrong += mistaken(run)
        how = "as streams of one run" if one_run else "as runs of their own"
        print(f"\nnear and far {times} times {how}: {events} events, {wrong} with the geometry of the other place")
        assert events == 4 * times
        assert wrong == 0


def test_no_event_has_the_geometry_of_another_place(panel, stage, take):
    measure(panel, stage, take, 3)


@pytest.mark.campaign
def test_no_event_has_the_geometry_of_another_place_at_length(panel, stage, take):
    measure(panel, stage, take, 200)


def test_two_positions_are_right_in_a_session_that_guards_every_run(panel, stage, run_engine, take):
    run_engine.preprocessors.append(calibration_guard)
    try:
        one = take(at_positions([panel], stage, PLACES, num=2))
        other = take(at_positions([panel], stage, PLACES, num=2, one_run=True))
    finally:
        run_engine.preprocessors.remove(calibration_guard)
    assert per_run(one) == {"near": [0.2] * 2, "far": [1.0] * 2}
    assert [recorded(other, "dist", name) for name in PLACES] == [[0.2] * 2, [1.0] * 2]
