"""Setting the device: one transaction with its result, in every way of setting."""

import numpy as np
import pytest
from ophyd.status import wait as wait_for_all
from pyFAI.detectors import detector_factory
from pyFAI.io.ponifile import PoniFile

import speak
from panels import FlatPanel
from ponikeeper.errors import PoniError, RefusedError
from ponikeeper.geometry import Geometry, poni
from ponikeeper.geometry.parameters import NAMES
from ponikeeper.protocol import Activate, Commit
from ponikeeper_client import timeline
from ponikeeper_client.device import CalibrationData
from speak import GEOMETRY, commit_text

WHOLE = Geometry(**{**GEOMETRY, "dist": 0.4567890123456789, "detector_config": {"orientation": 4}})


@pytest.fixture
def calib(make, prefix):
    assert speak.request(prefix, commit_text("begin", geometry=GEOMETRY, label="near"))["outcome"] == "accepted"
    return make(CalibrationData, prefix, "c")


def value(calib, name):
    return calib.read_configuration()[f"{calib.name}_{name}"]["value"]


def test_geometry_set_on_an_empty_store_is_active_and_complete(make, prefix):
    calib = make(CalibrationData, prefix, "c")
    calib.set(WHOLE).wait(timeout=30)
    snapshot = calib.read_snapshot()
    assert snapshot.geometry == WHOLE
    assert (snapshot.revision, snapshot.provenance["method"]) == (1, "manual")
    assert "derived_from" not in snapshot.provenance


def test_geometry_set_over_another_is_one_revision_that_names_it_and_leaves_its_label(calib):
    calib.set(WHOLE).wait(timeout=30)
    snapshot = calib.read_snapshot()
    assert snapshot.geometry == WHOLE
    assert (snapshot.revision, snapshot.label, snapshot.provenance["derived_from"]) == (
        2,
        None,
        1,
    )  # "near" is another one
    assert snapshot.position == {}  # "now", with no links


def test_configure_commits_several_values_as_one_and_gives_both_configurations(calib):
    old, new = calib.configure({"dist": 0.3, "poni1": np.float32(0.125)})
    assert [row["c_dist"]["value"] for row in (old, new)] == [GEOMETRY["dist"], 0.3]
    assert new["c_poni1"]["value"] == 0.125
    assert new["c_revision"]["value"] == 2


def test_configure_without_values_is_not_a_transaction(calib):
    old, new = calib.configure({})
    assert old == new


def test_configuration_that_was_read_can_be_set_again(calib):
    calib.set(WHOLE).wait(timeout=30)
    recorded = {name: value(calib, name) for name in (*NAMES, "detector_config")}
    calib.set({"dist": 0.9, "detector_config": {}}).wait(timeout=30)
    calib.configure(recorded)
    assert calib.read_snapshot().geometry == WHOLE


@pytest.mark.parametrize("way", ["set", "put", "device", "configure"])
def test_one_value_is_a_transaction_whichever_way_it_is_set(calib, way):
    ways = {
        "set": lambda: calib.dist.set(0.3).wait(timeout=30),
        "put": lambda: calib.dist.put(0.3),
        "device": lambda: calib.set({"dist": 0.3}).wait(timeout=30),
        "configure": lambda: calib.configure({"dist": 0.3}),
    }
    ways[way]()
    snapshot = calib.read_snapshot()
    assert (snapshot.geometry.dist, snapshot.revision, snapshot.label) == (0.3, 2, None)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"wavelength": 1.6}, "wavelength 1.6 m looks like angstrom: write 1.6e-10"),
        ({"dist": 234.5}, "dist 234.5 m looks like millimetre: write 0.2345"),
        ({"rot1": 90.0}, "rot1 90.0 rad looks like degree"),
        ({"dist": float("nan")}, "dist nan is not finite"),
        ({"dist": "far"}, 'dist "far" is not a number'),
        ({"distance": 0.2}, "did you mean dist"),
        ({"detector": "NoSuch"}, "not in the table of detectors"),
        ({"detector_config": "{"}, "detector_config is not valid JSON"),
        ({"dist": -1, "wavelength": 1.6}, "dist .*; wavelength"),
    ],
)
def test_refusal_reaches_the_caller_with_its_reasons_and_leaves_the_geometry(calib, values, reason):
    before = calib.read_configuration()
    with pytest.raises(RefusedError, match=reason):
        calib.set(values).wait(timeout=30)
    with pytest.raises(RefusedError, match=reason):
        calib.configure(values)
    assert calib.read_configuration() == before


