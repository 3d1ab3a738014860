"""Timestamps: one form in, one form out."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from ponikeeper.text import timestamps


def test_every_time_is_formatted_alike_so_that_texts_sort_by_time():
    times = [
        datetime(900, 1, 1, tzinfo=UTC),
        datetime(2026, 11, 22, 9, 30, tzinfo=UTC),
        datetime(2026, 12, 1, tzinfo=UTC),
    ]
    texts = [timestamps.from_datetime(time) for time in times]
    assert texts[:2] == ["0900-01-01T00:00:00.000000Z", "2026-11-22T09:30:00.000000Z"]
    assert texts == sorted(texts)
    assert [timestamps.to_datetime(text) for text in texts] == times


def test_other_zones_become_utc():
    time = datetime(2026, 11, 22, 9, 30, tzinfo=timezone(timedelta(hours=-5)))
    assert timestamps.from_datetime(time) == "2026-11-22T14:30:00.000000Z"
    assert timestamps.normalized("2026-11-22T09:30:00-05:00") == "2026-11-22T14:30:00.000000Z"


def test_posix_times_survive_both_ways():
    assert timestamps.from_posix(1795512601.25) == "2026-11-24T09:30:01.250000Z"
    assert timestamps.to_posix("2026-11-24T09:30:01.250000Z") == 1795512601.25


@pytest.mark.parametrize(
    "value", ["2026-11-22T09:30:00", "yesterday", "", None, 1795512601.25, ["2026-11-22T09:30:00Z"]]
)
def test_text_that_is_not_a_timestamp_is_recognized(value):
    assert not timestamps.is_timestamp(value)
    assert timestamps.normalized(value) is None


def test_a_time_that_utc_cannot_express_is_not_normalized():
    assert timestamps.is_timestamp("0001-01-01T00:00:00+05:00")
    assert timestamps.normalized("0001-01-01T00:00:00+05:00") is None


def test_a_timestamp_without_zone_is_refused():
    with pytest.raises(ValueError, match="has no time zone"):
        timestamps.to_datetime("2026-11-22T09:30:00")


def test_timestamps_are_shortened_for_people():
    assert timestamps.to_minutes("2026-11-22T09:30:01.250000Z") == "2026-11-22 09:30"
    assert timestamps.to_seconds("2026-11-22T09:30:01.250000Z") == "2026-11-22T09:30:01Z"
    assert timestamps.shortest("2026-11-22T09:30:01.250000Z") == "2026-11-22T09:30:01.250000Z"
    assert timestamps.shortest("2026-11-22T09:30:01.000000Z") == "2026-11-22T09:30:01Z"


def test_file_names_sort_by_time():
    assert timestamps.for_file_name(datetime(2026, 11, 22, 9, 30, 1, 250000, UTC)) == "20261122T093001.250000Z"


HOUR, NEW_YORK = 3600, timezone(timedelta(hours=-5))


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (0, "09:30 (just now)"),
        (59, "09:29 (just now)"),
        (60, "09:29 (1 min ago)"),
        (HOUR - 1, "08:30 (59 min ago)"),
        (2 * HOUR, "07:30 (2 h ago)"),
        (10 * HOUR, "2026-11-21 23:30 (10 h ago)"),
        (47.9 * HOUR, "2026-11-20 09:36 (47 h ago)"),
        (48 * HOUR, "2026-11-20 09:30 (2 d ago)"),
        (10_000 * 24 * HOUR, "1999-07-07 09:30 (10000 d ago)"),
        (-1, "09:30 (ahead of the clock)"),
    ],
)
def test_time_of_an_event_is_local_and_has_its_age(age, text):
    now = datetime(2026, 11, 22, 9, 30, tzinfo=NEW_YORK)
    assert timestamps.with_age(timestamps.from_datetime(now - timedelta(seconds=age)), now, NEW_YORK) == text
    assert len(text) < 40


def test_local_time_is_that_of_the_event_and_its_age_counts_through_a_change_of_the_local_time():
    zone = ZoneInfo("Europe/Berlin")
    now = datetime(2026, 10, 25, 4, 0, tzinfo=zone)  # the night had the hour from 2 to 3 twice
    assert timestamps.with_age("2026-07-01T10:00:00Z", now, zone) == "2026-07-01 12:00 (115 d ago)"
    assert timestamps.with_age("2026-10-25T00:00:00Z", now, zone) == "02:00 (3 h ago)"
