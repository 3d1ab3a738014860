"""Runs that move a detector with a model: one descriptor, and the geometry of each event comes back to the last bit."""

import json
import os
import random
import subprocess
import sys
import threading
import time
import uuid

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import pytest
from event_model import compose_run
from ophyd import Component as Cpt
from ophyd import Device, Signal
from ophyd.sim import NullStatus

import catalogs as catalogs_of
import speak
from live import TIMEOUT, wait_for
from motion import move
from ponikeeper.errors import NoGeometryError, NotValidError
from ponikeeper.geometry import Geometry
from ponikeeper.history import history_file
from ponikeeper.protocol import Activate, Retract, request_text
from ponikeeper_client import azimuthal_integrator, best_known, geometries, read_history, recorded, write_poni
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.guard import calibration_guard
from ponikeeper_client.recall._affected import find_affected
from ponikeeper_client.recall._lookup import look_up
from rails import FAR, MIDDLE, NEAR, at, calibration, commit_of, rail
from recalling import configured
from stages import Stage
from travelled import MOVES
from wire import new_request

DETECTOR = "{Det:1}Calib:"
FEW, MANY = 16, 200
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


# --- what a guard records


def step(panel, go, places, devices, statuses=()):
    """Return a plan that reads at rest at each place."""

    @bpp.stage_decorator(devices)
    @bpp.run_decorator(md={"detectors": [panel.name]})
    def plan():
        for place, status in [*((place, "VALID") for place in places), *statuses]:
            go(place, status)
            for device in devices:
                if isinstance(device, Stage):
                    wait_for(lambda device=device, place=place: device.position == place)
            yield from bps.trigger_and_read(devices)

    return plan()


def descriptors(documents):
    return [document for kind, document in documents if kind == "descriptor"]


PLACES = (1010.0, 1100.5, 1390.25)


def test_scan_whose_motor_is_read_needs_no_declaration(panel, stage, go, model, documents_of):
    documents = documents_of(calibration_guard(step(panel, go, PLACES, [panel, stage]), on_change="fail"))
    assert len(descriptors(documents)) == 1
    assert [one.position["z"] for one in geometries(documents)] == [*PLACES]


def test_scan_whose_motor_is_not_read_has_a_descriptor_for_each_rest(panel, go, model, documents_of):
    documents = documents_of(calibration_guard(step(panel, go, PLACES, [panel])))
    assert len(descriptors(documents)) == len(PLACES)
    for found in (recorded(documents), geometries(documents)):
        assert [one.geometry for one in found] == pytest.approx([at(model, place) for place in PLACES])


def test_each_rest_can_have_a_descriptor(panel, stage, go, model, documents_of, keeper):
    plan = calibration_guard(step(panel, go, PLACES, [panel, stage]), moving=["z"], each_rest=True)
    documents = documents_of(plan)
    assert len(descriptors(documents)) == len(PLACES)
    known = recorded(documents)
    assert [one.seq_nums for one in known] == [(1,), (2,), (3,)]
    history = read_history(keeper.prefix)
    assert [one.geometry for one in known] == [each.geometry for each in history.derived[-3:]]
    assert [one.geometry for one in best_known(documents, history=history)] == [one.geometry for one in known]


def test_motor_that_is_declared_but_not_read_is_named_by_the_user_or_nothing_is_returned(
    panel, go, model, documents_of, keeper, caplog
):
    """A simulated motor is no PV: it is found by its name."""
    simulated = Signal(name="simulated", value=0.0)

    def gone(place, status):
        found = go(place, status)
        simulated.put(place)
        return found

    plan = step(panel, gone, PLACES, [panel, simulated])
    documents = documents_of(calibration_guard(plan, moving=["z"], on_status="fail"))
    assert len(descriptors(documents)) == 1
    with pytest.raises(NoGeometryError, match="position_keys="):
        azimuthal_integrator(documents)
    (warned,) = [each.message for each in caplog.records if each.name == "ponikeeper_client.guard"]
    assert "z is in moving, and no stream reads its PV" in warned
    found = geometries(documents, position_keys={"z": "simulated"}, history=read_history(keeper.prefix))
    assert [one.computed for one in found] == [""] * 3
    assert [one.geometry for one in found] == [each.geometry for each in read_history(keeper.prefix).derived[-3:]]


