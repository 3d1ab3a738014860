"""`calibrate_travel`: a detector on a rail is calibrated at some places, and has its geometry at all others."""

from dataclasses import replace

import numpy as np
import pytest
from bluesky.utils import RunEngineInterrupted
from ophyd import EpicsSignal, SoftPositioner

import speak
from calibrating import SMALL, off_px
from live import wait_for
from on_rail import FIRST, OnRail, truth
from ponikeeper.errors import CalibrationError
from ponikeeper_client.documents import GUARD_KEY
from ponikeeper_client.guard import calibration_guard
from ponikeeper_client.plans import at_positions, calibrate_travel
from ponikeeper_client.plans._travel_progress import DetectorTravel

DETECTORS = tuple(f"{{Det:{number}}}Calib:" for number in range(8))
RIGHT = 0.05
"""Goal of a geometry at a place that was never calibrated (px rms)."""


@pytest.fixture(scope="module")
def ioc(make_ioc_for_module, motors):
    links = "settle = 0.2\n" + motors.link("z", "Z:RBV", moving="Z:MOVN") + motors.link("binning", "BinX", kind="equal")
    more = dict.fromkeys(DETECTORS, links)
    more[DETECTORS[0]] += motors.link("tth", "Y:RBV", units="deg")
    more[DETECTORS[4]] += motors.link("y", "Y:RBV")
    return make_ioc_for_module(detectors=DETECTORS, more=more, other_ports=(motors.port,)).start()


@pytest.fixture
def connected(make, ioc, stage, motors):
    """Connect to a detector by its number, which was calibrated in some way at the first place."""

    def connected(number, name):
        assert speak.put(motors.pv("BinX"), 1) is None
        stage.set(FIRST).wait(timeout=30)
        panel = make(OnRail, ioc.prefixes[number].removesuffix("Calib:"), name)
        panel.rail = stage
        wait_for(lambda: (link := panel.calib.read_links()[0]).value == FIRST and not link.unknown_because)
        panel.calib.set(replace(truth(FIRST), dist=0.2401)).wait(timeout=30)
        return panel

    return connected


@pytest.fixture
def panel(request, connected):
    """A detector; the parameter is its number."""
    return connected(getattr(request, "param", 0), "pe1")


@pytest.fixture
def travel(run_engine, panel, stage, tmp_path):
    """Run the plan; return its result."""

    def run(positions, motors=stage, **options):
        results = []

        def plan():
            travelling = calibrate_travel([panel], motors, positions, calibrant="Ni", output_dir=tmp_path, **options)
            results.append((yield from travelling))

        run.starts = []
        run_engine(plan(), {"start": lambda _, document: run.starts.append(document)})
        return results[0]

    return run


@pytest.mark.parametrize("panel", [1], indirect=True)
def test_detector_has_its_geometry_at_every_place_between(travel, panel, stage, take, run_engine, monkeypatch):
    monkeypatch.setattr(run_engine, "preprocessors", [*run_engine.preprocessors, calibration_guard])
    result = travel({"near": FIRST, "mid": 250.0, "far": 300.0}, label="travel")["pe1"]
    assert [start["plan_name"] for start in travel.starts] == ["calibrate"] * 3
    assert [GUARD_KEY in start for start in travel.starts] == [False] * 3
    assert [each.revision for each in result.calibrations] == [2, 3, 4]
    assert (result.revision, result.status, result.fitted.problems) == (5, "VALID", ())
    snapshot = panel.calib.read_snapshot()
    assert (snapshot.revision, snapshot.label, snapshot.provenance["method"]) == (5, "travel", "model")
    assert snapshot.position["binning"]["value"] == 1.0
    revisions = panel.calib.history().revisions
    assert [each.label for each in revisions[1:]] == ["near", "mid", "far", "travel"]
    run = take(at_positions([panel], stage, {"between": 277.0}))
    (descriptor,) = run["descriptor"]
    assert descriptor["configuration"]["pe1"]["data"]["pe1_calib_status"] == "VALID"
    assert off_px(panel.calib.read_snapshot().geometry, truth(277.0), SMALL) < RIGHT


@pytest.mark.parametrize("panel", [4], indirect=True)
def test_stage_across_the_rail_is_moved_with_it(travel, panel, stage, motors):
    across = EpicsSignal(motors.pv("Y:RBV"), name="across")
    assert speak.put(motors.pv("Y:RBV"), 0.0) is None
    panel.across = across
    places = [(FIRST, 0.0), (300.0, 0.0), (250.0, 20.0)]
    positions = [{"z": place, "y": aside} for place, aside in places]
    starts = [truth(*place) for place in places]
    result = travel(positions, {"z": stage, "y": across}, start=starts, label="travel")["pe1"]
    across.destroy()
    assert [start["travel"]["position"] for start in travel.starts] == [
        {"stage": place, "across": aside} for place, aside in places
    ]
    there = result.fitted.model.geometry_at({"z": 230.0, "y": 12.0})
    assert off_px(there, truth(230.0, 12.0), SMALL) < RIGHT
    assert panel.calib.read_snapshot().label == "travel"


