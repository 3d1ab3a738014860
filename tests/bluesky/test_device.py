"""The device records one complete, current snapshot, or nothing at all."""

import html
import time

import numpy as np
import pytest
from ophyd import Component as Cpt
from ophyd import Device, Signal
from ophyd.utils import ReadOnlyError

from epics import ca

import speak
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.parameters import NAMES, PARAMETERS
from ponikeeper.protocol import Snapshot
from ponikeeper.protocol.status import Status
from ponikeeper_client.device import CalibrationData
from speak import GEOMETRY, commit_text

DECISION = ("reason", "findings", "link_states", "covariance", "valid_within", "model", "files", "integration")
BESIDE = ("detector_config", "revision", "revision_uid", "serial", "checksum", "label", "status")


@pytest.fixture(scope="module")
def committed(fresh_prefix):
    """Prefix of a detector with a first commit, and its snapshot as another client reads it."""
    prefix = fresh_prefix()
    text = commit_text("begin", geometry={**GEOMETRY, "detector_config": {"orientation": 2}}, label="near")
    assert speak.request(prefix, text)["outcome"] == "accepted"
    return prefix, Snapshot.from_json(speak.get(f"{prefix}Snapshot_RBV"))


@pytest.fixture
def calib(make, committed):
    return make(CalibrationData, committed[0], "area_detector_calib")


class XpdAcqCalibration(Device):
    """The device of soft signals that analysis codes know, as xpdAcq defines it."""

    dist = Cpt(Signal, value=1.0, kind="config")
    poni1 = Cpt(Signal, value=1.0, kind="config")
    poni2 = Cpt(Signal, value=1.0, kind="config")
    rot1 = Cpt(Signal, value=1.0, kind="config")
    rot2 = Cpt(Signal, value=1.0, kind="config")
    rot3 = Cpt(Signal, value=1.0, kind="config")
    pixel1 = Cpt(Signal, value=1.0, kind="config")
    pixel2 = Cpt(Signal, value=1.0, kind="config")
    wavelength = Cpt(Signal, value=1.0, kind="config")
    detector = Cpt(Signal, value="Perkin detector", kind="config")


def test_ten_keys_have_names_types_and_shapes_of_the_soft_device_they_replace(calib):
    soft = XpdAcqCalibration(name="area_detector_calib").describe_configuration()
    ours = calib.describe_configuration()
    assert {key: (row["dtype"], list(row["shape"])) for key, row in soft.items()} == {
        key: (ours[key]["dtype"], ours[key]["shape"]) for key in soft
    }


def test_recorded_values_are_bit_exact_the_active_ones(calib, committed):
    recorded = calib.read_configuration()
    snapshot = committed[1]
    assert {name: recorded[f"area_detector_calib_{name}"]["value"] for name in NAMES} == GEOMETRY
    beside = {name: recorded[f"area_detector_calib_{name}"]["value"] for name in BESIDE}
    assert beside == {
        "detector_config": '{"orientation": 2}', "revision": 1, "revision_uid": snapshot.uid, "serial": 1,
        "checksum": snapshot.checksum, "label": "near", "status": "UNWATCHED",
    }  # fmt: skip
    decision = {name: recorded[f"area_detector_calib_{name}"]["value"] for name in DECISION}
    assert decision == {
        "reason": "no links are configured: nothing checks this geometry",
        "findings": '[{"status": "UNWATCHED", "link": ""}]', "link_states": "[]", "covariance": "",
        "valid_within": "", "model": "", "files": "", "integration": "",
    }  # fmt: skip
    assert len(recorded) == len(NAMES) + len(BESIDE) + len(DECISION)


def test_every_timestamp_is_the_activations(calib, committed):
    stamps = {row["timestamp"] for row in calib.read_configuration().values()}
    assert stamps == {speak.run(_stamp(committed[0]))}


async def _stamp(prefix):
    import aioca

    return (await aioca.caget(f"{prefix}Dist_RBV", format=aioca.FORMAT_TIME)).timestamp


def test_data_keys_name_the_readbacks_and_units(calib, committed):
    described = calib.describe_configuration()
    assert list(described) == list(calib.read_configuration())
    for name, parameter in PARAMETERS.items():
        row = described[f"area_detector_calib_{name}"]
        assert row["source"] == f"PV:{getattr(calib, name).pvname}"
        assert row["units"] == parameter.unit
    assert described["area_detector_calib_detector"]["source"] == f"PV:{committed[0]}Detector_RBV"


def test_every_part_is_configuration_and_none_is_read(calib):
    assert set(calib.configuration_attrs) == {*NAMES, *BESIDE}
    assert calib.read() == {}