def test_position_outside_of_the_range_is_refused(panel, stage, go, model, documents_of):
    plan = step(panel, go, PLACES[:2], [panel, stage], [(FAR + 100, "OUT_OF_RANGE"), (PLACES[2], "VALID")])
    documents = documents_of(calibration_guard(plan, moving=["z"]))
    assert len(descriptors(documents)) == 3
    found = geometries(documents)
    assert [one.status for one in found] == ["VALID", "VALID", "OUT_OF_RANGE", "VALID"]
    with pytest.raises(NotValidError, match="the model holds for z 960 to 1440 mm"):
        azimuthal_integrator(found, event=3, shape=(9, 9))
    go(MIDDLE)


def test_link_that_is_no_joint_counts(panel, stage, go, motors, model, documents_of):
    def gone(place, status):
        if status == "MOVED":
            move(motors, float(motors.place) + 1.0, motor="Y")
        return go(place, status)

    plan = step(panel, gone, PLACES[:1], [panel, stage], [(PLACES[1], "MOVED")])
    documents = documents_of(calibration_guard(plan, moving=["z"]))
    move(motors, float(motors.place), motor="Y")
    go(MIDDLE)
    assert len(descriptors(documents)) == 2
    first, second = geometries(documents)
    assert (first.status, second.status) == ("VALID", "MOVED")
    with pytest.raises(NotValidError, match=r"y .* is at 1001 mm, the geometry is that of 1000 mm"):
        second.require_geometry()


class PerEvent(Panel):
    """A detector that reads serial and status with each event."""

    calib = Cpt(CalibrationData, "Calib:", kind="config", per_event=True)


def test_serials_of_events_are_those_of_the_model(make, keeper, panel, stage, go, model, documents_of):
    each = make(PerEvent, keeper.prefix.removesuffix("Calib:"), "pe2")
    documents = documents_of(calibration_guard(step(each, go, PLACES, [each, stage]), moving=["z"]))
    assert len(descriptors(documents)) == 1
    found = geometries(documents, history=read_history(keeper.prefix))
    assert [(one.status, one.computed) for one in found] == [("VALID", "")] * 3


def test_run_without_a_guard_has_the_geometry_of_each_event_too(panel, stage, go, model, documents_of, tmp_path):
    documents = documents_of(step(panel, go, PLACES, [panel, stage]))
    assert [one.geometry is None for one in recorded(documents)] == [False, True]
    found = geometries(documents)
    assert [one.position["z"] for one in found] == [*PLACES]
    write_poni(found[2], tmp_path / "a.poni")
    assert "what this model gives for z = 1390.25 mm, computed by recall" in (tmp_path / "a.poni").read_text()


def test_corrected_member_is_reported_by_the_live_ioc(panel, stage, go, model, documents_of, keeper, catalogs):
    documents = documents_of(calibration_guard(step(panel, go, PLACES, [panel, stage]), moving=["z"]))
    assert best_known(documents)[0].status == "VALID"
    members = model.fit["members"]
    execute(keeper.prefix, Retract(members[0]["revision"], "the wrong standard"))
    (first, others) = best_known(documents)
    assert (first.status, others.geometry) == ("RETRACTED", None)
    with pytest.raises(NotValidError, match=r"the wrong standard.*fit the model again without it"):
        first.require_geometry()
    assert recorded(documents)[0].require_geometry() == first.geometry
    runs = [*catalogs.runs(catalogs.insert(documents)).values()]
    number = members[0]["revision"]
    found = find_affected(runs, keeper.prefix, number, look_up(keeper.prefix, number, None, TIMEOUT))
    assert [(one.member, one.recorded.seq_nums) for one in found.affected] == [(number, (1,)), (number, (2, 3))] * 3
    assert found.unreadable == []


# --- fly scans

_PERIOD = 0.02
"""Least time between two frames (s): a faster motor travels too far during an exposure for a certain geometry."""


