"""Files of areaDetector: each frame has the geometry that was active when it was taken, or says why it has none.

The camera is a double that does with libca what areaDetector does (`areadetector`), and a real ADSimDetector where
``PONIKEEPER_SIM_DETECTOR`` names its program.
"""

import os
import struct
import threading
import time

import h5py
import numpy as np
import pytest

import speak
from areadetector import Camera
from live import wait_for
from ponikeeper.config import load
from ponikeeper.errors import NoGeometryError, NotValidError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.parameters import PARAMETERS
from ponikeeper.protocol import Snapshot
from ponikeeper.protocol.header import write_header
from ponikeeper.site.areadetector import hdf5_layout, nd_attributes
from ponikeeper.text.timestamps import to_posix
from ponikeeper_client.recall import azimuthal_integrator, best_known, geometries, read_history, recorded
from recalling import configured, taken
from sim_detector import PROGRAM, SimDetector
from speak import GEOMETRY, commit_text, get, put, request


@pytest.fixture
def ioc(make_ioc):
    return make_ioc(detectors=("{Det:1}Calib:",)).start()


@pytest.fixture
def prefix(ioc):
    return ioc.prefix


def texts(ioc):
    detector = load(ioc.config).detector[0]
    return nd_attributes(detector), hdf5_layout(detector)


@pytest.fixture(params=["double", *(["real"] if PROGRAM else [])])
def camera(request, ioc, tmp_path, session_port):
    attributes, layout = texts(ioc)
    if request.param == "double":
        with Camera(attributes, layout) as camera:
            camera.driver.until()
            yield camera
    else:
        with SimDetector(tmp_path, session_port, f"{ioc.name}SIM:", os.environ["EPICS_CA_ADDR_LIST"]) as camera:
            camera.configure(attributes, layout)
            yield camera


def until_there(camera, prefix):
    """Wait until the camera has the header that the IOC publishes now."""
    header = write_header(Snapshot.from_json(get(f"{prefix}Snapshot_RBV")))
    wait_for(lambda: as_text(camera.value("PKHeader")) == header, what="the header at the camera")


def as_text(value):
    return value.decode() if isinstance(value, bytes) else value


def commit(camera, prefix, name, **geometry):
    assert request(prefix, commit_text(name, geometry={**GEOMETRY, **geometry}))["outcome"] == "accepted"
    until_there(camera, prefix)


def summaries(results):
    return [(one.seq_nums, one.summary) for one in results]


def test_file_has_the_geometry_of_each_frame_to_the_last_bit(camera, prefix, tmp_path):
    path = tmp_path / "image.h5"
    dist = np.nextafter(0.2345, 1.0)
    commit(camera, prefix, "first")
    with camera.writing(path):
        camera.expose(2)
        commit(camera, prefix, "second", dist=dist, detector_config={"orientation": 2, "note": "a b"})
        camera.expose(3)
    found = recorded(path)
    assert summaries(found) == [((1, 2), "revision 1 UNWATCHED"), ((3, 4, 5), "revision 2 UNWATCHED")]
    wanted = [
        Geometry(**GEOMETRY),
        Geometry(**{**GEOMETRY, "dist": dist, "detector_config": {"orientation": 2, "note": "a b"}}),
    ]
    for one, geometry in zip(found, wanted, strict=True):
        assert one.geometry == geometry
        for name in PARAMETERS:
            assert struct.pack("d", getattr(one.geometry, name)) == struct.pack("d", getattr(geometry, name))
    assert azimuthal_integrator(str(path), event=3, shape=(48, 64)).dist == dist


