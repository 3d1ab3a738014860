"""Ranges of a model."""

import math

import pytest

from ponikeeper.geometry.kinematics.spans import Reach, Span, reach_of

RAIL = Span(200.0, 1000.0)


@pytest.mark.parametrize(
    ("value", "reach"),
    [
        (200.0, Reach.INSIDE), (1000.0, Reach.INSIDE), (1080.0, Reach.MARGIN), (120.0, Reach.MARGIN),
        (1080.1, Reach.EXTENDED), (1400.0, Reach.EXTENDED), (1400.1, Reach.OUTSIDE), (-201.0, Reach.OUTSIDE),
        (math.nan, Reach.OUTSIDE), (math.inf, Reach.OUTSIDE),
    ],
)  # fmt: skip
def test_reach_of_a_value(value, reach):
    assert RAIL.reach(value) is reach


def test_declared_range_ends_exactly():
    declared = Span(0.0, 40.0, declared=True)
    assert [declared.reach(value) for value in (40.0, 40.001)] == [Reach.INSIDE, Reach.OUTSIDE]


def test_range_of_one_value_has_no_margin():
    assert [Span(5.0, 5.0).reach(value) for value in (5.0, 5.001)] == [Reach.INSIDE, Reach.OUTSIDE]


@pytest.mark.parametrize(("low", "high"), [(0.3, 0.6), (15.2, 18.2), (74.2, 75.2), (-7.1, 3.3), (1000.0, 1400.0)])
def test_limits_that_are_printed_are_inside(low, high):
    span = Span(low, high)
    for reach in (Reach.INSIDE, Reach.MARGIN, Reach.EXTENDED):
        for limit in span.limits(reach):
            assert span.reach(float(f"{limit:.12g}")) is reach


def test_farthest_link_decides():
    spans = {"z": RAIL, "x": Span(0.0, 10.0)}
    assert reach_of(spans, {"z": 300.0, "x": 11.0}) is Reach.MARGIN
    assert reach_of(spans, {"z": 1300.0, "x": 10.5}) is Reach.EXTENDED
    assert reach_of({}, {}) is Reach.INSIDE
