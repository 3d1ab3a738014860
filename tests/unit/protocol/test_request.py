"""Requests are read as they were written; problems are reported with the request id."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bad_requests import BAD_REQUESTS, WITHOUT_ID
from ponikeeper.errors import MessageError
from ponikeeper.protocol import (
    Activate,
    Commit,
    Follow,
    RecordPosition,
    Retract,
    Supersede,
    label_problem,
    parse_request,
    request_text,
)
from ponikeeper.protocol.examples import EXAMPLES
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
    st.builds(RecordPosition, **who),
    st.builds(Follow, on=st.booleans(), **who),
    st.builds(
        Supersede, revision=revisions, by=revisions, reason=lines, since=st.none() | instants,
        until=st.none() | instants, **who,
    ),
    st.builds(Retract, revision=revisions, reason=lines, **who),
)  # fmt: skip


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
def test_any_text_is_a_request_or_is_refused(text):
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


@given(labels)
def test_label_within_the_rule_is_allowed(label):
    assert label_problem(label) is None


@pytest.mark.parametrize("label", ["", "7", "-near", "near far", "n\u00e4h", "near\n", "x" * 39, None, 7, True])
def test_label_outside_the_rule_is_reported(label):
    assert "expected a letter" in label_problem(label)


@pytest.mark.parametrize(("text", "reason"), BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_bad_request_is_refused_with_its_id_and_the_reason(text, reason):
    with pytest.raises(MessageError) as caught:
        parse_request(text)
    assert reason in str(caught.value)
    assert caught.value.request == "bad"


@pytest.mark.parametrize(("text", "reason"), WITHOUT_ID.values(), ids=WITHOUT_ID)
def test_text_without_a_readable_id_is_refused_without_one(text, reason):
    with pytest.raises(MessageError) as caught:
        parse_request(text)
    assert reason in str(caught.value)
    assert caught.value.request is None
