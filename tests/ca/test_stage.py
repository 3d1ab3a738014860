"""The stage: edit several values on a screen, then commit them together."""

import json

import pytest

from live import wait_for
from ponikeeper.geometry.detectors import pixel_size
from ponikeeper.geometry.parameters import NAMES
from ponikeeper.protocol.pvs import readback, staged
from speak import GEOMETRY, commit_text, counters, get, monitoring, put, read, results, snapshot


@pytest.fixture
def calibrated(prefix):
    """Prefix of a detector with an active geometry that has a label."""
    assert put(f"{prefix}Request", commit_text("begin", label="near", provenance={"residual_px": 0.1})) is None
    return prefix


def stage(prefix, **values):
    for name, value in values.items():
        assert put(prefix + staged(name), value) is None, name


def state(prefix):
    """Return whether the stage is dirty or clean, and its values."""
    return int(get(f"{prefix}Stage:Dirty_RBV")), {name: get(prefix + staged(name)) for name in NAMES}


def test_stage_shows_the_active_values_until_they_are_edited(calibrated):
    assert state(calibrated) == (0, GEOMETRY)
    stage(calibrated, dist=0.3)
    assert state(calibrated) == (1, {**GEOMETRY, "dist": 0.3})
    assert snapshot(calibrated)["geometry"]["dist"] == get(f"{calibrated}Dist") == GEOMETRY["dist"]
    assert counters(calibrated) == (1, 0)


def test_edited_values_are_one_transaction(calibrated):
    stage(calibrated, dist=0.3, rot1=0.01, wavelength=1.7e-11)
    with monitoring(f"{calibrated}Snapshot_RBV") as (monitor,):
        assert put(f"{calibrated}Stage:Apply", "Do") is None
        assert put(f"{calibrated}Rot2", -0.03) is None
        wait_for(lambda: json.loads(str(monitor.values[-1]))["revision"] == 3)
        assert [json.loads(str(text))["serial"] for text in monitor.values] == [1, 2, 3]
    assert put(f"{calibrated}Activate", "2") is None
    shown = snapshot(calibrated)
    assert (shown["revision"], shown["serial"], shown["label"]) == (2, 4, None)
    assert shown["geometry"] == {**GEOMETRY, "dist": 0.3, "rot1": 0.01, "wavelength": 1.7e-11, "detector_config": {}}
    assert shown["provenance"] == {"method": "manual", "derived_from": 1, "author": shown["provenance"]["author"]}
    assert shown["position"] is None
    assert state(calibrated)[0] == 0
    assert int(get(f"{calibrated}Stage:Apply")) == 0


def test_staged_detector_brings_its_pixels(calibrated):
    stage(calibrated, detector="Pilatus1M")
    assert put(f"{calibrated}Stage:Apply", 1) is None
    geometry = snapshot(calibrated)["geometry"]
    assert (geometry["detector"], geometry["pixel1"], geometry["pixel2"]) == ("Pilatus1M", *pixel_size("Pilatus1M"))


def test_apply_is_refused_if_another_revision_was_activated_since_the_first_edit(calibrated):
    stage(calibrated, dist=0.3)
    assert put(f"{calibrated}Rot1", 0.05) is None
    stage(calibrated, rot2=0.01)
    before = snapshot(calibrated)
    assert put(f"{calibrated}Stage:Apply", 1)
    error = results(calibrated)[0]["errors"][0]
    assert "revision 2 was activated since the first staged value (revision 1 was active then)" in error
    assert snapshot(calibrated) == before
    assert state(calibrated)[0] == 1
    assert get(f"{calibrated}Stage:Dist") == 0.3
    assert put(f"{calibrated}Stage:Clear", 1) is None
    stage(calibrated, dist=0.3)
    assert put(f"{calibrated}Stage:Apply", 1) is None
    assert (snapshot(calibrated)["revision"], snapshot(calibrated)["geometry"]["rot1"]) == (3, 0.05)


def test_clear_discards_the_staged_values(calibrated):
    stage(calibrated, dist=0.3, detector="Pilatus1M")
    assert put(f"{calibrated}Stage:Clear", "Do") is None
    assert state(calibrated) == (0, GEOMETRY)
    assert int(get(f"{calibrated}Stage:Clear")) == 0
    assert put(f"{calibrated}Stage:Apply", 1)
    assert "nothing is staged" in results(calibrated)[0]["errors"][0]


def test_edited_values_stay_and_others_follow_the_active_geometry(calibrated):
    stage(calibrated, dist=0.3)
    assert put(f"{calibrated}Request", commit_text("other", geometry={"dist": 0.4, "rot1": 0.05})) is None
    assert state(calibrated) == (1, {**GEOMETRY, "dist": 0.3, "rot1": 0.05})


def test_idle_applies_and_clears_nothing(calibrated):
    stage(calibrated, dist=0.3)
    assert put(f"{calibrated}Stage:Apply", "Idle") is None
    assert put(f"{calibrated}Stage:Clear", 0) is None
    assert state(calibrated)[0] == 1
    assert counters(calibrated) == (1, 0)


def test_refused_value_is_not_staged(calibrated):
    stage(calibrated, rot1=0.01)
    assert put(f"{calibrated}Stage:Wavelength", 1.66)
    assert state(calibrated) == (1, {**GEOMETRY, "rot1": 0.01})
    assert put(f"{calibrated}Stage:Apply", 1) is None
    assert snapshot(calibrated)["revision"] == 2


def test_refused_apply_keeps_the_staged_values(calibrated):
    stage(calibrated, detector="Nonesuch")
    assert put(f"{calibrated}Stage:Apply", 1)
    assert "is not in the table of detectors" in results(calibrated)[0]["errors"][0]
    assert state(calibrated) == (1, {**GEOMETRY, "detector": "Nonesuch"})
    stage(calibrated, pixel1=5e-5, pixel2=6e-5)
    assert put(f"{calibrated}Stage:Apply", 1) is None
    assert snapshot(calibrated)["geometry"]["detector"] == "Nonesuch"


def test_ten_staged_values_begin_an_unset_detector(prefix):
    stage(prefix, **{name: value for name, value in GEOMETRY.items() if name != "dist"})
    assert put(f"{prefix}Stage:Apply", 1)
    assert "no revision is active yet, dist missing" in results(prefix)[0]["errors"][0]
    assert snapshot(prefix)["status"] == "UNSET"
    stage(prefix, dist=GEOMETRY["dist"])
    assert put(f"{prefix}Stage:Apply", 1) is None
    shown = snapshot(prefix)
    assert (shown["revision"], shown["geometry"]) == (1, {**GEOMETRY, "detector_config": {}})
    assert shown["provenance"] == {"method": "manual", "author": shown["provenance"]["author"]}
    assert all(value.severity == 0 for value in read([prefix + readback(name) for name in NAMES]))


def test_apply_with_put_completion_ends_when_all_is_shown(calibrated):
    stage(calibrated, dist=0.3)
    assert put(f"{calibrated}Stage:Apply", 1) is None
    assert get(f"{calibrated}Dist_RBV") == get(f"{calibrated}Dist") == get(f"{calibrated}Stage:Dist") == 0.3
