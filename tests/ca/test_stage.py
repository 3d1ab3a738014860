"""The stage: edit several values on a screen, then commit them as one."""

import json

import pytest

from live import wait_for
from ponikeeper.geometry.detectors import pixel_size
from ponikeeper.geometry.parameters import NAMES
from ponikeeper.protocol.pvs import readback, staged
from speak import GEOMETRY, commit_text, counters, get, monitoring, put, read, results, snapshot


@pytest.fixture
def kept(prefix):
    """Give a detector with a labelled geometry in force."""
    assert put(f"{prefix}Request", commit_text("begin", label="near", provenance={"residual_px": 0.1})) is None
    return prefix


def stage(prefix, **values):
    for name, value in values.items():
        assert put(prefix + staged(name), value) is None, name


def state(prefix):
    """Read how the stage is: dirty or clean, and its values."""
    return int(get(f"{prefix}Stage:Dirty_RBV")), {name: get(prefix + staged(name)) for name in NAMES}


def test_stage_shows_what_is_in_force_until_it_is_touched(kept):
    assert state(kept) == (0, GEOMETRY)
    stage(kept, dist=0.3)
    assert state(kept) == (1, {**GEOMETRY, "dist": 0.3})
    assert snapshot(kept)["geometry"]["dist"] == get(f"{kept}Dist") == GEOMETRY["dist"]
    assert counters(kept) == (1, 0)


def test_touched_values_are_one_transaction(kept):
    stage(kept, dist=0.3, rot1=0.01, wavelength=1.7e-11)
    with monitoring(f"{kept}Snapshot_RBV") as (monitor,):
        assert put(f"{kept}Stage:Apply", "Do") is None
        assert put(f"{kept}Rot2", -1.0) is None
        wait_for(lambda: json.loads(str(monitor.values[-1]))["revision"] == 3)
        assert [json.loads(str(text))["serial"] for text in monitor.values] == [1, 2, 3]
    assert put(f"{kept}Activate", "2") is None
    told = snapshot(kept)
    assert (told["revision"], told["serial"], told["label"]) == (2, 4, "near")
    assert told["geometry"] == {**GEOMETRY, "dist": 0.3, "rot1": 0.01, "wavelength": 1.7e-11, "detector_config": {}}
    assert told["provenance"] == {"method": "manual", "derived_from": 1, "author": told["provenance"]["author"]}
    assert told["position"] == {}
    assert state(kept)[0] == 0
    assert int(get(f"{kept}Stage:Apply")) == 0


def test_staged_detector_brings_its_pixels(kept):
    stage(kept, detector="Pilatus1M")
    assert put(f"{kept}Stage:Apply", 1) is None
    geometry = snapshot(kept)["geometry"]
    assert (geometry["detector"], geometry["pixel1"], geometry["pixel2"]) == ("Pilatus1M", *pixel_size("Pilatus1M"))


def test_apply_is_refused_when_the_geometry_in_force_changed_since_the_first_touch(kept):
    stage(kept, dist=0.3)
    assert put(f"{kept}Rot1", 0.5) is None
    stage(kept, rot2=0.01)
    before = snapshot(kept)
    assert put(f"{kept}Stage:Apply", 1)
    told = results(kept)[0]["errors"][0]
    assert "revision 2 was activated since the first staged value (revision 1 was active then)" in told
    assert snapshot(kept) == before
    assert state(kept)[0] == 1
    assert get(f"{kept}Stage:Dist") == 0.3
    assert put(f"{kept}Stage:Clear", 1) is None
    stage(kept, dist=0.3)
    assert put(f"{kept}Stage:Apply", 1) is None
    assert (snapshot(kept)["revision"], snapshot(kept)["geometry"]["rot1"]) == (3, 0.5)


def test_clear_forgets_what_is_staged(kept):
    stage(kept, dist=0.3, detector="Pilatus1M")
    assert put(f"{kept}Stage:Clear", "Do") is None
    assert state(kept) == (0, GEOMETRY)
    assert int(get(f"{kept}Stage:Clear")) == 0
    assert put(f"{kept}Stage:Apply", 1)
    assert "nothing is staged" in results(kept)[0]["errors"][0]


def test_touched_values_stay_and_others_follow_what_comes_into_force(kept):
    stage(kept, dist=0.3)
    assert put(f"{kept}Request", commit_text("other", geometry={"dist": 0.4, "rot1": 0.5})) is None
    assert state(kept) == (1, {**GEOMETRY, "dist": 0.3, "rot1": 0.5})


def test_idle_applies_and_clears_nothing(kept):
    stage(kept, dist=0.3)
    assert put(f"{kept}Stage:Apply", "Idle") is None
    assert put(f"{kept}Stage:Clear", 0) is None
    assert state(kept)[0] == 1
    assert counters(kept) == (1, 0)


def test_refused_value_is_not_staged(kept):
    stage(kept, rot1=0.01)
    assert put(f"{kept}Stage:Wavelength", 1.66)
    assert state(kept) == (1, {**GEOMETRY, "rot1": 0.01})
    assert put(f"{kept}Stage:Apply", 1) is None
    assert snapshot(kept)["revision"] == 2


def test_refused_apply_keeps_what_is_staged(kept):
    stage(kept, detector="Nonesuch")
    assert put(f"{kept}Stage:Apply", 1)
    assert "is not in the table of detectors" in results(kept)[0]["errors"][0]
    assert state(kept) == (1, {**GEOMETRY, "detector": "Nonesuch"})
    stage(kept, pixel1=5e-5, pixel2=6e-5)
    assert put(f"{kept}Stage:Apply", 1) is None
    assert snapshot(kept)["geometry"]["detector"] == "Nonesuch"


def test_ten_staged_values_begin_an_unset_detector(prefix):
    stage(prefix, **{name: value for name, value in GEOMETRY.items() if name != "dist"})
    assert put(f"{prefix}Stage:Apply", 1)
    assert "no revision is active yet, dist missing" in results(prefix)[0]["errors"][0]
    assert snapshot(prefix)["status"] == "UNSET"
    stage(prefix, dist=GEOMETRY["dist"])
    assert put(f"{prefix}Stage:Apply", 1) is None
    told = snapshot(prefix)
    assert (told["revision"], told["geometry"]) == (1, {**GEOMETRY, "detector_config": {}})
    assert told["provenance"] == {"method": "manual", "author": told["provenance"]["author"]}
    assert all(value.severity == 0 for value in read([prefix + readback(name) for name in NAMES]))


def test_apply_with_put_completion_ends_when_all_is_shown(kept):
    stage(kept, dist=0.3)
    assert put(f"{kept}Stage:Apply", 1) is None
    assert get(f"{kept}Dist_RBV") == get(f"{kept}Dist") == get(f"{kept}Stage:Dist") == 0.3
