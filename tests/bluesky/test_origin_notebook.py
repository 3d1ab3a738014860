"""The notebook from which ponikeeper started, cell by cell, with other imports; as a program it operates the GUI.

xpdAcq's `CalibrationData` has no prefix there, so this IOC serves a detector without one, and its PVs
have plain names such as ``Dist``: no other IOC of the tests may do so.
"""

import copy
import importlib.util
import json
import shlex
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from ponikeeper_client.recall import azimuthal_integrator, recorded

TESTS = Path(__file__).parents[1] / "support"

GEOMETRY = {
    "dist": 0.027647816455789107,
    "poni1": 0.20325088237193026,
    "poni2": 0.20070643030746954,
    "rot1": 0.014065256151799823,
    "rot2": -0.021405344966918656,
    "rot3": -0.001561273022415835,
}
"""Result in the notebook; its pattern, an Airy disk, is not of a powder, so a person types it."""

PIXEL = 0.002
SHAPE = (200, 200)
TIMEOUT = 150
KEYS = ("dist", "poni1", "poni2", "rot1", "rot2", "rot3", "pixel1", "pixel2", "detector", "wavelength")

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("PySide6") is None or importlib.util.find_spec("qtawesome") is None,
        reason="pyFAI-calib2 has no Qt here: pip install 'pyFAI[gui]'",
    ),
]


@pytest.fixture
def nameless_ioc(make_ioc):
    """Serve one detector whose prefix is empty."""
    ioc = make_ioc(detectors=("",))
    text = ioc.config.read_text()
    assert text.count(f'prefix = "{ioc.name}"') == 1
    ioc.config.write_text(text.replace(f'prefix = "{ioc.name}"', 'prefix = ""'))
    return ioc.start()


@pytest.fixture
def clicking(monkeypatch, tmp_path):
    """Operate the next pyFAI-calib2 by a script."""
    from ponikeeper_client.gui import display

    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    report = tmp_path / "report.json"

    def click(steps):
        monkeypatch.setenv(display.VARIABLE, shlex.join([sys.executable, __file__, str(report), steps]))
        return report

    return click


@pytest.mark.usefixtures("nameless_ioc")
def test_notebook_works_as_before_and_its_calibration_is_stored(clicking, monkeypatch, tmp_path, request, tiled):
    from bluesky_darkframes import sim

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sim.shutter_state, "state", "open")

    from bluesky_darkframes.sim import DiffractionDetector, Shutter
    from ophyd import Kind
    from ophyd.device import Component as Cpt

    from ponikeeper_client.device import CalibrationData

    class DetectorWithCalib(DiffractionDetector):
        calib = Cpt(CalibrationData, kind=Kind.config)

    detector = DetectorWithCalib(name="area_detector")
    shutter = Shutter(name="fast_shutter")
    request.addfinalizer(detector.destroy)
    detector.wait_for_connection(timeout=30)  # before the notebook's next line is typed

    from bluesky import RunEngine
    from databroker import Broker

    from ponikeeper_client.xpdacq import XrayBasicPlans

    db = Broker.named("temp")
    RE = RunEngine()  # noqa: N806
    RE.md["bt_wavelength"] = 1.6
    RE.subscribe(db.insert)
    documents = {}
    RE.subscribe(lambda kind, document: _of_run(documents, kind, document).append((kind, document)))
    myplans = XrayBasicPlans(shutter=shutter, shutter_open=0, shutter_close=1, db=db)
    plan = myplans.calibrate([detector], [detector.calib])

    RE(myplans.count([detector]), bkg_image=np.zeros((256, 256)))

    run = db[-1]
    start = run.start
    assert np.shape(start["bkg_image"]) == (256, 256)
    assert (start["bt_wavelength"], start["plan_name"], start["detectors"]) == (1.6, "count", ["area_detector"])
    assert _recorded(run)["area_detector_calib_status"] == "UNSET"

    report = clicking("choose,enter,save=under_a_name_of_its_own,close")
    first = RE(plan)

    expected = {
        **GEOMETRY,
        "pixel1": PIXEL,
        "pixel2": PIXEL,
        "detector": "Detector",
        "wavelength": 1.6000000000000002e-10,
    }
    configuration = detector.calib.read_configuration()
    assert _geometry({key: one["value"] for key, one in configuration.items()}) == expected
    seen = json.loads(report.read_text())["settings"]
    assert (seen["wavelength"], seen["calibrant"], seen["detector"]) == (pytest.approx(1.6e-10), "Ni", None)

    clicking("move,save,close")
    exposed = []
    plan = myplans.calibrate([detector], [detector.calib])
    second = RE(plan, {"descriptor": lambda _, document: exposed.append(document)})

    assert _geometry(exposed[0]["configuration"]["area_detector"]["data"]) == expected

    tree = {path.name for path in Path("xpdacq_calib").iterdir() if path.suffix in (".poni", ".tiff")}
    assert tree == {f"{uid}_area_detector_image{kind}" for uid in (*first, *second) for kind in (".poni", ".tiff")}

    RE(myplans.count([detector]))

    run = db[-1]
    assert _geometry(_recorded(run)) == {**expected, "dist": 0.9 * GEOMETRY["dist"]}
    keys = run.descriptors[0]["configuration"]["area_detector"]["data_keys"]
    assert {keys[f"area_detector_calib_{name}"]["dtype"] for name in KEYS if name != "detector"} == {"number"}
    assert keys["area_detector_calib_detector"]["dtype"] == "string"
    snapshot = detector.calib.read_snapshot()
    assert (snapshot.revision, snapshot.provenance["method"]) == (2, "gui")
    assert snapshot.provenance["run_uid"] == second[0]
    assert shutter.get() == 1

    later = {**expected, "dist": 0.9 * GEOMETRY["dist"]}
    truth = dict(zip(documents, (None, None, expected, later), strict=True))
    assert list(truth)[1:3] == [*first, *second]
    for where, runs in (("documents", documents), ("databroker", db), ("Tiled", tiled(documents))):
        for uid, geometry in truth.items():
            run = runs[uid]
            found = recorded(run)
            assert {_values(each.geometry) for each in found} == {_values(geometry)}, where
            if geometry is None:
                assert all("UNSET" in each.reason for each in found)
            else:
                assert _rebuilt(run) == geometry, where


