"""Channel names with fields, ``$`` and filters."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponikeeper.ca.server.names import PLAIN, ChannelName, ChannelNameError, Elements, Modifiers, parse_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("P:D", ChannelName("P:D")),
        ("P:D.", ChannelName("P:D")),
        ("P:D.VAL", ChannelName("P:D")),
        ("P:D.EGU", ChannelName("P:D", "EGU")),
        ("P:S.$", ChannelName("P:S", "", Modifiers(long_string=True))),
        ("P:S.DESC$", ChannelName("P:S", "DESC", Modifiers(long_string=True))),
        ("P:T.[0:3]", ChannelName("P:T", "", Modifiers(elements=Elements(0, 1, 3)))),
        ("P:T.[2]", ChannelName("P:T", "", Modifiers(elements=Elements(2, 1, 2)))),
        ("P:T.[0:0:5]", ChannelName("P:T", "", Modifiers(elements=Elements(0, 1, 5)))),
        ("P:T.VAL[::2]", ChannelName("P:T", "", Modifiers(elements=Elements(0, 1, 2)))),
        ('P:T.{"arr":{"s":1,"e":-2}}', ChannelName("P:T", "", Modifiers(elements=Elements(1, 1, -2)))),
        ('P:D.{"dbnd":{"abs":1.5}}', ChannelName("P:D", "", Modifiers(deadband=1.5))),
        ('P:D.{"dbnd":{"m":"rel","d":5}}', ChannelName("P:D", "", Modifiers(deadband=5.0, relative=True))),
        ('P:D.{"dec":{"n":3}}', ChannelName("P:D", "", Modifiers(decimate=3))),
        ('P:D.{"ts":{}}', ChannelName("P:D", "", Modifiers(now=True))),
    ],
)
def test_name_is_split(name, expected):
    assert parse_name(name) == expected


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("P:D.{", "is not a channel filter"),
        ("P:D.[]", "is not a channel filter"),
        ("P:D.[1:2:3:4]", "is not a channel filter"),
        ('P:D.{"sync":{"m":"while","s":"red"}}', "there is no filter 'sync': expected arr, dbnd, dec, ts"),
        ('P:D.{"arr":5}', "the filter arr needs an object"),
        ('P:D.{"arr":{"x":5}}', "the filter arr has no option 'x'"),
        ('P:D.{"arr":{"s":1.5}}', "'1.5' is not a whole number"),
        ('P:D.{"dbnd":{}}', "the filter dbnd needs abs, rel, or m and d"),
        ('P:D.{"dbnd":{"abs":-1}}', "the deadband is not a number from 0 on"),
        ('P:D.{"dbnd":{"abs":NaN}}', "the deadband is not a number from 0 on"),
        ('P:D.{"dbnd":{"abs":1' + "0" * 400 + "}}", "the deadband is not a number from 0 on"),
        ("P:D\n", "the name has control characters"),
        ('P:D.{\n"ts":{}\n}', "the name has control characters"),
        ('P:D.{"dec":{"n":0}}', "the filter dec needs n from 1 on"),
        ("P:D.[[[[", "is not a channel filter"),
        ("P:D." + '{"a":' * 200, "expected at most 500"),
    ],
)
def test_impossible_modifier_is_refused(name, reason):
    with pytest.raises(ChannelNameError, match=reason.replace("(", r"\(")):
        parse_name(name)


@given(st.text(max_size=80))
def test_any_name_is_split_or_refused(name):
    try:
        assert parse_name(name).record == name.partition(".")[0]
    except ChannelNameError:
        assert "." in name or not name.isprintable()


@given(st.integers(-9, 9), st.integers(1, 4), st.integers(-9, 9), st.integers(0, 8))
def test_elements_are_those_of_a_slice(start, step, end, length):
    data = list(range(length))
    found = [data[index] for index in Elements(start, step, end).of(length)]
    assert all(0 <= index < length for index in Elements(start, step, end).of(length))
    if start >= 0 and end >= 0:
        assert found == data[start : end + 1 : step]


def test_plain_name_has_no_modifiers():
    assert parse_name("P:D").modifiers is PLAIN
