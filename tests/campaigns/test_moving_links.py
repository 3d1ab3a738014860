"""Commits while the links of every detector move."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench" / "bench_moving_links.py"


@pytest.mark.campaign
def test_commits_take_no_longer_than_twice_as_long_while_sixty_links_move():
    done = subprocess.run([sys.executable, str(BENCH)], capture_output=True, text=True, timeout=600)
    print(done.stdout)
    ratios = [float(ratio) for ratio in re.findall(r"([0-9.]+) times as long", done.stdout)]
    assert len(ratios) == 2, done.stderr
    assert max(ratios) < 2
