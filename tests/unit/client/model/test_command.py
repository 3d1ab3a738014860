"""Options and files of `ponikeeper model`, and a fit of a history."""

import pytest

import travels
from ponikeeper.errors import ConfigError, FitError, ModelError, RefusedError
from ponikeeper.history import history_file
from ponikeeper_client.model import command
from ponikeeper_client.model.command import Knowledge, fit_history, load_model, parse_numbers, write_json
from ponikeeper_client.model.motion import Motion

RAIL = travels.Travel((travels.RAIL,))
HISTORY = RAIL.history(travels.along(200, 600, 1000), ("near", "mid", "far"))
MOTION = Motion(("z",), (), None)


def test_history_is_fitted_and_the_model_is_written_and_read(tmp_path):
    fitted, notes = fit_history(HISTORY, "near,mid,far", MOTION, Knowledge(motor_sigma={"z": 0.005}))
    assert (fitted.problems, notes) == ((), [])
    assert [member["revision"] for member in fitted.model.fit["members"]] == [1, 2, 3]
    write_json(tmp_path / "travel.json", fitted.model.as_dict())
    assert load_model(tmp_path / "travel.json") == fitted.model


def test_detector_of_unknown_size_is_refused():
    from dataclasses import replace

    revisions = [
        travels.made(each.number, replace(each.geometry, detector="Detector"), each.position, each.label)
        for each in HISTORY.revisions
    ]
    with pytest.raises(FitError, match="the size of the detector Detector is not known"):
        fit_history(travels.history_of(revisions), "all", MOTION, Knowledge())


def test_option_for_a_link_that_is_no_joint_is_refused():
    with pytest.raises(ConfigError, match=r"--sigma x=\.\.\.: x is no joint, expected one of z"):
        fit_history(HISTORY, "all", MOTION, Knowledge(motor_sigma={"x": 1.0}))


def test_history_of_another_detector_is_refused(tmp_path):
    file = tmp_path / "pe1.jsonl"
    file.write_bytes(history_file.write(HISTORY))
    assert command.read(travels.PREFIX, file) == HISTORY
    with pytest.raises(RefusedError, match="is the history of XF:28ID1-ES"):
        command.read("OTHER:", file)


def test_numbers_are_parsed_by_link():
    assert parse_numbers("position", ["z=523", "tth=-1.5e1"]) == {"z": (523.0,), "tth": (-15.0,)}
    assert parse_numbers("--range", ["tth=0,40"], 2) == {"tth": (0.0, 40.0)}


@pytest.mark.parametrize("word", ["z", "z=", "=3", "z=a", "z=1,2", "z=nan", "z=inf"])
def test_words_that_are_no_numbers_are_refused(word):
    with pytest.raises(ConfigError, match=r"expected link=number, such as z=523"):
        parse_numbers("position", [word])


def test_link_that_is_given_twice_is_refused():
    with pytest.raises(ConfigError, match="z is given twice"):
        parse_numbers("position", ["z=1", "z=2"])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "this is not JSON"),
        ("[]", "this is not a JSON object"),
        ('{"v": 1}', '"what" is missing'),
        ("\xe4", "JSON"),
    ],
)
def test_file_that_is_no_model_is_refused_by_its_name(tmp_path, text, problem):
    file = tmp_path / "travel.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=problem) as error:
        load_model(file)
    assert all(str(file) in each for each in error.value.problems)
    with pytest.raises(ModelError, match="No such file"):
        load_model(tmp_path / "none.json")
