"""A geometry as NeXus: the transformation chain gives each pixel the position of pyFAI, or the geometry is refused."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import old_pyfai
from ponikeeper.errors import GeometryError, NoGeometryError, ShapeError
from ponikeeper.geometry import Geometry, poni
from ponikeeper_client.documents import integrator_of
from ponikeeper_client.recall import best_known, recorded, write_nexus
from recalling import PREFIX, configured, history, judge, revision, snapshot, taken
from speak import GEOMETRY

h5py = pytest.importorskip("h5py", reason="install [fit]")


TOLERANCE = 1e-12
"""m"""


@pytest.fixture
def one():
    (found,) = recorded(taken([("primary", configured(snapshot(revision(1))), [1.0, 2.0])]))
    return found


def of(one, shape=(2048, 2048), **values):
    """Return a recorded geometry with other values."""
    geometry = Geometry(**{**GEOMETRY, **values})
    return dataclasses.replace(one, geometry=geometry, image_shape=shape)


def place(file, slow, fast):
    """Apply the chain from pixels to the laboratory as NeXus defines it, independently of pyFAI."""
    module = file["/entry/instrument/detector/detector_module"]
    points = np.zeros((len(slow), 3))
    after = set()
    for name, indices in (("slow_pixel_direction", slow), ("fast_pixel_direction", fast)):
        step = module[name]
        points += np.outer(indices + 0.5, step[()] * np.asarray(step.attrs["vector"]))
        after.add(step.attrs["depends_on"])
    (name,) = after
    while name != ".":
        step = file[name]
        vector, value = np.asarray(step.attrs["vector"], float), step[()]
        if step.attrs["transformation_type"] == "rotation":
            assert step.attrs["units"] == "rad"
            x, y, z = vector / np.linalg.norm(vector)
            cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
            points = points @ (np.eye(3) + math.sin(value) * cross + (1 - math.cos(value)) * cross @ cross).T
        else:
            assert step.attrs["units"] == "m"
            points = points + value * vector
        points = points + np.asarray(step.attrs.get("offset", (0.0, 0.0, 0.0)))
        name = step.attrs["depends_on"]
    return points


def in_mcstas(integrator, slow, fast):
    """Return the positions of the pixels by pyFAI: x to the left, y up, z along the beam."""
    along, up, right = integrator.calc_pos_zyx(None, slow, fast)
    return np.stack([-right, up, along], axis=1)


def corners_and_more(shape):
    rows, columns = (np.linspace(0, size - 1, 7).round() for size in shape)
    return tuple(each.ravel() for each in np.meshgrid(rows, columns, indexing="ij"))


angles = st.floats(-3.1, 3.1)


@old_pyfai.other_signs
@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([1, 2, 3, 4]),
    st.tuples(angles, angles, angles),
    st.floats(0.01, 5),
    st.floats(-1, 1),
    st.floats(-1, 1),
)
def test_every_pixel_is_where_pyfai_has_it(tmp_path_factory, orientation, rotations, dist, poni1, poni2):
    (one,) = recorded(taken([("primary", configured(snapshot(revision(1))), [1.0])]))
    found = of(
        one, **dict(zip(("rot1", "rot2", "rot3"), rotations, strict=True)), dist=dist, poni1=poni1, poni2=poni2,
        pixel1=2e-4, pixel2=4e-4, detector="Panel", shape=(200, 300), detector_config={"orientation": orientation},
    )  # fmt: skip
    path = tmp_path_factory.mktemp("nexus") / "a.nxs"
    write_nexus(found, path)
    pixels = corners_and_more((200, 300))
    with h5py.File(path) as file:
        assert (
            np.abs(place(file, *pixels) - in_mcstas(integrator_of(found.geometry, (200, 300)), *pixels)).max()
            < TOLERANCE
        )


@pytest.mark.parametrize("orientation", [*(pytest.param(each, marks=old_pyfai.other_signs) for each in (1, 2, 4)), 3])
def test_whole_array_of_positions_is_the_same(one, tmp_path, orientation):
    found = of(one, detector_config={"orientation": orientation})
    write_nexus(found, tmp_path / "a.nxs")
    integrator = integrator_of(found.geometry)
    positions = integrator.position_array()[::93, ::87]
    slow, fast = np.meshgrid(np.arange(0.0, 2048, 93), np.arange(0.0, 2048, 87), indexing="ij")
    with h5py.File(tmp_path / "a.nxs") as file:
        points = place(file, slow.ravel(), fast.ravel()).reshape(*slow.shape, 3)
    assert np.abs(np.stack([points[..., 2], points[..., 1], -points[..., 0]], axis=-1) - positions).max() < TOLERANCE


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
def test_beam_centre_is_where_the_chain_meets_the_beam(one, tmp_path, orientation):
    found = of(one, rot1=0.3, rot2=-0.2, rot3=1.0, detector_config={"orientation": orientation})
    write_nexus(found, tmp_path / "a.nxs")
    with h5py.File(tmp_path / "a.nxs") as file:
        detector = file["/entry/instrument/detector"]
        fast, slow, distance = (detector[name][()] for name in ("beam_center_x", "beam_center_y", "distance"))
        (point,) = place(file, np.array([slow - 0.5]), np.array([fast - 0.5]))
    assert point == pytest.approx([0, 0, distance], abs=TOLERANCE)


def test_detector_that_the_beam_does_not_meet_has_no_centre(one, tmp_path):
    write_nexus(of(one, rot1=2.0), tmp_path / "a.nxs")
    with h5py.File(tmp_path / "a.nxs") as file:
        assert not {"beam_center_x", "beam_center_y", "distance"} & set(file["/entry/instrument/detector"])


def test_file_has_its_type_and_source(tmp_path):
    documents = taken([("primary", configured(snapshot(revision(1))), [1.0])])
    (found,) = best_known(documents, history=history(2, [judge(1, 1, 2)]))
    write_nexus(found, tmp_path / "a.nxs")
    with h5py.File(tmp_path / "a.nxs") as file:
        kinds = {}
        file.visititems(
            lambda name, node: kinds.update({name: node.attrs["NX_class"]} if "NX_class" in node.attrs else {})
        )
        assert kinds == {
            "entry": "NXentry",
            "entry/calibration": "NXprocess",
            "entry/calibration/links": "NXcollection",
            "entry/calibration/origin": "NXnote",
            "entry/calibration/poni": "NXnote",
            "entry/instrument": "NXinstrument",
            "entry/instrument/beam": "NXbeam",
            "entry/instrument/detector": "NXdetector",
            "entry/instrument/detector/detector_module": "NXdetector_module",
            "entry/instrument/detector/transformations": "NXtransformations",
        }
        process = file["entry/calibration"]
        revisions = {name: process[name][()] for name in ("revision", "recorded_revision")}
        assert revisions == {"revision": 2, "recorded_revision": 1}
        texts = {name: process[name].asstr()[()] for name in ("revision_uid", "checksum", "prefix", "run_uid")}
        assert texts == {
            "revision_uid": revision(2).uid, "checksum": revision(2).checksum,
            "prefix": PREFIX, "run_uid": documents[0][1]["uid"],
        }  # fmt: skip
        assert "revision 1 superseded by revision 2: reason 1" in process["origin/data"].asstr()[()]
        assert poni.read(process["poni/data"].asstr()[()]) == revision(2).geometry
        wavelength = file["entry/instrument/beam/incident_wavelength"]
        assert (wavelength[()], wavelength.attrs["units"]) == (pytest.approx(0.166), "angstrom")
        detector = file["entry/instrument/detector"]
        assert (detector["x_pixel_size"][()], detector["y_pixel_size"][()]) == (2e-4, 2e-4)
        chain = detector["transformations"]
        assert {name: chain[name][()] for name in chain} == {
            name: getattr(revision(2).geometry, name) for name in ("dist", "poni1", "poni2", "rot1", "rot2", "rot3")
        }


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"detector": "Aarhus", "pixel1": 2.4893e-05, "pixel2": 2.4893e-05}, "Aarhus is not flat"),
        ({"detector": "Pixirad1", "pixel1": 5.196152422706632e-05, "pixel2": 6e-05}, "do not form an even grid"),
        ({"detector": "Jungfrau8M", "pixel1": 7.5e-05, "pixel2": 7.5e-05}, "do not form an even grid"),
        (
            {
                "detector": "Pilatus1M", "pixel1": 172e-6, "pixel2": 172e-6,
                "detector_config": {"sensor": {"material": "Si", "thickness": 1e-3}, "parallax": True},
            },
            "corrects for parallax",
        ),
    ],
)  # fmt: skip
def test_geometry_that_nexus_cannot_express_is_refused_and_leaves_no_file(one, tmp_path, values, why):
    with pytest.raises(GeometryError, match=rf"cannot be written as NeXus: .*{why}"):
        write_nexus(of(one, shape=None, **values), tmp_path / "a.nxs")
    assert not list(tmp_path.iterdir())


def test_shape_is_required_where_the_first_pixel_depends_on_it(one, tmp_path):
    turned = of(one, shape=None, detector="Detector", detector_config={"orientation": 2})
    with pytest.raises(ShapeError, match=r"the orientation is 2, .*give shape="):
        write_nexus(turned, tmp_path / "a.nxs")
    write_nexus(turned, tmp_path / "a.nxs", shape=(100, 100))
    write_nexus(of(one, shape=None, detector="Detector"), tmp_path / "b.nxs")


def test_nothing_is_written_without_a_geometry(one, tmp_path):
    with pytest.raises(NoGeometryError, match="gone"):
        write_nexus(dataclasses.replace(one, geometry=None, reason="gone"), tmp_path / "a.nxs")
