"""Geometries of detectors that are described by files: built from the verified files only, never as a flat detector."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyFAI", reason="install [fit]")

import distorted
from ponikeeper.errors import GeometryError, GeometryFileError, ShapeError
from ponikeeper.geometry import Geometry, poni
from ponikeeper.history.record_form import checksum
from ponikeeper.protocol import Commit
from ponikeeper.protocol.hashed_files import with_files
from ponikeeper.system.file_hash import file_entry, sha256_of
from ponikeeper_client import documents, recall
from ponikeeper_client.recall import azimuthal_integrator, best_known, recorded, write_nexus, write_poni
from recalling import PREFIX, configured, history, revision, snapshot, taken

DETECTORS = pytest.mark.parametrize("made", distorted.MAKERS, indirect=True)


@pytest.fixture
def made(request, tmp_path):
    """A detector with the geometry of its PONI, as `ponikeeper put` would commit it."""
    maker = distorted.MAKERS[request.param]
    detector = maker(tmp_path)
    geometry = poni.read(distorted.saved(detector, tmp_path).read_bytes())
    commit = with_files(Commit(geometry.as_dict()), file_entry)
    return detector, Geometry.parse(commit.geometry), commit.files, maker


def run_of(geometry, files=None, mask=None):
    """Make a run with a geometry and its files."""
    files = {**(files or {}), **({} if mask is None else {"mask": file_entry(mask)})}
    found = replace(snapshot(revision(12)), geometry=geometry, provenance={"files": files} if files else {})
    return taken([("primary", configured(found), [1.0])])


def changed(path):
    """Change one byte in the middle of a file, and return the SHA-256 before and after."""
    before, content = sha256_of(path), bytearray(Path(path).read_bytes())
    content[len(content) // 2] ^= 1
    Path(path).write_bytes(content)
    return before, sha256_of(path)


@DETECTORS
def test_integrator_has_the_pixels_of_the_files(made):
    detector, geometry, files, _ = made
    integrator = azimuthal_integrator(run_of(geometry, files))
    expected = distorted.pixels(detector)
    assert np.array_equal(distorted.pixels(integrator.detector), expected)
    flat = np.indices(expected.shape[1:]) + 0.5
    assert abs(expected - flat * [[[geometry.pixel1]], [[geometry.pixel2]]]).max() > geometry.pixel1  # more than 1 px
    assert integrator.dist == distorted.PLACE["dist"]


@DETECTORS
def test_file_with_another_content_raises_with_both_hashes(made, tmp_path):
    _, geometry, files, maker = made
    run = run_of(geometry, files)
    maker(tmp_path, 2.0)  # another detector that pyFAI can read
    for use in _uses(run, tmp_path):
        with pytest.raises(GeometryFileError) as caught:
            use()
        for entry in files.values():
            assert f"has the SHA-256 {sha256_of(entry['path'])}" in str(caught.value)
            assert f"committed with {entry['sha256']}" in str(caught.value)
    assert not list(tmp_path.glob("out.*"))


@DETECTORS
def test_missing_file_raises_with_its_path(made, tmp_path):
    _, geometry, files, _ = made
    run = run_of(geometry, files)
    path = Path(next(iter(files.values()))["path"])
    path.unlink()
    for use in _uses(run, tmp_path):
        with pytest.raises(GeometryFileError, match=f"{path} cannot be read: No such file"):
            use()
    assert not list(tmp_path.glob("out.*"))


@DETECTORS
def test_run_without_the_hashes_raises_whatever_the_files_are(made, tmp_path):
    _, geometry, _, _ = made
    bare = [lambda shape=shape: documents.azimuthal_integrator(geometry, shape=shape) for shape in (None, (60, 80))]
    for use in (*_uses(run_of(geometry), tmp_path), *bare):
        with pytest.raises(GeometryFileError, match="no SHA-256 was recorded"):
            use()


def _uses(run, folder):
    """Return every way from a run to something that is built from its geometry."""
    descriptor = next(document for kind, document in run if kind == "descriptor")
    first = recorded(run)[0]
    return [
        lambda: azimuthal_integrator(run),
        lambda: azimuthal_integrator(run, shape=(60, 80)),
        lambda: azimuthal_integrator(run, any_status=True),
        lambda: azimuthal_integrator(first),
        lambda: documents.azimuthal_integrator(descriptor),
        lambda: documents.azimuthal_integrator(descriptor, any_status=True),
        lambda: recall.poni(first),
        lambda: write_poni(first, folder / "out.poni"),
        lambda: write_nexus(first, folder / "out.nxs"),
        lambda: write_nexus(first, folder / "out.nxs", (60, 80), any_status=True),
    ]


@DETECTORS
def test_poni_file_names_path_and_hash_of_each_file(made, tmp_path):
    _, geometry, files, _ = made
    write_poni(recorded(run_of(geometry, files))[0], tmp_path / "out.poni")
    text = (tmp_path / "out.poni").read_text()
    assert poni.read(text) == geometry
    for name, entry in files.items():
        assert f"# file {name}: {entry['path']}, sha256 {entry['sha256']}" in text


@DETECTORS
def test_pixels_that_are_no_grid_are_not_written_as_nexus(made, tmp_path):
    _, geometry, files, _ = made
    with pytest.raises(GeometryError, match="do not form an even grid"):
        write_nexus(recorded(run_of(geometry, files))[0], tmp_path / "out.nxs")


@DETECTORS
def test_plain_detector_never_stands_for_images_of_another_shape(made):
    _, geometry, files, _ = made
    with pytest.raises(ShapeError, match="a plain detector cannot stand for it"):
        azimuthal_integrator(run_of(geometry, files), shape=(10, 10))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pyFAI leaves the file open
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@DETECTORS
def test_file_that_is_not_what_pyfai_expects_raises_an_error_of_ours(made):
    _, geometry, files, _ = made
    for entry in files.values():
        Path(entry["path"]).write_bytes(b"no detector at all\n")
    renewed = {name: file_entry(entry["path"]) for name, entry in files.items()}
    with pytest.raises(GeometryFileError, match="pyFAI cannot make"):
        azimuthal_integrator(run_of(geometry, renewed))


@pytest.mark.parametrize(
    ("detector", "key"),
    [("Pilatus100k", "splineFile"), ("Perkin", "splineFile"), ("Rayonix133", "filename"), ("Eiger1M", "flat_file"),
     ("Pilatus100k", "x_offset_file")],
)  # fmt: skip
def test_file_that_pyfai_ignores_is_not_ignored(tmp_path, detector, key):
    distorted.spline(tmp_path)
    path = str(tmp_path / "taper.spline")
    pixels = {"Pilatus100k": 172e-6, "Perkin": 200e-6, "Rayonix133": 64e-6, "Eiger1M": 75e-6}[detector]
    geometry = Geometry(**distorted.PLACE, pixel1=pixels, pixel2=pixels, detector=detector, detector_config={key: path})
    for shape in (None, (50, 60)):
        with pytest.raises(GeometryFileError, match=r"does not use|has only one of"):
            azimuthal_integrator(run_of(geometry, {key: file_entry(path)}), shape=shape)


def test_detector_that_pyfai_does_not_know_is_not_replaced_by_a_plain_one(tmp_path):
    distorted.spline(tmp_path)
    path = str(tmp_path / "taper.spline")
    geometry = Geometry(
        **distorted.PLACE, pixel1=5e-5, pixel2=5e-5, detector="Mine", detector_config={"splineFile": path}
    )
    with pytest.raises(GeometryFileError, match="pyFAI does not know the detector Mine"):
        azimuthal_integrator(run_of(geometry, {"detector": file_entry(path)}), shape=(50, 60))


@pytest.mark.parametrize("name", ["NexusDetector", "nexusdetector", "/d/det.h5"])
def test_detector_that_is_a_file_without_a_file_raises(name):
    geometry = Geometry(**distorted.PLACE, pixel1=5e-5, pixel2=5e-5, detector=name)
    with pytest.raises(GeometryFileError, match=r"is described by a file|is a file"):
        azimuthal_integrator(run_of(geometry), shape=(50, 60))


@pytest.mark.parametrize("suffix", [".npy", ".edf", ".tif"])
def test_mask_is_verified_and_set_with_the_gaps_of_the_detector(tmp_path, suffix):
    geometry = Geometry(**distorted.PLACE, pixel1=172e-6, pixel2=172e-6, detector="Pilatus1M")
    values = np.zeros((1043, 981), np.uint8)
    values[10:20, 30:50] = 1
    path = _written(tmp_path / f"mask{suffix}", values)
    plain, masked = azimuthal_integrator(run_of(geometry)), azimuthal_integrator(run_of(geometry, mask=path))
    assert np.array_equal(masked.detector.mask != 0, (plain.detector.mask != 0) | (values != 0))
    image = np.ones(values.shape, np.float32)
    image[10:20, 30:50] = 1e9
    assert plain.integrate1d(image, 200, unit="2th_deg", correctSolidAngle=False).intensity.max() > 1e3
    assert masked.integrate1d(image, 200, unit="2th_deg", correctSolidAngle=False).intensity.max() < 2
    entry = recorded(run_of(geometry, mask=path))[0].files["mask"]
    assert entry == {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def test_changed_missing_or_wrong_mask_raises(tmp_path):
    geometry = Geometry(**distorted.PLACE, pixel1=172e-6, pixel2=172e-6, detector="Pilatus1M")
    path = _written(tmp_path / "mask.npy", np.zeros((1043, 981), np.uint8))
    run = run_of(geometry, mask=path)
    before, after = changed(path)
    for use in _uses(run, tmp_path):
        with pytest.raises(GeometryFileError, match=f"{after}.*{before}"):
            use()
    path.unlink()
    with pytest.raises(GeometryFileError, match="cannot be read"):
        azimuthal_integrator(run)
    path = _written(tmp_path / "mask.npy", np.zeros((10, 10), np.uint8))
    with pytest.raises(ShapeError, match=r"the mask .* has the shape"):
        azimuthal_integrator(run_of(geometry, mask=path))


@DETECTORS
def test_best_known_revision_has_its_own_files(made):
    detector, geometry, files, _ = made
    old = history(12)
    first = old.revisions[-1]
    bare = replace(first, geometry=geometry, provenance={"files": files})
    right = replace(bare, checksum=checksum(PREFIX, "revision", bare.row()))
    known = replace(old, revisions=(*old.revisions[:-1], right))
    found = replace(snapshot(right), provenance=right.provenance)
    run = taken([("primary", configured(found), [1.0])])
    result = best_known(run, history=known)[0]
    assert result.files == files
    assert np.array_equal(distorted.pixels(azimuthal_integrator(result).detector), distorted.pixels(detector))


def test_descriptor_has_the_files_as_json_or_an_empty_text(tmp_path):
    geometry = Geometry(**distorted.PLACE, pixel1=172e-6, pixel2=172e-6, detector="Pilatus1M")
    path = _written(tmp_path / "mask.npy", np.zeros((1043, 981), np.uint8))
    runs = (run_of(geometry), run_of(geometry, mask=path))
    descriptors = [next(document for kind, document in run if kind == "descriptor") for run in runs]
    texts = [descriptor["configuration"]["pe1"]["data"]["pe1_calib_files"] for descriptor in descriptors]
    assert texts[0] == ""
    assert json.loads(texts[1]) == {"mask": file_entry(path)}


def test_every_file_of_a_pyfai_configuration_is_known():
    import inspect

    from pyFAI.detectors import Detector, NexusDetector

    from ponikeeper.geometry.files import named_files

    arguments = {
        name
        for kind in {*Detector.registry.values(), NexusDetector}
        for name in inspect.signature(kind.__init__).parameters
    }
    files = {name for name in arguments if "file" in name.lower() or "path" in name.lower()}
    assert {"filename", "splinefile", "x_offset_file", "y_offset_file"} <= files
    assert all(named_files({name: "name"}) for name in files)


def _written(path, values):
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        import fabio

        kind = fabio.edfimage.EdfImage if path.suffix == ".edf" else fabio.tifimage.TifImage
        kind(data=values).write(str(path))
    return path
