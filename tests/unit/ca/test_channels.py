"""What a put to a number may be, and what to type instead."""

import struct

import pytest

from ponikeeper.ca.channels import Clock, make_channel
from ponikeeper.ca.server import dbr
from ponikeeper.protocol.pvs import PV, Kind


def parsed(text):
    return make_channel(PV("Dist", Kind.DOUBLE, "", "m"))._parsed([text.encode()], dbr.STRING)


@pytest.mark.parametrize("text", ["0.25", " 2.5e-1 ", "+0.25", ".25"])
def test_number_is_read(text):
    assert parsed(text) == 0.25


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("250mm", "(type it without a unit: 250): expected a number of m"),
        ("0.25 m", "(type it without a unit: 0.25): expected a number of m"),
        ("0,25", "(did you mean 0.25?): expected a number of m"),
        ("far", "'far' is not a number: expected a number of m"),
        ("1.2.3", "'1.2.3' is not a number: expected a number of m"),
        ("", "'' is not a number: expected a number of m"),
    ],
)
def test_text_that_is_no_number_says_what_to_type(text, meant):
    with pytest.raises(ValueError, match="is not a number") as raised:
        parsed(text)
    assert meant in str(raised.value)


def test_clock_answers_each_get_with_the_present_time_and_subscribers_with_what_was_posted():
    clock = Clock(PV("Alive_RBV", Kind.DOUBLE, "", "s"))
    now = [1e9]
    clock.clock = lambda: now[0]
    clock.beat()
    values = []
    for now[0] in (1e9 + 0.25, 1e9 + 0.5):
        values.append(struct.unpack(">d", clock.encode(dbr.DOUBLE, 1).payload[:8])[0])
    assert values == [1e9 + 0.25, 1e9 + 0.5]
