"""The name of a log level; signals that change it: tests/ca/test_service.py."""

import pytest

from ponikeeper.errors import ConfigError
from ponikeeper.system.log_level import parse_level


@pytest.mark.parametrize(("text", "level"), [("DEBUG", 10), ("info", 20), ("Warning", 30), ("ERROR", 40)])
def test_level_is_a_name_in_any_case(text, level):
    assert parse_level(text) == level


@pytest.mark.parametrize("text", ["", "10", "LOUD", "basicConfig"])
def test_other_text_is_refused(text):
    with pytest.raises(ConfigError, match="is unknown: expected DEBUG, INFO, WARNING or ERROR"):
        parse_level(text)
