"""The examples of messages in the documentation are read."""

import hashlib
import json

import pytest

from ponikeeper.history import history_file
from ponikeeper.protocol import (
    Snapshot,
    links_json,
    parse_links,
    parse_request,
    parse_results,
    parse_settle,
    request_text,
    results_json,
)
from ponikeeper.protocol.examples import EXAMPLES, HISTORY_EXAMPLE


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_read(name):
    text = EXAMPLES[name]
    assert text.isascii()
    if name == "results":
        assert results_json(parse_results(text)) == text
    elif name == "links":
        assert links_json(parse_links(text), parse_settle(text)) == text
    elif name == "snapshot":
        assert Snapshot.from_json(text).as_json() == text
    else:
        assert request_text(parse_request(text)) == text


def test_example_of_a_history_file_is_read():
    data = HISTORY_EXAMPLE.encode("ascii")
    assert history_file.write(history_file.read(data)) == data


def test_checksums_are_what_the_page_says():
    head, *lines, last = (json.loads(line) for line in HISTORY_EXAMPLE.splitlines())
    for line in lines:
        ((kind, record),) = line.items()
        texts = [head["prefix"], kind]
        for key, value in record.items():
            if key in ("geometry", "position", "provenance"):
                texts.append(json.dumps(value, sort_keys=True, separators=(",", ":")))
            elif key != "checksum":
                texts.append("\0" if value is None else str(value))
        assert record["checksum"] == "sha256:" + hashlib.sha256("\x1f".join(texts).encode()).hexdigest()
    body = HISTORY_EXAMPLE[: HISTORY_EXAMPLE.rindex('{"counts"')]
    assert last["sha256"] == hashlib.sha256(body.encode()).hexdigest()
