"""Where a link was in the middle of an exposure, against a motion that is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponikeeper_client.recall._exposures import Track
from ponikeeper_client.recall._runs import Event, Reading


def events(rows):
    """Make events of value, timestamp of the value, and when the event was made."""
    return [Event(number, made, (), (Reading("z", value, time),)) for number, (value, time, made) in enumerate(rows, 1)]


@given(st.floats(-100, 100), st.floats(-50, 50), st.floats(0.01, 0.99), st.booleans())
def test_even_motion(start, speed, exposure, collected):
    """Each reading is made at the end of its exposure; the events of a flight are made when it has ended."""
    made = events([(start + speed * time, time, 100.0 + time if collected else time) for time in range(20)])
    track = Track("z", made)
    for number, event in enumerate(made):
        found = track.during(event, exposure)
        if number == 0:
            assert "began is not recorded" in found.problem
        else:
            assert found.problem == ""
            assert found.value == pytest.approx(start + speed * (number - exposure / 2), abs=1e-9)
            assert found.travel == pytest.approx(abs(speed) * exposure, abs=1e-9)


def test_link_at_rest_before_the_exposure_has_not_travelled():
    made = events([(1.0, 0.5, 3.0), (2.0, 4.5, 6.0), (2.0, 4.5, 8.0)])
    track = Track("z", made)
    for event, value in zip(made, (1.0, 2.0, 2.0), strict=True):
        found = track.during(event, 1.0)
        assert (found.value, found.travel, found.problem) == (value, 0.0, "")


def test_link_that_stopped_in_the_exposure_has_travelled():
    made = events([(1.0, 0.5, 3.0), (2.0, 5.0, 6.0)])
    found = Track("z", made).during(made[1], 2.0)
    assert found.travel == pytest.approx(0.5)
    assert found.value == pytest.approx(2.0)


def test_link_that_came_back_has_travelled_there():
    made = events([(1.0, 0.5, 3.0), (5.0, 4.0, 4.1), (1.0, 5.0, 6.0)])
    assert Track("z", made).during(made[2], 2.5).travel == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([(1.0, None, 1.0)], "have no timestamps"),
        ([(1.0, 1.0, None)], "have no timestamps"),
        ([(1.0, 2.0, 2.5), (2.0, 1.0, 3.0)], "are not in the order of the events"),
        ([(1.0, 2.0, 2.5), (2.0, 2.0, 3.0)], "are not in the order of the events"),
    ],
)
def test_what_timestamps_do_not_say_is_refused(rows, problem):
    made = events(rows)
    found = Track("z", made).during(made[-1], 0.1)
    assert problem in found.problem
    assert "exposure=0 uses what z has as it is" in found.problem
