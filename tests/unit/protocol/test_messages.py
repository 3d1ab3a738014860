"""Requests, results and snapshots: what one side writes, the other reads; what is wrong is told with its id."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponikeeper.errors import MessageError
from ponikeeper.protocol import (
    EXAMPLES,
    MAX_BYTES,
    MAX_RESULTS,
    Activate,
    Commit,
    Follow,
    Here,
    Result,
    Retract,
    Snapshot,
    Supersede,
    label_problem,
    links_json,
    parse_links,
    parse_request,
    parse_results,
    request_text,
    results_json,
    shortened,
)
from ponikeeper.text import strictjson
from strategies import geometries, json_values

labels = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,37}", fullmatch=True)
lines = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1, max_size=25)
ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=25)
numbers = st.floats(allow_nan=False, allow_infinity=False)

commits = st.builds(
    Commit,
    geometry=geometries().map(lambda geometry: geometry.as_dict()),
    provenance=st.fixed_dictionaries({}, optional={"method": st.just("fit"), "residual_px": st.floats(0, 10)}),
    label=st.none() | labels,
    position=st.sampled_from(["now", "unknown"]) | st.dictionaries(st.text("xyz", min_size=1), numbers, max_size=3),
    expect_revision=st.none() | st.integers(0, 2**53 - 1),
    request=ids,
    author=st.none() | lines,
)
instants = st.datetimes().map(lambda instant: instant.isoformat(timespec="microseconds") + "Z")
revisions = st.integers(1, 2**53 - 1)
who = {"request": ids, "author": st.none() | lines}
others = st.one_of(
    st.builds(Activate, revision=revisions | labels, force=st.booleans(), **who),
    st.builds(Here, **who),
    st.builds(Follow, on=st.booleans(), **who),
    st.builds(
        Supersede, revision=revisions, by=revisions, reason=lines, since=st.none() | instants,
        until=st.none() | instants, **who,
    ),
    st.builds(Retract, revision=revisions, reason=lines, **who),
)  # fmt: skip

RESULT = Result("5f0c", "commit", "accepted", 13, 31, (), "2026-11-22T09:30:01.250000Z")


@given(commits | others)
def test_request_is_read_as_it_was_written(request):
    text = request_text(request)
    read = parse_request(text)
    assert request_text(read) == text
    assert replace(read, digest="") == request


@given(commits)
def test_digest_is_of_the_content_and_not_of_its_spelling(commit):
    values = json.loads(request_text(commit))
    turned = json.dumps(dict(reversed(values.items())), indent=1)
    assert parse_request(turned).digest == parse_request(request_text(commit)).digest
    other = json.dumps({**values, "author": (values.get("author") or "") + "x"})
    assert parse_request(other).digest != parse_request(turned).digest


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_whatever_arrives_is_a_request_or_a_refusal(text):
    problems = problems_of(text)
    assert problems is None or all(problem and problem.isprintable() for problem in problems)


def problems_of(text):
    try:
        parse_request(text)
    except MessageError as error:
        return error.problems or [""]
    return None


@given(st.integers(0, 400))
def test_request_that_is_cut_keeps_its_id_wherever_the_cut_is(place):
    text = EXAMPLES["commit"]
    id_end = text.index('"5f0c2c1e"') + len('"5f0c2c1e"')
    cut = text[: min(place, len(text) - 1)]
    with pytest.raises(MessageError) as caught:
        parse_request(cut)
    assert caught.value.request == ("5f0c2c1e" if len(cut) >= id_end else None)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_read(name):
    text = EXAMPLES[name]
    assert text.isascii()
    if name == "results":
        assert results_json(parse_results(text)) == text
    elif name == "links":
        assert links_json(parse_links(text)) == text
    elif name == "snapshot":
        assert Snapshot.from_json(text).as_json() == text
    else:
        assert request_text(parse_request(text)) == text


def test_newer_snapshot_may_say_more():
    values = json.loads(EXAMPLES["snapshot"])
    assert Snapshot.from_json(json.dumps({**values, "colour": "red"})) == Snapshot.from_json(EXAMPLES["snapshot"])


@pytest.mark.parametrize("change", [{"v": 2}, {"geometry": {"dist": 1}}, {"geometry": 7}], ids=str)
def test_what_is_no_snapshot_is_refused(change):
    with pytest.raises(MessageError):
        Snapshot.from_json(json.dumps(json.loads(EXAMPLES["snapshot"]) | change))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"results": 7}', '{"results": [{"request": "a"}]}'])
def test_what_is_no_list_of_results_is_refused(text):
    with pytest.raises(MessageError):
        parse_results(text)


def test_results_are_as_many_as_fit():
    assert len(parse_results(results_json([RESULT] * 50))) == MAX_RESULTS
    long = Result("x" * 100, "commit", "refused", None, None, ("e" * 400,) * 16, RESULT.time)
    text = results_json([long] * 50)
    assert len(text) <= MAX_BYTES
    assert 1 <= len(parse_results(text)) < MAX_RESULTS


@given(st.lists(st.text(max_size=2000), max_size=40))
def test_shortened_errors_always_fit_one_result(errors):
    kept = shortened(errors)
    assert len(kept) <= 16
    assert all(error.isascii() for error in kept)
    result = Result("\u00e9" * 50, "commit", "refused", None, None, kept, RESULT.time)
    assert len(parse_results(results_json([result]))) == 1


@given(labels)
def test_label_within_the_rule_is_allowed(label):
    assert label_problem(label) is None


@pytest.mark.parametrize("label", ["", "7", "-near", "near far", "n\u00e4h", "near\n", "x" * 39, None, 7, True])
def test_label_outside_the_rule_is_told(label):
    assert "expected a letter" in label_problem(label)


def test_snapshot_floats_survive_bit_by_bit():
    values = json.loads(EXAMPLES["snapshot"])
    values["geometry"]["dist"] = math.nextafter(0.3, 1)
    again = strictjson.loads(Snapshot.from_json(json.dumps(values)).as_json())
    assert again["geometry"]["dist"].hex() == values["geometry"]["dist"].hex()


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
def test_instant_has_a_zone_and_is_kept_as_utc(instant, utc):
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
