"""`ponikeeper model` against a live IOC: fit from its history, commit, show, evaluate, and what is refused."""

import getpass
import json
import math
import re

import pytest

import travels
from ponikeeper.geometry import Geometry, poni
from ponikeeper.history import history_file
from ponikeeper.protocol import Snapshot
from ponikeeper_client.model.model_file import load_model
from speak import commit_text, get, put, request

DETECTOR = "{Det:1}Calib:"
PNG = b"\x89PNG\r\n\x1a\n"
PLACES = {"near": 200.0, "mid": 600.0, "far": 1000.0}


@pytest.fixture(scope="module")
def call(call_heavy):
    return call_heavy


@pytest.fixture(scope="module")
def calibrated(make_ioc_for_module, motors):
    """Prefix of a detector on a rail with three calibrations."""
    rail = motors.link("z", "Z:RBV", moving="Z:MOVN")
    ioc = make_ioc_for_module(detectors=(DETECTOR,), more={DETECTOR: rail}, other_ports=(motors.port,)).start()
    travel = travels.Travel((travels.RAIL,), 1)
    for label, place in PLACES.items():
        errors = travel.calibration({"z": place})
        text = commit_text(
            label,
            geometry=errors.geometry.as_dict(),
            position={"z": place},
            label=label,
            provenance={"method": "fit", "covariance": errors.record()},
        )
        assert request(ioc.prefix, text)["outcome"] == "accepted"
    return ioc.prefix, travel


def test_model_is_fitted_written_and_evaluated(call, calibrated, tmp_path):
    prefix, travel = calibrated
    file, picture = tmp_path / "travel.json", tmp_path / "travel.png"
    done = call("model", "fit", prefix, "--along", "z", "--revisions", "near,mid,far", "-o", file, "--picture", picture)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].strip() == f"model of {prefix}"
    assert [f"revision {number} ({label})" in done.stdout for number, label in enumerate(PLACES, 1)] == [True] * 3
    assert "over z, 200 to 1000 mm, calibrated" in done.stdout
    assert picture.read_bytes().startswith(PNG)
    shown = call("model", "predict", file, "z=523", "--json")
    assert (shown.returncode, shown.stderr) == (0, "")
    values = json.loads(shown.stdout)
    assert Geometry.parse(values["geometry"]) == load_model(file).geometry_at({"z": 523.0})
    assert values["geometry"]["dist"] == pytest.approx(travel.truth({"z": 523.0})[0], abs=5e-5)
    assert (values["reach"], values["position"]) == ("INSIDE", {"z": 523.0})
    text = call("model", "predict", file, "z=1300").stdout
    assert "range      within 0.5 span of the calibrated range (z 200 to 1000 mm, calibrated)" in text
    poni_file = tmp_path / "here.poni"
    assert call("model", "predict", file, "z=523", "-o", poni_file).returncode == 0
    assert "# computed by a model for z 523.0, from revision 1 (near), revision 2 (mid)" in poni_file.read_text()
    assert poni.read(poni_file.read_bytes()).dist == values["geometry"]["dist"]
    far = call("model", "predict", file, "z=3000", "-o", tmp_path / "far.poni")
    assert (far.returncode, (tmp_path / "far.poni").exists()) == (1, False)
    assert "far.poni is not written: the model does not hold there" in far.stderr
    assert "): OUT_OF_RANGE\n" in call("model", "predict", file, "z=3000").stdout


def test_all_are_the_same_as_their_labels(call, calibrated, tmp_path):
    prefix, _ = calibrated
    files = [tmp_path / f"{number}.json" for number in range(2)]
    for file, words in zip(files, ("all", "near,mid,far"), strict=True):
        assert call("model", "fit", prefix, "--along", "z", "--revisions", words, "-o", file).returncode == 0
    assert files[0].read_bytes() == files[1].read_bytes()


