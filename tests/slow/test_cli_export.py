"""`ponikeeper export` of the files that a site's other services need."""

import subprocess
import sys
from functools import partial
from xml.etree import ElementTree as ET

import pytest

from configurations import TWO_DETECTORS
from live import TIMEOUT
from ponikeeper.config import load
from ponikeeper.site.alarm_tree import alarm_tree
from ponikeeper.site.archiver import archiver_request
from ponikeeper.site.pv_list import pv_list
from ponikeeper.site.screens.overview import EXAMPLE
from ponikeeper.site.screens.phoebus import FOLDER


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "28id1.toml"
    path.write_text(TWO_DETECTORS)
    return path


@pytest.fixture
def config(path):
    return load(path)


@pytest.fixture
def call(call):
    return partial(call, "export")


@pytest.mark.parametrize(
    ("kind", "made"), [("alarms", "28id1.alarms.xml"), ("archiver", "28id1.archiver.json"), ("pvlist", "28id1.pvlist")]
)
def test_command_writes_a_file_named_after_the_configuration(call, path, config, tmp_path, kind, made):
    done = call(kind, path, "-o", tmp_path / "new" / "out")
    written = tmp_path / "new" / "out" / made
    assert (done.returncode, done.stderr, done.stdout) == (0, "", f"{written}: written\n")
    expected = {
        "alarms": alarm_tree(config, "Accelerator"),
        "archiver": archiver_request(config),
        "pvlist": pv_list(config),
    }
    assert written.read_text(encoding="utf-8") == expected[kind]


def test_root_of_the_alarm_tree_is_the_one_that_is_named(call, path, tmp_path):
    assert call("alarms", path, "-o", tmp_path, "--root", "NSLS2_OPR").returncode == 0
    assert ET.parse(tmp_path / "28id1.alarms.xml").getroot().get("name") == "NSLS2_OPR"


def test_failed_write_is_reported(call, path, tmp_path):
    (tmp_path / "file").write_text("kept")
    done = call("pvlist", path, "-o", tmp_path / "file")
    assert done.returncode == 2
    assert f"{tmp_path / 'file'}: File exists: expected a folder that can be written to" in done.stderr
    done = call("pvlist", tmp_path / "none.toml", "-o", tmp_path)
    assert done.returncode == 2
    assert "none.toml" in done.stderr
    assert (tmp_path / "file").read_text() == "kept"


COMMITTED = sorted(FOLDER.glob("*.bob"))


def test_command_writes_all_screens_for_a_configuration(tmp_path):
    config = tmp_path / "28id1.toml"
    detectors = '[[detector]]\nprefix = "A:"\ntitle = "PE"\n[[detector]]\nprefix = "B:"\n'
    config.write_text(f'[ioc]\nprefix = "I:"\nstate_dir = "s"\n{detectors}')
    command = [sys.executable, "-m", "ponikeeper", "export", "screens", str(config), "-o", str(tmp_path / "opi")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    made = {path.name for path in (tmp_path / "opi").iterdir()}
    assert made == {path.name for path in COMMITTED} - {EXAMPLE} | {"28id1.bob"}
    assert done.stdout.count(": written\n") == len(made)
    titles = [element.text for element in ET.parse(tmp_path / "opi" / "28id1.bob").iter("DET")]
    assert titles == ["PE", "B:"]
