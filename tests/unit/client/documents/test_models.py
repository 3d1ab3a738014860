"""What a descriptor records of a model, and which columns of its events say where the links were."""

import dataclasses
import json

import pytest

from ponikeeper_client.documents import (
    RECORDED,
    configuration,
    geometry,
    in_units_of_joint,
    matched_keys,
    recorded_model,
    warn_once,
)
from rails import NEAR
from recalling import configured, placed, snapshot
from travelled import Travel


@pytest.fixture
def travel():
    return Travel((1010.0, 1200.0))


def text(found):
    return configuration(found, "pe1_calib").data["pe1_calib_model"]


def test_model_is_recorded_with_its_revision_and_the_position_for_which_it_gave_the_geometry(travel):
    found = travel.snapshot(2)
    values = json.loads(text(found))
    assert (values["revision"], values["uid"], values["checksum"]) == (3, found.uid, found.checksum)
    assert values["position"] == {"z": {"value": 1200.0, "units": "mm"}}
    recorded = recorded_model(text(found))
    assert (recorded.model, recorded.joints, recorded.uid) == (travel.model, {"z": 1200.0}, found.uid)
    assert (recorded.place, recorded.problem) == ("z = 1200 mm", "")
    assert recorded.model.geometry_at(recorded.joints) == found.geometry


def test_revision_that_is_no_model_is_recorded_as_an_empty_text():
    assert "model" in RECORDED
    assert text(snapshot(placed(1, NEAR))) == text(snapshot(None)) == ""
    assert recorded_model("") is recorded_model(None) is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"model": {"kind": "newer"}}, "cannot be read"),
        ({"model": 5}, "cannot be read"),
        ({"position": {}}, "did not record for which z"),
        ({"position": {"z": {"value": 1.0, "units": "deg"}}}, "did not record for which z"),
        ({"position": None}, "did not record for which z"),
    ],
)
def test_model_that_cannot_be_read_says_why(travel, change, problem):
    recorded = recorded_model(json.dumps({**json.loads(text(travel.snapshot(1))), **change}))
    assert problem in recorded.problem


def test_text_that_is_no_json_is_a_problem_and_no_error():
    assert "cannot be read" in recorded_model("{").problem


@pytest.mark.parametrize(
    ("source", "pv", "matches"),
    [
        ("PV:X:m1.RBV", "X:m1.RBV", True),
        ("ca://X:m1.RBV", "X:m1.RBV", True),
        ("pva://X:m1.RBV", "X:m1.RBV", True),
        ("PV:X:m1", "X:m1", True),
        ("PV:X:m1.VAL", "X:m1", True),
        ("PV:X:m1", "X:m1.VAL", True),
        ("PV:X:m1.RBV", "X:m1", True),
        ("PV:X:m1.VAL", "X:m1.RBV", False),
        ("PV:X:m1", "X:m1.RBV", False),
        ("PV:X:m1.RBV", "X:m1.DRBV", False),
        ("PV:X:m2.RBV", "X:m1.RBV", False),
        ("SIM:X:m1.RBV", "X:m1.RBV", False),
        ("X:m1.RBV", "X:m1.RBV", False),
        ("", "X:m1.RBV", False),
    ],
)
def test_columns_are_matched_by_source(source, pv, matches):
    keys = {"other": {"source": "PV:Y"}, "m1": {"source": source}}
    assert matched_keys(keys, {"z": pv}) == ({"z": "m1"} if matches else {})


def test_exact_source_is_preferred_to_the_readback_of_a_bare_record():
    keys = {"readback": {"source": "PV:X:m1.RBV"}, "m1": {"source": "PV:X:m1"}}
    assert matched_keys(keys, {"z": "X:m1"}) == {"z": "m1"}


@pytest.mark.parametrize(
    ("value", "key", "units", "expected"),
    [
        (1000050.0, {"units": "um"}, "mm", 1000.05),
        (1.5, {"units": " mm "}, "mm", 1.5),
        (1.5, {}, "mm", 1.5),
        (1.5, {"units": None}, "mm", 1.5),
        (1.5, {"units": ""}, "mm", 1.5),
        (1.5, {"units": "deg"}, "mm", None),
        (1.5, {"units": "keV"}, "eV", 1500.0),
    ],
)
def test_units_of_a_column_are_converted(value, key, units, expected):
    assert in_units_of_joint(value, key, units) == expected


def test_links_that_were_not_known_leave_the_model(travel):
    recorded = recorded_model(text(dataclasses.replace(travel.snapshot(1), link_states=None)))
    assert recorded.joints == {"z": 1010.0}


def test_geometry_of_a_descriptor_says_for_which_position_it_is(travel, caplog):
    warn_once.cache_clear()
    found = travel.snapshot(2)
    assert geometry({"configuration": configured(found)}) == found.geometry
    (record,) = caplog.records
    assert "is what a model gave for z = 1200 mm: ponikeeper_client.geometries(run)" in record.message
    caplog.clear()
    geometry({"configuration": configured(snapshot(placed(1, NEAR)))})
    assert caplog.records == []
