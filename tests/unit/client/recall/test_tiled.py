"""Which rows of a table belong to which descriptor, by the times, or a message that it is unknown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponikeeper_client.recall._runs import Event
from ponikeeper_client.recall._tiled import assign_rows


def rows(*pairs):
    return [Event(*pair) for pair in pairs]


def dealt(times, events):
    found, doubt = assign_rows(times, events)
    assert not doubt, doubt
    return [[event.seq_num for event in each] for each in found]


def test_all_rows_belong_to_the_only_descriptor_whatever_their_times():
    assert dealt([100.0], rows((2, 5.0), (1, 300.0))) == [[2, 1]]


def test_row_belongs_to_the_last_descriptor_before_it():
    events = rows((1, 1.5), (2, 2.5), (3, 4.5), (4, 5.5))
    assert dealt([1.0, 2.0, 3.0, 4.0], events) == [[1], [2], [], [3, 4]]


def test_row_that_was_written_twice_counts_once():
    assert dealt([1.0, 2.0], rows((1, 1.5), (1, 1.5), (2, 2.5))) == [[1], [2]]


def test_points_that_were_taken_again_after_a_pause_belong_to_both_times():
    events = rows((1, 1.5), (2, 2.5), (3, 3.5), (2, 5.5), (3, 6.5), (4, 7.5))
    assert dealt([1.0, 5.0], events) == [[1, 2, 3], [2, 3, 4]]


@pytest.mark.parametrize(
    ("times", "events", "why"),
    [
        ([2.0, 1.0], rows((1, 2.5)), "the clock was set during the run"),
        ([1.0, 1.0], rows((1, 2.5)), "the clock was set during the run"),
        ([1.0, 2.0], rows((1, 0.5), (2, 2.5)), "an event is older than the first descriptor"),
        ([1.0, 2.0], rows((1, 1.5), (2, 2.0)), "an event and a descriptor have the same time"),
        ([1.0, 2.0], rows((1, 1.5), (3, 1.6), (2, 2.5)), "event 3 is older than event 2"),
        ([1.0, 2.0], rows((1, None), (2, None)), "does not say when"),
    ],
)
def test_rows_with_ambiguous_times_are_reported_as_unknown(times, events, why):
    found, doubt = assign_rows(times, events)
    assert why in doubt
    assert found == [(), ()]


@given(st.data())
def test_rows_are_dealt_as_they_were_made(data):
    """Descriptors and rows have times of one clock, and the table is read in any order."""
    made = data.draw(st.lists(st.booleans(), max_size=12))
    steps = data.draw(st.lists(st.floats(1e-6, 1e3), min_size=len(made) + 1, max_size=len(made) + 1))
    time, times, truth, seq_num = 1.7e9, [], [], 0
    for is_descriptor, step in zip([True, *made], steps, strict=True):
        time += step
        if is_descriptor:
            times.append(time)
            truth.append([])
        else:
            seq_num += 1
            truth[-1].append(Event(seq_num, time))
    shuffled = data.draw(st.permutations([event for each in truth for event in each]))
    assert assign_rows(times, shuffled) == ([tuple(each) for each in truth], "")