def test_refusal_of_one_signal_reaches_its_caller(calib):
    """An acknowledged put is not a success, and neither is a readback within a tolerance."""
    with pytest.raises(RefusedError, match="angstrom"):
        calib.wavelength.set(0.166).wait(timeout=30)
    with pytest.raises(RefusedError, match="angstrom"):
        calib.wavelength.put(0.166)
    assert calib.wavelength.tolerance == 0.0
    assert value(calib, "wavelength") == GEOMETRY["wavelength"]


def test_single_value_on_an_empty_store_is_refused_with_what_is_missing(make, prefix):
    calib = make(CalibrationData, prefix, "c")
    with pytest.raises(RefusedError, match="no revision is active yet, poni1"):
        calib.dist.set(0.3).wait(timeout=30)


def test_outdated_expectation_is_refused(calib):
    calib.set({"dist": 0.3}, expect_revision=1).wait(timeout=30)
    with pytest.raises(RefusedError, match="expect_revision 1 is outdated: revision 2 is active"):
        calib.configure({"dist": 0.4}, expect_revision=1)
    assert value(calib, "dist") == 0.3


def test_sets_at_the_same_time_are_all_done(calib):
    wanted = {"dist": 0.31, "poni1": 0.12, "poni2": 0.13, "rot1": 0.014}
    for status in [getattr(calib, name).set(number) for name, number in wanted.items()]:
        wait_for_all(status, timeout=30)
    assert {name: value(calib, name) for name in wanted} == wanted
    assert value(calib, "revision") == 5


def test_any_request_can_be_run_and_is_active_when_it_returns(calib):
    fit = calib.transact(Commit({"dist": 0.6}, {"method": "fit", "calibrant": "Ni"}, label="far"))
    assert (fit.revision, value(calib, "label"), value(calib, "serial")) == (2, "far", fit.serial)
    back = calib.transact(Activate("near"))
    assert (back.revision, value(calib, "dist")) == (1, GEOMETRY["dist"])


def test_request_that_is_sent_again_with_its_id_gets_the_first_answer(calib):
    commit = Commit({"dist": 0.6}, request="mine")
    first = calib.transact(commit)
    calib.dist.set(0.7).wait(timeout=30)
    assert calib.transact(commit).revision == first.revision
    assert value(calib, "dist") == 0.7


@pytest.fixture
def panel(make, calib):
    return make(FlatPanel, calib.prefix.removesuffix("Calib:"), "pe1")


def test_detector_splits_what_it_is_configured_with(panel):
    old, new = panel.configure({"calib.dist": 0.3, "gain": 4, "calib.poni1": 0.2})
    assert (old["pe1_gain"]["value"], new["pe1_gain"]["value"]) == (1, 4)
    assert [new[f"pe1_calib_{name}"]["value"] for name in ("dist", "poni1", "revision")] == [0.3, 0.2, 2]


def test_detector_takes_a_whole_geometry(panel):
    panel.configure({"calib": WHOLE})
    assert panel.calib.read_snapshot().geometry == WHOLE


def test_detector_without_geometry_among_its_keys_is_configured_as_usual(panel):
    panel.configure({"gain": 2})
    assert panel.gain.get() == 2
    with pytest.raises(ValueError, match="no signal named nonsense"):
        panel.configure({"nonsense": 1})


