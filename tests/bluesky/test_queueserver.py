"""The plans in a queue: the real manager of bluesky-queueserver, its worker, and a live IOC."""

import ast
import contextlib
import re
from dataclasses import replace

import numpy as np
import pytest

import on_rail
from calibrating import Panel, off_px
from live import wait_for
from ponikeeper.errors import CalibrationError, GeometryError
from ponikeeper.geometry import Geometry, poni
from ponikeeper.protocol import parse_links
from ponikeeper_client import documents
from ponikeeper_client.demo import nickel
from ponikeeper_client.demo.story import NEAR
from ponikeeper_client.plans import Nominal
from ponikeeper_client.queueserver import start_from
from queueing import managing
from speak import GEOMETRY, commit_text, get, put, request

TRUTH = replace(NEAR, dist=0.2391, poni1=0.2013, poni2=0.2052, rot1=0.011, rot2=-0.006)
START = {"dist": 0.25, "detector": "Perkin", "pixel": [4e-4, 4e-4]}
RIGHT = 0.1
PLACES = {"near": 200.0, "far": 1000.0}
DISTANCES = {"near": 0.2, "far": 1.0}

STARTUP = """
import json
from pathlib import Path

import numpy as np
from bluesky import RunEngine
from bluesky.plans import count
from ophyd import Signal

from calibrating import Panel
from on_rail import OnRail
from ponikeeper_client.guard import calibration_guard
from ponikeeper_client.queueserver import arrive, at_positions, calibrate, calibrate_travel
from stages import Stage

pe1 = Panel("{pe1}", name="pe1")
pe2 = Panel("{pe2}", name="pe2")
pe3 = Panel("{pe3}", name="pe3")
pe4 = Panel("{pe4}", name="pe4")
pe5 = OnRail("{pe5}", name="pe5")
stage = Stage("{stage}", name="stage")
shutter = Signal(name="shutter", value="closed")
for device in (pe1, pe2, pe3, pe4, pe5, stage):
    device.wait_for_connection(timeout=30)
pe5.rail = stage
for panel in (pe1, pe3, pe4):
    panel.frames = [np.load("{folder}/frame.npy")]
pe1.meanwhile = lambda: Path("{folder}/shutter").write_text(shutter.get())


def keep(kind, document):
    if kind == "start":
        keep.uid = document["uid"]
    with open(f"{folder}/{{keep.uid}}.jsonl", "a") as file:
        print(json.dumps([kind, document], default=str), file=file)


RE = RunEngine({{}}, call_returns_result=True)
RE.preprocessors.append(calibration_guard)
RE.subscribe(keep)
"""


@pytest.fixture(scope="module")
def linked(make_ioc_for_module, motors):
    """An IOC that was calibrated at two positions."""
    links = "settle = 0.2\n" + motors.link("z", "Z:RBV", moving="Z:MOVN")
    more = dict.fromkeys(("{Det:1}Calib:", "{Det:2}Calib:"), links)
    ioc = make_ioc_for_module(detectors=tuple(more), more=more, other_ports=(motors.port,)).start()
    for name, place in PLACES.items():
        text = commit_text(name, geometry={**GEOMETRY, "dist": DISTANCES[name]}, label=name, position={"z": place})
        assert request(ioc.prefix, text)["outcome"] == "accepted"
    return ioc


@pytest.fixture(scope="module")
def watched(make_ioc_for_module, motors):
    """An IOC that compares the energy: with a motor for one detector, with a PV that does not exist for the other."""
    settle = "settle = 0.2\nfollow = false\n"
    energy = motors.link("energy", "Energy", kind="energy", units="keV", tolerance=1e-4)
    more = {
        "{Det:1}Calib:": settle + motors.link("y", "Y:RBV") + energy,
        "{Det:2}Calib:": settle + motors.link("gone", "Gone:RBV") + energy,
    }
    return make_ioc_for_module(detectors=tuple(more), more=more, other_ports=(motors.port,)).start()


