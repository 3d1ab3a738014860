"""xpdAcq's plans: their shutter, their dark frames, and the activation of PONI files, with a live IOC."""

import asyncio
import inspect
import signal
import sys
import threading
from dataclasses import replace

import fabio
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from bluesky import plans as bp
from bluesky.utils import FailedStatus, RunEngineInterrupted
from bluesky_darkframes import DarkFramePreprocessor, sim
from cycler import cycler
from ophyd import Component as Cpt
from ophyd import DeviceStatus, Signal
from ophyd.sim import SynAxis

from calibrating import Recorder
from darkframes import loses_dark_images
from live import wait_for
from ponikeeper.errors import CalibrationError, MissingDarkframesError, RefusedError
from ponikeeper.geometry import poni
from ponikeeper_client.demo.story import NEAR
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.xpdacq import XrayBasicPlans

SMALL = replace(NEAR, detector="Detector", detector_config={"max_shape": [200, 200], "orientation": 3})


class WordlessShutter(Recorder):
    """A shutter that reads as a number, whatever text it was set to."""

    def set(self, value, **kwargs):
        self.puts.append(value)
        return Signal.set(self, {"open": 1, "closed": 0}[value], **kwargs)


class Camera(Signal):
    """Records the state of the shutter at each exposure."""

    def __init__(self, shutter):
        super().__init__(name="camera", value=1.0)
        self.shutter, self.seen, self.broken = shutter, [], False

    def trigger(self):
        self.seen.append(self.shutter.get())
        status = DeviceStatus(self)
        if self.broken:
            status.set_exception(RuntimeError("the camera is broken"))
        else:
            status.set_finished()
        return status


class Detector(sim.DiffractionDetector):
    calib = Cpt(CalibrationData, "Calib:", kind="config")


@pytest.fixture
def shutter():
    return Recorder(name="shutter")


@pytest.fixture
def plans(shutter):
    return XrayBasicPlans(shutter, "open", "closed")


@pytest.fixture
def camera(shutter):
    return Camera(shutter)


@pytest.fixture
def calib(make, prefix):
    return make(CalibrationData, prefix)


@pytest.fixture
def poni_file(tmp_path):
    file = tmp_path / "near.poni"
    file.write_text(poni.write(NEAR))
    return file


