"""`at_positions` with an active model: any position in its range has its geometry, and others are refused at once."""

import re
from dataclasses import replace

import pytest
from ophyd import EpicsSignal

import speak
from live import wait_for
from ponikeeper.errors import CalibrationError
from ponikeeper.geometry.kinematics import Span, Translate
from ponikeeper.protocol import Commit, OutOfService
from ponikeeper_client.documents import geometry
from ponikeeper_client.plans import at_positions
from ponikeeper_client.plans.arrival import move_and_follow
from rails import FAR, NEAR, at, calibration, commit_of, rail
from scripted import Scripted

TOLERANCE = 0.05
MODEL = rail()


@pytest.fixture(scope="module")
def on_rail(make_ioc_for_module, motors):
    links = [motors.link("z", "Z:RBV", tolerance=TOLERANCE, **more) for more in ({"moving": "Z:MOVN"}, {})]
    texts = [*links, f"extrapolate = true\n{links[0]}", motors.link("z", "Bare", tolerance=TOLERANCE)]
    texts.append(links[0] + motors.link("y", "Y:RBV"))
    more = {f"{{Det:{number}}}Calib:": f"settle = 0.2\n{text}" for number, text in enumerate(texts, 1)}
    return make_ioc_for_module(detectors=tuple(more), more=more, other_ports=(motors.port,)).start()


@pytest.fixture
def connect(make, on_rail, stage):
    """Connect to a detector whose model holds from 960 to 1440 mm, and which stands at 1000 mm."""
    return lambda number=0: _connected(make(Scripted, on_rail.prefixes[number].removesuffix("Calib:"), "pe1"), stage)


@pytest.fixture
def panel(connect):
    return connect()


def _connected(panel, stage):
    stage.set(NEAR).wait(timeout=30)
    wait_for(lambda: (link := panel.calib.read_links()[0]).value == NEAR and not link.unknown_because)
    panel.calib.transact(commit_of(MODEL))
    wait_for(lambda: panel.calib.read_snapshot().status == "VALID")
    return panel


def geometries(run):
    """Return the recorded geometry of each event, by where the stage was."""
    recorded = {each["uid"]: geometry(each) for each in run["descriptor"]}
    return {event["data"]["stage_readback"]: recorded[event["descriptor"]] for event in run["event"]}


@pytest.mark.parametrize("one_run", [False, True])
@pytest.mark.parametrize("number", [0, 1], ids=["moving PV", "none"])
def test_each_position_has_the_geometry_of_the_model_also_within_the_tolerance(connect, stage, take, number, one_run):
    steps = {f"step{count}": 1111.1 + count * 0.9 * TOLERANCE for count in range(4)}
    places = {**steps, "far": FAR + 39.9, "near": NEAR}
    run = take(at_positions([connect(number)], stage, places, one_run=one_run))
    assert geometries(run) == {place: at(MODEL, place) for place in places.values()}


def test_position_outside_of_the_range_is_refused_with_the_range_before_anything_moves(panel, stage, take):
    with pytest.raises(CalibrationError) as refused:
        take(at_positions([panel], stage, {"inside": FAR, "outside": 1500.0}))
    assert refused.value.problems == (
        "pe1_calib: position outside: z is at 1500 mm, the model holds for z 960 to 1440 mm (calibrated 1000 to 1400), "
        "and no revision was calibrated there; nothing has moved",
    )
    assert stage.position == NEAR


