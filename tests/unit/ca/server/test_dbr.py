"""Values as DBR types: layouts and conversions. What EPICS base itself sends is compared in tests/ca/test_base.py."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponikeeper.ca.server import dbr
from ponikeeper.ca.server.dbr import CHAR, DOUBLE, ENUM, FLOAT, LONG, SHORT, STRING, GetFailedError, Metadata, Reading

PLAIN = Metadata()
CODES = {SHORT: "h", FLOAT: "f", ENUM: "H", CHAR: "b", LONG: "i", DOUBLE: "d"}

latin = st.text(st.characters(max_codepoint=255, exclude_characters="\0"), max_size=60)
values = st.one_of(
    st.tuples(st.just(DOUBLE), st.floats()),
    st.tuples(st.just(LONG), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just(ENUM), st.integers(0, 3)),
    st.tuples(st.just(STRING), latin),
    st.tuples(st.just(CHAR), st.binary(max_size=300)),
)


def converted(reading, plain, metadata=PLAIN):
    """Return the elements of a reading as a plain type."""
    count, payload = dbr.encode(reading, metadata, plain, 0)
    if plain == STRING:
        return [payload[40 * index : 40 * index + 40].partition(b"\0")[0].decode() for index in range(count)]
    return list(struct.unpack_from(f">{count}{CODES[plain]}", payload))


@given(values, st.sampled_from([*range(35), 37, 38]), st.integers(0, 400))
def test_payload_has_the_size_of_its_type_and_count(value, data_type, count):
    reading = Reading(*value, 3, 2, 100, 200)
    metadata = Metadata("mm", 3, (0.0, 10.0), (1.0, 9.0), ("a", "b", "c", "d"), "ao")
    try:
        number, payload = dbr.encode(reading, metadata, data_type, count)
    except GetFailedError:
        assert reading.native == STRING
        number, payload = dbr.encode_failure(data_type, count)
        assert not payload.strip(b"\0")
    size = dbr.payload_size(data_type, number)
    assert len(payload) == size + -size % 8
    assert number == count or not count


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (70000.7, [4464, 4464, 112, 70000]),
        (-1.5, [-1, 65535, -1, -1]),
        (300.9, [300, 300, 44, 300]),
        (1e10, [0, 0, 0, -(2**31)]),
        (math.nan, [0, 0, 0, -(2**31)]),
        (-math.inf, [0, 0, 0, -(2**31)]),
    ],
)
def test_number_is_truncated_as_in_c(value, expected):
    assert [converted(Reading(DOUBLE, value), plain)[0] for plain in (SHORT, ENUM, CHAR, LONG)] == expected


def test_double_beyond_a_float_is_its_limit():
    assert converted(Reading(DOUBLE, 1e300), FLOAT)[0] == pytest.approx(3.4028235e38)
    assert converted(Reading(DOUBLE, -1e-50), FLOAT)[0] == pytest.approx(-1.1754944e-38)
    assert math.isnan(converted(Reading(DOUBLE, math.nan), FLOAT)[0])


@pytest.mark.parametrize(
    ("value", "precision", "text"),
    [
        (0.25, 6, "0.250000"),
        (math.nan, 6, "nan"),
        (1.66e-11, 14, " 1.66000000000000e-11"),
        (12345678.9, 6, "12345678.900"),
        (2e16, 2, " 2.00e+16"),
        (-3.0, 0, "-3"),
    ],
)
def test_number_as_text_has_its_precision(value, precision, text):
    assert converted(Reading(DOUBLE, value), STRING, Metadata(precision=precision)) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7.5", [7, 7.5, None, 7, 7, 7.5]),
        ("near", [None] * 6),
        ("12abc", [12, 12.0, None, 12, 12, 12.0]),
        ("", [0, 0.0, None, 0, 0, 0.0]),
        (" 5 ", [5, 5.0, None, 5, 5, 5.0]),
        ("1e3", [1, 1000.0, None, 1, 1, 1000.0]),
        ("0x10", [16, 16.0, None, 16, 16, 16.0]),
        ("70000", [None, 70000.0, None, None, 70000, 70000.0]),
        ("300", [300, 300.0, None, None, 300, 300.0]),
        ("3000000000", [None, 3e9, None, None, None, 3e9]),
        ("inf", [None, math.inf, None, None, None, math.inf]),
    ],
)
def test_text_as_number_is_read_as_epics_base_reads_it(text, expected):
    values = []
    for plain in (SHORT, FLOAT, ENUM, CHAR, LONG, DOUBLE):
        try:
            values += converted(Reading(STRING, text), plain)
        except GetFailedError:
            values.append(None)
    assert values == expected


def test_characters_as_strings_are_their_numbers():
    assert converted(Reading(CHAR, b"hi\xff"), STRING) == ["104", "105", "-1"]


def test_state_as_text_is_its_name():
    states = Metadata(states=("Idle", "Do"))
    assert [converted(Reading(ENUM, index), STRING, states) for index in (0, 1, 7)] == [
        ["Idle"],
        ["Do"],
        ["Illegal Value"],
    ]


def test_string_has_a_nul_and_is_cut():
    _, payload = dbr.encode(Reading(STRING, "x" * 100), PLAIN, STRING, 1)
    assert payload == b"x" * 39 + b"\0"


def test_control_string_has_status_severity_and_text():
    count, payload = dbr.encode(Reading(STRING, "near", 3, 2), PLAIN, 28, 0)
    assert (count, payload[:9]) == (1, b"\0\3\0\2near\0")


def test_time_has_status_severity_and_stamp():
    _, payload = dbr.encode(Reading(DOUBLE, 0.5, 3, 2, 100, 200), PLAIN, 20, 1)
    assert struct.unpack(">HHIIid", payload) == (3, 2, 100, 200, 0, 0.5)


def test_acknowledgement_cannot_be_read():
    for data_type in (dbr.PUT_ACKT, dbr.PUT_ACKS):
        with pytest.raises(GetFailedError):
            dbr.encode(Reading(DOUBLE, 0.5), PLAIN, data_type, 1)


def test_only_the_elements_that_are_requested_are_converted(monkeypatch):
    converted = []
    string = dbr._string
    monkeypatch.setattr(dbr, "_string", lambda text: converted.append(text) or string(text))
    reading = dbr.Reading(dbr.CHAR, b"x" * 16000, 0, 0, 0, 0)
    count, payload = dbr.encode(reading, dbr.Metadata(), dbr.STRING, 2)
    assert (count, payload[:3], converted) == (2, b"120", ["120", "120"])
