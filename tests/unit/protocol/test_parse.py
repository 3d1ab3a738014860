"""Times, reasons and comments in requests."""

import json

import pytest

from ponikeeper.errors import MessageError
from ponikeeper.protocol import (
    parse_request,
)


@pytest.mark.parametrize(
    ("instant", "utc"),
    [
        ("2026-11-22T09:30:00Z", "2026-11-22T09:30:00.000000Z"),
        ("2026-11-22T10:30:00.25+01:00", "2026-11-22T09:30:00.250000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ("2026-11-22T09:30:00", None),
        ("2026-11-22", None),
        ("yesterday", None),
        ("9999-12-31T23:59:59-05:00", None),
        (5, None),
    ],
)
def test_time_needs_a_zone_and_is_stored_as_utc(instant, utc):
    values = {"v": 1, "request": "a", "op": "supersede", "revision": 1, "by": 2, "reason": "wrong", "since": instant}
    if utc is not None:
        assert parse_request(json.dumps(values)).since == utc
        return
    with pytest.raises(MessageError, match=r'"since": .* is not allowed: expected a time such as'):
        parse_request(json.dumps(values))


@pytest.mark.parametrize("text", ["a\x00b", "a\nb", "\x1b[31m", "a\u2028b"])
def test_reason_is_one_line(text):
    values = {"v": 1, "request": "a", "op": "retract", "revision": 1, "reason": text}
    with pytest.raises(MessageError, match=r'"reason": .* expected what was wrong, a text in one line of'):
        parse_request(json.dumps(values))


def test_comment_may_have_lines_and_nothing_that_hides_the_rest():
    def commit(comment):
        return json.dumps({"v": 1, "request": "a", "op": "commit", "geometry": {}, "provenance": {"comment": comment}})

    assert parse_request(commit("one\r\n\ttwo")).provenance["comment"] == "one\r\n\ttwo"
    with pytest.raises(MessageError, match="a text without control characters"):
        parse_request(commit("one\x00two"))


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ('{"v": 1, "request": "a"}', ['"op" is missing: expected']),
        ('{"v": 1, "request": "a", "op": "comit"}', ['op "comit" is unknown: expected commit']),
        ('{"v": ' + "9" * 5000 + "}", ["the request is not valid JSON: 99999999999999999999... has 5000 digits"]),
    ],
)
def test_mistake_is_reported_once(text, problems):
    with pytest.raises(MessageError) as raised:
        parse_request(text)
    assert len(raised.value.problems) == len(problems)
    assert all(found.startswith(expected) for found, expected in zip(raised.value.problems, problems, strict=True))


def test_byte_order_mark_is_ignored():
    values = {"v": 1, "request": "a", "op": "retract", "revision": 1, "reason": "wrong"}
    assert parse_request(b"\xef\xbb\xbf" + json.dumps(values).encode()).revision == 1