def test_record_of_a_file_is_that_of_a_run(camera, prefix, tmp_path):
    path = tmp_path / "image.h5"
    provenance = {"method": "fit", "comment": "x"}
    assert request(prefix, commit_text("first", label="near", provenance=provenance))["outcome"] == "accepted"
    until_there(camera, prefix)
    with camera.writing(path):
        camera.expose()
    snapshot = Snapshot.from_json(get(f"{prefix}Snapshot_RBV"))
    (of_run,) = recorded(taken([("primary", configured(snapshot), [time.time()])]))
    (of_file,) = recorded(path, history=read_history(prefix))
    same = ("kind", "geometry", "prefix", "revision", "uid", "serial", "checksum", "label", "files", "covariance",
            "valid_within", "integration", "model", "status")  # fmt: skip
    assert {name: getattr(of_file, name) for name in same} == {name: getattr(of_run, name) for name in same}
    one, other = (azimuthal_integrator(each, shape=(2048, 2048)) for each in (of_file, of_run))
    assert one.get_config() == other.get_config()


def test_status_that_changes_during_an_acquisition_is_that_of_each_frame(camera, prefix, tmp_path):
    path = tmp_path / "image.h5"
    commit(camera, prefix, "first")
    with camera.writing(path):
        camera.expose()
        text = '{"v": 1, "request": "r", "op": "retract", "revision": 1, "reason": "wrong calibrant"}'
        assert request(prefix, text)["outcome"] == "accepted"
        until_there(camera, prefix)
        camera.expose()
    assert summaries(recorded(path)) == [((1,), "revision 1 UNWATCHED"), ((2,), "revision 1 RETRACTED")]
    with pytest.raises(NotValidError, match="the status is RETRACTED"):
        azimuthal_integrator(path, event=2)
    (first, second) = best_known(path, history=read_history(prefix))
    assert (first.geometry, second.geometry) == (None, None)
    assert "revision 1 was retracted: wrong calibrant" in first.reason
    assert [one.reason for one in best_known(path)] == [first.reason, second.reason], "from the live IOC"


def test_file_that_is_open_while_the_ioc_is_killed_and_started_again(camera, ioc, tmp_path):
    path = tmp_path / "image.h5"
    commit(camera, ioc.prefix, "first")
    with camera.writing(path):
        camera.expose(2)
        ioc.kill()
        latched = camera.value("PKAlive")
        expose_later(camera, latched, 2.0)
        expose_later(camera, latched, 3.5)  # the attributes keep their last values
        expose_later(camera, latched, 3.6)
        assert camera.value("PKAlive") == latched
        ioc.start()
        speak.forget()
        wait_for(lambda: camera.value("PKAlive") != latched, timeout=60.0, what="the camera is connected again")
        commit(camera, ioc.prefix, "second", dist=0.3)
        camera.expose(2)
    found = recorded(path)
    assert [one.seq_nums for one in found] == [(1, 2, 3), (4, 5), (6, 7)]
    assert [one.geometry and one.geometry.dist for one in found] == [GEOMETRY["dist"], None, 0.3]
    assert "the IOC of the geometry did not answer when the frame was taken: PKAlive stays at" in found[1].reason
    with h5py.File(path) as file:
        statuses = file["entry/instrument/detector/ponikeeper/PKStatus"][()]
    assert statuses[3] == b"UNWATCHED", "the reason why the status in a file is no proof"


def expose_later(camera, since, seconds):
    """Expose a frame some seconds after a time; the double says that it is of that time."""
    if isinstance(camera, Camera):
        camera.expose(at=since + seconds)
    else:
        wait_for(lambda: time.time() >= since + seconds)
        camera.expose()


@pytest.mark.skipif(not PROGRAM, reason="no ADSimDetector here: PONIKEEPER_SIM_DETECTOR names its program")
def test_double_writes_what_areadetector_writes(ioc, tmp_path, session_port):
    attributes, layout = texts(ioc)
    trees = []
    with (
        Camera(attributes, layout) as double,
        SimDetector(tmp_path, session_port, f"{ioc.name}SIM:", os.environ["EPICS_CA_ADDR_LIST"]) as real,
    ):
        real.configure(attributes, layout)
        double.driver.until()
        for camera in (double, real):
            commit(camera, ioc.prefix, str(camera))
            with camera.writing(tmp_path / "image.h5"):
                camera.expose(2)
            with h5py.File(tmp_path / "image.h5") as file:
                trees.append(tree(file))
    assert trees[0] == trees[1]


OF_THE_DRIVER = "entry/instrument/NDAttributes"


