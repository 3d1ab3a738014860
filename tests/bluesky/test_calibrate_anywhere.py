"""`calibrate` at any position: the committed geometry is compared with the true one."""

import numpy as np
import pytest

from calibrating import Panel
from ponikeeper_client.plans import calibrate
from powder import Scene, displaced, off_px, on_detector

RIGHT = 0.05
STANDARDS = ("Ni", "LaB6", "CeO2", "Si")


def _scene(seed):
    """Put a panel with gaps somewhere, a beam stop before it."""
    random = np.random.default_rng(seed)
    truth = on_detector(
        "Pilatus1M", 172e-6, random.uniform(0.15, 0.35), random.uniform(0.25, 0.75, 2), random.uniform(-8, 8, 2),
        random.uniform(2e-11, 4.5e-11),
    )  # fmt: skip
    standard = STANDARDS[random.integers(len(STANDARDS))]
    return Scene(truth, standard, random.uniform(2, 4), counts=random.uniform(200, 2000), seed=seed)


def _committed(run_engine, panel, seed, folder):
    """Calibrate one scene from a displaced active geometry; return how far the new one is from the truth (px)."""
    scene = _scene(seed)
    panel.calib.set(displaced(scene.truth, np.random.default_rng(seed + 1000))).wait(timeout=10)
    panel.frames = [scene.image()]
    run_engine(calibrate([panel], calibrant=scene.calibrant, output_dir=folder))
    snapshot = panel.calib.read_snapshot()
    assert snapshot.provenance["method"] == "fit"
    return off_px(scene.truth, snapshot.geometry)


@pytest.fixture
def panel(make, prefix):
    return make(Panel, prefix.removesuffix("Calib:"))


def test_committed_geometry_is_where_the_detector_is(run_engine, panel, tmp_path):
    assert _committed(run_engine, panel, 7, tmp_path) < RIGHT


@pytest.mark.campaign
def test_fifty_places(run_engine, panel, tmp_path):
    off = []
    for seed in range(50):
        off.append(_committed(run_engine, panel, seed, tmp_path))
        print(f"{seed}: {_scene(seed).calibrant}, off by {off[-1]:.4f} px", flush=True)
    right = np.sum(np.array(off) < RIGHT)
    print(f"{right} of {len(off)} within {RIGHT} px; worst {max(off):.4f}, median {np.median(off):.4f}")
    assert max(off) < RIGHT