def test_contradiction_is_drawn_named_and_not_written(call, calibrated, tmp_path):
    """The history of the IOC with two more calibrations, of which one is wrong by 0.3 mm."""
    _, travel = calibrated
    places = travels.along(200, 400, 600, 800, 1000)
    revisions = [
        travel.revision(number, place, wrong=(3e-4 if number == 4 else 0.0, 0.0, 0.0))
        for number, place in enumerate(places, 1)
    ]
    history, file, picture = (tmp_path / name for name in ("pe1.jsonl", "travel.json", "travel.png"))
    history.write_bytes(history_file.write(travels.history_of(revisions)))
    words = ("model", "fit", travels.PREFIX, "--along", "z", "--revisions", "all", "--history", history)
    done = call(*words, "-o", file, "--picture", picture)
    assert done.returncode == 1
    assert done.stderr.startswith("revision 4 contradicts the others: its rings are ")
    assert (file.exists(), picture.exists()) == (False, True)
    other = call("model", "fit", "OTHER:", "--along", "z", "--revisions", "all", "--history", history)
    assert (other.returncode, other.stdout) == (1, "")
    assert f"is the history of {travels.PREFIX}: expected one of OTHER:" in other.stderr


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (("--along", "z", "--revisions", "near"), 1, "1 calibration cannot determine"),
        (("--along", "z", "--revisions", "near,middle"), 1, "the history has labels far, mid, near"),
        (("--along", "zz", "--revisions", "all"), 1, "zz is no link of"),
        (("--revisions", "all"), 2, "nothing moves"),
        (("--arm", "z", "--revisions", "all"), 2, "--arm is given 1 times and --axis 0 times"),
        (("--arm", "z", "--axis", "2", "--revisions", "all"), 1, "no angle"),
        (("--along", "z", "--sigma", "z", "--revisions", "all"), 2, "--sigma z: expected link=number"),
        (("--along", "z", "--revisions", "all", "--label", "a"), 2, "--label is about the commit of the model"),
    ],
)
def test_what_cannot_be_fitted_is_refused(call, calibrated, words, code, problem):
    done = call("model", "fit", calibrated[0], *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert problem in done.stderr


def test_ioc_that_does_not_answer_has_exit_code_3_and_a_file_that_is_no_model_2(call, tmp_path):
    assert call("model", "fit", "NOWHERE:", "--along", "z", "--revisions", "all").returncode == 3
    file = tmp_path / "travel.json"
    file.write_text("{}")
    done = call("model", "predict", file, "z=1")
    assert (done.returncode, done.stdout) == (2, "")
    assert f'{file}: "v" is missing' in done.stderr


OTHER, ON_ARM = "{Det:2}Calib:", "{Det:3}Calib:"

HERE, TOLERANCE, SCALE = 523.0, 0.05, 2e-4


class Rail:
    """A detector on a rail with a binning, which stands where nothing was calibrated."""

    def __init__(self, ioc, motors):
        self.ioc, self.motors, self.prefix = ioc, motors, ioc.prefix
        self.travel = travels.Travel((travels.RAIL,), 1, wavelength_error=3e-3)

    def calibrate(self, label, place, binning):
        errors = self.travel.calibration({"z": place})
        text = commit_text(
            f"{label} {place}",
            geometry=errors.geometry.as_dict(),
            position={"z": place, "binning": binning},
            label=label,
            provenance={"method": "fit", "covariance": errors.record()},
        )
        result = request(self.prefix, text)
        assert result["outcome"] == "accepted"
        return result["revision"]

    def snapshot(self):
        return Snapshot.from_json(get(f"{self.prefix}Snapshot_RBV"))


@pytest.fixture(scope="module")
def rail(make_ioc_for_module, motors):
    for name, value in {"Z:RBV": HERE, "Z:MOVN": 0, "BinX": 1}.items():
        assert put(motors.pv(name), value) is None
    links = [
        motors.link("z", "Z:RBV", moving="Z:MOVN", tolerance=TOLERANCE, scale_sigma=SCALE),
        motors.link("binning", "BinX", kind="equal"),
    ]
    arm = motors.link("tth", "Y:RBV", units="deg", egu="mm", tolerance=0.01)
    more = {name: "\n".join(["settle = 0.1", *own]) for name, own in ((OTHER, links), (ON_ARM, [links[0], arm]))}
    rail = Rail(make_ioc_for_module(detectors=tuple(more), more=more, other_ports=(motors.port,)).start(), motors)
    for label, place in PLACES.items():
        rail.calibrate(label, place, 1)
    rail.calibrate("binned", 400.0, 2)
    return rail


FIT = ("--along", "z", "--revisions", "near,mid,far")


def test_model_is_committed_and_is_active_where_nothing_was_calibrated(call, rail, tmp_path):
    file = tmp_path / "travel.json"
    done = call("model", "fit", rail.prefix, *FIT, "-o", file, "--put", "--label", "travel", "--wait", COLUMNS="200")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{rail.prefix} revision 5 is active (serial " in done.stdout
    assert ") and may be used: VALID" in done.stdout
    assert "\N{HORIZONTAL ELLIPSIS}" not in done.stdout, "a digit is missing"
    assert "position: z 523.0 mm, binning 1.0" in done.stdout
    snapshot, model = rail.snapshot(), load_model(file)
    assert (snapshot.status, snapshot.label, snapshot.revision) == ("VALID", "travel", 5)
    assert snapshot.geometry == model.geometry_at({"z": HERE})
    assert snapshot.provenance["method"] == "model"
    assert snapshot.provenance["author"].startswith(getpass.getuser())
    assert {name: item["value"] for name, item in snapshot.position.items()} == {"z": HERE, "binning": 1.0}
    again = call("model", "fit", rail.prefix, *FIT, "--put", "--label", "travel")
    assert f"{rail.prefix} revision 5 is active" in again.stdout


def test_model_whose_calibrations_differ_in_another_link_is_fitted_but_not_committed(call, rail):
    count = get(f"{rail.prefix}History:Count_RBV")
    done = call("model", "fit", rail.prefix, "--along", "z", "--revisions", "near,binned,far", "--put")
    assert done.returncode == 1
    assert "model of" in done.stdout
    assert "binning (" in done.stderr
    assert "the calibrations differ in it: 1 in revision 1 (near), 2 in revision 4 (binned)" in done.stderr
    assert get(f"{rail.prefix}History:Count_RBV") == count


@pytest.mark.parametrize("answer", ["n", "y"])
def test_at_a_terminal_it_asks_before(call, rail, answer):
    count = get(f"{rail.prefix}History:Count_RBV")
    words = ("model", "fit", rail.prefix, "--along", "z", "--revisions", "near,far", "--put", "--label", "two")
    with call.at_terminal(*words) as terminal:
        terminal.read_until(f"Commit this model to {rail.prefix} with the label two, and activate it? [y/n]")
        terminal.type(f"{answer}\n")
        code = terminal.end()
    assert "unchecked: no calibration is left that tests the model" in terminal.shown
    if answer == "n":
        assert "nothing was committed" in terminal.shown
    assert (code, get(f"{rail.prefix}History:Count_RBV") - count) == ((0, 1) if answer == "y" else (1, 0))


def test_active_model_is_shown_evaluated_and_ranged(call, rail):
    assert call("model", "fit", rail.prefix, *FIT, "--put", "-y").returncode == 0
    number = rail.snapshot().revision
    text = call("model", "show", rail.prefix, COLUMNS="200").stdout
    assert f"revision {number}, a model by {getpass.getuser()}" in text
    assert "holds for z 120 to 1080 mm (calibrated 200 to 1000)" in text
    assert "here: z 523 mm" in text
    assert "active: computed by this model (serial" in text
    (span,) = json.loads(call("model", "range", rail.prefix, "--json").stdout)["range"].values()
    assert span == {"units": "mm", "low": 200.0, "high": 1000.0, "declared": False, "allowed": [120.0, 1080.0]}
    shown = json.loads(call("model", "show", rail.prefix, "--json").stdout)
    active = {"active": True, "geometry": "computed", "status": "VALID", "revision": number, "stale": []}
    assert active.items() <= shown.items()
    here = json.loads(call("model", "predict", rail.prefix, f"z={HERE}", "--json").stdout)
    assert Geometry.parse(here["geometry"]) == Geometry.parse(shown["here"]["geometry"]) == rail.snapshot().geometry
    far = json.loads(call("model", "predict", rail.prefix, "z=1200", "--revision", "5", "--json").stdout)
    assert (here["reach"], here["holds"], far["reach"], far["holds"]) == ("INSIDE", True, "EXTENDED", False)
    none = call("model", "show", rail.prefix, "--revision", "2")
    assert (none.returncode, none.stdout) == (1, "")
    assert f"revision 2 of {rail.prefix} is no model" in none.stderr


def test_configured_scale_of_the_motor_is_in_what_the_travel_says_of_the_wavelength(call, rail):
    def sigma(*words):
        done = call("model", "fit", rail.prefix, *FIT, *words, COLUMNS="200")
        found = re.search(r"the travel of z says that the wavelength is 0\.\d+ \+- (0\.\d+) % too long", done.stdout)
        assert found, done.stdout
        return float(found[1]) / 100

    without = sigma("--scale-sigma", "z=0")
    assert sigma() == pytest.approx(math.hypot(without, SCALE), rel=0.1)
    assert sigma("--scale-sigma", "z=5e-4") == pytest.approx(math.hypot(without, 5e-4), rel=0.1)


def test_model_of_a_file_is_committed_where_its_joints_are_links(call, rail, tmp_path):
    fitted, goniometer, again = (tmp_path / name for name in ("travel.json", "goniometer.json", "again.json"))
    assert call("model", "fit", rail.prefix, *FIT, "-o", fitted).returncode == 0
    assert call("model", "export", fitted, "--pyfai", goniometer).returncode == 0
    done = call("model", "import", goniometer, "-o", again)
    assert (done.returncode, done.stderr) == (0, "")
    committed = call("model", "put", rail.prefix, again, "--label", "imported", "--wait")
    assert (committed.returncode, committed.stderr) == (0, "")
    snapshot = Snapshot.from_json(get(f"{rail.prefix}Snapshot_RBV"))
    assert (snapshot.label, snapshot.provenance["comment"]) == ("imported", "again.json")
    assert snapshot.position["binning"]["value"] == float(get(rail.motors.pv("BinX")))
    assert snapshot.geometry == load_model(again).geometry_at({"z": snapshot.position["z"]["value"]})
    other = tmp_path / "other.json"
    other.write_text(again.read_text().replace('"z', '"tth'))
    refused = call("model", "put", rail.prefix, other)
    assert refused.returncode == 1
    assert "tth is no link in service of this detector: expected joints among z" in refused.stderr


def test_edit_of_a_computed_geometry_is_shown_as_edited(call, rail):
    assert put(f"{rail.prefix}Rot1", 0.004) is None
    shown = json.loads(call("model", "show", rail.prefix, "--json").stdout)
    assert (shown["active"], shown["geometry"]) == (False, "edited")
    assert ", edited, VALID" in call("model", "show", rail.prefix, COLUMNS="200").stdout


def test_calibration_that_is_active_and_members_that_were_corrected_are_shown(call, rail):
    again = rail.calibrate("again", HERE, 1)
    shown = json.loads(call("model", "show", rail.prefix, "--json").stdout)
    assert {"active": False, "geometry": "calibrated", "active_revision": again}.items() <= shown.items()
    assert call("retract", rail.prefix, "2", "--reason", "the beam stop moved").returncode == 0
    text = call("model", "show", rail.prefix, COLUMNS="200").stdout
    assert "stale: revision 2 was retracted: the beam stop moved" in text
    assert "revision 2 (mid), corrected since" in text
    assert f"active: revision {again} (serial" in text
    assert ", calibrated, VALID" in text


def test_file_is_shown_without_an_ioc(call, calibrated, tmp_path):
    prefix, _ = calibrated
    file = tmp_path / "travel.json"
    assert call("model", "fit", prefix, *FIT, "-o", file).returncode == 0
    text = call("model", "show", file, COLUMNS="200").stdout
    assert f"model of {file}" in text
    assert "revision 2 (mid)" in text
    assert "holds for z 120 to 1080 mm (calibrated 200 to 1000)" in text
    assert "active" not in text


def test_detector_without_a_model_is_named(call, calibrated):
    done = call("model", "show", calibrated[0])
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{calibrated[0]} has no model: fit one" in done.stderr


def test_rail_on_an_arm_has_its_geometry_wherever_both_are(call, rail):
    prefix = rail.ioc.prefixes[1]
    travel = travels.Travel((travels.ARM, travels.RAIL), 3)
    for number, (tth, z) in enumerate([(0, 400), (20, 600), (40, 400), (40, 600), (0, 600)]):
        errors = travel.calibration({"tth": tth, "z": z})
        provenance = {"method": "fit", "covariance": errors.record()}
        text = commit_text(
            f"arm {number}",
            geometry=errors.geometry.as_dict(),
            position={"tth": tth, "z": z},
            provenance=provenance,
        )
        assert request(prefix, text)["outcome"] == "accepted"
    assert put(rail.motors.pv("Y:RBV"), 13.7) is None
    words = ("--arm", "tth", "--axis", "2", "--along", "z", "--revisions", "all", "--put", "--wait")
    done = call("model", "fit", prefix, *words, COLUMNS="200")
    assert (done.returncode, done.stderr) == (0, "")
    snapshot = Snapshot.from_json(get(f"{prefix}Snapshot_RBV"))
    assert (snapshot.status, snapshot.position["tth"]) == ("VALID", {"value": 13.7, "units": "deg"})
    true = travel.truth({"tth": 13.7, "z": HERE})
    assert snapshot.geometry.rot2 == pytest.approx(true[4], abs=3e-4)
    assert snapshot.geometry.dist == pytest.approx(true[0], abs=1e-4)
