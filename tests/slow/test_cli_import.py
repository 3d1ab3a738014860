"""`ponikeeper import`: older calibrations become a history with their times, or are refused."""

import json
import os
import time
from functools import partial
from pathlib import Path

import pytest

from live import TIMEOUT
from ponikeeper.geometry import Geometry, poni
from ponikeeper.site.legacy_import import read_poni
from ponikeeper.store.sqlite_storage import SQLiteStorage
from ponikeeper.system.time_zone import local_zone_name
from speak import GEOMETRY

PREFIX, OTHER = "XF:28ID1-ES{Det:PE1}Calib:", "XF:28ID1-ES{Det:PE2}Calib:"


HEAD = "# Nota: C-Order, 1 refers to the Y axis, 2 to the X axis\n"


def geometry(dist=0.2):
    return Geometry.parse({**GEOMETRY, "dist": dist})


def entry(dist, done=None):
    """Return the text that pyFAI's save() appends to a file."""
    head = HEAD + (f"# Calibration done on {time.ctime(done)}\n" if done is not None else "")
    return head + "".join(line for line in poni.write(geometry(dist)).splitlines(keepends=True) if line[0] != "#")


def instants(found):
    return [each.time.timestamp() for each in found]


def test_poni_that_pyfai_has_saved_twice_has_two_entries(tmp_path):
    pyfai = pytest.importorskip("pyFAI", reason="install [fit]")
    ai = pyfai.load(str(_written(tmp_path / "a.poni", poni.write(geometry()))))
    for dist in (0.3, 0.4):
        ai.dist = dist
        ai.save(str(tmp_path / "b.poni"))
    found = read_poni("b.poni", (tmp_path / "b.poni").read_bytes(), 0.0)
    assert [each.geometry.dist for each in found] == [0.3, 0.4]
    assert all(abs(instant - time.time()) < TIMEOUT for instant in instants(found))


SAVED = {"Dist": "0.2345", "Poni1": "1e-1", "Poni2": "0.11", "Rot1": "0.002", "Rot2": "0.001", "Rot3": "0",
    "Pixel1": "0.0002", "Pixel2": "0.0002", "Wavelength": "1.66e-11", "Detector": "Perkin"}  # fmt: skip


def saved(prefix=PREFIX, stamp="\t- DO NOT MODIFY - 251023-150405", end="<END>\n", **changes):
    lines = [f"{prefix}{name} {value}\n" for name, value in (SAVED | changes).items() if value is not None]
    return f"# autosave R5.3\tAutomatically generated{stamp}\n! 2 channel(s) not connected\n{''.join(lines)}{end}"


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "28id1.toml"
    path.write_text(f'[ioc]\nprefix = "I:"\nstate_dir = "state"\n[[detector]]\nprefix = "{PREFIX}"\n')
    return path


@pytest.fixture
def folder(tmp_path):
    """A folder of xpdAcq: PONI files of several days, an image, and a folder that is named as a PONI file."""
    folder = tmp_path / "xpdacq_calib"
    folder.mkdir()
    for number, dist in enumerate((0.2, 0.3, 0.4)):
        path = _written(folder / f"2019041{number}_pe1.poni", entry(dist))
        os.utime(path, (1.6e9 + number, 1.6e9 + number))
    (folder / "20190410_pe1.tiff").write_bytes(b"II*\0")
    (folder / "old.poni").mkdir()
    return folder


def _written(path, text):
    path.write_text(text)
    return path


@pytest.fixture
def call(call):
    return partial(call, "import")


def test_folder_of_ponis_is_imported_once(call, config, folder):
    store = config.parent / "state" / "ponikeeper.sqlite"
    done = call(config, folder)
    counts = "3 revisions, 3 activations, 0 corrections"
    assert (done.returncode, done.stderr) == (0, "")
    zone, line = done.stdout.splitlines()
    assert zone.startswith("times in the files are read in the time zone ")
    assert line == f"{folder}: {counts} of {PREFIX} added to {store}"
    again = call(config, folder).stdout.splitlines()[-1]
    assert again == f"{folder}: nothing to do, {store} has all of it: {counts} of {PREFIX}"
    _written(folder / "20190413_pe1.PONI", entry(0.5))
    line = call(config, folder).stdout.splitlines()[-1]
    assert line.startswith(f"{folder}: 1 revision, 1 activation, 0 corrections of {PREFIX} added")
    storage = SQLiteStorage(store)
    assert storage.active(PREFIX)[0].geometry.dist == 0.5
    assert storage.revision(PREFIX, 1).created == "2020-09-13T12:26:40.000000Z"
    storage.close()


@pytest.mark.parametrize("words", [(), ("--timezone", "Asia/Kathmandu")])
def test_json_names_the_time_zone_in_which_dates_were_read(call, config, folder, words):
    done = json.loads(call(config, folder, "--json", *words).stdout)
    assert done["added"]["revision"] == 3
    assert done["timezone"] == (words[1] if words else local_zone_name())