X, Y = SynAxis(name="x"), SynAxis(name="y")
LINE = (X, -1, 1)
GRID = (X, -1, 1, 2, Y, -1, 1, 2)
POINTS = (X, [-1, 1])
SPIRAL = {"x_range": 1, "y_range": 1, "dr": 0.5, "nth": 3}
FERMAT = {"x_range": 1, "y_range": 1, "dr": 0.2, "factor": 1}
SQUARE = {"x_range": 1, "y_range": 1, "x_num": 2, "y_num": 2}
ADAPTIVE = {"min_step": 0.5, "max_step": 1, "target_delta": 1, "backstep": False}
ARGUMENTS = {
    "count": ((), {"num": 2}),
    "scan": (LINE, {"num": 2}),
    "rel_scan": (LINE, {"num": 2}),
    "list_scan": (POINTS, {}),
    "rel_list_scan": (POINTS, {}),
    "log_scan": ((X, 1, 10, 2), {}),
    "rel_log_scan": ((X, 1, 10, 2), {}),
    "grid_scan": (GRID, {}),
    "rel_grid_scan": (GRID, {}),
    "list_grid_scan": ((*POINTS, Y, [0, 1]), {}),
    "rel_list_grid_scan": ((*POINTS, Y, [0, 1]), {}),
    "scan_nd": ((cycler(X, [0, 1]),), {}),
    "spiral": ((X, Y, 0, 0), SPIRAL),
    "rel_spiral": ((X, Y), SPIRAL),
    "spiral_fermat": ((X, Y, 0, 0), FERMAT),
    "rel_spiral_fermat": ((X, Y), FERMAT),
    "spiral_square": ((X, Y, 0, 0), SQUARE),
    "rel_spiral_square": ((X, Y), SQUARE),
    "x2x_scan": ((X, Y, 0, 1, 2), {}),
    "adaptive_scan": (("camera", X, 0, 2), ADAPTIVE),
    "rel_adaptive_scan": (("camera", X, 0, 2), ADAPTIVE),
    "tune_centroid": (("camera", X, 0, 2), {"min_step": 0.5, "num": 3}),
    "inner_product_scan": ((2, *LINE), {}),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_plan_exposes_with_the_shutter_open_and_leaves_it_closed(name, plans, take, camera, shutter):
    arguments, options = ARGUMENTS[name]
    documents = take(getattr(plans, name)([camera], *arguments, **options))
    assert len(camera.seen) == len(documents["event"]) > 1
    assert set(camera.seen) == {"open"}
    assert shutter.puts == ["open", "closed"]


@pytest.mark.parametrize("name", ARGUMENTS)
def test_plan_has_the_name_signature_and_docs_of_blueskys(name, plans):
    ours, theirs = getattr(plans, name), getattr(bp, name)
    assert inspect.signature(ours) == inspect.signature(theirs)
    assert (ours.__name__, ours.__doc__) == (theirs.__name__, theirs.__doc__)
    assert name in dir(plans)


def test_every_plan_that_scans_or_counts_is_there(plans):
    renamed = {"outer_product_scan"}  # and relative_..., the old names of rel_...
    theirs = {
        name
        for name, plan in vars(bp).items()
        if inspect.isfunction(plan) and next(iter(inspect.signature(plan).parameters), None) == "detectors"
        if not name.startswith(("_", "relative_"))
    }
    assert theirs - renamed == set(ARGUMENTS)


def test_wrong_arguments_are_reported_when_the_plan_is_made(plans, camera):
    with pytest.raises(TypeError, match="unexpected keyword"):
        plans.count([camera], nun=3)


def test_shutter_opens_with_the_first_exposure_and_for_any_plan(plans, take, camera, shutter):
    def plan():
        yield from bps.open_run()
        yield from bps.null()
        assert shutter.puts == []
        yield from bps.one_shot([camera])
        yield from bps.close_run()

    take(plans.shutter_wrapper(plan()))
    assert (camera.seen, shutter.puts) == (["open"], ["open", "closed"])


def test_shutter_opens_for_devices_that_are_only_read(plans, take, shutter):
    take(plans.count([Signal(name="diode", value=1.0)]))
    assert shutter.puts == ["open", "closed"]


def test_shutter_is_closed_after_an_error_in_the_plan(plans, take, camera, shutter):
    def failing(detectors):
        yield from bps.one_shot(detectors)
        raise ValueError("the plan is wrong")

    with pytest.raises(ValueError, match="the plan is wrong"):
        take(plans.count([camera], per_shot=failing))
    assert (camera.seen, shutter.puts) == (["open"], ["open", "closed"])


def test_shutter_is_closed_after_a_failing_detector(plans, take, camera, shutter):
    camera.broken = True
    with pytest.raises(FailedStatus):
        take(plans.count([camera]))
    assert (camera.seen, shutter.puts) == (["open"], ["open", "closed"])


def test_shutter_is_closed_by_an_abort(plans, camera, shutter, run_engine):
    def pausing(detectors):
        yield from bps.one_shot(detectors)
        yield from bps.pause()

    with pytest.raises(RunEngineInterrupted):
        run_engine(plans.count([camera], per_shot=pausing))
    assert shutter.puts == ["open"]
    run_engine.abort()
    assert shutter.puts == ["open", "closed"]


def test_arguments_of_the_caller_are_not_changed(plans, take, camera, run_engine, tmp_path, calib):
    options = {"md": {"sample": "Ni"}}
    documents = take(plans.inner_product_scan([camera], 2, *LINE, **options))  # bluesky's writes into md
    assert documents["start"][0]["sample"] == "Ni"
    assert options == {"md": {"sample": "Ni"}}

    options |= {"output_dir": tmp_path, "method": "auto", "images": lambda *_: np.zeros((9, 9))}
    given = dict(options)
    with pytest.raises(CalibrationError):
        run_engine(plans.calibrate([camera], [calib], wavelength=1e-11, **options))
    assert options == given
    assert options["md"] == {"sample": "Ni"}


def test_one_calibration_for_each_detector_or_nothing_is_exposed(plans, run_engine, camera, calib, shutter):
    with pytest.raises(CalibrationError, match="1 detectors and 2 calibs: expected one for each"):
        run_engine(plans.calibrate([camera], [calib, calib]))
    with pytest.raises(CalibrationError, match="1 detectors and 0 calibs: expected one for each"):
        run_engine(plans.calibrate([camera], []))
    assert (shutter.puts, camera.seen) == ([], [])


# a PONI file


def test_poni_file_is_activated_as_one_transaction(run_engine, calib, poni_file):
    results = []

    def plan():
        results.append((yield from XrayBasicPlans.config_by_poni(calib, poni_file, label="near")))

    run_engine(plan())
    snapshot = calib.read_snapshot()
    assert (snapshot.geometry, snapshot.revision, snapshot.serial, snapshot.label) == (NEAR, 1, 1, "near")
    assert (snapshot.provenance["method"], snapshot.position) == ("poni", None)
    assert (results[0].outcome, results[0].revision) == ("accepted", 1)


def test_poni_file_may_be_stored_with_the_present_position(run_engine, plans, calib, poni_file):
    run_engine(plans.config_by_poni(calib, str(poni_file), here=True))
    assert calib.read_snapshot().position == {}


def test_commit_of_a_poni_file_says_what_is_active_whether_it_applies_and_what_to_type(
    make, make_ioc, motors, run_engine, plans, poni_file, capsys
):
    links = "settle = 0.2\n" + motors.link("z", "Z:RBV", moving="Z:MOVN")
    ioc = make_ioc(detectors=("Calib:",), more={"Calib:": links}, other_ports=(motors.port,)).start()
    calib = make(CalibrationData, ioc.prefix)
    wait_for(lambda: all(link.unknown_because is None for link in calib.read_links()))
    run_engine(plans.config_by_poni(calib, poni_file))
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{ioc.prefix} revision 1 is active (serial 1) but does not apply: UNKNOWN, ")
    assert rest[-1].endswith(f"then type: ponikeeper record-position {ioc.prefix}")
    run_engine(plans.config_by_poni(calib, poni_file, here=True))
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == f"{ioc.prefix} revision 2 is active (serial 2) and may be used: VALID"
    assert rest == ["position: z 1000.0 mm"]


def test_activated_poni_file_is_recorded_by_the_next_run(diffraction, take, plans, poni_file):
    take(plans.config_by_poni(diffraction.calib, poni_file))
    recorded = take(plans.count([diffraction]))["descriptor"][0]["configuration"]["pe1"]["data"]
    assert recorded["pe1_calib_dist"] == NEAR.dist


def test_truncated_poni_file_is_refused_and_changes_nothing(run_engine, plans, calib, poni_file):
    run_engine(plans.config_by_poni(calib, poni_file))
    before = calib.read_snapshot()
    text = poni.write(replace(NEAR, dist=0.5))
    poni_file.write_text(text[: text.index("Rot3")])
    with pytest.raises(CalibrationError, match=r"near\.poni.*Rot3"):
        run_engine(plans.config_by_poni(calib, poni_file))
    assert calib.read_snapshot() == before


def test_poni_file_that_the_ioc_refuses_raises_its_reasons_and_changes_nothing(
    make, make_ioc, run_engine, plans, poni_file
):
    ioc = make_ioc(detectors=("Calib:",), more={"Calib:": "[detector.limits]\ndist = [0.1, 0.4]"}).start()
    calib = make(CalibrationData, ioc.prefix)
    run_engine(plans.config_by_poni(calib, poni_file))
    before = calib.read_snapshot()
    poni_file.write_text(poni.write(replace(NEAR, dist=0.5)))
    with pytest.raises(RefusedError, match=r"dist 0\.5"):
        run_engine(plans.config_by_poni(calib, poni_file))
    assert calib.read_snapshot() == before


def test_run_engine_goes_on_while_the_ioc_is_silent(make, make_ioc, plans, poni_file):
    ioc = make_ioc().start()
    calib = make(CalibrationData, ioc.prefix)
    engine, answered = RunEngine({}, context_managers=[]), []

    def look():
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), engine.loop).result(10)
        answered.append(calib.snapshot.connected)
        ioc.signal(signal.SIGCONT)

    def waiting(statuses):
        if statuses and not answered:
            threading.Thread(target=look).start()

    engine.waiting_hook = waiting
    ioc.signal(signal.SIGSTOP)
    engine(plans.config_by_poni(calib, poni_file))
    assert answered
    assert calib.read_snapshot().geometry == NEAR


