"""Positions by label: a detector moves to where the history says that the labelled revision was calibrated."""

import json

import bluesky.plans as bp
import pytest
from ophyd import Component as Cpt
from ophyd import EpicsSignal
from ophyd.sim import motor as unlinked

import speak
from live import wait_for
from panels import FlatPanel
from ponikeeper.errors import CalibrationError, RefusedError
from ponikeeper_client.plans import arrive, at_positions
from ponikeeper_client.queueserver import arrive as arrive_of_queue
from scripted import recorded
from speak import GEOMETRY, commit_text
from stages import Stage

DISTANCES = {"near": (200.0, 0.2), "far": (1000.0, 1.0)}


@pytest.fixture(scope="module")
def linked(make_ioc_for_module, motors):
    """An IOC of detectors on one stage; they were calibrated at two labels, the third elsewhere."""
    links = "settle = 0.1\n" + motors.link("z", "Z:RBV", moving="Z:MOVN")
    detectors = ("{Det:1}Calib:", "{Det:2}Calib:", "{Det:3}Calib:", "{Det:4}Calib:", "{Det:5}Calib:")
    more = dict.fromkeys(detectors[:3], links) | {detectors[4]: "settle = 0.1\n" + motors.link("z", "Bare")}
    ioc = make_ioc_for_module(detectors=detectors, more=more, other_ports=(motors.port,)).start()
    for prefix, shift in ((ioc.prefixes[0], 0.0), (ioc.prefixes[1], 0.001), (ioc.prefixes[2], 50.0)):
        put(prefix, "nowhere", 0.5, None)
        put(prefix, "bad", 0.6, 600.0)
        for label, (place, dist) in DISTANCES.items():
            put(prefix, label, dist, place + shift)
    retracted = {"v": 1, "request": "r", "op": "retract", "revision": 2, "author": "eve", "reason": "wrong"}
    assert speak.request(ioc.prefix, json.dumps(retracted))["outcome"] == "accepted"
    put(ioc.prefixes[3], "fixed", 0.4, None)
    return ioc


def put(prefix, label, dist, place):
    position = {"position": {"z": place}} if place is not None else {"position": "unknown"}
    text = commit_text(label, geometry={**GEOMETRY, "dist": dist}, label=label, **position)
    assert speak.request(prefix, text)["outcome"] == "accepted"


@pytest.fixture
def panel(make, linked):
    return make(FlatPanel, linked.prefix.removesuffix("Calib:"))


def measured(run, name="pe1"):
    return [recorded(run, key, name=name) for key in ("dist", "status")]


def test_labels_are_positions(panel, stage, take):
    run = take(at_positions([panel], stage, ["far", "near"]))
    assert [(start["position"], start["positions"]) for start in run["start"]] == [
        (label, {"far": 1000.0, "near": 200.0}) for label in ("far", "near")
    ]
    assert measured(run) == [[1.0, 0.2], ["VALID"] * 2]


def test_stub_arrives_at_a_label_and_at_a_number(panel, stage, take):
    def plan():
        for position in ("near", 1000.0):
            places.append((yield from arrive(panel, position, stage)))
            yield from bp.count([panel])

    places = []
    assert measured(take(plan())) == [[0.2, 1.0], ["VALID"] * 2]
    assert places == [200.0, 1000.0]


def test_detectors_of_one_stage_and_fixed_ones_arrive_together(make, linked, panel, stage, take):
    others = [make(FlatPanel, linked.prefixes[number].removesuffix("Calib:"), f"pe{number + 1}") for number in (1, 3)]

    def plan():
        yield from arrive([panel, *others], "far", motor=stage)
        yield from bp.count([panel, *others])

    run = take(plan())
    assert [recorded(run, "dist", name=name) for name in ("pe1", "pe2", "pe4")] == [[1.0], [1.0], [0.4]]


def test_detector_that_has_its_motor_needs_none(make, linked, motors, take):
    class OnStage(FlatPanel):
        z = Cpt(Stage, motors.name, add_prefix=())

    panel = make(OnStage, linked.prefix.removesuffix("Calib:"))
    run = take(chained(panel))
    assert recorded(run, "status") == ["VALID"]
    assert panel.z.position == 200.0


def chained(panel):
    yield from arrive(panel, "near")
    yield from bp.count([panel])


def test_queue_moves_to_a_label(panel, stage, run_engine):
    run_engine(arrive_of_queue([panel], "far", stage))
    assert stage.position == 1000.0
    with pytest.raises(CalibrationError, match="z9: no device of that name"):
        run_engine(arrive_of_queue([panel], "far", "z9"))


def test_motor_in_other_units_than_its_link_is_moved_in_its_own(make, linked, motors, take):
    """The PV reports micrometers, the IOC has mm."""
    motor = EpicsSignal(motors.pv("Bare"), name="stage_readback", auto_monitor=True)
    motor.wait_for_connection(timeout=30)
    panel = make(FlatPanel, linked.prefixes[4].removesuffix("Calib:"))
    wait_for(lambda: panel.calib.read_links()[0].value is not None)
    put(panel.calib.prefix, "near", 0.2, 203.4)

    def plan():
        assert (yield from arrive(panel, "near", motor)) == 203400.0
        yield from bp.count([panel])

    assert measured(take(plan())) == [[0.2], ["VALID"]]
    motor.destroy()


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("middle", "pe1_calib: there is no revision labelled middle: the history has labels bad, far, near, nowhere"),
        ("bad", "every revision labelled bad was superseded, retracted or undone"),
        ("nowhere", r"revision 1, labelled nowhere, was committed without a position of z \(.*Z:RBV\)"),
        (None, "position=None: expected the label of a revision"),
        ("", "position='': expected the label of a revision"),
    ],
)
def test_label_without_a_position_is_reported_before_anything_moves(panel, stage, take, label, message):
    before = stage.position
    with pytest.raises(CalibrationError, match=message):
        take(arrive(panel, label, stage))
    assert stage.position == before


def test_detectors_that_were_calibrated_elsewhere_for_a_label_cannot_arrive_together(make, linked, panel, stage, take):
    other = make(FlatPanel, linked.prefixes[2].removesuffix("Calib:"), "pe3")
    with pytest.raises(
        CalibrationError, match="near: pe3_calib was calibrated at 250, pe1_calib was calibrated at 200"
    ):
        take(arrive([panel, other], "near", stage))


def test_motor_that_is_not_linked_has_no_labels(panel, take):
    with pytest.raises(CalibrationError, match="motor is not a link of pe1_calib, so no label says"):
        take(arrive(panel, "near", unlinked))
    with pytest.raises(CalibrationError, match="components of pe1 that are motors and linked: none; give motor="):
        take(arrive(panel, "near"))


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ("near", r"positions='near' is not a list: expected \['near'\]"),
        (["near", "near"], "each label can be given once"),
        (["near", 200.0], "have no names: expected labels"),
    ],
)
def test_labels_are_checked(panel, stage, take, positions, message):
    with pytest.raises(CalibrationError, match=message):
        take(at_positions([panel], stage, positions))


def test_device_reads_the_revision_that_a_label_means(panel):
    assert panel.calib.labelled("far").number == 4
    with pytest.raises(RefusedError, match="the history has labels"):
        panel.calib.labelled("middle")