def test_joint_out_of_service_is_named_before_anything_moves(make, on_rail, stage, take):
    across, y = Translate("y", "mm", 1e-3, (1.0, 0.0, 0.0)), 1000.0
    joints, reference = (*MODEL.joints, across), {**MODEL.reference, "y": y}
    model = replace(MODEL, joints=joints, reference=reference, spans={**MODEL.spans, "y": Span(y - 9.0, y + 9.0)})
    stage.set(NEAR).wait(timeout=30)
    panel = make(Scripted, on_rail.prefixes[4].removesuffix("Calib:"), "pe1")
    panel.calib.transact(Commit(calibration(MODEL, NEAR), {"method": "fit"}, position={"z": NEAR, "y": y}))
    panel.calib.transact(commit_of(model))
    wait_for(lambda: panel.calib.read_snapshot().status == "VALID")
    panel.calib.transact(OutOfService("y", "its controller is repaired"))
    wait_for(lambda: panel.calib.read_snapshot().status == "UNKNOWN")
    assert speak.get(f"{panel.calib.prefix}Advice_RBV") == "return y to service, or activate a calibrated revision"
    with pytest.raises(CalibrationError) as refused:
        take(at_positions([panel], stage, {"near": NEAR, "far": FAR}))
    (problem,) = refused.value.problems
    assert re.match(
        r"pe1_calib: position far: the model needs y \(.*\), which is out of service since .*: its controller is "
        "repaired, and no revision was calibrated there; nothing has moved$",
        problem,
    )
    assert stage.position == NEAR


def test_label_of_a_model_is_no_position(panel, stage, take):
    panel.calib.transact(commit_of(MODEL, label="travel"))
    with pytest.raises(
        CalibrationError, match=r"labelled travel, is a model, .* many positions: give the position as a"
    ):
        take(at_positions([panel], stage, ["travel"]))


def test_position_farther_outside_is_measured_where_the_ioc_is_configured_so(connect, stage, take):
    panel = connect(2)
    run = take(at_positions([panel], stage, {"far": FAR + 190.0}))
    assert geometries(run) == {FAR + 190.0: at(MODEL, FAR + 190.0)}
    with pytest.raises(CalibrationError, match=r"z is at 1610 mm, the model holds for z 800 to 1600 mm"):
        take(at_positions([panel], stage, {"farther": FAR + 210.0}))


def test_position_outside_of_the_range_that_was_calibrated_is_measured(panel, stage, take):
    place = 1550.0
    panel.calib.transact(Commit(calibration(MODEL, place), {"method": "fit"}, position={"z": place}))
    panel.calib.transact(commit_of(MODEL, label="travel"))
    wait_for(lambda: panel.calib.read_snapshot().status == "VALID")
    run = take(at_positions([panel], stage, {"far": place, "near": 1010.0}))
    assert {z: each.as_dict() for z, each in geometries(run).items()} == {
        place: calibration(MODEL, place),
        1010.0: at(MODEL, 1010.0).as_dict(),
    }


def test_geometry_of_another_place_is_waited_for_and_the_reason_is_reported(panel, stage, run_engine):
    """The range is in the reason where the plan that moves does not check it before."""
    with pytest.raises(CalibrationError, match=r"the status is OUT_OF_RANGE, .* holds for z 960 to 1440 mm"):
        run_engine(move_and_follow(stage, 1700.0, [panel.calib], timeout=2.0))


def test_motor_in_other_units_than_its_link_is_waited_for(make, on_rail, motors, take):
    """The PV reports micrometers, the IOC has mm."""
    motor = EpicsSignal(motors.pv("Bare"), name="stage_readback", auto_monitor=True)
    motor.wait_for_connection(timeout=30)
    motor.set(1e3 * NEAR).wait(timeout=30)
    panel = make(Scripted, on_rail.prefixes[3].removesuffix("Calib:"), "pe1")
    wait_for(lambda: (link := panel.calib.read_links()[0]).value == NEAR and not link.unknown_because)
    panel.calib.transact(commit_of(MODEL))
    run = take(at_positions([panel], motor, {"a": 1.2e6, "b": 1.4399e6}, timeout=10.0))
    assert geometries(run) == {1.2e6: at(MODEL, 1200.0), 1.4399e6: at(MODEL, 1439.9)}
    with pytest.raises(CalibrationError, match=r"position far: z is at 1500 mm, the model holds for z 960 to 1440 mm"):
        take(at_positions([panel], motor, {"far": 1.5e6}))
    motor.destroy()
