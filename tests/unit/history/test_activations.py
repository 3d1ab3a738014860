"""Which revision was active at a time, also where the clock of the IOC was wrong."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponikeeper.history import Activation
from ponikeeper.history.activations import active_during
from ponikeeper.text.timestamps import from_datetime

BEGIN = datetime(2026, 11, 22, tzinfo=UTC)


def hour(number):
    return BEGIN + timedelta(hours=number)


def activations(*hours, revisions=None):
    """Return activations at these hours, of revisions 1, 2, 3, ... or of others."""
    numbers = revisions or range(1, len(hours) + 1)
    return [
        Activation(serial, number, from_datetime(hour(at)), "commit", "alice")
        for serial, (at, number) in enumerate(zip(hours, numbers, strict=True), start=1)
    ]


def then(history, start, end=None, now=1000):
    periods = active_during(history, hour(start), hour(start if end is None else end), hour(now))
    return [period.activation.revision for period in periods]


@pytest.mark.parametrize(
    ("at", "revisions"), [(-1, []), (0, [1]), (0.5, [1]), (1, [2]), (4.9, [2]), (5, [3]), (1000, [3])]
)
def test_instant_belongs_to_the_activation_before_it(at, revisions):
    assert then(activations(0, 1, 5), at) == revisions


@pytest.mark.parametrize(
    ("start", "end", "revisions"),
    [(-9, -1, []), (-9, 0, []), (-9, 0.5, [1]), (0, 1, [1]), (0.5, 1.5, [1, 2]), (2, 3, [2]), (-9, 99, [1, 2, 3])],
)
def test_period_has_every_revision_that_was_active_in_it(start, end, revisions):
    assert then(activations(0, 1, 5), start, end) == revisions


def test_two_activations_of_one_timestamp_leave_the_later_one():
    assert then(activations(0, 1, 1, 2), 1) == [3]


def test_empty_history_has_none():
    assert active_during([], BEGIN, BEGIN, BEGIN) == []


def test_until_is_the_time_of_the_next_activation():
    history = activations(0, 1)
    assert [period.until for period in active_during(history, hour(0), hour(9), hour(9))] == [history[1].time, None]


@pytest.mark.parametrize("wrong", [9000, -9000, 1.5])
def test_wrong_clock_for_one_activation_spoils_no_other_time(wrong):
    history = activations(0, 1, wrong, 3, 4)
    assert [then(history, at) for at in (-1, 0.5, 3.5, 5)] == [[], [1], [4], [5]]


def test_timestamp_that_is_possible_counts_although_the_others_are_more():
    """Ten commits with a clock that was an hour ahead, and two when it was right again, or the other way round."""
    history = activations(0, *(1 + number / 100 for number in range(1, 11)), 0.25, 0.3)
    found = {at: then(history, at, now=2) for at in (0.1, 0.2, 0.27, 0.5, 1.055, 1.5)}
    assert found == {0.1: [1], 0.2: [1], 0.27: [1, 12], 0.5: [1, 13], 1.055: [6, 13], 1.5: [11, 12, 13]}
    periods = active_during(history, hour(0.27), hour(0.27), hour(2))
    assert [period.is_dated for period in periods] == [True, False]


def test_possible_timestamp_counts_until_a_later_activation_is_as_late():
    history = activations(0, 1, 4.5, 3, 4, 5)
    assert [then(history, at) for at in (3.5, 4.2, 4.7, 5, 9)] == [[4], [5], [3, 5], [6], [6]]


@pytest.mark.parametrize(("ahead", "now", "found"), [(7, 6, [5]), (7, 8, [3, 5]), (-9000, 8, [5])])
def test_timestamp_ahead_of_now_or_before_the_release_is_not_possible(ahead, now, found):
    assert then(activations(0, 1, ahead, 3, 4), 7.5, now=now) == found


@pytest.mark.parametrize("wrong", [9000, -9000])
def test_activation_with_a_wrong_time_may_have_been_active_between_its_neighbours(wrong):
    periods = active_during(activations(0, 1, wrong, 3, 4), hour(2), hour(2), hour(9))
    assert [(period.activation.revision, period.is_dated) for period in periods] == [(2, True), (3, False)]
    assert {period.until for period in periods} == {from_datetime(hour(3))}


def test_newest_activation_with_a_wrong_time_is_not_left_out():
    assert then(activations(0, 1, -9000), 2) == [2, 3]


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(-1, 10))
def test_in_order_it_is_the_newest_that_is_not_later(hours, at):
    history = activations(*sorted(hours))
    expected = [each.revision for each in history if each.time <= from_datetime(hour(at))][-1:]
    assert then(history, at) == expected


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(0, 10))
def test_out_of_order_nothing_is_lost_and_each_time_has_an_answer(hours, at):
    history = activations(*hours)
    assert then(history, -1000, 1000) == [each.revision for each in history]
    assert then(history, at) or at < max(hours)
