"""Options of `ponikeeper model`."""

import pytest

from ponikeeper.errors import ConfigError
from ponikeeper_client.model.options import parse_numbers


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
