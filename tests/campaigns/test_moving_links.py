"""Commits while the links of every detector move."""

import statistics
from pathlib import Path

import pytest

from bench.bench_moving_links import measure, percentile


@pytest.mark.campaign
def test_commits_take_no_longer_than_twice_as_long_while_sixty_links_move(tmp_path: Path):
    times = measure(tmp_path, rounds=10)
    idle, moving = times["idle"], times["moving"]
    print(f"idle {statistics.median(idle):.4f} s, moving {statistics.median(moving):.4f} s")
    assert statistics.median(moving) < 2 * statistics.median(idle) + 0.01
    assert percentile(moving, 0.95) < 2 * percentile(idle, 0.95) + 0.02
