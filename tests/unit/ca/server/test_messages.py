"""Messages and error reports."""

import struct

import caproto as ca
import pytest

from ponikeeper.ca.server import messages as m


def test_short_message():
    assert m.message(m.ECHO, 1, 2, 3, 4, b"12345678") == struct.pack(">HHHHII", 23, 8, 1, 2, 3, 4) + b"12345678"


@pytest.mark.parametrize(("size", "count"), [(0xFFFF + 1, 1), (8, 0xFFFF)])
def test_header_is_extended_where_a_number_does_not_fit(size, count):
    made = m.message(m.READ_NOTIFY, 4, count, 1, 7, bytes(size))
    assert made[:24] == struct.pack(">HHHHIIII", 15, 0xFFFF, 4, 0, 1, 7, size, count)
    assert len(made) == 24 + size


def test_error_report_repeats_the_request():
    made = m.error(m.Header(m.WRITE, 8, 6, 1, 5, 9), 77, m.PUTFAIL, "no \u20ac")
    assert made[:16] == struct.pack(">HHHHII", 11, 24, 0, 0, 77, 160)
    assert made[16:32] == struct.pack(">HHHHII", 4, 8, 6, 1, 5, 9)
    assert made[32:] == b"no ?\0\0\0\0"


def test_status_codes_are_those_of_caproto():
    names = "NORMAL", "TOLARGE", "BADTYPE", "INTERNAL", "GETFAIL", "PUTFAIL", "BADMONID", "NORDACCESS", "NOWTACCESS"
    for name in (*names, "ALLOCMEM", "BADMASK"):
        assert getattr(m, name) == ca.CAStatus[f"ECA_{name}"].value.code_with_severity, name