def test_unset_is_recorded_without_numbers(make, prefix):
    calib = make(CalibrationData, prefix, "c")
    recorded = {key: row["value"] for key, row in calib.read_configuration().items()}
    assert recorded == {
        "c_detector_config": "{}", "c_revision": 0, "c_revision_uid": "", "c_serial": 0, "c_checksum": "",
        "c_label": "", "c_status": "UNSET", "c_findings": '[{"status": "UNSET", "link": ""}]', "c_link_states": "[]",
        "c_covariance": "", "c_valid_within": "", "c_model": "", "c_files": "",
        "c_integration": "", "c_reason": calib.read_snapshot().reason,
    }  # fmt: skip
    assert recorded["c_reason"].startswith("no geometry was ever committed: ")
    assert list(calib.describe_configuration()) == list(recorded)


def test_no_value_is_ever_none(calib, make, prefix):
    for device in (calib, make(CalibrationData, prefix, "c")):
        assert all(row["value"] is not None for row in device.read_configuration().values())


@pytest.mark.parametrize("name", BESIDE)
def test_value_derived_from_the_snapshot_can_be_read_by_itself_but_not_set(calib, name):
    signal = getattr(calib, name)
    assert signal.read() == {signal.name: calib.read_configuration()[signal.name]}
    assert signal.describe() == {signal.name: calib.describe_configuration()[signal.name]}
    assert signal.get() == signal.read()[signal.name]["value"]
    for change in (signal.set, signal.put):
        with pytest.raises(ReadOnlyError, match="set a value of the geometry instead"):
            change(signal.get())


def test_commit_that_another_client_saw_acknowledged_is_read_at_once(make, prefix):
    """The acknowledgement may reach the other client before the monitor reaches this one."""
    calib = make(CalibrationData, prefix, "c")
    speak.request(prefix, commit_text("0", geometry=GEOMETRY))
    for number in range(1, 100):
        dist = 0.2 + number * 1e-3
        result = speak.request(prefix, commit_text(str(number), geometry={"dist": dist}))
        recorded = calib.read_configuration()
        assert (recorded["c_serial"]["value"], recorded["c_dist"]["value"]) == (result["serial"], dist)


@pytest.mark.parametrize("value", [ord("{"), np.frombuffer(b"{\0\0\0", np.uint8)], ids=["number", "array"])
def test_text_of_one_character_is_got_without_sharing_a_reply(calib, value):
    """Gets of pyepics share a reply: one of all elements would read what lies in memory behind that of one element."""
    links = calib.links.newest(time.monotonic() + 10)
    with calib.links.in_use() as pv:
        for _ in range(20):
            ca.get_with_metadata(pv.chid, ftype=pv.ftype, count=1, wait=False, as_string=False)
            pv._args["value"] = value
            assert calib.links.newest(time.monotonic() + 10) == links


def test_rollback_gives_the_old_revision_a_new_serial(make, prefix):
    calib = make(CalibrationData, prefix, "c")
    speak.request(prefix, commit_text("first", geometry=GEOMETRY, label="near"))
    speak.request(prefix, commit_text("second", geometry={"dist": 0.5}))
    speak.put(f"{prefix}Activate", "near")
    recorded = {key: row["value"] for key, row in calib.read_configuration().items()}
    assert (recorded["c_revision"], recorded["c_serial"], recorded["c_dist"]) == (1, 3, GEOMETRY["dist"])


def test_prefix_is_appended_to_the_parents(make, committed):
    class Panel(Device):
        calib = Cpt(CalibrationData, "Calib:", kind="config")

    panel = make(Panel, committed[0].removesuffix("Calib:"), "panel")
    assert panel.read_configuration()["panel_calib_dist"]["value"] == GEOMETRY["dist"]


def test_full_prefix_works_on_a_parent_without_one(make, committed):
    class Panel(Device):
        calib = Cpt(CalibrationData, committed[0], kind="config")

    panel = make(Panel, "", "panel")
    assert panel.read_configuration()["panel_calib_label"]["value"] == "near"


def test_status_has_the_names_of_the_contract(calib):
    assert calib.status_pv.enum_strs == tuple(Status.__members__)


def test_repr_has_status_and_geometry_in_both_systems_of_units(calib, committed):
    text = repr(calib)
    for part in (committed[0], "UNWATCHED", "revision 1 near", "0.2345 m", "234.5 mm", "0.166 Å", "1.66e-11 m", "rad"):
        assert part in text


def test_html_has_a_row_for_each_value_and_escapes_what_it_shows(make, prefix):
    calib = make(CalibrationData, prefix, "c")
    geometry = Geometry(**{**GEOMETRY, "detector": "<b>&"})
    calib.set(geometry).wait(timeout=30)
    text = calib._repr_html_()
    assert html.escape("<b>&") in text
    assert "<b>&<" not in text
    assert all(f"<td>{name}</td>" in text for name in (*NAMES, "beam centre"))


def test_repr_of_a_disconnected_device_returns_at_once():
    calib = CalibrationData("NO{Such}Calib:", name="lost")
    began = time.monotonic()
    assert "not connected" in repr(calib)
    assert "not connected" in calib._repr_html_()
    assert time.monotonic() - began < 5.0
    calib.destroy()


def test_unknown_on_disconnect_is_refused():
    with pytest.raises(ValueError, match='expected "raise" or "record"'):
        CalibrationData("NO{Such}Calib:", name="lost", on_disconnect="ignore")
