"""A clock that cannot be right is found out, and so is one that was set."""

from datetime import UTC, datetime, timedelta

import pytest

from ponikeeper.detector.clock_rules import ClockReading, clock_problem, clock_step, step_text
from ponikeeper.history import Activation, Correction
from ponikeeper.history.record_form import OUT_OF_SERVICE
from ponikeeper.history.records import LabelRecord, ServiceChange
from ponikeeper.store import StoredState
from ponikeeper.text.timestamps import from_datetime

NOW = datetime(2026, 11, 29, 9, tzinfo=UTC)


def at(seconds):
    return from_datetime(NOW + timedelta(seconds=seconds))


def activated(seconds):
    return StoredState(activation=Activation(7, 3, at(seconds), "commit", "alice"))


def corrected(seconds):
    return StoredState(corrections=(Correction(2, "retract", 3, None, None, None, "wrong", at(seconds), "bob"),))


def in_service(seconds):
    return StoredState(service=(ServiceChange(4, OUT_OF_SERVICE, "z", "repair", at(seconds), "bob"),))


def labelled(seconds):
    return StoredState(labels=(LabelRecord(5, 3, "near", 3, at(seconds), "bob"),))


@pytest.mark.parametrize("make", [activated, corrected, in_service, labelled])
@pytest.mark.parametrize("seconds", [-1e6, -1.0, 0.0, 1.0])
def test_record_of_the_past_or_within_a_second_is_no_problem(make, seconds):
    assert clock_problem(NOW, {"A:": make(seconds), "B:": StoredState()}) == ""


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (activated, "activation 7"),
        (corrected, "correction 2"),
        (in_service, "service change 4"),
        (labelled, "label 5"),
    ],
)
@pytest.mark.parametrize("seconds", [1.5, 3600.0, 1e9])
def test_record_ahead_of_the_clock_is_named_with_both_times(make, what, seconds):
    problem = clock_problem(NOW, {"A:": activated(-5.0), "B:": make(seconds)})
    shown = f"{at(seconds)[:19]}Z"
    assert problem.startswith(
        f"{what} of B: is dated {shown}, {seconds:.0f} s ahead of the clock of this host (2026-11-29T09:00:00Z): "
    )
    assert problem.endswith("Check the time service of the host (timedatectl).")


def test_record_that_is_farthest_ahead_is_named():
    assert "activation 7 of B:" in clock_problem(NOW, {"A:": activated(10), "B:": activated(99), "C:": corrected(50)})


@pytest.mark.parametrize("year", [1970, 2000, 2025])
def test_clock_before_this_version_was_made_was_not_set(year):
    assert "it was not set" in clock_problem(datetime(year, 1, 1, tzinfo=UTC), {})


@pytest.mark.parametrize(
    ("passed", "shown", "step"),
    [
        (1.0, 1.0, 0.0),
        (1.0, 1.4, 0.0),
        (1.0, 0.6, 0.0),
        (1.0, 3601.0, 3600.0),
        (1.0, -59.0, -60.0),
        (900.0, 900.0, 0.0),
    ],
)
def test_step_is_what_the_clock_gained_beyond_the_time_that_passed(passed, shown, step):
    before, after = ClockReading(NOW, 50.0), ClockReading(NOW + timedelta(seconds=shown), 50.0 + passed)
    assert clock_step(before, after) == pytest.approx(step)


def test_step_names_what_was_activated_by_the_clock_before():
    after = ClockReading(NOW, 0.0)
    serials = {"A:": (3, 6), "B:": (1, 2), "C:": (4, 4)}
    assert step_text(3600.0, NOW - timedelta(hours=2), after, serials) == (
        "the clock of this host was set forward by 3600.0 s, to 2026-11-29T09:00:00Z; activated since "
        "2026-11-29T07:00:00Z, by the clock before: A: serials 4 to 6, B: serial 2"
    )
    assert step_text(-0.75, NOW, after, {"C:": (4, 4)}) == (
        "the clock of this host was set back by 0.8 s, to 2026-11-29T09:00:00Z; nothing was activated since "
        "2026-11-29T09:00:00Z"
    )
