"""Text in ASCII, values as they would be typed."""

import pytest

from ponikeeper.text.ascii import json_literal, to_ascii


def test_other_characters_are_escaped():
    assert to_ascii("2 \N{MICRO SIGN}m \N{SNOWMAN} \ud800") == "2 \\xb5m \\u2603 \\ud800"
    assert to_ascii("plain") == "plain"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (float("nan"), "nan"),
        ("\N{MICRO SIGN}", '"\\u00b5"'),
        (None, "null"),
        (True, "true"),
        ([1], "[1]"),
    ],
)
def test_values_are_formatted_as_they_would_be_typed(value, text):
    assert json_literal(value) == text


def test_value_that_json_cannot_express_is_formatted_as_in_python():
    assert json_literal({1, 2}) == "{1, 2}"
    assert json_literal([float("nan")]) == "[nan]"


def test_long_values_are_cut():
    assert json_literal("x" * 100) == '"' + "x" * 76 + "..."