@pytest.fixture(scope="module")
def prefixes(fresh_prefix, linked, watched):
    pe3, pe4 = watched.prefixes
    pe2, pe5 = linked.prefixes
    return {"pe1": fresh_prefix(), "pe2": pe2, "pe3": pe3, "pe4": pe4, "pe5": pe5}


@pytest.fixture(scope="module")
def queue(prefixes, motors, tmp_path_factory):
    folder = tmp_path_factory.mktemp("queue")
    np.save(folder / "frame.npy", nickel.image(TRUTH, (1024, 1024), seed=1))
    parts = {name: prefix.removesuffix("Calib:") for name, prefix in prefixes.items()}
    with managing(folder, STARTUP.format(**parts, stage=motors.name, folder=folder)) as queue:
        yield queue


@pytest.fixture
def pe1(make, prefixes):
    return make(Panel, prefixes["pe1"].removesuffix("Calib:"))


def test_plans_are_offered_with_types_defaults_and_descriptions(queue):
    found = queue.ask("plans_allowed", user_group="primary")["plans_allowed"]
    record = {one["name"]: one for one in found["calibrate"]["parameters"]}
    assert found["calibrate"]["description"].startswith("Expose a powder standard")
    assert all("annotation" in one and "description" in one for one in record.values())
    assert record["detectors"]["convert_device_names"]
    assert record["calibs"]["convert_device_names"]
    assert ast.literal_eval(record["num"]["default"]) == 1
    assert "default" not in record["calibrant"], "the standard is never guessed"
    assert {one["name"] for one in found["at_positions"]["parameters"]} >= {"detectors", "motor", "positions"}
    travel = {one["name"]: one for one in found["calibrate_travel"]["parameters"]}
    assert all("annotation" in one and "description" in one for one in travel.values())
    assert travel["motors"]["convert_device_names"]


def test_calibration_from_the_queue_is_active_and_the_history_names_its_run(queue, pe1):
    result = queue.run(
        "calibrate", detectors=["pe1"], calibs=["pe1.calib"], calibrant="Ni", start=START, wavelength=1.663e-11,
        label="near", shutter="shutter", shutter_open="open", shutter_closed="closed", md={"sample": "Ni"},
    )  # fmt: skip
    assert (result["exit_status"], result["msg"]) == ("completed", "")
    (uid,) = result["run_uids"]
    snapshot = pe1.calib.read_snapshot()
    assert (snapshot.revision, snapshot.label, snapshot.provenance["run_uid"]) == (1, "near", uid)
    assert off_px(snapshot.geometry, TRUTH) < RIGHT
    assert queue.documents(uid, "start")[0]["sample"] == "Ni"
    assert (queue.folder / "shutter").read_text() == "open"


def test_rejected_calibration_fails_with_its_reason(queue):
    result = queue.run("calibrate", detectors=["pe2"], calibrant="Ni", start=START, wavelength=1.663e-11)
    assert result["exit_status"] == "failed"
    assert "pe2: no rings of Ni were found" in result["msg"]
    assert "nothing was activated" in result["msg"]


def puts(motors, values):
    for suffix, value in values.items():
        assert put(motors.pv(suffix), value) is None


@pytest.fixture
def links_change(motors):
    """Change linked PVs for the duration of a test."""
    with contextlib.ExitStack() as after:

        def change(**values):
            names = {"energy": "Energy", "units": "Y:RBV.EGU"}
            after.callback(puts, motors, {"Energy": 74.69, "Y:RBV.EGU": "mm"})
            puts(motors, {names[name]: value for name, value in values.items()})

        yield change


def state_of(prefixes, panel, number=0):
    return parse_links(get(f"{prefixes[panel]}Links_RBV"))[number]


