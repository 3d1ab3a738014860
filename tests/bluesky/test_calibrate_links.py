"""`calibrate` and the linked PVs: the position at the exposure, the energy, a detector that moves."""

import functools
from dataclasses import replace

import pytest
from bluesky import RunEngine

import speak
from calibrating import SMALL, Panel, small
from live import wait_for
from ponikeeper.errors import CalibrationError, WavelengthError
from ponikeeper.geometry import HC_KEV_ANGSTROM
from ponikeeper.protocol import LinkState
from ponikeeper_client.demo import nickel
from ponikeeper_client.demo.story import NEAR
from ponikeeper_client.guard import calibration_guard
from ponikeeper_client.plans import _exposure, calibrate
from ponikeeper_client.plans._exposure import position_during
from ponikeeper_client.plans._wavelength import SourcedWavelength, choose_wavelength, wavelength_candidates

TRUTH = small(replace(NEAR, dist=0.2391, poni1=0.2013, poni2=0.2052, rot1=0.011, rot2=-0.006))
ENERGY = HC_KEV_ANGSTROM / 0.1663


def configured(motors):
    """Write the keys of a detector whose links are a motor and the energy."""
    links = motors.link("z", "Z:RBV", moving="Z:MOVN")
    return "settle = 0.2\n" + links + motors.link("energy", "Energy", kind="energy", units="keV", tolerance=1e-4)


@pytest.fixture(scope="module")
def linked(make_ioc_for_module, motors):
    more = dict.fromkeys(("{Det:1}Calib:", "{Det:2}Calib:"), configured(motors))
    return make_ioc_for_module(more=more, other_ports=(motors.port,)).start()


@pytest.fixture(scope="module")
def frame():
    return nickel.image(TRUTH, SMALL, seed=3)


@pytest.fixture
def at_rest(make, linked, motors, frame):
    """Connect to a detector with its links at their start values."""

    def made(prefix):
        for suffix, value in {"Z:RBV": 1000.0, "Z:MOVN": 0, "Energy": ENERGY}.items():
            assert speak.put(motors.pv(suffix), value) is None
        result = make(Panel, prefix.removesuffix("Calib:"))
        result.frames = [frame]
        wait_for(lambda: _at_rest(result, 1000.0))
        return result

    return made


@pytest.fixture
def panel(at_rest, linked):
    return at_rest(linked.prefix)


@pytest.fixture
def run(run_engine: RunEngine, tmp_path):
    def run(panel, **options):
        plan = calibrate([panel], calibrant="Ni", output_dir=tmp_path, **{"start": TRUTH, **options})
        run_engine(plan)
        return panel.calib.read_snapshot()

    return run


def _at_rest(panel, z):
    links = panel.calib.read_links()
    return (
        not any(link.unknown_because for link in links)
        and links[0].value == z
        and links[1].value == pytest.approx(ENERGY)
    )


def test_position_is_that_of_the_exposure_though_the_detector_moves_on_during_the_fit(run, panel, motors, frame):
    def images(run_uid, key):
        assert speak.put(motors.pv("Z:RBV"), 1200.0) is None
        wait_for(lambda: panel.calib.read_links()[0].value == 1200.0)
        return frame

    snapshot = run(panel, images=images, wavelength=1.663e-11)
    assert snapshot.position["z"] == {"value": 1000.0, "units": "mm"}
    assert snapshot.position["energy"]["value"] == pytest.approx(ENERGY)


def test_detector_that_moves_during_the_exposure_is_refused_and_its_image_kept(run, panel, motors, tmp_path):
    before = panel.calib.read_snapshot().serial

    def move():
        assert speak.put(motors.pv("Z:RBV"), 1003.0) is None
        wait_for(lambda: panel.calib.read_links()[0].value == 1003.0)

    panel.meanwhile = move
    with pytest.raises(CalibrationError, match=r"z \(.*Z:RBV\) moved during the exposure, from 1000 to 1003 mm"):
        run(panel)
    assert panel.calib.read_snapshot().serial == before
    assert list(tmp_path.glob("*.tiff"))