def tree(file):
    """Return the type of each dataset and its attributes, but for those of the images and the driver."""
    rows = {}

    def add(name, item):
        kind = (item.dtype, item.ndim) if isinstance(item, h5py.Dataset) else None
        of_images = isinstance(item, h5py.Dataset) and item.ndim == 3
        attributes = {} if of_images else {key: one_text(value) for key, value in item.attrs.items()}
        if not name.startswith(OF_THE_DRIVER):
            rows[name] = (None if of_images else kind, {key: str(value) for key, value in attributes.items()})

    file.visititems(add)
    return rows


def test_file_that_was_opened_before_the_ioc_was_there(ioc, tmp_path):
    path = tmp_path / "image.h5"
    attributes = texts(ioc)
    ioc.kill()
    with Camera(*attributes) as camera, camera.writing(path):
        camera.expose()
        ioc.start()
        speak.forget()
        commit(camera, ioc.prefix, "first")
        camera.expose()
    (one,) = recorded(path)
    assert one.seq_nums == (1, 2)
    assert one.reason == (
        "PKHeader is of type float32, not a text: the IOC of the geometry was not connected when the file was opened"
    )
    with pytest.raises(NoGeometryError, match="frames 1-2: PKHeader is of type float32"):
        azimuthal_integrator(path)


def test_attribute_without_its_type_is_one_number(ioc, tmp_path):
    path = tmp_path / "image.h5"
    attributes, layout = texts(ioc)
    with Camera(attributes.replace('dbrtype="DBR_STRING"', 'dbrtype="DBR_NATIVE"'), layout) as camera:
        camera.driver.until()
        with camera.writing(path):
            camera.expose()
    (one,) = recorded(path)
    assert one.reason == (
        'PKHeader is of type int8, not a text: expected dbrtype="DBR_STRING" in the attributes of the driver'
    )


def test_layout_has_the_geometry_where_nexus_readers_look(camera, prefix, tmp_path):
    path = tmp_path / "image.h5"
    commit(camera, prefix, "first", rot1=0.01)
    with camera.writing(path):
        camera.expose(2)
    with h5py.File(path) as file:
        detector = file["entry/instrument/detector"]
        next_path, seen = one_text(detector["depends_on"][()]), {}
        while next_path != ".":
            step = file[next_path]
            seen[step.name.rpartition("/")[2]] = list(step[()])
            next_path = one_text(step.attrs["depends_on"])
        assert seen == {
            name: [{**GEOMETRY, "rot1": 0.01}[name]] * 2 for name in ("poni1", "poni2", "dist", "rot1", "rot2", "rot3")
        }
        assert list(file["entry/instrument/beam/incident_wavelength"][()]) == [GEOMETRY["wavelength"]] * 2
        assert list(detector["beam_center_x"][()]) == [get(f"{prefix}BeamX_RBV")] * 2
        assert file["entry/data/data"].shape[0] == 2
        assert file["entry/instrument/detector/transformations/rot1"].attrs["vector"].tolist() == [0, -1, 0]
    geometry = {**GEOMETRY, "rot1": 0.01}
    nexus = pytest.importorskip("nexusformat.nexus", reason="install [test]")  # what others read such files with
    read = nexus.nxload(path, mode="r")
    assert read.plottable_data.nxclass == "NXdata"
    chain, beam = read["entry/instrument/detector/transformations"], read["entry/instrument/beam"]
    assert chain.nxclass == "NXtransformations"
    for name, field in {**chain.entries, "wavelength": beam.incident_wavelength}.items():
        assert struct.pack("2d", *field.nxvalue) == struct.pack("2d", *[geometry[name]] * 2), name
        assert field.units == PARAMETERS[name].unit
    assert read["entry/instrument/detector/ponikeeper/PKHeader"].nxvalue[1].startswith("PK1 1 ")


DEFAULT_LAYOUT = """<hdf5_layout><group name="entry"><group name="instrument">
<group name="detector"><dataset name="data" source="detector" det_default="true"/></group>
<group name="NDAttributes" ndattr_default="true"/></group></group></hdf5_layout>"""
"""In short what the HDF5 plugin does without a layout."""


