"""Every speed in README.md can be measured again by the command next to it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pages import PAGES

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(set(re.findall(r"`python (tests/bench/[^`]+)`", (ROOT / "README.md").read_text())))


def test_every_bench_is_named():
    named = {Path(command.split()[0]).name for command in COMMANDS}
    pages = "".join(page.read_text() for page in PAGES)
    benches = {path.name for path in (ROOT / "tests" / "bench").glob("bench_*.py")}
    assert benches == named | {name for name in benches if f"tests/bench/{name}" in pages}


@pytest.mark.campaign
@pytest.mark.parametrize("command", COMMANDS)
def test_bench_prints_its_figures(command):
    done = subprocess.run([sys.executable, *command.split()], cwd=ROOT, capture_output=True, text=True, timeout=900)
    print(f"\n{command}\n{done.stdout}")
    assert (done.returncode, bool(re.search(r"\d+\.\d+", done.stdout))) == (0, True), done.stderr
