"""Whether an IOC is alive, by the values of its clock."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponikeeper.protocol.heartbeat import MAX_AGE, PERIOD, Heartbeat, hung_text

NEVER = -math.inf


def seen(*values):
    """Return a heartbeat that saw (value, arrival time) pairs."""
    heartbeat = Heartbeat()
    for value, now in values:
        heartbeat.see(value, now)
    return heartbeat


def test_first_value_proves_nothing():
    heartbeat = Heartbeat()
    assert math.isnan(heartbeat.value)
    assert not heartbeat.see(1e9, 5.0)
    assert not heartbeat.is_fresh(5.0)
    assert heartbeat.value == 1e9


def test_second_value_proves_it_for_a_while():
    heartbeat = seen((1e9, 5.0))
    assert heartbeat.see(1e9 + 1, 6.0)
    assert heartbeat.is_fresh(6.0)
    assert heartbeat.is_fresh(6.0 + MAX_AGE)
    assert not heartbeat.is_fresh(6.01 + MAX_AGE)
    assert MAX_AGE > PERIOD


def test_silence_counts_from_the_last_new_value():
    assert Heartbeat().silence(99.0) == 0.0  # not connected, which is shown in another way
    heartbeat = seen((1e9, 5.0), (1e9 + 1, 6.0))
    heartbeat.see(1e9 + 1, 9.0)  # a gateway answers from its cache
    assert (heartbeat.silence(7.5), heartbeat.silence(9.5)) == (0.0, 3.5)
    heartbeat.see(1e9 + 4, 9.6)
    assert heartbeat.silence(9.6) == 0.0


def test_two_gets_that_differ_prove_it_at_once():
    assert seen((1e9, 5.0), (1e9 + 1e-4, 5.0001)).is_fresh(5.0001)


def test_same_value_from_a_cache_proves_nothing_however_often():
    heartbeat = seen(*((1e9, now / 10) for now in range(100)))
    assert not heartbeat.is_fresh(0.0)
    assert not heartbeat.is_fresh(9.9)


@pytest.mark.parametrize("step", [-86400.0, -0.5, 0.001, 3600.0])
def test_clock_of_the_ioc_may_be_wrong_and_may_step(step):
    assert seen((1e9, 5.0), (1e9 + 1, 6.0), (1e9 + 1 + step, 7.0)).is_fresh(7.0)


def test_late_reply_with_an_older_value_is_no_advance():
    heartbeat = seen((1e9, 5.0), (1e9 + 1, 6.0))
    assert not heartbeat.see(1e9, 7.9)
    assert heartbeat.value == 1e9 + 1
    assert not heartbeat.is_fresh(7.9)


def test_new_value_after_a_long_silence_may_be_old_itself():
    heartbeat = seen((1e9, 5.0), (1e9 + 1, 6.0))
    assert not heartbeat.see(1e9 + 40, 60.0)  # what a gateway has in its cache when the connection is back
    assert not heartbeat.is_fresh(60.0)
    assert heartbeat.see(1e9 + 55, 60.5)
    assert heartbeat.is_fresh(60.5)


def test_value_that_is_seen_again_just_before_it_changes_counts_from_then():
    assert seen((1e9, 5.0), (1e9, 50.0), (1e9 + 46, 50.5)).is_fresh(50.5)


@given(st.lists(st.integers(0, 3), max_size=20), st.floats(0, 30))
def test_ioc_that_hangs_is_never_fresh_for_longer_than_the_limit(values, later):
    heartbeat = Heartbeat()
    for number, value in enumerate(values):
        heartbeat.see(float(value), number / 10)
    end = len(values) / 10
    for _ in range(3):
        heartbeat.see(heartbeat.value, end + later)
    assert not heartbeat.is_fresh(end + MAX_AGE + 0.01 + later)


def test_message_says_that_the_values_are_old_and_why():
    text = hung_text("P:Alive_RBV", 1795942810.3, 2.0)
    assert text.startswith("P:Alive_RBV stays at 1795942810.300 for 2 s, so what is shown may be old: the IOC hangs")
    assert "gateway" in text