# dark frames


@pytest.fixture
def diffraction(make, prefix, monkeypatch):
    """Make the simulated detector of bluesky-darkframes, whose image tells whether its shutter is open."""
    monkeypatch.setitem(sim.shutter_state, "state", "closed")
    detector = make(Detector, prefix.removesuffix("Calib:"))
    detector.exposure_time.put(0)
    return detector


@pytest.fixture
def fast_shutter(diffraction):
    shutter = sim.Shutter(name="fast_shutter")
    shutter.put("closed")
    return shutter


@pytest.fixture
def xray(fast_shutter):
    return XrayBasicPlans(shutter=fast_shutter, shutter_open="open", shutter_close="closed")


@pytest.fixture
def engine(xray, diffraction):
    engine = RunEngine({}, context_managers=[])
    engine.preprocessors.append(xray.create_dark_frame_preprocessor(detector=diffraction, max_age=60))
    return engine


def _streams(engine, plan):
    """Run a plan, and give how many events each stream has."""
    stops = []
    engine(plan, lambda kind, document: stops.append(document) if kind == "stop" else None)
    return stops[0]["num_events"]


def test_preprocessor_records_a_dark_stream_once_per_run_from_one_dark_frame(engine, xray, diffraction):
    (preprocessor,) = engine.preprocessors
    assert isinstance(preprocessor, DarkFramePreprocessor)
    assert _streams(engine, xray.count([diffraction], num=3)) == {"dark": 1, "primary": 3}
    (kept,) = preprocessor.cache.values()
    assert _streams(engine, xray.count([diffraction])) == {"dark": 1, "primary": 1}
    assert list(preprocessor.cache.values()) == [kept]