def test_unreadable_file_stops_the_import_unless_it_is_skipped(call, config, folder):
    _written(folder / "cut.poni", entry(0.5)[:-40])
    done = call(config, folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert "cut.poni: the last line" in done.stderr
    assert done.stderr.endswith("nothing was imported: correct these files, or skip them with --skip-unreadable\n")
    assert not (config.parent / "state").exists()
    done = call(config, folder, "--skip-unreadable")
    assert done.returncode == 0
    assert done.stdout.startswith("skipped: cut.poni: the last line")
    assert "3 revisions" in done.stdout


def test_autosave_file_is_imported_under_the_present_prefix(call, config, tmp_path):
    path = _written(tmp_path / "auto_settings.sav", saved("OLD:"))
    assert "give the right one with --from" in call(config, path).stderr
    done = call(config, path, "--from", "OLD:")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"1 revision, 1 activation, 0 corrections of {PREFIX} added" in done.stdout


def test_old_files_are_imported_with_the_given_zone_and_energy(call, config, folder, tmp_path):
    old = folder / "20190410_pe1.poni"
    dated = f"# Calibration done at Thu Apr 11 10:52:17 2019\n{entry(0.2)}"
    _written(old, "".join(line for line in dated.splitlines(keepends=True) if "Wavelength" not in line))
    refused = call(config, folder)
    assert refused.returncode == 1
    assert "20190410_pe1.poni: the entry is incomplete: Wavelength missing" in refused.stderr
    assert "give it with --wavelength (m) or --energy (keV)" in refused.stderr
    done = call(config, folder, "--energy", 74.55, "--timezone", "America/New_York")
    assert (done.returncode, done.stderr) == (0, "")
    assert "read in the time zone America/New_York" in done.stdout
    storage = SQLiteStorage(config.parent / "state" / "ponikeeper.sqlite")
    first, second = storage.revision(PREFIX, 1), storage.revision(PREFIX, 2)
    storage.close()
    assert first.created == "2019-04-11T14:52:17.000000Z"
    assert first.geometry.energy == pytest.approx(74.55, rel=1e-12)
    assert second.geometry == Geometry.parse({**GEOMETRY, "dist": 0.3})  # it has a wavelength of its own


def test_time_that_cannot_be_read_is_named(call, config, tmp_path):
    path = _written(tmp_path / "pe1.poni", f"# Calibration done at 11/04/2019 10:52\n{entry(0.2)}")
    done = call(config, path)
    assert done.returncode == 0
    assert done.stderr.startswith("pe1.poni: the time 11/04/2019 10:52 cannot be read: the time of the file is taken, ")


def test_slip_in_a_file_stops_the_import_unless_limits_allow_it(call, config, folder):
    _written(folder / "20190412_pe1.poni", entry(35.0))
    done = call(config, folder)
    assert done.returncode == 1
    assert "20190412_pe1.poni: dist 35.0 m is 20 m or more" in done.stderr
    config.write_text(config.read_text() + "limits = {dist = [0.1, 40.0]}\n")
    assert call(config, folder).returncode == 0


def test_store_with_another_history_is_left_unchanged(call, config, folder, tmp_path):
    assert call(config, folder).returncode == 0
    store = config.parent / "state" / "ponikeeper.sqlite"
    before = store.read_bytes()
    other = _written(tmp_path / "other.poni", entry(0.7, 1.2e9))
    done = call(config, other)
    assert done.returncode == 1
    assert "a number must not have two meanings" in done.stderr
    assert store.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["empty"], "there is no *.poni in this folder"),
        (["none.poni"], "No such file or directory"),
        (["xpdacq_calib", "--timezone", "Moon/Base"], "--timezone Moon/Base is unknown: expected such as"),
        (["xpdacq_calib", "--timezone", "../x"], "--timezone ../x is unknown: expected such as"),
        (["xpdacq_calib", "--energy", "8047.8"], "--energy 8047.8 keV looks like eV: write 8.0478"),
        (["xpdacq_calib", "--energy", "-1"], "--energy -1.0 keV is out of range"),
        (["xpdacq_calib", "--wavelength", "0.166"], "wavelength 0.166 m looks like angstrom: write 1.66e-11"),
        (["xpdacq_calib", "--wavelength", "1e-11", "--energy", "8"], "are both given: expected one of them"),
        (["xpdacq_calib", "--prefix", "P:"], "--prefix P: is no detector of"),
    ],
)
def test_impossible_import_is_a_usage_error(call, config, folder, tmp_path, words, message):
    (tmp_path / "empty").mkdir()
    name, *options = words
    done = call(config, tmp_path / name, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_detector_must_be_named_if_there_are_several(call, config, folder):
    config.write_text(config.read_text() + f'[[detector]]\nprefix = "{OTHER}"\n')
    done = call(config, folder)
    assert done.returncode == 2
    assert f"has several detectors: select one with --prefix, of {PREFIX} {OTHER}" in done.stderr
    assert call(config, folder, "--prefix", OTHER).returncode == 0


@pytest.mark.parametrize("name", ["xpd_Ni", "dioptas_CeO2"])
def test_poni_of_a_beamline_is_imported_with_its_own_time(name):
    data = Path(__file__).parents[3] / "shared" / "data" / "real" / name
    if not data.is_dir():
        pytest.skip(f"{data} is not here")
    (path,) = data.glob("*.poni")
    found = read_poni(path.name, path.read_bytes(), 0.0)
    assert found[-1].geometry == poni.read(path.read_bytes())
    assert all(each.time.timestamp() > 1e9 for each in found)
