"""Images of runs are integrated with the geometry, the mask and the settings that were active when they were taken."""

import json

import numpy as np
import pytest
from bluesky import plans as bp
from pyFAI.detectors import Detector
from pyFAI.integrator.azimuthal import AzimuthalIntegrator

from imaging import SHAPE, VALUES, ImageDetector
from ponikeeper.errors import ImageError, IntegrationError, NoGeometryError, RefusedError
from ponikeeper_client import integrate, recorded

SETTINGS = {"npt": 60, "unit": "q_nm^-1", "method": ["bbox", "csr", "cython"], "polarization_factor": 0.99}
OTHER = {"npt": 25, "unit": "2th_deg", "method": ["no", "histogram", "cython"], "error_model": "poisson"}


@pytest.fixture
def detector(make, prefix):
    device = make(ImageDetector, prefix, "pe1")
    device.calib.set(VALUES, integration=SETTINGS).wait(10)
    return device


@pytest.fixture
def count(run_engine, detector):
    """Count, and return the documents."""

    def run(events):
        documents = []
        run_engine(bp.count([detector], events), lambda *document: documents.append(document))
        return documents

    return run


def expected(image, settings, mask=None, **more):
    """Integrate an image with pyFAI alone."""
    geometry = {name: VALUES[name] for name in ("dist", "poni1", "poni2", "rot1", "rot2", "rot3", "wavelength")}
    integrator = AzimuthalIntegrator(**geometry, detector=Detector(1e-3, 1e-3, max_shape=SHAPE, orientation=3))
    arguments = {**settings, "method": tuple(settings["method"])}
    return integrator.integrate1d(image.astype(float), **arguments, mask=mask, **more)


def assert_same(pattern, result):
    np.testing.assert_array_equal(pattern.radial, result.radial)
    np.testing.assert_array_equal(pattern.intensity, result.intensity)


def test_each_run_is_integrated_as_its_revision_says(detector, count, catalogs, tmp_path):
    before = catalogs.insert(count(2))
    mask = np.zeros(SHAPE, np.int8)
    mask[10:30, 20:50] = 1
    np.save(tmp_path / "mask.npy", mask)
    detector.calib.set({}, integration=OTHER, mask=tmp_path / "mask.npy").wait(10)
    after = catalogs.insert(count(1))
    for run in catalogs.runs(before).values():
        patterns = integrate(run)
        assert [pattern.seq_num for pattern in patterns] == [1, 2]
        for pattern, image in zip(patterns, detector.taken, strict=False):
            assert_same(pattern, expected(image, SETTINGS))
            assert (pattern.unit, pattern.sigma, pattern.settings) == ("q_nm^-1", None, SETTINGS)
            assert (pattern.geometry.revision, pattern.geometry.status) == (1, "UNWATCHED")
        (second,) = integrate(run, event=2)
        assert_same(second, expected(detector.taken[1], SETTINGS))
    for run in catalogs.runs(after).values():
        (pattern,) = integrate(run)
        result = expected(detector.taken[2], OTHER, mask)
        assert_same(pattern, result)
        np.testing.assert_array_equal(pattern.sigma, result.sigma)
    (record,) = recorded(catalogs.tiled[after])
    assert (record.revision, record.integration) == (2, OTHER)
    assert record.require_geometry() == recorded(catalogs.tiled[before])[0].require_geometry()
    (tmp_path / "mask.npy").write_bytes(b"another mask")
    with pytest.raises(ValueError, match=r"mask\.npy"):
        integrate(catalogs.tiled[after])


def test_frames_of_an_event_are_averaged_and_dark_is_subtracted(detector, count, catalogs):
    detector.frames = 3
    uid = catalogs.insert(count(2))
    dark = np.full(SHAPE, 7.0)
    means = [taken.mean(axis=0) for taken in detector.taken]
    for run in catalogs.runs(uid).values():
        for pattern, mean in zip(integrate(run, dark=dark), means, strict=True):
            assert_same(pattern, expected(mean, SETTINGS, dark=dark))


def test_documents_and_images_of_another_source_do(detector, count):
    documents = count(2)
    with pytest.raises(ImageError, match=r"has no images pe1_frame .* expected the run of a catalog, catalog\[uid\]"):
        integrate(documents)
    for pattern, image in zip(integrate(documents, images=detector.taken), detector.taken, strict=True):
        assert_same(pattern, expected(image, SETTINGS))
    with pytest.raises(ImageError, match="expected one image for each of the 2 events"):
        integrate(documents, images=detector.taken[:1])
    with pytest.raises(NoGeometryError, match="primary has no event 3: expected 1 to 2"):
        integrate(documents, images=detector.taken, event=3)
    with pytest.raises(NoGeometryError, match="no event with a geometry of pe2"):
        integrate(documents, "pe2", images=detector.taken)


def test_a_revision_without_settings_says_what_to_do(detector, count):
    detector.calib.set({}, integration=None).wait(10)
    documents = count(1)
    with pytest.raises(IntegrationError, match="revision 2 has no integration settings: give settings="):
        integrate(documents, images=detector.taken)
    (pattern,) = integrate(documents, images=detector.taken, settings=OTHER)
    assert_same(pattern, expected(detector.taken[0], OTHER))
    with pytest.raises(IntegrationError, match='"npt" is missing'):
        integrate(documents, images=detector.taken, settings={"unit": "2th_deg"})


def test_a_method_that_is_not_available_is_not_replaced(detector, count):
    """PyFAI itself uses another one, and only logs that."""
    documents = count(1)
    lacking = {**SETTINGS, "method": ["full", "histogram", "python"]}
    with pytest.raises(
        IntegrationError, match=r'full histogram python is not available .* \["bbox", "csr", "cython"\]'
    ):
        integrate(documents, images=detector.taken, settings=lacking)


def test_wrong_settings_are_refused_and_nothing_is_lost(detector):
    with pytest.raises(RefusedError, match=r"provenance\.integration\.unit"):
        detector.calib.set({}, integration={"npt": 100, "unit": "degrees"}).wait(10)
    assert detector.calib.read_snapshot().provenance["integration"] == SETTINGS


def test_the_command_line_shows_and_changes_them(detector, call, tmp_path):
    prefix = detector.calib.prefix
    shown = call("integration", prefix)
    assert "integration: npt 60, unit q_nm^-1, method bbox csr cython, polarization_factor 0.99" in shown.stdout
    assert "mask: none" in shown.stdout
    (tmp_path / "settings.json").write_text(json.dumps(OTHER))
    assert call("integration", prefix, "--set", str(tmp_path / "settings.json")).returncode == 0
    again = call("integration", prefix, "--set", json.dumps(OTHER), "--json")
    assert json.loads(again.stdout)["revision"] == 2
    shown = json.loads(call("integration", prefix, "--json").stdout)
    assert (shown["revision"], shown["integration"], shown["mask"]) == (2, OTHER, None)
    assert "# integration: npt 25, unit 2th_deg" in call("get", prefix).stdout
    assert call("integration", prefix, "--remove").returncode == 0
    assert json.loads(call("integration", prefix, "--json").stdout)["integration"] is None
    wrong = call("integration", prefix, "--set", "{'npt': 3}")
    assert wrong.returncode == 2
    assert 'expected {"npt": 3000, "unit": "q_nm^-1"' in wrong.stderr
