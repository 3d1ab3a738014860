"""A day at two distances, stored in Tiled and databroker: every geometry is read back bit-exact."""

import random

import pytest
from ophyd import Component as Cpt
from ophyd import Signal
from ophyd.sim import NullStatus

import catalogs as catalogs_of
import speak
from live import wait_for
from panels import FlatPanel
from ponikeeper.geometry import Geometry, poni
from ponikeeper.geometry.parameters import PARAMETERS
from ponikeeper_client import recall
from ponikeeper_client.plans import at_positions
from speak import GEOMETRY
from stages import Stage

PLACES = {"near": 200.0, "far": 1000.0}


class Counting(FlatPanel):
    """A detector whose data are numbers, which every catalog stores unchanged."""

    image = None
    total = Cpt(Signal, value=1.0, kind="normal")

    def trigger(self):
        return NullStatus()


@pytest.fixture
def catalogs(tmp_path):
    with catalogs_of.serving(tmp_path / "tiled") as (_, client, broker):
        yield catalogs_of.Catalogs(client, broker)


@pytest.fixture
def stage(make, motors):
    return make(Stage, motors.name, "stage")


@pytest.fixture
def panel(make, make_ioc, motors):
    links = "settle = 0.1\n" + motors.link("z", "Z:RBV", moving="Z:MOVN")
    ioc = make_ioc(more={"{Det:1}Calib:": links}, other_ports=(motors.port,)).start()
    return make(Counting, ioc.prefix.removesuffix("Calib:"), "pe1")


class Day:
    """The actions of a day, and the geometry that is valid at each place after them."""

    def __init__(self, panel, stage, seed):
        self.panel, self.stage, self.dice = panel, stage, random.Random(seed)
        self.holds = {}
        self.revisions = {}

    def go(self, name):
        self.stage.set(PLACES[name]).wait(timeout=30)
        place = PLACES[name]
        wait_for(lambda: (link := self.panel.calib.read_links()[0]).value == place and not link.unknown_because)

    def calibrate(self, name):
        """Commit at a place numbers of which every bit counts."""
        self.go(name)
        near = {key: GEOMETRY[key] * self.dice.uniform(0.999, 1.001) for key in ("poni1", "poni2", "wavelength")}
        turned = {key: self.dice.uniform(-1e-3, 1e-3) for key in ("rot1", "rot2", "rot3")}
        geometry = Geometry(
            **{**GEOMETRY, **near, **turned, "dist": PLACES[name] / 1000 * self.dice.uniform(0.99, 1.01)}
        )
        self.panel.calib.set(geometry).wait(timeout=30)
        self._settled(name, geometry)

    def roll_back(self, name):
        """Activate the first geometry of a place again."""
        self.go(name)
        number, geometry = self.revisions[name][0]
        assert speak.put(f"{self.panel.calib.prefix}Activate", str(number)) is None
        self._settled(name, geometry)

    def _settled(self, name, geometry):
        wait_for(lambda: self.panel.calib.read_snapshot().geometry == geometry)
        wait_for(lambda: self.panel.calib.read_snapshot().status == "VALID")
        self.holds[name] = geometry
        self.revisions.setdefault(name, []).append((self.panel.calib.read_snapshot().revision, geometry))


def live_through(day, run_engine, catalogs, rounds):
    """Calibrate, measure, roll back; return the uid of every run, its place if any, and the geometry valid at each."""
    runs = []
    for name in PLACES:
        day.calibrate(name)
    for number in range(rounds):
        if number:
            day.dice.choice([day.calibrate, day.roll_back])(day.dice.choice(list(PLACES)))
        plan = at_positions([day.panel], day.stage, PLACES, num=2, one_run=number % 2 == 1)
        documents = taken(run_engine, plan)
        for start in [document for kind, document in documents if kind == "start"]:
            catalogs.insert(documents_of(documents, start["uid"]))
            runs.append((start["uid"], start.get("position"), dict(day.holds)))
    return runs


def taken(run_engine, plan):
    documents = []
    run_engine(plan, lambda kind, document: documents.append((kind, document)))
    return documents


def documents_of(documents, uid):
    """Return the documents of one run."""
    descriptors = {one["uid"] for kind, one in documents if kind == "descriptor" and one["run_start"] == uid}

    def is_of_it(kind, one):
        if kind == "event":
            return one["descriptor"] in descriptors
        return uid in (one["uid"], one.get("run_start"))

    return [(kind, one) for kind, one in documents if is_of_it(kind, one)]


def comes_back(run, each, truth, file):
    """Check that a recorded geometry is bit for bit the one that was active; as PONI, integrator and best known too."""
    integrator = recall.azimuthal_integrator(each)
    recall.write_poni(each, file)
    known = [one.geometry for one in recall.best_known(run, "pe1", each.stream) if one.seq_nums == each.seq_nums]
    return (
        each.geometry == truth
        and poni.read(file.read_bytes()) == truth
        and known == [truth]
        and all(getattr(integrator, name) == getattr(truth, name) for name in PARAMETERS)
    )


def check(panel, stage, run_engine, catalogs, tmp_path, rounds):
    runs = live_through(Day(panel, stage, seed=5), run_engine, catalogs, rounds)
    events = wrong = 0
    for uid, position, holds in runs:
        for run in catalogs.runs(uid).values():
            result = [each for each in recall.recorded(run, "pe1") if each.events]
            assert {each.stream for each in result} == ({"primary"} if position else set(PLACES))
            for each in result:
                truth = holds[position or each.stream]
                events += len(each.events)
                wrong += 0 if comes_back(run, each, truth, tmp_path / "one.poni") else len(each.events)
    print(
        f"\na day of {len(runs)} runs, {panel.calib.read_snapshot().serial} activations: {events} events in Tiled and "
        f"databroker (v1, v2), {wrong} of which do not give back their geometry bit for bit"
    )
    assert events == rounds * 4 * 3
    assert wrong == 0


def test_every_geometry_of_a_day_is_read_back(panel, stage, run_engine, catalogs, tmp_path):
    check(panel, stage, run_engine, catalogs, tmp_path, rounds=2)


@pytest.mark.campaign
def test_every_geometry_of_a_long_day_is_read_back(panel, stage, run_engine, catalogs, tmp_path):
    check(panel, stage, run_engine, catalogs, tmp_path, rounds=40)