def test_detector_that_begins_to_move_during_the_exposure_is_refused_though_it_has_not_moved_far(run, panel, motors):
    def start():
        assert speak.put(motors.pv("Z:MOVN"), 1) is None
        wait_for(lambda: panel.calib.read_links()[0].moving)

    panel.meanwhile = start
    with pytest.raises(CalibrationError, match="was moving during the exposure"):
        run(panel)


def test_detector_that_was_just_moved_settles_before_it_is_exposed(run, panel, motors):
    assert speak.put(motors.pv("Z:RBV"), 1100.0) is None
    wait_for(lambda: panel.calib.read_links()[0].moving)
    snapshot = run(panel)
    assert (snapshot.position["z"]["value"], snapshot.status) == (1100.0, "VALID")


def test_detector_that_goes_on_moving_is_not_exposed(run, panel, motors, monkeypatch):
    monkeypatch.setattr(_exposure, "_REST_TIMEOUT", 0.5)
    assert speak.put(motors.pv("Z:MOVN"), 1) is None
    wait_for(lambda: panel.calib.read_links()[0].moving)
    with pytest.raises(CalibrationError, match=r"z \(.*Z:RBV\) is still moving after 0.5 s: wait until it is at rest"):
        run(panel)
    assert panel.exposures == 0


def test_wavelength_comes_from_the_energy_where_nothing_is_active(run, at_rest, linked):
    snapshot = run(at_rest(linked.prefixes[1]), start=replace(TRUTH, wavelength=1.6631e-11))
    assert snapshot.provenance["wavelength_from"] == "link energy"


def test_energy_that_contradicts_the_argument_is_refused_with_both_named(run, panel):
    with pytest.raises(WavelengthError, match=r"argument says 1\.8e-11 m and link energy says 1\.663e-11 m"):
        run(panel, wavelength=1.8e-11)
    assert panel.exposures == 0


def _link(**changes):
    values = {"name": "energy", "pv": "E", "kind": "energy", "units": "keV", "tolerance": 1e-4, "value": ENERGY}
    values |= {"calibrated": ENERGY, "moving": False, "connected": True}
    return LinkState(**(values | changes))


ACTIVE = replace(TRUTH, wavelength=1.6640e-11)


@pytest.mark.parametrize(
    ("argument", "metadata", "active", "links", "expected"),
    [
        (1.663e-11, {}, None, [], (1.663e-11, "argument")),
        (None, {"bt_wavelength": 0.1663}, None, [], (1.663e-11, "RE.md['bt_wavelength']")),
        (None, {}, ACTIVE, [_link()], (1.664e-11, "the active geometry")),
        (None, {}, ACTIVE, [], (1.664e-11, "the active geometry, no link watches the energy")),
        (None, {}, ACTIVE, [_link(value=ENERGY * 1.001)], (1.663e-11 / 1.001, "link energy")),
        (None, {}, ACTIVE, [_link(calibrated=None)], (1.663e-11, "link energy")),
        (None, {}, None, [_link(kind="wavelength", units="angstrom", value=0.1663)], (1.663e-11, "link energy")),
        (None, {}, None, [_link(units="eV", value=ENERGY * 1e3)], (1.663e-11, "link energy")),
        (1.650e-11, {}, ACTIVE, [_link()], (1.650e-11, "argument")),  # else a wrong one could never be corrected
    ],
)  # fmt: skip
def test_wavelength_comes_from_the_most_reliable_source(argument, metadata, active, links, expected):
    result = choose_wavelength(wavelength_candidates(argument, metadata, active, links))
    assert (result.wavelength, result.source) == (pytest.approx(expected[0], rel=1e-9), expected[1])