@pytest.fixture
def tiled(tmp_path):
    """Put runs into Tiled, and give the catalog; images of this simulation are of a kind that it does not take.

    It is there before databroker, whose own Tiled would else not know its own key any more.
    """
    from bluesky_tiled_plugins import TiledWriter
    from tiled.client import from_uri

    from catalogs import tiled_server

    server = tiled_server(tmp_path / "tiled")
    client = from_uri(server.uri)

    def insert(runs):
        write = TiledWriter(client)
        for documents in runs.values():
            for kind, document in documents:
                if kind in ("start", "descriptor", "event", "stop"):
                    write(kind, _without_images(kind, document))
        return client

    yield insert
    client.context.close()
    server.close()


def _of_run(documents, kind, document):
    """Return the list that a document belongs to: that of the current run."""
    if kind == "start":
        documents[document["uid"]] = []
    return documents[list(documents)[-1]]


def _without_images(kind, document):
    """Remove from a document the data of files, and the background that a person has put into the start."""
    document = copy.deepcopy(dict(document))
    document.pop("bkg_image", None)
    if kind == "descriptor":
        document["data_keys"] = {key: one for key, one in document["data_keys"].items() if "external" not in one}
        document["object_keys"] = {
            name: [key for key in keys if key in document["data_keys"]]
            for name, keys in document["object_keys"].items()
        }
    for part in ("data", "timestamps") if kind == "event" else ():
        document[part] = {key: one for key, one in document[part].items() if key not in document["filled"]}
    if kind == "event":
        document["filled"] = {}
    return document


def _values(geometry):
    """Return the ten values of a geometry in comparable form; None where there is none."""
    if geometry is None:
        return None
    return tuple(geometry[name] if isinstance(geometry, dict) else getattr(geometry, name) for name in KEYS)


def _rebuilt(run):
    """Return the ten values of the rebuilt integrator of pyFAI."""
    integrator = azimuthal_integrator(run, stream="primary", shape=SHAPE)
    detector = integrator.detector
    assert detector.shape == SHAPE
    values = {name: getattr(integrator, name) for name in (*GEOMETRY, "wavelength")}
    return {**values, "pixel1": detector.pixel1, "pixel2": detector.pixel2, "detector": type(detector).__name__}


def _recorded(run):
    """Return the configuration of the detector in the descriptor of a run."""
    return run.descriptors[0]["configuration"]["area_detector"]["data"]


def _geometry(values):
    """Return the ten values of the notebook by name; each must exist."""
    return {name: values[f"area_detector_calib_{name}"] for name in KEYS}


def _click():
    """Run the real pyFAI-calib2, and in it a person who begins with nothing."""
    sys.path.insert(0, str(TESTS))
    from pyFAI.detectors import Detector
    from pyFAI.gui.dialog.DetectorSelectorDialog import DetectorSelectorDialog
    from silx.gui import qt

    import calib2_driver

    class Newcomer(calib2_driver.Person):
        def choose(self):
            """Select the detector in the dialogue of the program."""
            yield from self.page(0)
            calib2_driver.later(self.page_widget(0)._customDetector.click)
            yield lambda: calib2_driver.dialogue(DetectorSelectorDialog)
            box = calib2_driver.dialogue(DetectorSelectorDialog)
            box.selectDetector(Detector(PIXEL, PIXEL, max_shape=SHAPE))
            self.picture("detector", box)
            calib2_driver.later(box.accept)
            yield lambda: self.model.experimentSettingsModel().detector() is not None

        def enter(self):
            """Type a geometry."""
            yield from self.page(calib2_driver.GEOMETRY)
            model = self.model.fittedGeometry()
            names = ("distance", "poni1", "poni2", "rotation1", "rotation2", "rotation3")
            for name, value in zip(names, GEOMETRY.values(), strict=True):
                getattr(model, name)().setValue(value)
            model.wavelength().setValue(self.model.experimentSettingsModel().wavelength().value())
            yield self.quiet

    too_late = threading.Timer(TIMEOUT, calib2_driver.give_up, [f"not done within {TIMEOUT} s"])
    too_late.daemon = True
    too_late.start()
    calib2_driver.Person = Newcomer
    calib2_driver._orders = (Path(sys.argv[1]), sys.argv[2].split(","))
    sys.argv[:] = ["pyFAI-calib2", *sys.argv[3:]]
    qt.QApplication = calib2_driver.Application
    return calib2_driver.calib2.main()


if __name__ == "__main__":
    sys.exit(_click())