def test_detector_whose_geometry_is_refused_is_not_configured_at_all(panel):
    with pytest.raises(RefusedError, match="angstrom"):
        panel.configure({"gain": 8, "calib.wavelength": 0.166})
    assert panel.gain.get() == 1


def integrator():
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    numbers = {name: getattr(WHOLE, name) for name in ("dist", "poni1", "poni2", "rot1", "rot2", "rot3", "wavelength")}
    return AzimuthalIntegrator(
        **numbers, detector=detector_factory("Perkin", {"orientation": 4, "pixel1": 2e-4, "pixel2": 2e-4})
    )


SOURCES = {
    "geometry": lambda _: WHOLE,
    "mapping": lambda _: WHOLE.as_dict(),
    "path": lambda path: path,
    "name of a file": str,
    "PONI text": lambda path: path.read_text(),
    "integrator": lambda _: integrator(),
    "PoniFile": lambda path: PoniFile(str(path)),
    "PoniFile of an integrator": lambda _: PoniFile(integrator()),
}


@pytest.mark.parametrize("source", SOURCES)
def test_geometry_is_set_from_anything_that_has_one(calib, tmp_path, source):
    path = tmp_path / "whole.poni"
    path.write_text(poni.write(WHOLE))
    calib.set(SOURCES[source](path)).wait(timeout=30)
    shown = calib.read_snapshot().geometry
    assert {name: getattr(shown, name) for name in NAMES} == {name: getattr(WHOLE, name) for name in NAMES}
    assert shown.orientation == 4


@pytest.mark.parametrize("source", ["path", "PONI text", "integrator"])
def test_detector_and_calibration_are_configured_with_anything_that_is_a_geometry(panel, tmp_path, source):
    path = tmp_path / "whole.poni"
    path.write_text(poni.write(WHOLE))
    given = SOURCES[source](path)
    panel.configure({"calib": given})
    assert panel.calib.read_snapshot().geometry.dist == WHOLE.dist
    panel.configure({"calib": given, "calib.dist": 0.3})
    assert panel.calib.read_snapshot().geometry.dist == 0.3
    old, new = panel.calib.configure(given)
    assert (old["pe1_calib_dist"]["value"], new["pe1_calib_dist"]["value"]) == (0.3, WHOLE.dist)
    with pytest.raises(PoniError, match="No such file"):
        panel.configure({"calib": "missing.poni"})


@pytest.mark.parametrize(
    ("value", "error", "reason"),
    [
        ("missing.poni", PoniError, r"missing.poni: No such file or directory: expected a PONI file, or a PONI text"),
        ("poni_version: 2\nDistance: 1\n", PoniError, "Poni1"),
        (
            0.3,
            TypeError,
            "float is no geometry: expected a Geometry, a mapping of values, the path of a PONI file, a PONI",
        ),
        (None, TypeError, "NoneType is no geometry"),
    ],
)
def test_what_is_no_geometry_is_refused_before_anything_is_sent(calib, value, error, reason):
    before = speak.counters(calib.prefix)
    with pytest.raises(error, match=reason):
        calib.set(value)
    assert speak.counters(calib.prefix) == before


def test_history_is_used_in_the_session(calib):
    calib.set({"dist": 0.3}).wait(timeout=30)
    undone = calib.undo(expect_serial=2)
    assert (undone.revision, undone.serial, calib.read_snapshot().label) == (1, 3, "near")
    assert calib.activate(2).revision == calib.read_snapshot().revision == 2
    assert calib.activate("near").revision == 1
    with pytest.raises(RefusedError, match="expect_serial 2 is outdated"):
        calib.undo(expect_serial=2)
    with pytest.raises(RefusedError, match="the configuration has no links, so there is no position"):
        calib.record_position()
    history = calib.history()
    assert (history.prefix, history.counts()) == (
        calib.prefix, {"revision": 2, "activation": 5, "judgement": 0, "undo": 1},
    )  # fmt: skip
    assert timeline(history)["dist"].tolist() == [GEOMETRY["dist"], 0.3]
