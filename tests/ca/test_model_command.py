"""`ponikeeper model` against a live IOC: fit from its history, evaluate, and what is refused."""

import json

import pytest

import travels
from ponikeeper.geometry import Geometry, poni
from ponikeeper.history import history_file
from ponikeeper_client.model.command import load_model
from speak import commit_text, request

DETECTOR = "{Det:1}Calib:"
PNG = b"\x89PNG\r\n\x1a\n"
PLACES = {"near": 200.0, "mid": 600.0, "far": 1000.0}


@pytest.fixture(scope="module")
def call(call_with_fit):
    return call_with_fit


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
    assert "OUT OF RANGE" in call("model", "predict", file, "z=3000").stdout


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


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (("--along", "z", "--revisions", "near"), 1, "1 calibration cannot determine"),
        (("--along", "z", "--revisions", "near,middle"), 1, "the history has labels far, mid, near"),
        (("--along", "x", "--revisions", "all"), 1, "has a position of x"),
        (("--revisions", "all"), 2, "nothing moves"),
        (("--arm", "z", "--revisions", "all"), 2, "--arm is given 1 times and --axis 0 times"),
        (("--arm", "z", "--axis", "2", "--revisions", "all"), 1, "no angle"),
        (("--along", "z", "--sigma", "z", "--revisions", "all"), 2, "--sigma z: expected link=number"),
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
