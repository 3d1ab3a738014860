"""The plan `calibrate` on a simulated detector, a live IOC, a real RunEngine and the real fit."""

from dataclasses import replace

import numpy as np
import pytest
from ophyd import Signal

from ponikeeper import poni
from ponikeeper.errors import CalibrationError
from ponikeeper_client.demo.detector import SimulatedDetector
from ponikeeper_client.demo.story import NEAR
from ponikeeper_client.plans import Nominal, Shutter, calibrate

TRUTH = replace(NEAR, dist=0.2391, poni1=0.2013, poni2=0.2052, rot1=0.011, rot2=-0.006)
NOMINAL = Nominal(0.25, "Perkin", pixel=(4e-4, 4e-4))


class Recorder(Signal):
    """A shutter that remembers what it was told."""

    def __init__(self, **kwargs):
        super().__init__(value="closed", **kwargs)
        self.told = []

    def set(self, value, **kwargs):
        self.told.append(value)
        return super().set(value, **kwargs)


@pytest.fixture
def shutter():
    return Recorder(name="shutter")


@pytest.fixture
def detector(make, prefix):
    found = make(SimulatedDetector, prefix.removesuffix("Calib:"))
    found.stand_at(TRUTH)
    return found


@pytest.fixture
def calibrated(run_engine, tmp_path):
    """Run the plan, give its result and the documents."""

    def run(*args, **kwargs):
        documents = {}
        kept = {}

        def plan():
            kept["result"] = yield from calibrate(*args, output_dir=tmp_path, **kwargs)

        run_engine(plan(), lambda kind, document: documents.setdefault(kind, []).append(document))
        return kept["result"], documents

    return run


def _off_px(found, truth):
    """Give how far the rings of one geometry are from those of another, rms over the detector (px)."""
    from ponikeeper_client.documents import azimuthal_integrator

    one, other = (azimuthal_integrator(g, shape=(1024, 1024)).array_from_unit((1024, 1024), unit="2th_rad") for g in (found, truth))
    return float(np.sqrt(np.mean(((one - other) * truth.dist / truth.pixel1 / np.cos(other) ** 2) ** 2)))


def test_first_calibration_from_a_nominal_distance_is_in_force_and_right(calibrated, detector, shutter, tmp_path):
    results, documents = calibrated(
        [detector], wavelength=TRUTH.wavelength, start=NOMINAL, num=3, label="near",
        shutter=Shutter(shutter, "open", "closed"), dark=None,
    )  # fmt: skip

    found = results["pe1"]
    snapshot = detector.calib.read_snapshot()
    assert (found.revision, snapshot.revision, snapshot.label, snapshot.status) == (1, 1, "near", "VALID")
    assert snapshot.geometry == found.geometry
    assert _off_px(found.geometry, TRUTH) < 0.05
    uid = documents["start"][0]["uid"]
    assert {path.name for path in tmp_path.iterdir()} == {f"{uid}_pe1_image.{kind}" for kind in ("tiff", "poni", "png")}
    assert poni.read((tmp_path / f"{uid}_pe1_image.poni").read_bytes()) == found.geometry
    assert shutter.told == ["open", "closed"]
    told = snapshot.provenance
    assert (told["method"], told["calibrant"], told["run_uid"], told["wavelength_from"]) == ("fit", "Ni", uid, "argument")
    assert told["n_rings"] >= 5
    assert told["residual_px"] < 0.2
    assert documents["start"][0]["plan_name"] == "calibrate"
    assert len(documents["event"]) == 3