@pytest.mark.parametrize("panel", [5], indirect=True)
def test_motor_that_fails_on_the_way_ends_it_and_what_to_type_is_printed(travel, panel, stage, monkeypatch, capsys):
    def move(place, proper=stage.set):
        if place == 300.0:
            raise RuntimeError("following error")
        return proper(place)

    monkeypatch.setattr(stage, "set", move)
    with pytest.raises(RuntimeError, match="following error"):
        travel(np.array([FIRST, 300.0]), start=truth(FIRST))
    printed = " ".join(capsys.readouterr().out.split())
    assert "pe1: committed are revision 2 at z 200, and no model; missing is z 300: calibrate there" in printed
    assert "--along z --revisions 2,NUMBER --put" in printed
    assert panel.calib.read_snapshot().revision == 2


@pytest.mark.parametrize("panel", [5], indirect=True)
def test_plan_that_ends_between_two_positions_prints_how_to_go_on(run_engine, panel, stage, tmp_path, capsys):
    before = panel.calib.read_snapshot().revision

    def ended(plan):
        message = next(plan)
        while message.command != "checkpoint" or panel.calib.read_snapshot().revision == before:
            message = plan.send((yield message))
        plan.throw(RuntimeError("aborted at the pause"))

    options = {"calibrant": "Ni", "start": truth(FIRST), "output_dir": tmp_path}
    with pytest.raises(RuntimeError, match="aborted at the pause"):
        run_engine(ended(calibrate_travel([panel], stage, [FIRST, 300.0], **options)))
    printed = " ".join(capsys.readouterr().out.split())
    assert f"pe1: committed are revision {before + 1} at z 200, and no model; missing is z 300: calibrate" in printed


@pytest.mark.parametrize("panel", [5], indirect=True)
def test_plan_that_is_aborted_during_the_fit_of_the_model_prints_how_to_go_on(
    run_engine, panel, stage, tmp_path, monkeypatch, capsys
):
    def fit(self, known, proper=DetectorTravel.fit):
        run_engine.request_pause(defer=False)
        wait_for(lambda: run_engine.state == "paused")
        return proper(self, known)

    monkeypatch.setattr(DetectorTravel, "fit", fit)
    places = [FIRST, 300.0]
    options = {"calibrant": "Ni", "start": [truth(place) for place in places], "output_dir": tmp_path}
    with pytest.raises(RunEngineInterrupted):
        run_engine(calibrate_travel([panel], stage, places, **options))
    run_engine.abort()
    printed = " ".join(capsys.readouterr().out.split())
    assert "at z 300, and no model; to go on, type: ponikeeper model fit" in printed
    assert panel.calib.read_snapshot().provenance["method"] == "fit"


@pytest.mark.parametrize("panel", [6], indirect=True)
def test_two_detectors_travel_together_and_each_is_told_how_to_go_on(run_engine, connected, panel, stage, tmp_path):
    other = connected(7, "pe2")
    other.dark = (300.0,)
    starts = [truth(place) for place in (FIRST, 300.0)]
    options = {"calibrant": "Ni", "start": starts, "output_dir": tmp_path}
    with pytest.raises(CalibrationError) as failed:
        run_engine(calibrate_travel([panel, other], stage, [FIRST, 300.0], **options))
    first, second = failed.value.problems[-2:]
    assert first.startswith(
        "pe1: committed are revision 2 at z 200, revision 3 at z 300, and no model; to go on, type: "
    )
    assert second.startswith("pe2: committed are revision 2 at z 200, and no model; missing is z 300: calibrate there")
    assert {name: len(done) for name, done in failed.value.results.items()} == {"pe1": 2, "pe2": 1}
    other.dark = ()
    results = []

    def again():
        results.append((yield from calibrate_travel([panel, other], stage, [FIRST, 300.0], **options)))

    run_engine(again())
    for one in (panel, other):
        assert results[0][one.name].status == "VALID"
        assert one.calib.read_snapshot().revision == results[0][one.name].revision


@pytest.mark.parametrize("panel", [2], indirect=True)
def test_failure_on_the_way_keeps_what_was_calibrated_and_says_how_to_go_on(travel, panel, call):
    panel.dark = (300.0,)
    with pytest.raises(CalibrationError) as failed:
        travel([FIRST, 250.0, 300.0, 320.0], label="travel", motor_sigma={"z": 0.01}, start=[None, *["blind"] * 3])
    reported = failed.value.problems[-1]
    assert "pe1: nothing was activated" in str(failed.value)
    assert reported.startswith(
        "pe1: committed are revision 2 at z 200, revision 3 at z 250, and no model; missing is z 300; z 320: calibrate"
    )
    command = reported.partition("type: ")[2]
    assert command == (
        f"ponikeeper model fit '{panel.calib.prefix}' --along z --sigma z=0.01 --revisions 2,3,NUMBER,NUMBER --put "
        "--label travel"
    )
    assert panel.calib.read_snapshot().revision == 3
    words = [word.strip("'") for word in command.replace(",NUMBER", "").split()[1:]]
    assert call(*words).returncode == 0
    assert panel.calib.read_snapshot().revision == 4


