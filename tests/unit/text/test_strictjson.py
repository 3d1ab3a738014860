"""The strict JSON reader refuses texts that the standard library accepts; the writer preserves what was read."""

import json
import math
import re
from types import MappingProxyType

import pytest
from hypothesis import example, given, settings

from ponikeeper.text import strictjson
from strategies import finite, json_values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NaN", "NaN is not valid JSON: expected a finite number"),
        ('{"a": [Infinity]}', "Infinity is not valid JSON: expected a finite number"),
        ("-Infinity", "-Infinity is not valid JSON: expected a finite number"),
        ("1e999", "1e999 is too large for a double: expected a finite number"),
        ('{"a": -1e999}', "-1e999 is too large for a double: expected a finite number"),
        ("1" * 400 + ".0", "1" * 40 + " is too large for a double: expected a finite number"),
        ('{"a": 1, "a": 1}', 'the key "a" is used twice in one object'),
        ('[{"b": {"a": 1, "c": 2, "a": 3}}]', 'the key "a" is used twice in one object'),
        ('{"å": 1, "å": 2}', 'the key "\\u00e5" is used twice in one object'),
        ('{"a": 1, "\\u0061": 2}', 'the key "a" is used twice in one object'),
    ],
)
def test_number_that_is_not_finite_and_doubled_key_are_refused(text, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        strictjson.loads(text)


@pytest.mark.parametrize("text", ["", " ", "{", "{'a': 1}", "[1,]", "nul", "1 2", "\ufeff{}", '"\n"', "1" * 5000, "01"])
def test_text_that_is_no_json_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        strictjson.loads(text)


@pytest.mark.parametrize("text", ['{"' + "å" * 5000 + '": 1, "' + "å" * 5000 + '": 1}', "9" * 20_000 + ".5"])
def test_refusal_is_short_and_ascii_for_any_input(text):
    with pytest.raises(ValueError, match=r".+") as refusal:
        strictjson.loads(text)
    assert str(refusal.value).isascii()
    assert len(str(refusal.value)) < 120


def nested(depth, opening="[", closing="]", core="1"):
    return opening * depth + core + closing * depth


@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a": ', "}"), ('[{"a": ', "}]")])
def test_depth_is_bounded_long_before_a_stack_is(brackets):
    each = sum(bracket in "[{" for bracket in brackets[0])
    most = strictjson.MAX_DEPTH // each
    assert json.dumps(strictjson.loads(nested(most, *brackets))) == nested(most, *brackets)
    for depth in (most + 1, 500, 100_000):  # the last is more than the parser of the standard library can take
        with pytest.raises(ValueError, match="nested too deeply: expected at most 32"):
            strictjson.loads(nested(depth, *brackets))


@given(json_values)
def test_value_survives_writing_and_reading(value):
    for write in (strictjson.dumps, strictjson.canonical):
        text = write(value)
        assert text.isascii()
        assert "\n" not in text
        assert strictjson.loads(text) == value
        assert strictjson.canonical(strictjson.loads(text)) == strictjson.canonical(value)


@settings(max_examples=300)
@example(-0.0)
@example(5e-324)
@example(1.6630000000000002e-11)
@given(finite)
def test_float_survives_bit_exact(number):
    read = strictjson.loads(strictjson.dumps([number]))
    assert [item.hex() for item in read] == [number.hex()]


@pytest.mark.parametrize("write", [strictjson.dumps, strictjson.canonical])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_number_that_is_not_finite_is_never_written(write, number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write({"a": [number]})


def test_canonical_text_does_not_depend_on_the_order_of_keys():
    one, other = {"b": 1, "a": {"d": 1, "c": 2}}, {"a": {"c": 2, "d": 1}, "b": 1}
    assert strictjson.canonical(one) == strictjson.canonical(other) == '{"a":{"c":2,"d":1},"b":1}'
    assert strictjson.dumps(one) == '{"b": 1, "a": {"d": 1, "c": 2}}'


@given(json_values)
def test_plain_equals_the_result_of_writing_and_reading(value):
    assert strictjson.plain(value) == strictjson.loads(strictjson.dumps(value))


def test_plain_copies_tuples_and_mappings_into_lists_and_dicts():
    inner = MappingProxyType({"x": (1, [2, ()])})
    copied = strictjson.plain(MappingProxyType({"a": (inner, inner)}))
    assert copied == {"a": [{"x": [1, [2, []]]}, {"x": [1, [2, []]]}]}
    assert type(copied) is dict
    assert copied["a"][0] is not copied["a"][1]


@pytest.mark.parametrize("key", [1, None, True, 1.5, ("a",), "å".encode()])
def test_plain_refuses_a_key_that_is_no_text_lest_two_become_one(key):
    with pytest.raises(TypeError, match="is not a text") as refusal:
        strictjson.plain({"a": [{key: 1, str(key): 2}]})
    assert str(refusal.value).isascii()


def test_plain_refuses_a_value_that_contains_itself():
    value = {}
    value["again"] = [value]
    with pytest.raises(ValueError, match="nested too deeply"):
        strictjson.plain(value)