def calibrate_from_the_queue(queue, panel):
    """Return the entry in the queue's history, and what the queue's console printed meanwhile."""
    before = len(queue.log.read_text())
    result = queue.run("calibrate", detectors=[panel], calibrant="Ni", start=START, wavelength=1.663e-11)
    return result, queue.log.read_text()[before:]


@pytest.mark.parametrize(
    ("panel", "change", "status", "link"),
    [
        ("pe3", {}, "VALID", None),
        ("pe3", {"units": "V"}, "UNKNOWN", "y"),
        ("pe4", {}, "UNKNOWN", "gone"),
    ],
    ids=["at rest", "other units", "disconnected"],
)
def test_queue_prints_whether_the_new_geometry_applies(queue, prefixes, links_change, panel, change, status, link):
    links_change(**change)
    wait_for(lambda: state_of(prefixes, panel).unknown_because is None or link, what="the links at rest")
    wait_for(lambda: not change or state_of(prefixes, panel).unknown_because, what="the other units")
    result, printed = calibrate_from_the_queue(queue, panel)
    assert (result["exit_status"], result["msg"]) == ("completed", "")
    title = re.search(rf"{panel}: revision \d+ is active, ([^│]*)", printed)
    assert title, printed
    assert title[1].startswith(status)
    assert link is None or link in title[1]


def test_queue_reports_a_wavelength_that_contradicts_the_energy(queue, prefixes, links_change):
    links_change(energy=1.1 * 74.69)
    wait_for(lambda: state_of(prefixes, "pe3", 1).value == 1.1 * 74.69, what="the energy")
    result, printed = calibrate_from_the_queue(queue, "pe3")
    assert result["exit_status"] == "failed"
    assert "1.663e-11 m" in result["msg"]
    assert "82.159" in result["msg"] or "1.509" in result["msg"], result["msg"]
    assert "is active" not in printed


def test_count_from_the_queue_records_the_geometry_and_is_guarded(queue, pe1):
    pe1.calib.set(TRUTH).wait(timeout=30)
    result = queue.run("count", detectors=["pe1"], num=2)
    assert result["exit_status"] == "completed"
    (descriptor,) = queue.documents(result["run_uids"][0], "descriptor")
    assert documents.geometry(descriptor) == TRUTH


@pytest.mark.parametrize("positions", [PLACES, [*PLACES]], ids=["places", "labels"])
def test_positions_of_the_queue_are_measured_with_their_own_geometries(queue, positions):
    result = queue.run("at_positions", detectors=["pe2"], motor="stage", positions=positions)
    assert (result["exit_status"], len(result["run_uids"])) == ("completed", 2)
    found = {}
    for uid in result["run_uids"]:
        (descriptor,) = queue.documents(uid, "descriptor")
        found[queue.documents(uid, "start")[0]["position"]] = documents.geometry(descriptor, "pe2").dist
    assert found == DISTANCES


def test_detector_of_the_queue_arrives_at_a_label(queue):
    result = queue.run("arrive", detectors=["pe2"], position="near", motor="stage")
    assert (result["exit_status"], result["msg"]) == ("completed", "")
    result = queue.run("arrive", detectors=["pe2"], position="middle", motor="stage")
    assert result["exit_status"] == "failed"
    assert "there is no revision labelled middle: the history has labels far, near" in result["msg"]


