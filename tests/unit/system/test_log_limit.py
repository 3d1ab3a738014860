"""The limit for the log."""

import logging

import pytest

from ponikeeper.system.log_limit import MAX_KIND, MAX_SAME, NOT_LIMITED, PERIOD, LogLimit


@pytest.fixture
def write():
    """Log messages at given times, and return those that pass."""
    limit, written = LogLimit(), []

    def write(text, *arguments, at=0.0, times=1):
        for _ in range(times):
            record = logging.LogRecord("test", logging.WARNING, __file__, 1, text, arguments, None)
            record.created = at
            if limit.filter(record):
                written.append(record.getMessage())
        return written

    return write


def test_message_that_repeats_is_dropped_and_counted(write):
    assert len(write("refused a client of %s", "10.0.0.1", times=1000)) == MAX_SAME
    written = write("refused a client of %s", "10.0.0.1", at=PERIOD)
    assert written[-1] == f"refused a client of 10.0.0.1 (and {1000 - MAX_SAME} more like it)"


def test_peers_are_limited_one_by_one_and_together(write):
    for peer in range(100):
        written = write("refused a client of %s", f"10.0.0.{peer}", times=2)
    assert len(written) == MAX_KIND


def test_other_messages_are_written(write):
    write("one %s", "a", times=100)
    assert write("another %s", "a")[-1] == "another a"


def test_message_without_arguments(write):
    assert len(write("the disk is full", times=100)) == MAX_SAME


def test_clock_that_is_set_back_drops_nothing_for_long(write):
    write("x", at=1000.0, times=10)
    assert len(write("x", at=0.0)) == MAX_SAME + 1


def test_message_of_which_each_counts_is_always_written():
    limit = LogLimit()
    for _ in range(10 * MAX_KIND):
        record = logging.LogRecord("test", logging.INFO, __file__, 1, "revision %d is active", (1,), None)
        setattr(record, NOT_LIMITED, True)
        assert limit.filter(record)