class Flyer(Panel):
    """A detector that is exposed while its motor moves, and keeps where that was at the end of each exposure."""

    exposure = 0.05

    def __init__(self, *args, stage, motors, **options):
        super().__init__(*args, **options)
        self.stage, self.motors, self.frames = stage, motors, []

    def kickoff(self):
        speak.put(self.motors.pv("Z:MOVN"), 1)
        self.frames = []
        return NullStatus()

    def complete(self):
        for number in range(12):
            place = 1000.0 + 4.0 * number
            assert speak.put(self.motors.pv("Z:RBV"), place) is None
            wait_for(lambda place=place: self.stage.position == place)
            last = self.frames[-1][1] if self.frames else 0.0
            wait_for(lambda last=last: time.time() > last + _PERIOD)
            self.frames.append((place, time.time()))
        speak.put(self.motors.pv("Z:MOVN"), 0)
        return NullStatus()

    def describe_collect(self):
        return {"primary": {**self.total.describe(), "z": self.stage.readback.describe()["stage_readback"]}}

    def collect(self):
        for place, stamp in self.frames:
            data = {self.total.name: 1.0, "z": place}
            yield {"time": stamp, "data": data, "timestamps": dict.fromkeys(data, stamp)}


@pytest.mark.parametrize("md", [None, {"plan_name": "of the site"}])
def test_fly_scan_has_the_geometry_of_the_middle_of_each_exposure(
    make, keeper, panel, stage, go, motors, model, documents_of, catalogs, md
):
    go(1000.0)
    flyer = make(Flyer, keeper.prefix.removesuffix("Calib:"), "pe3", stage=stage, motors=motors)
    documents = documents_of(calibration_guard(bp.fly([flyer], md=md), moving=["z"], on_status="fail"))
    assert len(descriptors(documents)) == 1
    uid = catalogs.insert(documents)
    assert {one.geometry for one in geometries(documents)} == {None}
    for run in (documents, *catalogs.runs_with_and_without_plugins(uid).values()):
        found = geometries(run, exposure=1e-3)
        assert [one.seq_nums for one in found] == [(number,) for number in range(1, 13)]
        assert found[0].geometry is None
        for number, one in enumerate(found[1:], 1):
            assert 4.0 * (number - 1) < one.position["z"] - 1000.0 < 4.0 * number
            assert farthest(one.geometry, at(model, one.position["z"])) == 0
            assert one.evaluation.rms_px >= model.evaluate(one.position).rms_px
            assert one.status == "VALID", one.status_reason
    go(MIDDLE)


def test_positions_in_an_array_of_tiled_are_those_of_the_events(panel, go, model, documents_of, tmp_path):
    """The motor of a fly scan is kept in a file, one value for each frame."""
    h5py, np = pytest.importorskip("h5py"), pytest.importorskip("numpy")
    from bluesky_tiled_plugins import TiledWriter
    from tiled.client import from_uri

    values = np.linspace(1000.0, 1100.0, 11)
    with h5py.File(tmp_path / "z.h5", "w") as file:
        file["z"] = values
    go(1000.0)
    snapshot = panel.calib.read_snapshot()
    run = compose_run(metadata={"scan_id": 1, "detectors": ["pe1"], "plan_name": "fly", **MOVES})
    source = panel.calib.read_links()[0].pv
    key = {"source": f"ca://{source}", "dtype": "number", "dtype_numpy": "<f8", "shape": [1], "external": "STREAM:"}
    descriptor = run.compose_descriptor(
        name="primary", data_keys={"z": {**key, "object_name": "z"}}, object_keys={"z": ["z"]},
        configuration=configured(snapshot),
    )  # fmt: skip
    resource = run.compose_stream_resource(
        mimetype="application/x-hdf5", uri=f"file://localhost{tmp_path}/z.h5", data_key="z",
        parameters={"dataset": "/z", "chunk_shape": (11,)},
    )  # fmt: skip
    datum = resource.compose_stream_datum({"start": 0, "stop": 11}, {"start": 1, "stop": 12}, descriptor.descriptor_doc)
    stop = {**run.compose_stop(), "num_events": {"primary": 11}}
    server = catalogs_of.tiled_server(tmp_path / "tiled", readable_storage=[tmp_path])
    client = from_uri(server.uri)
    try:
        write = TiledWriter(client)
        for kind, document in (
            ("start", run.start_doc), ("descriptor", descriptor.descriptor_doc),
            ("stream_resource", resource.stream_resource_doc), ("stream_datum", datum), ("stop", stop),
        ):  # fmt: skip
            write(kind, document)
        source = client[run.start_doc["uid"]]
        refused = geometries(source)
        found = geometries(source, exposure=0)
    finally:
        client.context.close()
        server.close()
    assert "exposed in flight" in refused[3].reason
    assert [one.position["z"] for one in found] == [*values]
    assert [one.geometry for one in found[1:]] == [at(model, place) for place in values[1:]]
    assert found[0].geometry == snapshot.geometry


