"""xpdAcq's plans for several distances: an event of each distance in each shot, each with its own geometry."""

from dataclasses import replace

import pytest
from ophyd import Signal

from calibrating import Panel
from live import wait_for
from ponikeeper.errors import CalibrationError
from ponikeeper.geometry import Geometry, poni
from ponikeeper_client.demo import nickel
from ponikeeper_client.demo.story import NEAR
from ponikeeper_client.xpdacq import MultiDistPlans
from scripted import Scripted, recorded
from speak import GEOMETRY

AT_NEAR = Geometry(**{**GEOMETRY, "dist": 0.2})
AT_FAR = Geometry(**{**GEOMETRY, "dist": 1.0123456789012345, "rot1": 0.01 + 0.02})


@pytest.fixture
def linked(make_ioc, motors):
    links = "settle = 0.2\n" + motors.link("z", "Z:RBV", moving="Z:MOVN")
    return make_ioc(more={"{Det:1}Calib:": links}, other_ports=(motors.port,)).start()


@pytest.fixture
def connect(make, linked, stage):
    def connected(cls=Scripted):
        panel = make(cls, linked.prefix.removesuffix("Calib:"), "pe1")
        shutter = Signal(name="shutter", value="closed")
        return panel, shutter, MultiDistPlans(shutter, "open", "closed", None, panel, panel.calib, stage)

    return connected


def test_each_shot_takes_an_event_of_each_distance_with_its_geometry(connect, take, tmp_path):
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    panel, shutter, plans = connect()
    file = tmp_path / "near.poni"
    file.write_text(poni.write(AT_NEAR))
    far = {key: value for key, value in AT_FAR.as_dict().items() if key not in ("pixel1", "pixel2", "detector_config")}
    plans.add_dist(200.0, "near", file)
    plans.add_dist(1000.0, "far", AzimuthalIntegrator(**far))
    run = take(plans.count([panel], num=3, per_shot=plans.take_reading))
    assert recorded(run, "dist", "near") == [AT_NEAR.dist] * 3
    assert recorded(run, "dist", "far") == [AT_FAR.dist] * 3
    assert recorded(run, "rot1", "far") == [AT_FAR.rot1] * 3
    assert set(recorded(run, "label", "near")) == {"near"}
    assert shutter.get() == "closed"
    assert panel.calib.read_snapshot().revision == 2  # from the second shot on nothing is committed


def test_distances_are_calibrated_and_then_measured(connect, run_engine, take, stage, tmp_path):
    panel, _, plans = connect(Panel)
    truths = {"near": replace(NEAR, dist=0.25), "far": replace(NEAR, dist=0.28)}
    for name, place in (("near", 200.0), ("far", 1000.0)):
        panel.frames = [nickel.image(truths[name], (1024, 1024), seed=3)]
        options = {"method": "auto", "start": truths[name], "wavelength": NEAR.wavelength, "output_dir": tmp_path}
        run_engine(plans.calib_dist(place, name, **options))
        wait_for(lambda: panel.calib.read_snapshot().status == "VALID")
    assert plans.streams == ["near", "far"]
    run = take(plans.count([panel], num=2, per_shot=plans.take_reading))
    for name, truth in truths.items():
        assert recorded(run, "dist", name) == [pytest.approx(truth.dist, abs=1e-4)] * 2
        assert recorded(run, "label", name) == [name] * 2


def test_distances_are_popped_and_cleared(connect):
    _, _, plans = connect()
    plans.add_dist(200.0, "near", AT_NEAR)
    plans.add_dist(1000.0, "far")
    assert plans.pop_dist(0) == (200.0, "near", AT_NEAR)
    assert (plans.positions, plans.streams, plans.geometries) == ([1000.0], ["far"], [None])
    plans.clear_dists()
    assert (plans.positions, plans.streams, plans.geometries) == ([], [], [])


def test_second_distance_of_one_name_is_refused(connect):
    _, _, plans = connect()
    plans.add_dist(200.0, "near")
    with pytest.raises(ValueError, match="there is a distance near already: the names are near"):
        plans.add_dist(1000.0, "near")


def test_reading_without_distances_says_how_to_add_some(connect, run_engine):
    panel, _, plans = connect()
    with pytest.raises(CalibrationError, match="there are no distances: add some with calib_dist or add_dist"):
        run_engine(plans.count([panel], per_shot=plans.take_reading))


def test_distance_that_is_not_reached_fails_the_run_and_closes_the_shutter(connect, run_engine, stage):
    panel, shutter, plans = connect()
    plans.add_dist(200.0, "near", AT_NEAR)
    run_engine(plans.count([panel], per_shot=plans.take_reading))
    plans.add_dist(600.0, "middle")

    def impatient(detectors):
        yield from plans.take_reading(detectors, timeout=3.0)

    with pytest.raises(CalibrationError, match="a geometry that applies with stage at 600"):
        run_engine(plans.count([panel], per_shot=impatient))
    assert shutter.get() == "closed"
