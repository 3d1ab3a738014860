"""Statistics of the IOC process."""

import mmap
import os
import resource
from pathlib import Path

import pytest

from ponikeeper.ca.stats_pvs import duration
from ponikeeper.system import process_stats


def test_files_that_are_opened_are_counted():
    before = process_stats.read()
    null = Path(os.devnull)
    with null.open(), null.open():
        now = process_stats.read()
    assert (now.open_files, now.free_files) == (before.open_files + 2, before.free_files - 2)
    assert now.open_files + now.free_files == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_memory_that_is_taken_is_seen():
    before = process_stats.read().memory
    with mmap.mmap(-1, 50_000_000) as taken:  # of its own: what a process has freed is taken again
        taken.write(b"x" * len(taken))
        assert 40e6 < process_stats.read().memory - before < 200e6


def test_starts_are_counted_on(tmp_path):
    assert [process_stats.count_start(tmp_path / "starts") for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("text", ["", "many", "\0\0\0"])
def test_unreadable_count_starts_again_at_1(tmp_path, text):
    (tmp_path / "starts").write_text(text)
    assert process_stats.count_start(tmp_path / "starts") == 1


def test_count_that_cannot_be_written_stops_nothing(tmp_path, caplog):
    assert process_stats.count_start(tmp_path / "gone" / "starts") == 1
    assert "this start is not counted" in caplog.text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00:00"), (59.9, "00:00:59"), (3661, "01:01:01"), (86400, "1 day, 00:00:00"), (200000, "2 days, 07:33:20")],
)
def test_duration_is_written_as_iocstats_does(seconds, text):
    assert duration(seconds) == text