# --- anything at any moment


@pytest.mark.parametrize("count", [15, pytest.param(400, marks=pytest.mark.campaign)])
def test_events_at_random_moments_have_the_geometry_of_what_was_active_and_of_where_they_were(
    make, keeper, panel, stage, go, motors, model, documents_of, count
):
    """The detector moves all the time, and other models and calibrations are activated meanwhile."""
    source, ended = random.Random(count), threading.Event()
    each = make(PerEvent, keeper.prefix.removesuffix("Calib:"), "pe4")
    first = panel.calib.read_snapshot().revision
    other = rail(members=tuple((one["revision"], one["uid"]) for one in model.fit["members"]), sigma=3e-6)
    execute(keeper.prefix, commit_of(other, {"y": float(speak.get(motors.pv("Y:RBV")))}))
    second = panel.calib.read_snapshot().revision
    models = {first: model, second: other}
    middle, failed = model.fit["members"][1]["revision"], []

    def disturb():
        try:
            while not ended.is_set():
                if source.random() < 0.15:
                    execute(keeper.prefix, Activate(source.choice((first, second, middle))))
                way = [round(source.uniform(NEAR - 80, FAR + 80), 3) for _ in range(source.choice((1, 1, 5)))]
                move(motors, *way)
                ended.wait(source.choice((0.0, 0.05, 0.4)))
        except Exception as error:  # noqa: BLE001
            failed.append(error)

    @bpp.stage_decorator([each, stage])
    @bpp.run_decorator(md={"detectors": [each.name]})
    def plan():
        for _ in range(count):
            yield from bps.trigger_and_read([each, stage])
            yield from bps.sleep(source.choice((0.0, 0.05, 0.3)))

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        documents = documents_of(calibration_guard(plan(), moving=["z"], on_change="new_descriptor"))
    finally:
        ended.set()
        thread.join()
    assert not failed
    execute(keeper.prefix, Activate(first))
    history = read_history(keeper.prefix)
    read = [document["data"] for kind, document in documents if kind == "event"]
    found = geometries(documents, history=history)
    assert len(found) == len(read) == count
    wrong, valid, exact = [], 0, 0
    for one, data in zip(found, read, strict=True):
        if not one.applicability.permits_use or one.geometry is None:
            continue
        valid += 1
        exact += not one.computed
        active = history.activations[data["pe4_calib_serial"] - 1].revision
        place = data["stage_readback"]
        calibrated = history.revisions[active - 1]
        expected = models[active].geometry_at({"z": place}) if active in models else calibrated.geometry
        near = active in models or abs(calibrated.position["z"]["value"] - place) <= 1.0
        if one.revision != active or farthest(one.geometry, expected) > EXACT or not near:
            wrong.append((one.seq_nums, one.summary, active, place))
        if active in models and not NEAR - 40 <= place <= FAR + 40:
            wrong.append((one.seq_nums, "outside", active, place))
    shown = len(descriptors(documents))
    print(f"{count} events, {shown} descriptors: {valid} with a geometry, {exact} as recorded; wrong: {len(wrong)}")
    assert not wrong, wrong
    assert valid > count / 4
