"""A test that hangs, or that leaves a thread behind, does not keep the run from ending."""

import subprocess
import sys
from pathlib import Path

import pytest

from live import TIMEOUT

ROOT = Path(__file__).parents[2]

HANGS = "import threading\ndef test_hangs():\n    threading.Event().wait()\n"
LEAVES_A_THREAD = (
    "import threading\ndef test_leaves_a_thread():\n    threading.Thread(target=threading.Event().wait).start()\n"
)


def run(folder: Path, program: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run one test with the settings of this checkout."""
    test = folder / "test_program.py"
    test.write_text(program)
    pytest = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        str(ROOT / "pyproject.toml"),
        f"--rootdir={folder}",
        "-p",
        "no:cacheprovider",
    ]
    command = [*pytest, "-o", f"pythonpath={ROOT / 'tests' / 'support'}", "-p", "time_limits", *options, str(test)]
    environment = {"PYTHONPATH": str(ROOT / "tests" / "support")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=2 * TIMEOUT)


@pytest.mark.parametrize("workers", ["0", "1"])
def test_test_that_hangs_fails_with_the_stack_of_each_thread(tmp_path, workers):
    done = run(tmp_path, HANGS, "-n", workers, "-o", "faulthandler_timeout=1")
    assert done.returncode != 0
    assert 'test_program.py", line 3 in test_hangs' in done.stderr


@pytest.mark.parametrize("workers", ["0", "1"])
def test_thread_that_never_ends_does_not_keep_the_run_from_ending(tmp_path, workers):
    done = run(tmp_path, LEAVES_A_THREAD, "-n", workers, "-o", "exit_timeout=1")
    assert "1 passed" in done.stdout
    if workers == "0":
        assert "in _shutdown" in done.stderr


def test_campaign_has_no_limit(tmp_path):
    program = "import time\nimport pytest\n@pytest.mark.campaign\ndef test_lasts():\n    time.sleep(2)\n"
    done = run(tmp_path, program, "-n", "0", "-o", "faulthandler_timeout=0.5", "-m", "campaign")
    assert done.returncode == 0, done.stderr
