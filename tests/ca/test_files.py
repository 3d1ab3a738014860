"""Files that a geometry names, over Channel Access: refused by every route without their SHA-256, kept by edits."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from live import TIMEOUT
from ponikeeper.geometry import Geometry, poni
from ponikeeper.store import Draft
from ponikeeper.store.sqlite_storage import SQLiteStorage
from refusing import refused, said
from speak import GEOMETRY, commit_text, get, put, request, snapshot
from stores import time_of

PATH = "/nowhere/taper.spline"
CONFIG = {"splineFile": PATH}
DISTORTED = {**GEOMETRY, "detector": "FReLoN", "detector_config": CONFIG}
FILES = {"splineFile": {"path": PATH, "sha256": "a" * 64}, "mask": {"path": "/nowhere/mask.edf", "sha256": "b" * 64}}
VERSION_1 = "".join(
    f"{key}: {value}\n"
    for key, value in {
        "PixelSize1": 2e-4, "PixelSize2": 2e-4, "Distance": 0.2345, "Poni1": 0.1, "Poni2": 0.11, "Rot1": 0.002,
        "Rot2": 0.001, "Rot3": 0.0, "SplineFile": PATH, "Wavelength": 1.66e-11,
    }.items()
)  # fmt: skip


@pytest.fixture(scope="module")
def plain(fresh_prefix):
    """Prefix of a detector whose geometry names no file; every test leaves it active."""
    prefix = fresh_prefix()
    assert put(f"{prefix}Request", commit_text("begin")) is None
    return prefix


@pytest.fixture
def distorted(prefix):
    """Prefix of a detector whose geometry has a file and a mask."""
    assert request(prefix, commit_text("one", geometry=DISTORTED, files=FILES))["revision"] == 1
    return prefix


WAYS = {
    "Poni": ("Poni", poni.write(Geometry.parse(DISTORTED))),
    "Poni of version 1": ("Poni", VERSION_1),
    "Request": ("Request", commit_text("bad", geometry=DISTORTED)),
    "Request of another key": (
        "Request",
        commit_text("bad", geometry={"detector_config": {"custom": "/d/table.dat"}}),
    ),
    "DetectorConfig": ("DetectorConfig", json.dumps(CONFIG)),
    "DetectorConfig of offsets": ("DetectorConfig", json.dumps({"x_offset_file": PATH, "y_offset_file": PATH})),
    "DetectorConfig of a nested path": ("DetectorConfig", json.dumps({"sensor": {"material": "/d/CsI.abs"}})),
    "Detector": ("Detector", PATH),
}


@pytest.mark.parametrize("way", WAYS)
def test_file_without_its_hash_is_refused_by_every_route(plain, way):
    suffix, value = WAYS[way]
    reason = said(refused(plain, suffix, lambda: put(plain + suffix, value)))
    assert (
        "is a file: write the detector NexusDetector" in reason
        if way == "Detector"
        else "without its SHA-256" in reason
    )
    if way != "Detector":
        assert "detector_config." in reason
        assert "ponikeeper put" in reason


def test_staged_detector_that_is_a_file_is_refused(plain):
    assert put(f"{plain}Stage:Detector", PATH) is None
    result = refused(plain, "Stage:Apply", lambda: put(f"{plain}Stage:Apply", "Do"))
    assert "write the detector NexusDetector" in said(result)
    assert put(f"{plain}Stage:Clear", "Do") is None


def test_files_with_their_hash_are_stored_and_shown(distorted):
    assert snapshot(distorted)["provenance"]["files"] == FILES


def test_edit_of_one_value_keeps_the_files(distorted):
    assert put(f"{distorted}Dist", 0.3) is None
    assert snapshot(distorted)["provenance"]["files"] == FILES
    assert put(f"{distorted}DetectorConfig", json.dumps({**CONFIG, "orientation": 2})) is None
    assert snapshot(distorted)["provenance"]["files"] == FILES


def test_another_detector_drops_the_files(distorted):
    assert put(f"{distorted}Detector", "Perkin") is None
    assert "files" not in snapshot(distorted)["provenance"]
    assert snapshot(distorted)["geometry"]["detector_config"] == {}


def test_put_computes_the_hash_of_every_file_and_get_shows_it(call, prefix, tmp_path):
    spline, mask = tmp_path / "taper.spline", tmp_path / "mask.npy"
    spline.write_bytes(b"the taper")
    np.save(mask, np.zeros((60, 80), np.int8))
    geometry = Geometry.parse({**DISTORTED, "detector_config": {"splineFile": str(spline), "orientation": 3}})
    file = tmp_path / "frelon.poni"
    file.write_text(poni.write(geometry))
    done = call("put", prefix, file, "--mask", mask)
    assert done.returncode == 0, done.stderr
    hashes = {each: hashlib.sha256(each.read_bytes()).hexdigest() for each in (spline, mask)}
    assert snapshot(prefix)["provenance"]["files"] == {
        "splineFile": {"path": str(spline), "sha256": hashes[spline]},
        "mask": {"path": str(mask), "sha256": hashes[mask]},
    }
    text = call("get", prefix).stdout
    assert poni.read(text) == geometry
    assert f"# file splineFile: {spline}, sha256 {hashes[spline]}" in text


def test_mask_that_does_not_suit_the_detector_is_refused_by_each_command(call, plain, tmp_path):
    before, mask, file = get(f"{plain}Snapshot_RBV"), tmp_path / "mask.npy", tmp_path / "near.poni"
    np.save(mask, np.zeros((60, 80), np.int8))
    file.write_text(poni.write(Geometry.parse(GEOMETRY)))
    for command in (("put", plain, file), ("integration", plain)):
        done = call(*command, "--mask", mask)
        assert (done.returncode, "has the shape (60, 80): expected (2048, 2048)" in done.stderr) == (2, True)
    assert get(f"{plain}Snapshot_RBV") == before


def test_put_without_the_file_names_it_and_commits_nothing(call, plain, tmp_path):
    before = get(f"{plain}Snapshot_RBV")
    file = tmp_path / "frelon.poni"
    file.write_text(poni.write(Geometry.parse(DISTORTED)))
    done = call("put", plain, file)
    assert done.returncode != 0
    assert f"the file {PATH} cannot be read: No such file or directory" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert get(f"{plain}Snapshot_RBV") == before


def test_old_revision_that_names_a_file_without_its_hash_says_so_while_it_is_active(call, make_ioc):
    """Version 0.1 stored such revisions."""
    ioc = make_ioc(detectors=("Calib:",))
    storage = SQLiteStorage(ioc.store)
    for number, geometry in enumerate((DISTORTED, GEOMETRY)):
        draft = Draft(Geometry.parse(geometry), {"author": "alice"})
        storage.commit(ioc.prefix, draft, time_of(number), "commit", "alice")
    storage.close()
    says = f"revision 1: detector_config.splineFile names the file {PATH} without its SHA-256: commit it with a client"
    ioc.start()
    assert says not in snapshot(ioc.prefix)["reason"]
    done = call("activate", ioc.prefix, 1)
    assert done.returncode == 0
    assert says in " ".join(done.stdout.split())
    assert says in get(f"{ioc.prefix}Reason_RBV")
    assert snapshot(ioc.prefix)["findings"] == [
        {"status": "UNWATCHED", "link": ""},
        {"status": "VALID", "link": ""},
    ]
    assert put(f"{ioc.prefix}Activate", "2") is None
    assert says not in get(f"{ioc.prefix}Reason_RBV")


@pytest.mark.parametrize("name", ["old.poni", "auto.sav"])
def test_import_of_a_calibration_that_names_a_file_is_refused(make_ioc, tmp_path, name):
    ioc, source = make_ioc(detectors=("Calib:",)), tmp_path / name
    saved = "".join(f"{ioc.prefixes[0]}{key} {value}\n" for key, value in {
        "Dist": 0.2345, "Poni1": 0.1, "Poni2": 0.11, "Rot1": 0.002, "Rot2": 0.001, "Rot3": 0.0, "Pixel1": 2e-4,
        "Pixel2": 2e-4, "Wavelength": 1.66e-11, "Detector": "FReLoN", "DetectorConfig": json.dumps(CONFIG),
    }.items())  # fmt: skip
    source.write_text(VERSION_1 if name == "old.poni" else f"# autosave R5.3\n{saved}<END>\n")
    done = _ponikeeper("import", ioc.config, source)
    assert done.returncode != 0
    assert "detector_config.splineFile names the file" in " ".join(done.stderr.split())


def test_seed_that_names_a_file_is_refused_before_the_start(make_ioc):
    ioc = make_ioc(detectors=("Calib:",), more={"Calib:": 'seed = "pe1.poni"'})
    (ioc.folder / "pe1.poni").write_text(poni.write(Geometry.parse(DISTORTED)))
    done = _ponikeeper("check", ioc.config)
    assert done.returncode != 0
    assert "detector_config.splineFile names the file" in " ".join(done.stderr.split())


def _ponikeeper(*words):
    command = [sys.executable, "-m", "ponikeeper", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
