"""Times as a person types them: with a zone, in local time, or a day."""

import time
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from ponikeeper.text.typed_times import parse

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "utc", "shown"),
    [
        ("2026-07-22T09:30:00Z", "2026-07-22T09:30", "2026-07-22 09:30:00 (UTC+00:00)"),
        ("2026-07-22T09:30:01.25-05:00", "2026-07-22T14:30:01.25", "2026-07-22 09:30:01.250000 (UTC-05:00)"),
        ("2026-07-22 09:30", "2026-07-22T07:30", "2026-07-22 09:30:00 (UTC+02:00)"),
        ("2026-11-22 09:30", "2026-11-22T08:30", "2026-11-22 09:30:00 (UTC+01:00)"),
        (" 2026-11-22t09:30+0545 ", "2026-11-22T03:45", "2026-11-22 09:30:00 (UTC+05:45)"),
    ],
)
def test_instant_is_in_its_own_zone_or_in_local_time(text, utc, shown):
    time = parse(text, BERLIN)
    assert time.start == time.end == datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert not time.is_day
    assert str(time) == shown


@pytest.mark.parametrize(("day", "hours"), [("2026-11-22", 24), ("2026-03-29", 23), ("2026-10-25", 25)])
def test_date_is_the_whole_local_day_however_long(day, hours):
    time = parse(day, BERLIN)
    assert time.is_day
    assert time.end.astimezone(UTC) - time.start.astimezone(UTC) == timedelta(hours=hours)
    assert time.start.replace(tzinfo=None) == datetime.fromisoformat(day)
    assert str(time).startswith(f"{day} (UTC+0")


@pytest.mark.parametrize("text", ["2026-10-25 02:30", "2026-03-29 02:30"])
def test_local_time_that_the_clocks_showed_never_or_twice_is_refused_with_both(text):
    with pytest.raises(ValueError, match="write it with the zone") as error:
        parse(text, BERLIN)
    assert f"{text.replace(' ', 'T')}:00+0200" in str(error.value)
    assert f"{text.replace(' ', 'T')}:00+0100" in str(error.value)
    assert parse(f"{text}+02:00", BERLIN).start.utcoffset() == timedelta(hours=2)


@pytest.mark.parametrize(
    "text",
    [
        "", "yesterday", "22.11.2026", "11/22/2026", "2026-11", "2026-W47", "2026-11-31", "2026-11-22 25:00", "09:30",
        "2026-11-22 9:30", "2026-11-22+01:00", "1795512601", "2026-11-22 09:30 CET", "0001-01-01T00:00\n2",
    ],
)  # fmt: skip
def test_other_texts_are_refused_with_what_was_expected(text):
    with pytest.raises(ValueError, match=r"expected 2026-11-22T09:30:00Z, 2026-11-22 09:30 \(local time\) or"):
        parse(text, BERLIN)


def test_zone_of_the_host_is_used_where_none_is_given(monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert parse("2026-11-22 09:30").start == datetime(2026, 11, 22, 14, 30, tzinfo=UTC)
        assert parse("2026-11-22").start.utcoffset() == timedelta(hours=-5)
        with pytest.raises(ValueError, match="the clocks were changed"):
            parse("2026-11-01 01:30")
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["0001-01-01", "0001-01-01 00:00", "9999-12-31", "9999-12-31 23:59"])
def test_first_and_last_hours_of_the_calendar_are_refused_not_an_error_of_python(text, monkeypatch):
    """UTC cannot express them: one of the zones of this test is ahead of it, the other one behind."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo" if text.startswith("0") else "America/New_York")
        time.tzset()
        with pytest.raises(ValueError, match=f"'{text}' is out of range: expected 2026-11-22T09:30:00Z"):
            parse(text)
    time.tzset()


def test_last_day_of_the_calendar_is_refused_not_an_error_of_python():
    with pytest.raises(ValueError, match="is out of range"):
        parse("9999-12-31", timezone.utc)  # noqa: UP017
