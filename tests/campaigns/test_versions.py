"""Runs are recorded correctly with the oldest supported bluesky and with newer ones, up to the newest."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TESTS = (
    "test_runs.py",
    "test_guard.py",
    "test_guard_flights.py",
    "test_guard_links.py",
    "test_guard_moments.py",
    "test_at_positions.py",
    "test_multi_dist.py",
    "test_near_far_day.py",
    "test_recall.py",
)


def oldest() -> str:
    """Return the lower bound of a requirement of the client."""
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["client"]
    (bound,) = (re.fullmatch(r"bluesky>=([0-9.]+),<2", need) for need in needs if need.startswith("bluesky"))
    assert bound
    return f"=={bound[1]}.0"


@pytest.mark.campaign
@pytest.mark.parametrize("version", [oldest(), ">=1.14,<1.15", "==1.15.0", ">=1.15"])
def test_runs_stay_true_with(version, tmp_path):
    """Only bluesky differs: the tested version precedes the installed one on the path."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path / "bluesky")]
    subprocess.run([*pip, f"bluesky{version}"], check=True, timeout=300)
    paths = [str(tmp_path / "bluesky"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    wanted = "import bluesky; print(bluesky.__version__, bluesky.__file__)"
    ran = subprocess.run([sys.executable, "-c", wanted], env=environment, capture_output=True, text=True, check=True)
    number, place = ran.stdout.split()
    assert place.startswith(str(tmp_path))
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--durations=0", "--durations-min=60"]
    tests = [str(Path(__file__).parents[1] / "bluesky" / name) for name in TESTS]
    done = subprocess.run(
        [*command, *tests], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1800, check=False
    )
    print(f"\nbluesky {number}: {done.stdout.splitlines()[-1]}")
    assert done.returncode == 0, done.stdout[-5000:]
