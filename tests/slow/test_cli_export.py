"""`ponikeeper export` of the files that a site's other services need."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from lxml import etree

from configurations import TWO_DETECTORS
from live import TIMEOUT
from ponikeeper.config import load
from ponikeeper.site.alarm_tree import alarm_component, alarm_tree, with_component
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


@pytest.mark.parametrize(("kind", "made"), [("archiver", "28id1.archiver.json"), ("pvlist", "28id1.pvlist")])
def test_command_writes_a_file_named_after_the_configuration(call, path, config, tmp_path, kind, made):
    done = call(kind, path, "-o", tmp_path / "new" / "out")
    written = tmp_path / "new" / "out" / made
    assert (done.returncode, done.stderr, done.stdout) == (0, "", f"{written}: written\n")
    expected = {
        "archiver": archiver_request(config),
        "pvlist": pv_list(config),
    }
    assert written.read_text(encoding="utf-8") == expected[kind]


def test_alarm_tree_has_a_root_of_its_own_and_is_also_written_for_a_tree_of_the_site(call, path, config, tmp_path):
    site = tmp_path / "site.xml"
    site.write_text('<config name="Accelerator"><component name="Vacuum"/></config>')
    done = call("alarms", path, "-o", tmp_path, "--site", site)
    names = [tmp_path / f"28id1.alarms.{kind}" for kind in ("xml", "component.xml", "site.xml")]
    warning = "alarm-server -config ponikeeper-28id1 -import deletes everything below ponikeeper-28id1 before it loads"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [*(f"{name}: written" for name in names), f"{warning} the file"]
    texts = [name.read_text(encoding="utf-8") for name in names]
    assert texts[0] == alarm_tree(config, "ponikeeper-28id1")
    assert texts[1] == alarm_component(config)
    assert texts[2] == with_component(site.read_text(), config)


def test_site_tree_that_cannot_be_read_is_named(call, path, tmp_path):
    done = call("alarms", path, "-o", tmp_path, "--site", path)
    assert done.returncode == 2
    assert f"{path}: syntax error" in done.stderr
    assert not list(tmp_path.glob("*.xml"))


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


SCHEMAS = Path(__file__).parents[1] / "data" / "adcore"


def test_files_for_areadetector_are_valid_by_its_schemas(call, path, tmp_path):
    # the schema does not allow braces, which areaDetector takes in the name of a PV
    path.write_text(TWO_DETECTORS.replace("{", "-").replace("}", "-"))
    done = call("areadetector", path, "-o", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    written = sorted((tmp_path / "out").iterdir())
    assert done.stdout.splitlines() == [f"{file}: written" for file in written]
    schemas = {"attributes": "NDAttributes.xsd", "layout": "hdf5_xml_layout_schema.xsd"}
    for file in written:
        schema = etree.XMLSchema(etree.parse(SCHEMAS / schemas[file.suffixes[-2][1:]]))
        schema.assertValid(etree.parse(file))
    assert [file.name for file in written] == [
        f"28id1.XF-28ID1-ES-Det-PE{number}-Calib.{kind}.xml" for number in (1, 2) for kind in schemas
    ]
