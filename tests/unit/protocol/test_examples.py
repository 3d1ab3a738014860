"""The examples of messages in the documentation are read."""

import pytest

from ponikeeper.protocol import (
    EXAMPLES,
    Snapshot,
    links_json,
    parse_links,
    parse_request,
    parse_results,
    request_text,
    results_json,
)


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
