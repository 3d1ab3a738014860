"""Runs that move a detector with a model: one descriptor, and the geometry of each event comes back to the last bit."""

import json
import os
import random
import subprocess
import sys
import uuid

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import pytest
from ophyd import Component as Cpt
from ophyd import Device, Signal

import catalogs as catalogs_of
import speak
from live import TIMEOUT, wait_for
from motion import move
from ponikeeper.geometry import Geometry
from ponikeeper.history import history_file
from ponikeeper.protocol import request_text
from ponikeeper_client import geometries, read_history, recorded
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.guard import calibration_guard
from rails import FAR, MIDDLE, NEAR, at, calibration, commit_of, rail
from wire import new_request

DETECTOR = "{Det:1}Calib:"
FEW, MANY = 40, 200
EXACT = 1e-12
NUMBERS = ("dist", "poni1", "poni2", "rot1", "rot2", "rot3", "wavelength")

ELSEWHERE = """
import json, sys
from ponikeeper_client import geometries
documents = [tuple(pair) for pair in json.load(open(sys.argv[1]))]
history = sys.argv[2] if len(sys.argv) > 2 else None
print(json.dumps([[one.seq_nums[0], one.computed, one.status, one.geometry.as_stored()]
                  for one in geometries(documents, history=history)]))
"""
NOWHERE = {"EPICS_CA_ADDR_LIST": "127.0.0.1:1", "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2"}


class Panel(Device):
    """A detector whose data are numbers."""

    total = Cpt(Signal, value=1.0, kind="normal")
    calib = Cpt(CalibrationData, "Calib:", kind="config")


def execute(prefix, made):
    """Put a request, and return the revision that it leads to."""
    text = json.dumps({**json.loads(request_text(made)), "request": uuid.uuid4().hex})
    result = speak.request(prefix, text)
    assert result["outcome"] == "accepted", result
    return result["revision"]


@pytest.fixture(scope="module")
def keeper(make_ioc_for_module, motors):
    links = motors.link("z", "Z:RBV", moving="Z:MOVN", tolerance=1.0) + motors.link("y", "Y:RBV", moving="Y:MOVN")
    more = {DETECTOR: "settle = 0.1\n" + links}
    return make_ioc_for_module(detectors=(DETECTOR,), more=more, other_ports=(motors.port,)).start()


@pytest.fixture
def panel(make, keeper):
    return make(Panel, keeper.prefix.removesuffix("Calib:"), "pe1")


@pytest.fixture
def go(panel, motors):
    """Return a function that moves the detector, and waits until the IOC has a geometry for the place."""

    def gone(place, status="VALID"):
        move(motors, place)

        def is_there():
            now = panel.calib.read_snapshot()
            return now.status == status and (status != "VALID" or now.position["z"]["value"] == place) and now

        return wait_for(is_there, what=f"{status} at {place}")

    return gone


@pytest.fixture
def model(panel, keeper, motors, go):
    """Calibrate at three places, and commit a model of these."""
    members, y = [], speak.get(motors.pv("Y:RBV"))
    for place in (NEAR, MIDDLE, FAR):
        position = {"z": place, "y": float(y)}
        number = execute(keeper.prefix, new_request(calibration(rail(), place), position=position))
        members.append((number, panel.calib.read_snapshot().uid))
    made = rail(members=tuple(members))
    execute(keeper.prefix, commit_of(made, {"y": float(y)}))
    go(MIDDLE)
    return made


@pytest.fixture
def documents_of(run_engine):
    """Return a function that runs a plan, and returns its documents as they came."""

    def run(plan):
        found = []
        run_engine(plan, lambda kind, document: found.append((kind, document)))
        return found

    return run


@pytest.fixture(scope="module")
def catalogs(tmp_path_factory):
    with catalogs_of.serving(tmp_path_factory.mktemp("tiled")) as (_, client, broker):
        yield catalogs_of.Catalogs(client.create_container(uuid.uuid4().hex), broker)


def scan(panel, stage, go, motors, places, between):
    """Return a plan that reads at rest at each place, and on the way, where nothing rests; and the truth."""
    truth = []

    @bpp.stage_decorator([panel, stage])
    @bpp.run_decorator(md={"detectors": [panel.name]})
    def plan():
        for place in places:
            if between:
                halfway = round(place * 0.999 + 1.0, 4)
                speak.put(motors.pv("Z:MOVN"), 1)
                speak.put(motors.pv("Z:RBV"), halfway)
                wait_for(lambda halfway=halfway: stage.position == halfway)
                yield from bps.trigger_and_read([panel, stage])
                truth.append((halfway, None))
            now = go(place)
            truth.append((place, now.geometry))
            wait_for(lambda place=place: stage.position == place)
            yield from bps.trigger_and_read([panel, stage])

    return plan(), truth


def places(count):
    source = random.Random(count)
    return [round(source.uniform(NEAR - 30, FAR + 30), 3) for _ in range(count)]


def farthest(one, other):
    return max(abs(getattr(one, name) - getattr(other, name)) for name in NUMBERS)


def elsewhere(documents, tmp_path, *history):
    """Recall a run in another process, without the IOC."""
    path = tmp_path / "documents.json"
    path.write_text(json.dumps(documents))
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(path), *map(str, history)],
        capture_output=True, text=True, timeout=TIMEOUT, check=False, env={**os.environ, **NOWHERE},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.campaign)])
@pytest.mark.parametrize("between", [False, True])
def test_geometry_of_each_event_of_a_scan_comes_back_on_another_machine(
    panel, stage, go, motors, model, documents_of, catalogs, keeper, tmp_path, count, between
):
    plan, truth = scan(panel, stage, go, motors, places(count), between)
    documents = documents_of(calibration_guard(plan, moving=["z"], on_status="fail"))
    assert [kind for kind, _ in documents].count("descriptor") == 1
    file = tmp_path / "history.jsonl"
    file.write_bytes(history_file.write(read_history(keeper.prefix)))
    rests = [number for number, (_, geometry) in enumerate(truth, 1) if geometry is not None]
    exact = wrong = 0

    def check(found, has_history):
        nonlocal exact, wrong
        assert [number for number, *_ in found] == [*range(1, len(truth) + 1)]
        for (_, computed, status, geometry), (place, recorded_one) in zip(found, truth, strict=True):
            assert status == "VALID"
            wrong += farthest(geometry, recorded_one or at(model, place)) > EXACT
            if recorded_one is not None and has_history:
                assert computed == ""
                wrong += geometry != recorded_one
                exact += geometry == recorded_one
            elif recorded_one is None:
                assert computed == f"z = {place:.10g} mm"

    uid = catalogs.insert(documents)
    for name, run in {"documents": documents, **catalogs.runs(uid)}.items():
        for history in (None, file):
            results = geometries(run, history=history)
            found = [(one.seq_nums[0], one.computed, one.status, one.geometry) for one in results]
            check(found, history is not None)
        first = recorded(run)[0]
        assert (first.seq_nums[0], first.geometry is None) == (1, between), name
    for given in ([], [file]):
        rows = elsewhere(documents, tmp_path, *given)
        check([(*row, Geometry.parse(values)) for *row, values in rows], bool(given))
    assert exact == 5 * len(rests)
    print(f"{len(truth)} events, {len(rests)} at rest: {exact} bit-exact in 5 recalls, with another geometry: {wrong}")
    assert wrong == 0