def test_attributes_are_found_in_any_layout_and_by_their_names_alone(ioc, tmp_path):
    path, copy = tmp_path / "image.h5", tmp_path / "copy.h5"
    with Camera(texts(ioc)[0], DEFAULT_LAYOUT) as camera:
        commit(camera, ioc.prefix, "first")
        camera.driver.until()
        with camera.writing(path):
            camera.expose(2)
    (one,) = recorded(path, detector=ioc.prefix[:-1])
    assert (one.geometry, one.prefix, one.seq_nums) == (Geometry(**GEOMETRY), ioc.prefix, (1, 2))
    with h5py.File(path) as file, h5py.File(copy, "w") as other:
        for name, dataset in file["entry/instrument/NDAttributes"].items():
            other[name.lower() if name.startswith("PK") else name] = dataset[()]
    (again,) = recorded(copy)
    assert (again.geometry, again.prefix, again.uid) == (one.geometry, None, one.uid)
    with pytest.raises(NoGeometryError, match="recorded no geometry of pe1: recorded are"):
        recorded(path, detector="pe1")


def one_text(value):
    value = value[0] if isinstance(value, np.ndarray) else value
    return value.decode() if isinstance(value, bytes) else value


def test_other_file_is_no_file_of_areadetector(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros((2, 4, 4))
    with pytest.raises(NoGeometryError, match="has no attribute PKHeader: expected a file of areaDetector"):
        recorded(path)
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(NoGeometryError, match=r"cannot be read: .*; expected an HDF5 file of areaDetector"):
        recorded(tmp_path / "text.h5")
    with pytest.raises(NoGeometryError, match=r"is no run: expected .*; and there is no file of that name"):
        recorded(tmp_path / "none.h5")
    with pytest.raises(NoGeometryError, match="is no run: the geometry of an image file is read by recorded"):
        geometries(path)
    with pytest.raises(NoGeometryError, match=r"1300b97a is no run: expected its documents, or .*, catalog\[uid\]$"):
        geometries("1300b97a")
    with pytest.raises(ValueError, match="history= is for image files"):
        recorded([], history=[])


@pytest.mark.parametrize("frames", [60, pytest.param(1000, marks=pytest.mark.campaign)])
def test_no_frame_is_mixed_or_wrong_while_two_writers_commit(camera, prefix, tmp_path, frames):
    path = tmp_path / "image.h5"
    commit(camera, prefix, "first")
    stopped, errors = threading.Event(), []

    def write(writer):
        number = 0
        while not stopped.is_set():
            number += 1
            values = {"dist": 0.2 + writer * 0.1 + number * 1e-6, "poni1": 0.1 + writer * 0.01 + number * 1e-6}
            error = put(f"{prefix}Request", commit_text(f"{writer}-{number}", geometry={**GEOMETRY, **values}))
            errors.extend([error] if error else [])

    writers = [threading.Thread(target=write, args=(number,)) for number in (1, 2)]
    for writer in writers:
        writer.start()
    with camera.writing(path):
        for _ in range(frames // 20):
            camera.expose(20)
    stopped.set()
    for writer in writers:
        writer.join()
    assert errors == []
    history = read_history(prefix)
    found = recorded(path)
    assert sum(len(one.events) for one in found) == frames
    wrong = [one for one in found if one.geometry != history.revisions[(one.revision or 0) - 1].geometry]
    wrong += [one for one in found if history.activations[(one.serial or 0) - 1].revision != one.revision]
    assert wrong == []
    serials = [one.serial for one in found]
    assert serials == sorted(serials)
    late = [lateness(event.time, one.serial, history) for one in found for event in one.events]
    print(f"{frames} frames, {len(found)} geometries, {len(history.revisions)} commits, latest {max(late):.3f} s")
    assert len(found) > frames / 20
    assert max(late) < 1.0


def lateness(taken_at, serial, history):
    """Return for how long a geometry was no longer the active one when a frame was taken with it (s)."""
    following = history.activations[serial : serial + 1]
    return max((taken_at - to_posix(each.time) for each in following), default=0.0)
