"""What a put to a number may be, and what to type instead."""

import pytest

from ponikeeper.ca.channels import make_channel
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