@pytest.mark.parametrize(
    ("metadata", "active", "links", "says"),
    [
        ({}, None, [], "not known"),
        ({}, ACTIVE, [_link(connected=False, value=None)], "not known"),
        ({"bt_wavelength": 0.18}, ACTIVE, [], "RE.md['bt_wavelength'] says 1.8e-11 m and the active geometry"),
        ({"bt_wavelength": 0.18}, None, [_link()], "link energy says 1.663e-11 m"),
        ({"bt_wavelength": 1.663e-11}, None, [], "is not a wavelength in angstrom"),
        ({"bt_wavelength": "0.18"}, None, [], "is not a wavelength in angstrom"),
    ],
)
def test_wavelength_without_a_trustworthy_source_is_refused(metadata, active, links, says):
    with pytest.raises(WavelengthError) as raised:
        choose_wavelength(wavelength_candidates(None, metadata, active, links))
    assert says in str(raised.value)


def test_statements_that_agree_within_the_wider_tolerance_pass():
    assert choose_wavelength([SourcedWavelength(1.0e-10, "a"), SourcedWavelength(1.005e-10, "b", 0.01)]).source == "a"


def test_position_is_unknown_with_a_reason_if_a_link_is():
    motor = _link(name="z", kind="motor", units="mm", tolerance=0.05, value=1.0, calibrated=None)
    gone = replace(motor, value=None, connected=False)
    result = position_during([(motor,), (gone,), (motor,)])
    assert (result.values, result.reason) == ("unknown", f"{gone} is not connected")
    assert position_during([(motor,), (replace(motor, value=1.04),)]).values == {"z": 1.04}
    assert position_during([()]).values == {}


def test_change_of_a_link_without_a_tolerance_is_refused():
    binning = _link(name="binning", kind="equal", units="", tolerance=None, value=1.0, calibrated=1.0)
    with pytest.raises(CalibrationError, match=r"from 1 to 2 \(any change counts\)"):
        position_during([(binning,), (replace(binning, value=2.0),)])


def test_motor_that_went_and_came_back_during_the_exposure_is_refused():
    motor = _link(name="z", kind="motor", units="mm", tolerance=0.05, value=1.0, calibrated=None)
    with pytest.raises(CalibrationError, match="from 1 to 3 mm"):
        position_during([(motor,), (replace(motor, value=3.0),), (motor,)])


@pytest.mark.parametrize(
    ("status", "guarded"), [("UNSET", True), ("UNSET", False), ("MOVED", True), ("MOVING", True), ("MOVING", False)]
)
def test_calibrate_goes_on_where_no_geometry_applies_with_and_without_the_guard(
    run, run_engine, at_rest, make_ioc, motors, caplog, status, guarded
):
    """A calibration is often taken where no geometry is valid, so nothing must fail it or warn of that."""
    more = {"{Det:1}Calib:": configured(motors)}
    panel = at_rest(make_ioc(more=more, other_ports=(motors.port,)).start().prefix)
    if status != "UNSET":
        panel.calib.set(TRUTH).wait(timeout=30)
        assert speak.put(motors.pv("Z:RBV"), 1300.0) is None
    waits = []

    def end_motion(msg):
        if msg.command == "sleep":
            waits.append(msg)
            assert speak.put(motors.pv("Z:MOVN"), 0) is None

    if status == "MOVING":
        assert speak.put(motors.pv("Z:MOVN"), 1) is None
    wait_for(lambda: panel.calib.read_snapshot().status == status)
    before = panel.calib.read_snapshot().revision or 0
    caplog.clear()
    guard = functools.partial(calibration_guard, on_change="fail", on_status="fail")
    run_engine.preprocessors.extend([guard] * guarded)
    run_engine.msg_hook = end_motion
    try:
        snapshot = run(panel, method="poni")
    finally:
        run_engine.msg_hook = None
        run_engine.preprocessors.clear()
    assert snapshot.position["z"]["value"] == (1000.0 if status == "UNSET" else 1300.0)
    assert (snapshot.revision, snapshot.status) == (before + 1, "VALID")
    assert [record.message for record in caplog.records if "status is" in record.message] == []
    assert bool(waits) == (status == "MOVING")
