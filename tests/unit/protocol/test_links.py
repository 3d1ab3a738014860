"""The list of links as one JSON text."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponikeeper.config import MAX_LINKS, Link
from ponikeeper.detector.link_rules import Reading, Sample, state_of, updated
from ponikeeper.errors import MessageError
from ponikeeper.protocol import (
    MAX_BYTES,
    LinkState,
    links_json,
    parse_extrapolate,
    parse_links,
    parse_settle,
)
from ponikeeper.protocol.examples import EXAMPLES
from ponikeeper.protocol.link_units import Egu
from ponikeeper.protocol.links import MAX_ERROR, link_rows
from ponikeeper.text.ascii import cut, json_literal
from strategies import finite

SETTLE = 2.0


def says(value):
    return Sample(connected=True, value=value, egu=Egu(""))


link_states = st.builds(
    LinkState,
    st.text(min_size=1, max_size=32),
    st.text(min_size=1, max_size=60),
    st.sampled_from(["motor", "energy", "wavelength", "equal"]),
    st.text(max_size=16),
    st.none() | finite,
    st.none() | finite,
    st.none() | finite,
    st.none() | st.booleans(),
    st.booleans(),
    st.none() | st.booleans(),
    st.none() | st.text(max_size=80),
)


@given(st.lists(link_states, max_size=5))
def test_links_are_read_as_they_were_written(links):
    text = links_json(links)
    assert text.isascii()
    assert parse_links(text) == tuple(links)
    assert links_json(parse_links(text)) == text


def test_example_is_read_and_a_newer_one_may_say_more():
    values = json.loads(EXAMPLES["links"])
    assert links_json(parse_links(EXAMPLES["links"]), parse_settle(EXAMPLES["links"])) == EXAMPLES["links"]
    assert parse_settle(EXAMPLES["links"]) == 1.0
    assert parse_settle(links_json([])) is None
    newer = {**values, "colour": "red", "links": [{**link, "speed": 1.0} for link in values["links"]]}
    assert parse_links(json.dumps(newer)) == parse_links(EXAMPLES["links"])


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"v": 2, "links": []}', '{"v": 1}', '{"v": 1, "links": 7}', '{"v": 1, "links": [7]}',
     '{"v": 1, "links": [{"name": "z"}]}', '{"v": 1, "links": [{"name": NaN}]}'],
)  # fmt: skip
def test_text_that_is_not_a_list_of_links_is_refused(text):
    with pytest.raises(MessageError):
        parse_links(text)


def test_maximum_number_of_links_fits_the_pv_with_any_names():
    number = -1.2345678901234567e-300
    link = Link(
        name="n" * 32, pv='"' * 60, kind="motor", units="\N{MATHEMATICAL BOLD SMALL MU}" * 16, tolerance=-number,
        moving='"' * 60,
    )  # fmt: skip
    worst = Sample(connected=True, error=f"it says {json_literal(chr(92) * 40)}: expected a finite number")
    reading = updated(link, Reading(), says(number), worst, number, SETTLE, 0.0)
    out = cut(f"out of service since 2026-11-22T09:30:00Z by bob: {chr(92) * 400}", MAX_ERROR)
    message = state_of(link, reading, number, number, SETTLE, 0.0, number, out)
    assert None not in (message.value, message.calibrated, message.error, message.mismatch)
    message = replace(message, scale_sigma=number)
    assert len(links_json([message] * MAX_LINKS, 3600.0, extrapolate=True)) <= MAX_BYTES


def test_scale_of_a_motor_is_in_the_text_and_in_no_snapshot():
    link = replace(parse_links(EXAMPLES["links"])[0], scale_sigma=3e-5)
    assert parse_links(links_json([link])) == (link,)
    assert "scale_sigma" not in links_json([replace(link, scale_sigma=None)])
    assert all("scale_sigma" not in row for row in link_rows([link]))


def test_text_says_whether_models_may_be_extrapolated():
    assert [parse_extrapolate(links_json([], extrapolate=allowed)) for allowed in (True, False)] == [True, False]