@pytest.mark.parametrize(
    ("positions", "options", "message"),
    [
        ([FIRST], {}, "1 calibration cannot determine z.direction1.*nothing has moved"),
        ([], {}, "are no positions: expected such as"),
        ("200", {}, "are no positions"),
        ([FIRST, "far"], {}, "'far' is no position: expected such as"),
        ([FIRST, float("nan")], {}, "nan is no position"),
        ([FIRST, FIRST, 300.0], {}, "a position is given twice"),
        ([{"z": FIRST}, {"z": 300.0}], {}, "is no position of stage: expected such as"),
        ({"near by": FIRST, "far": 300.0}, {}, 'label "near by" is not allowed'),
        ([FIRST, 300.0], {"label": "a b"}, 'label "a b" is not allowed'),
        ([FIRST, 300.0], {"start": ["blind"]}, "start has 1 items, and there are 2 positions"),
        ([FIRST, 300.0], {"config_det": False}, "config_det: calibrate_travel has no such argument"),
        ([FIRST, 300.0], {"colour": 1}, "colour: calibrate_travel has no such argument"),
        ([FIRST, 300.0], {"motor_sigma": {"x": 1.0}}, "--sigma x=.*x is no joint, expected one of z"),
        ([FIRST, 300.0], {"order": ["x"]}, "--order x: x is no joint that was given .*: expected each of z"),
    ],
)
def test_what_can_be_known_before_is_refused_before_anything_moves(travel, panel, stage, positions, options, message):
    with pytest.raises(CalibrationError, match=message):
        travel(positions, **options)
    assert (stage.position, panel.exposures) == (FIRST, 0)


@pytest.mark.parametrize(
    ("motors_of", "message"),
    [
        (lambda stage: {"y": stage}, "y is no link; the links in service are z .*, binning .*: configure the link"),
        (lambda stage: {"binning": stage}, "binning is the link of another motor than stage"),
        (lambda stage: stage.moving, "no link is a PV of stage_moving"),
        (lambda _: "stage", "stage='stage' cannot be moved: expected a device"),
    ],
)
def test_motor_that_is_no_link_is_refused_before_anything_moves(run_engine, panel, stage, motors_of, message):
    given = motors_of(stage)
    positions = [FIRST, 300.0] if not isinstance(given, dict) else [dict.fromkeys(given, 1.0)]
    with pytest.raises(CalibrationError, match=message):
        run_engine(calibrate_travel([panel], given, positions, calibrant="Ni"))
    assert (stage.position, panel.exposures) == (FIRST, 0)


def test_position_beyond_the_limits_of_a_motor_is_refused_before_anything_moves(run_engine, panel):
    soft = SoftPositioner(name="soft", limits=(0.0, 250.0), init_pos=FIRST)
    with pytest.raises(CalibrationError, match=r"soft cannot go to 300: .*limits"):
        run_engine(calibrate_travel([panel], {"z": soft}, [{"z": FIRST}, {"z": 300.0}], calibrant="Ni"))
    assert (soft.position, panel.exposures) == (FIRST, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"tth is an arm, since its units are deg: give the lab axis .* axis=\{'tth': 2\}"),
        ({"axis": {"tth": 4}}, "--axis 4 is no lab axis"),
        ({"axis": 2}, r"cannot determine tth.tilt1, tth.tilt2"),
        ({"axis": -2, "nominal": True}, r"cannot determine z.direction1"),
    ],
)
def test_arm_needs_its_axis_and_enough_positions(run_engine, panel, stage, motors, options, message):
    arm = EpicsSignal(motors.pv("Y:RBV"), name="arm")
    positions = [{"z": FIRST, "tth": angle} for angle in (0.0, 20.0)]
    with pytest.raises(CalibrationError, match=message):
        run_engine(calibrate_travel([panel], {"z": stage, "tth": arm}, positions, calibrant="Ni", **options))
    arm.destroy()
    assert (stage.position, panel.exposures) == (FIRST, 0)


@pytest.mark.parametrize("panel", [3], indirect=True)
def test_contradiction_is_reported_and_the_calibrations_stay(travel, panel):
    """At the second place the detector stands 0.5 mm from where it should."""
    panel.off = {250.0: 5e-4}
    places = [FIRST, 250.0, 300.0]
    with pytest.raises(CalibrationError) as failed:
        travel(places, start=[truth(place) for place in places])
    contradiction, how = failed.value.problems
    assert contradiction.startswith("pe1: the calibrations contradict each other: one of revision 2, revision 3, ")
    assert how == (
        "pe1: committed are revision 2 at z 200, revision 3 at z 250, revision 4 at z 300, and no model; to go on, "
        f"type: ponikeeper model fit '{panel.calib.prefix}' --along z --revisions 2,3,4 --put"
    )
    assert panel.calib.read_snapshot().revision == 4
