"""The latest results as one JSON text that fits its PV."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponikeeper.errors import MessageError
from ponikeeper.protocol import (
    MAX_BYTES,
    MAX_RESULTS,
    Result,
    parse_results,
    results_json,
    shortened,
)

RESULT = Result("5f0c", "commit", "accepted", 13, 31, (), "2026-11-22T09:30:01.250000Z")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"results": 7}', '{"results": [{"request": "a"}]}'])
def test_text_that_is_not_a_list_of_results_is_refused(text):
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
