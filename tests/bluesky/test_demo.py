"""The demonstration, run in an empty folder without any preparation."""

import os
import re
import signal
import struct
import subprocess
import sys
import threading

import pytest

from live import wait_for

TIMEOUT = 240  # on a loaded machine; alone it takes a quarter of a minute


@pytest.fixture
def newcomer(tmp_path):
    """Return an environment without settings, and an empty folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EPICS_")}
    return {"env": {**environment, "COLUMNS": "120"}, "cwd": tmp_path, "text": True}


def _command(*options):
    return [sys.executable, "-m", "ponikeeper", "demo", *options]


def _png_size(path):
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", head[16:])


def _check_story(output, folder):
    assert "READY port=" in output
    for name in ("dist", "poni1", "poni2", "rot1", "rot2", "rot3", "pixel1", "pixel2", "wavelength", "detector"):
        assert f"pe1_calib_{name} " in output
    assert output.count("bit-exact") == 2
    assert "what to type next" in output
    assert "Traceback" not in output
    assert min(_png_size(folder / "ponikeeper_demo.png")) > 300


@pytest.mark.campaign  # the other test tells the same story, and stays
def test_demo_shows_the_whole_path_and_draws_a_picture(newcomer, tmp_path):
    done = subprocess.run(_command(), **newcomer, capture_output=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    _check_story(done.stdout + done.stderr, tmp_path)


def test_demo_with_stay_serves_its_pvs_until_it_is_interrupted(newcomer, tmp_path):
    process = subprocess.Popen(
        _command("--stay"), **newcomer, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
    try:
        reader.start()
        wait_for(lambda: any("Ctrl-C ends it" in line for line in lines), TIMEOUT, "the end of the story")
        variables = dict(re.findall(r"(EPICS_CA\w+)=([\w.:]+)", "".join(lines)))
        shown = subprocess.run(
            [sys.executable, "-m", "ponikeeper", "show", "DEMO{Det:PE1}Calib:"],
            env={**newcomer["env"], **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "UNWATCHED" in shown.stdout, shown.stderr
        assert "near" in shown.stdout
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=30) == 0, "".join(lines)
        _check_story("".join(lines), tmp_path)
    finally:
        process.kill()
        process.wait()
        reader.join(10)
        process.stdout.close()
