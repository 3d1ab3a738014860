"""A schema of a JSON object: every problem at once, each with what is expected."""

import pytest

from ponikeeper.text.schema import Field, is_integer, object_problems

INNER = {"x": Field("a number", lambda value: type(value) is float)}


def inner_problems(value):
    return object_problems(value, INNER, "inner.")


FIELDS = {
    "count": Field("a whole number, 1 or more", is_integer(1), required=True),
    "label": Field("a text", lambda value: isinstance(value, str)).or_null(),
    "inner": Field("an object", lambda value: isinstance(value, dict), details=inner_problems),
}


@pytest.mark.parametrize("values", [{"count": 1}, {"count": 2**53 - 1, "label": None, "inner": {"x": 0.5}}])
def test_object_that_fits_has_no_problems(values):
    assert object_problems(values, FIELDS) == []


def test_every_problem_is_reported_at_once():
    assert object_problems({"cuont": 1, "label": 7, "inner": {"x": "1", "y": 2}}, FIELDS) == [
        'unknown key "cuont" (did you mean count?): expected count label inner',
        '"count" is missing: expected a whole number, 1 or more',
        '"label": 7 is not allowed: expected a text, or null',
        'unknown key "inner.y": expected x',
        '"inner.x": "1" is not allowed: expected a number',
    ]


@pytest.mark.parametrize("value", [0, 1.0, True, "1", None, 2**53])
def test_value_that_is_not_a_whole_number_in_range_is_refused(value):
    assert object_problems({"count": value}, FIELDS)[0].endswith("is not allowed: expected a whole number, 1 or more")


def test_details_are_not_asked_of_a_value_that_is_not_allowed():
    assert object_problems({"count": 1, "inner": [1]}, FIELDS) == ['"inner": [1] is not allowed: expected an object']
