"""One line of the put log: the keys of caPutJsonLog, and those of the result of a request."""

import array
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponikeeper.protocol import Result
from ponikeeper.putlog.entry import Put

DONE = Result("r-1", "commit", "accepted", revision=7, serial=9, errors=(), time="2026-09-21T14:13:20Z")


PUT = Put(1_790_000_000.25, "alice", "ws3", "10.28.1.7", "P:Dist", 0.3, 0.25, "accepted")


def line_of(**changes):
    """Write a put, and read its line as any reader of JSON does."""
    values = {name: getattr(PUT, name) for name in Put.__slots__} | changes
    return json.loads(Put(**values).line(), parse_constant=pytest.fail)


def test_line_has_the_keys_of_caputjsonlog_and_the_address_of_the_peer():
    line = line_of()
    assert {"date", "time", "host", "user", "pv", "new", "old"} <= line.keys()
    assert (line["user"], line["host"], line["address"]) == ("alice", "ws3", "10.28.1.7")
    assert (line["pv"], line["new"], line["old"], line["outcome"]) == ("P:Dist", 0.3, 0.25, "accepted")
    assert line["utc"] == "2026-09-21T14:13:20.250000Z"


def test_fields_of_a_structure_are_an_object():
    assert line_of(new={"dist": 0.3, "sigma.dist": float("nan")})["new"] == {"dist": 0.3, "sigma.dist": "NaN"}


def test_line_of_a_transaction_has_its_revision_and_one_that_was_refused_its_reason():
    line = line_of(result=DONE)
    assert {name: line[name] for name in ("request", "op", "revision", "serial")} == {
        "request": "r-1", "op": "commit", "revision": 7, "serial": 9,
    }  # fmt: skip
    assert line_of(outcome="refused", reason="dist: 40 m is beyond 10 m")["reason"] == "dist: 40 m is beyond 10 m"


@pytest.mark.parametrize(
    ("put", "written"),
    [
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (0.1 + 0.2, 0.1 + 0.2),
        ([1], 1),
        ((1.5, float("nan")), [1.5, "NaN"]),
        (array.array("d", [1.0, 2.0]), [1.0, 2.0]),
        ([b"near"], "near"),
        ("Ångström".encode(), "Ångström"),
        (b"\xff\x00", "\xff\x00"),
        ([], []),
    ],
)
def test_value_is_written_as_json_has_it(put, written):
    assert line_of(new=put)["new"] == written


@given(new=st.text() | st.binary().filter(lambda data: data.isascii()), user=st.text(), reason=st.text(min_size=1))
def test_nothing_of_a_text_is_shortened_and_a_line_is_one_line(new, user, reason):
    put = Put(PUT.time, user, "ws3", "10.0.0.1", "P:Request", new, "", "refused", reason)
    assert put.line().isascii()
    assert not {"\n", "\r"} & set(put.line())
    line = json.loads(put.line())
    expected = new if isinstance(new, str) else new.decode()
    assert (line["new"], line["user"], line["reason"]) == (expected, user, reason)
