"""Detectors that files describe, from a commit over Channel Access to the integrator of a run."""

import hashlib
from pathlib import Path

import bluesky.plans as bp
import numpy as np
import pytest
from bluesky.utils import FailedStatus
from event_model import DocumentNames
from ophyd import Component as Cpt
from ophyd import Device, Signal

import distorted
import speak
from ponikeeper.errors import GeometryFileError, RefusedError
from ponikeeper.geometry import Geometry, poni
from ponikeeper.protocol import Commit
from ponikeeper_client.device import CalibrationData, CalibrationMixin
from ponikeeper_client.recall import azimuthal_integrator, recorded
from speak import GEOMETRY


class Panel(CalibrationMixin, Device):
    """A detector whose data are numbers."""

    total = Cpt(Signal, value=1.0, kind="normal")
    calib = Cpt(CalibrationData, "", kind="config")


@pytest.fixture
def panel(make, prefix):
    return make(Panel, prefix, "pe1")


@pytest.fixture(params=sorted(distorted.MAKERS))
def made(request, tmp_path):
    """A detector, the geometry that pyFAI saved of it, and its files."""
    detector = distorted.MAKERS[request.param](tmp_path)
    geometry = poni.read(distorted.saved(detector, tmp_path).read_bytes())
    names = ("filename", "splineFile", "x_offset_file", "y_offset_file")
    files = {name: _entry(geometry.detector_config[name]) for name in names if name in geometry.detector_config}
    return detector, geometry, files


def _entry(path):
    return {"path": str(path), "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest()}


WAYS = {
    "set": lambda calib, geometry, mask: calib.set(geometry, mask=mask).wait(20),
    "set of values": lambda calib, geometry, mask: calib.set(geometry.as_dict(), mask=mask).wait(20),
    "transact": lambda calib, geometry, mask: calib.transact(Commit(geometry.as_dict(), files={"mask": _entry(mask)})),
    "configure": lambda calib, geometry, _: calib.configure(geometry.as_dict()),
    "configure of the detector": lambda calib, geometry, _: calib.parent.configure({"calib": geometry}),
}


@pytest.mark.parametrize("way", WAYS)
def test_run_of_a_detector_of_files_is_read_back_with_its_pixels_and_mask(panel, take, made, tmp_path, way):
    detector, geometry, files = made
    hidden = np.zeros(detector.shape, np.uint8)
    hidden[3:7, 5:9] = 1
    mask = tmp_path / "mask.npy"
    np.save(mask, hidden)
    WAYS[way](panel.calib, geometry, mask)
    run = take(bp.count([panel]))
    (result,) = recorded(_pairs(run))
    with_mask = not way.startswith("configure")
    assert result.files == {**files, **({"mask": _entry(mask)} if with_mask else {})}
    integrator = azimuthal_integrator(result)
    assert np.array_equal(distorted.pixels(integrator.detector), distorted.pixels(detector))
    if with_mask:
        assert integrator.detector.mask[3:7, 5:9].all()
    changed = Path(next(iter(files.values()))["path"])
    changed.write_bytes(changed.read_bytes() + b" ")
    with pytest.raises(GeometryFileError, match=_entry(changed)["sha256"]):
        azimuthal_integrator(result)


def test_edits_keep_the_files_and_another_detector_drops_them(panel, take, made):
    _, geometry, files = made
    panel.calib.set(geometry).wait(20)
    assert speak.put(f"{panel.calib.prefix}Dist", 0.3) is None
    panel.calib.set({"rot1": 0.02}).wait(20)
    (result,) = recorded(_pairs(take(bp.count([panel]))))
    assert result.files == files
    assert (result.geometry.dist, result.geometry.rot1) == (0.3, 0.02)
    azimuthal_integrator(result)
    panel.calib.set(Geometry(**GEOMETRY)).wait(20)
    (result,) = recorded(_pairs(take(bp.count([panel]))))
    assert result.files == {}


def test_commit_of_a_file_that_is_not_there_fails_before_anything_is_sent(panel, made):
    _, geometry, files = made
    panel.calib.set(Geometry(**GEOMETRY)).wait(20)
    before = panel.calib.read_snapshot()
    path = Path(next(iter(files.values()))["path"])
    path.unlink()
    status = panel.calib.set(geometry)
    with pytest.raises((GeometryFileError, FailedStatus), match=f"{path} cannot be read"):
        status.wait(20)
    with pytest.raises(GeometryFileError, match=f"{path} cannot be read"):
        panel.calib.configure(geometry.as_dict())
    assert panel.calib.read_snapshot() == before


def test_hash_of_another_file_is_refused(panel, made):
    _, geometry, files = made
    wrong = {name: {**entry, "path": "/elsewhere"} for name, entry in files.items()}
    with pytest.raises(RefusedError, match="files has the SHA-256 of /elsewhere"):
        panel.calib.transact(Commit(geometry.as_dict(), files=wrong))


def _pairs(documents):
    return [(kind, each) for kind in DocumentNames.__members__ for each in documents.get(kind, ())]
