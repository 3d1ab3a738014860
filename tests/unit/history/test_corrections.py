"""Corrections: which revision is right for a time, and which corrections are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponikeeper.history import Correction
from ponikeeper.history.corrections import chain, corrected_revisions, correction_of, correction_problems, covers

NOW = "2026-11-22T12:00:00.000000Z"


def day(number):
    return f"2026-11-{number:02d}T00:00:00.000000Z"


def judge(revision, by=None, since=None, until=None, number=1):
    kind = "retract" if by is None else "supersede"
    return Correction(number, kind, revision, by, since and day(since), until and day(until), "why", NOW, "alice")


def numbered(*corrections):
    return [judge(*args, number=number) for number, args in enumerate(corrections, 1)]


def right(corrections, revision, instant):
    """Return the revision that is right; None where there is none."""
    path = chain(corrections, revision, instant)
    return path[-1].by if path else revision


@pytest.mark.parametrize(
    ("since", "until", "inside"),
    [
        (None, None, [1, 10, 20, None]),
        (10, None, [10, 20, None]),
        (None, 10, [1]),
        (10, 20, [10]),
        (2, 21, [10, 20]),
    ],
)
def test_time_that_a_correction_covers(since, until, inside):
    correction = judge(7, 9, since, until)
    instants = [1, 10, 20, None]
    assert [n for n in instants if covers(correction, n and day(n))] == inside


def test_times_are_compared_regardless_of_their_zones():
    correction = judge(7, 9, since=10)
    assert not covers(correction, "2026-11-10T00:30:00+01:00")
    assert covers(correction, "2026-11-09T23:30:00-01:00")


def test_chain_leads_to_the_one_that_is_right():
    corrections = numbered((1, 2), (2, 3), (4,), (5, 4))
    assert [right(corrections, n, None) for n in range(1, 7)] == [3, 3, 3, None, None, 6]
    assert corrected_revisions(corrections) == {1, 2, 4, 5}


def test_bump_is_wrong_for_its_time_only():
    corrections = numbered((1, 2, 10, 12))
    assert [right(corrections, 1, day(n)) for n in (9, 10, 11, 12, 13)] == [1, 2, 2, 1, 1]
    assert right(corrections, 1, None) == 1
    assert corrected_revisions(corrections) == frozenset()


def test_chain_is_followed_for_one_time():
    corrections = numbered((1, 2, 10, None), (2, 3, None, 15))
    assert [right(corrections, 1, day(n)) for n in (9, 10, 14, 15)] == [1, 3, 3, 2]
    assert right(corrections, 1, None) == 2


def test_later_correction_of_the_same_revision_replaces_the_earlier_one():
    corrections = numbered((1, 2), (1, 3), (1, 4, 10, 12))
    assert [right(corrections, 1, instant) for instant in (day(5), day(11), None)] == [3, 4, 3]
    assert correction_of(corrections, 1).by == 3


def problems(corrections, asked, count=9):
    return correction_problems(corrections, asked, count, NOW)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (judge(10, 2), "there is no revision 10: the history has revisions 1 to 9"),
        (judge(1, 10), "there is no revision 10: the history has revisions 1 to 9"),
        (judge(10), "there is no revision 10: the history has revisions 1 to 9"),
        (judge(1, 1), "revision 1 cannot supersede itself: commit the right one first, then give its number"),
        (judge(1, 2, 23), f'"since": {day(23)} is in the future: expected a time before {NOW}'),
        (judge(1, 2, 10, 23), f'"until": {day(23)} is in the future: expected a time before {NOW}'),
        (judge(1, 2, 12, 10), f'"since" {day(12)} is not before "until" {day(10)}: expected the earlier one first'),
        (judge(1, 2, 12, 12), f'"since" {day(12)} is not before "until" {day(12)}: expected the earlier one first'),
    ],
)
def test_impossible_correction_is_refused(asked, message):
    assert problems([], asked) == [message]


def test_all_problems_are_reported_at_once():
    assert len(problems([], judge(11, 12, 24, 23), count=0)) == 5
    assert problems([], judge(1), count=0) == ["there is no revision 1: the history has no revisions"]


@pytest.mark.parametrize(
    ("before", "asked"),
    [
        ([(1, 2)], judge(2, 1)),
        ([(1, 2), (2, 3)], judge(3, 1)),
        ([(1, 2), (2, 3)], judge(3, 2)),
        ([(1, 2, 10, None)], judge(2, 1, 12)),
        ([(1, 2, None, 10)], judge(2, 1)),
        ([(1, 2, 10, 12), (1, 3, 10, 11)], judge(2, 1, 10, 12)),
    ],
)
def test_cycle_is_refused(before, asked):
    (problem,) = problems(numbered(*before), asked)
    assert problem.startswith(f"revision {asked.revision} cannot be superseded by {asked.by}, which leads back to it (")
    assert problem.endswith("commit the right geometry once more, and give the number of that revision")


@pytest.mark.parametrize(
    ("before", "asked"),
    [
        ([], judge(1, 2)),
        ([(1, 2)], judge(1, 3)),
        ([(1, 2)], judge(2, 3)),
        ([(1, 2)], judge(2)),
        ([(1, 2), (1, 3)], judge(2, 1)),  # 1 leads to 3 now
        ([(1, 2, 10, None)], judge(2, 1, None, 10)),  # each for the other's time
        ([(3,)], judge(1, 2)),
    ],
)
def test_corrections_without_a_cycle_are_accepted(before, asked):
    assert problems(numbered(*before), asked) == []


@pytest.mark.parametrize("before", [[(2,)], [(2, 3), (3,)]])
def test_retracted_revision_replaces_nothing(before):
    (problem,) = problems(numbered(*before), judge(1, 2))
    assert problem == f"revision {before[-1][0]} was retracted (why): expected one that is right"


numbers = st.integers(1, 6)
days = st.none() | st.integers(1, 20)


@given(st.lists(st.tuples(numbers, st.none() | numbers, days, days), max_size=12))
def test_chain_of_accepted_corrections_always_ends(asked):
    taken = []
    for args in asked:
        correction = judge(*args, number=len(taken) + 1)
        if not problems(taken, correction):
            taken.append(correction)
    for instant in [None, *(day(n) for n in range(1, 22))]:
        for revision in range(1, 7):
            path = chain(taken, revision, instant)
            assert len({item.revision for item in path}) == len(path)
            assert not path or path[-1].by is None or correction_of(taken, path[-1].by, instant) is None
