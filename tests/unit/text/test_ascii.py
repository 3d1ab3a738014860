"""Text in ASCII, values as they would be typed."""

import pytest

from ponikeeper.text.ascii import html_text, json_literal, printable, to_ascii


def test_other_characters_are_escaped():
    assert to_ascii("2 \N{MICRO SIGN}m \N{SNOWMAN} \ud800") == "2 \\xb5m \\u2603 \\ud800"
    assert to_ascii("plain") == "plain"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2 \N{MICRO SIGN}m, na\xefve \N{SNOWMAN}", "2 \N{MICRO SIGN}m, na\xefve \N{SNOWMAN}"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("wrong\rright", "wrong\\rright"),
        ("one\r\ntwo\n\tthree", "one\ntwo\n\tthree"),
        ("\x9b31m \x7f \x00", "\\x9b31m \\x7f \\x00"),
        ("\u202egpj.\u2066 \u200b \ud800", "\\u202egpj.\\u2066 \\u200b \\ud800"),
    ],
)
def test_what_a_terminal_would_obey_or_hide_is_escaped(text, shown):
    assert printable(text) == shown
    assert to_ascii(text) == shown.encode("ascii", "backslashreplace").decode()
    assert printable(shown) == shown


def test_html_shows_a_text_as_it_is():
    assert html_text("<b>\x1b&\u202e") == "&lt;b&gt;\\x1b&amp;\\u202e"


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