@loses_dark_images
def test_calibration_subtracts_the_dark_that_the_preprocessor_recorded(
    engine, xray, diffraction, fast_shutter, tmp_path
):
    engine(
        xray.calibrate(
            [diffraction], method="poni", start=SMALL, wavelength=SMALL.wavelength, output_dir=tmp_path, num=2
        )
    )
    (image,) = tmp_path.glob("*.tiff")
    assert np.array_equal(fabio.open(image).data, sim.diffraction_pattern)  # so the light was light, the dark dark
    assert fast_shutter.get() == "closed"
    snapshot = diffraction.calib.read_snapshot()
    assert (snapshot.geometry, snapshot.provenance["method"]) == (SMALL, "poni")


def test_new_dark_frame_is_taken_after_a_new_geometry_where_the_serial_is_locked(engine, xray, diffraction):
    serial = diffraction.calib.serial
    engine.preprocessors[:] = [
        xray.create_dark_frame_preprocessor(detector=diffraction, max_age=60, locked_signals=[serial])
    ]
    diffraction.calib.set(SMALL).wait()
    descriptors = []
    for dist in (0.3, 0.4):
        diffraction.calib.set(replace(SMALL, dist=dist)).wait()
        engine(xray.count([diffraction]), {"descriptor": lambda _, document: descriptors.append(document)})
    recorded = [(one["name"], one["configuration"]["pe1"]["data"]["pe1_calib_dist"]) for one in descriptors]
    assert sorted(recorded) == [("dark", 0.3), ("dark", 0.4), ("primary", 0.3), ("primary", 0.4)]


@pytest.mark.parametrize("state", ["open", "closed"])
def test_dark_frame_in_a_plan_of_ones_own_leaves_the_shutter_as_it_was(state, engine, diffraction, fast_shutter):
    fast_shutter.put(state)
    assert _streams(engine, bp.count([diffraction])) == {"dark": 1, "primary": 1}
    assert fast_shutter.get() == state


def test_shutter_that_reads_otherwise_is_open_again_after_a_dark_frame(shutter):
    shutter = WordlessShutter(name="wordless")
    camera = Camera(shutter)
    plans = XrayBasicPlans(shutter, "open", "closed")
    engine = RunEngine({}, context_managers=[])
    engine.preprocessors.append(plans.create_dark_frame_preprocessor(detector=camera, max_age=60))
    assert _streams(engine, plans.count([camera], num=2)) == {"dark": 1, "primary": 2}
    assert camera.seen == [0, 1, 1]
    assert shutter.puts == ["open", "closed", "open", "closed"]


def test_shutter_is_closed_after_a_dark_frame_that_fails(engine, xray, diffraction, fast_shutter, monkeypatch):
    def broken():
        raise RuntimeError("no frame")

    monkeypatch.setattr(diffraction, "trigger", broken)
    with pytest.raises(RuntimeError, match="no frame"):
        engine(xray.count([diffraction]))
    assert fast_shutter.get() == "closed"


def test_missing_bluesky_darkframes_is_reported_with_the_line_that_installs_it(
    plans, run_engine, camera, shutter, monkeypatch
):
    monkeypatch.setitem(sys.modules, "bluesky_darkframes", None)
    with pytest.raises(MissingDarkframesError, match="pip install bluesky-darkframes"):
        plans.create_dark_frame_preprocessor(detector=camera, max_age=1)
    with pytest.raises(ImportError, match="pip install bluesky-darkframes"):
        run_engine(plans.dark_plan(camera))
    assert shutter.puts == []