def test_travel_of_the_queue_leads_to_a_model(queue, make, prefixes):
    places = {"first": on_rail.FIRST, "last": 300.0}
    starts = [on_rail.truth(place).as_dict() for place in places.values()]
    result = queue.run(
        "calibrate_travel", detectors=["pe5"], motors=["stage"], positions=places, calibrant="Ni", start=starts,
        label="travel",
    )  # fmt: skip
    assert (result["exit_status"], result["msg"], len(result["run_uids"])) == ("completed", "", 2)
    calib = make(Panel, prefixes["pe5"].removesuffix("Calib:"), "pe5").calib
    snapshot = calib.read_snapshot()
    assert (snapshot.revision, snapshot.label, snapshot.status) == (3, "travel", "VALID")
    assert "model" in snapshot.provenance


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"motors": ["stage", "stage"]}, "2 motors are given: expected one, or links="),
        ({"motors": ["stage"], "links": ["z", "x"]}, "1 motors and 2 links: expected one for each"),
        ({"motors": ["stage"], "positions": [200.0]}, "1 calibration cannot determine"),
        ({"motors": ["stage"], "ranges": {"z": [1.0]}}, "ranges: z has .1.0., expected the lowest and the highest"),
    ],
)
def test_travel_that_cannot_lead_to_a_model_fails_before_anything_moves(queue, parameters, says):
    asked = {"detectors": ["pe5"], "positions": [200.0, 300.0], "calibrant": "Ni", **parameters}
    result = queue.run("calibrate_travel", **asked)
    assert (result["exit_status"], result["run_uids"]) == ("failed", [])
    assert re.search(says, result["msg"])


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"detectors": ["pe1"], "calibrant": "Ni", "method": "gui"}, "method"),
        ({"detectors": ["pe1"], "calibrant": "Ni", "num": "many"}, "num"),
        ({"calibrant": "Ni"}, "detectors"),
        ({"detectors": ["pe1"]}, "calibrant"),
        ({"detectors": ["pe1"], "calibrant": "Ni", "db": "catalog"}, "db"),
    ],
)
def test_request_of_a_wrong_type_is_refused_before_it_is_queued(queue, parameters, says):
    with pytest.raises(RuntimeError, match=says):
        queue.run("calibrate", **parameters)


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"detectors": ["pe9"], "calibrant": "Ni"}, "pe9: no device of that name"),
        ({"detectors": ["pe1"], "calibs": ["pe1.image"], "calibrant": "Ni"}, "pe1_image is no calibration"),
        ({"detectors": ["pe1"], "calibrant": "Ni", "start": {"distance": 0.25}}, "is no start of a fit"),
    ],
)
def test_request_that_cannot_be_run_fails_with_what_to_write_instead(queue, parameters, says):
    result = queue.run("calibrate", **parameters)
    assert (result["exit_status"], result["run_uids"]) == ("failed", [])
    assert says in result["msg"]


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"motor": "z9"}, "z9: no device of that name"),
        ({"num": 0}, "num=0 is not allowed: expected a number of exposures"),
        ({"positions": {}}, "no positions are given"),
    ],
)
def test_positions_that_cannot_be_measured_fail_with_what_to_write_instead(queue, parameters, says):
    asked = {"detectors": ["pe2"], "motor": "stage", "positions": PLACES, **parameters}
    result = queue.run("at_positions", **asked)
    assert (result["exit_status"], result["run_uids"]) == ("failed", [])
    assert says in result["msg"]


def test_start_is_a_file_a_nominal_distance_or_a_geometry(tmp_path):
    assert start_from(None) is None
    assert start_from("near.poni") == "near.poni"
    assert start_from(START) == Nominal(0.25, "Perkin", pixel=(4e-4, 4e-4))
    assert start_from({"detector": "Perkin"}) == Nominal(detector="Perkin")
    assert start_from(GEOMETRY) == Geometry(**GEOMETRY)
    assert start_from(poni.read(poni.write(TRUTH)).as_dict()) == TRUTH


@pytest.mark.parametrize("start", [{}, {"dist": "0.25"}, {"dist": 0.25, "detektor": "Perkin"}])
def test_invalid_start_is_reported_with_the_valid_ones(start):
    with pytest.raises(CalibrationError, match="expected what is known, of dist, detector"):
        start_from(start)


def test_start_of_an_incomplete_geometry_reports_what_is_missing():
    with pytest.raises(GeometryError, match="wavelength"):
        start_from({name: value for name, value in GEOMETRY.items() if name != "wavelength"})
