"""Options of `ponikeeper model`."""

import pytest

from ponikeeper.errors import ConfigError
from ponikeeper_client.model.history_fit import Knowledge
from ponikeeper_client.model.motion import Motion
from ponikeeper_client.model.options import command_line, parse_numbers, parse_ranges


def test_numbers_are_parsed_by_link():
    assert parse_numbers("position", ["z=523", "tth=-1.5e1"]) == {"z": (523.0,), "tth": (-15.0,)}
    assert parse_numbers("--range", ["tth=0,40"], 2) == {"tth": (0.0, 40.0)}


@pytest.mark.parametrize("word", ["z", "z=", "=3", "z=a", "z=1,2", "z=nan", "z=inf"])
def test_words_that_are_no_numbers_are_refused(word):
    with pytest.raises(ConfigError, match=r"expected link=number, such as z=523"):
        parse_numbers("position", [word])


@pytest.mark.parametrize(
    ("option", "example"), [("--sigma", "z=0.005"), ("--scale-sigma", "z=1e-4"), ("--range", "tth=0,40")]
)
def test_each_option_has_its_own_example(option, example):
    with pytest.raises(ConfigError, match=f"^{option} 0.005: expected link=.*, such as {example}$"):
        parse_numbers(option, ["0.005"], 2 if option == "--range" else 1)


def test_ranges_are_parsed_and_those_of_no_model_are_refused():
    assert parse_ranges(["tth=0,40", "z=-5,-1"]) == {"tth": (0.0, 40.0), "z": (-5.0, -1.0)}
    with pytest.raises(ConfigError) as error:
        parse_ranges(["z=1400,1000", "tth=3,3"])
    assert error.value.problems == (
        "--range z=1400.0,1000.0 has its larger end first: type --range z=1000.0,1400.0",
        "--range tth=3.0,3.0 has no length: expected tth=low,high, low below high",
    )


def test_link_that_is_given_twice_is_refused():
    with pytest.raises(ConfigError, match="z is given twice"):
        parse_numbers("position", ["z=1", "z=2"])


def test_command_says_again_how_a_model_is_fitted():
    motion = Motion(("z", "x"), (("tth", -2),), "energy", ("z", "x", "tth", "energy"))
    known = Knowledge(True, {"z": 0.005}, {"z": 1e-4}, {"tth": (0.0, 40.0)})
    assert command_line("X{Det:1}Calib:", ["near", "7"], motion, known, "travel") == (
        "ponikeeper model fit 'X{Det:1}Calib:' --along z --along x --arm tth --axis -2 --energy energy --order "
        "z,x,tth,energy --nominal --sigma z=0.005 --scale-sigma z=0.0001 --range tth=0.0,40.0 --revisions near,7 --put "
        "--label travel"
    )
    assert command_line("P:", ["1"], Motion(("z",), (), None), Knowledge(), None) == (
        "ponikeeper model fit P: --along z --revisions 1 --put"
    )
