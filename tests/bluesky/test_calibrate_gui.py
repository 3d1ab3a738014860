"""`calibrate` with the real pyFAI-calib2 on a virtual display, operated by a script."""

import importlib.util
import shlex
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bluesky.utils import RunEngineInterrupted

from calibrating import Panel, Recorder
from live import wait_for
from ponikeeper.errors import CalibrationError, NoDisplayError
from ponikeeper_client.demo import nickel
from ponikeeper_client.demo.story import NEAR
from ponikeeper_client.gui import display
from ponikeeper_client.plans import Shutter, calibrate

DRIVER = Path(__file__).parents[1] / "support" / "calib2_driver.py"

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("PySide6") is None or importlib.util.find_spec("qtawesome") is None,
        reason="pyFAI-calib2 has no Qt here: pip install 'pyFAI[gui]'",
    ),
]


@pytest.fixture
def clicking(monkeypatch, tmp_path):
    """Operate the next pyFAI-calib2 by a script."""
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def click(steps):
        command = [sys.executable, str(DRIVER), str(tmp_path / "report.json"), steps]
        monkeypatch.setenv(display.VARIABLE, shlex.join(command))

    return click


@pytest.fixture(scope="module")
def frame():
    return nickel.image(NEAR, (1024, 1024), seed=4)


@pytest.fixture
def panel(make, prefix, frame):
    result = make(Panel, prefix.removesuffix("Calib:"))
    result.frames = [frame]
    return result


@pytest.fixture
def shutter():
    return Shutter(Recorder(name="shutter"), "open", "closed")


@pytest.mark.campaign  # the origin notebook goes this way too
def test_geometry_that_a_person_saved_under_any_name_is_active(run_engine, panel, clicking, shutter, tmp_path):
    panel.calib.set(replace(NEAR, dist=0.2355)).wait(timeout=10)
    clicking("fit,save=whatever,close")
    run_engine(
        calibrate([panel], calibrant="Ni", method="gui", shutter=shutter, label="near", output_dir=tmp_path / "out")
    )
    snapshot = panel.calib.read_snapshot()
    assert (snapshot.revision, snapshot.label) == (2, "near")
    assert snapshot.geometry.dist == pytest.approx(NEAR.dist, rel=2e-3)
    assert snapshot.geometry.orientation == 3
    reported = snapshot.provenance
    assert (reported["method"], reported["calibrant"]) == ("gui", "Ni")
    assert reported["residual_px"] < 1
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".tiff", ".poni", ".png", ".calib2"}


def test_window_closed_without_saving_is_cancelled_and_the_image_kept(run_engine, panel, clicking, shutter, tmp_path):
    """The window was given the mask."""
    mask = np.zeros((1024, 1024), bool)
    mask[:100] = True
    options = {"start": NEAR, "mask": mask, "output_dir": tmp_path / "out"}
    clicking("close")
    with pytest.raises(CalibrationError, match="cancelled") as raised:
        run_engine(calibrate([panel], calibrant="Ni", method="gui", shutter=shutter, **options))
    (image,) = (tmp_path / "out").glob("*.tiff")
    assert str(image) in str(raised.value)
    assert panel.calib.read_snapshot().revision == 0
    assert f'"masked": {mask.sum()}' in (tmp_path / "report.json").read_text()


def test_no_display_is_reported_before_the_exposure(run_engine, panel, monkeypatch, shutter, tmp_path):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NoDisplayError, match="log in with ssh -X"):
        run_engine(calibrate([panel], calibrant="Ni", method="gui", start=NEAR, shutter=shutter, output_dir=tmp_path))
    assert panel.exposures == 0
    assert shutter.device.puts == []


def test_abort_closes_the_window_and_commits_nothing(run_engine, panel, clicking, shutter, tmp_path):
    clicking("show,wait")
    log = tmp_path / "out"

    def stop():
        wait_for(lambda: list(log.glob("*.calib2/calib2.log")), 60)
        run_engine.request_pause()

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(RunEngineInterrupted):
        run_engine(calibrate([panel], calibrant="Ni", method="gui", start=NEAR, shutter=shutter, output_dir=log))
    thread.join()
    run_engine.abort()
    wait_for(lambda: not [each for each in threading.enumerate() if each.name == "calibrate pe1"])
    assert panel.calib.read_snapshot().revision == 0
    assert shutter.device.puts == ["open", "closed"]
