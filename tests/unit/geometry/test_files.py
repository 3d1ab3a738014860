"""Files that a geometry names: which values are files, and which of them lack their SHA-256."""

import pytest

from ponikeeper.errors import GeometryError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.files import files_problems, missing_hashes, named_files, without_files
from strategies import VALUES

A, B = "a" * 64, "b" * 64


def geometry(detector="Perkin", **config):
    return Geometry.parse({**VALUES, "detector": detector, "detector_config": config})


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"filename": "/d/x.h5"}, {"filename": "/d/x.h5"}),
        ({"splineFile": "a.spline"}, {"splineFile": "a.spline"}),
        ({"SPLINEFILE": "taper"}, {"SPLINEFILE": "taper"}),
        ({"x_offset_file": "/x", "y_offset_file": "/y"}, {"x_offset_file": "/x", "y_offset_file": "/y"}),
        ({"lookup": {"table": "C:\\d\\x.tif"}}, {"lookup.table": "C:\\d\\x.tif"}),
        ({"parts": [1, "/d/x.edf"]}, {"parts.1": "/d/x.edf"}),
        ({"flat_file": 7}, {"flat_file": 7}),
        ({"darkPath": ["/a", "/b"]}, {"darkPath": ("/a", "/b")}),
        ({"filename": None, "splineFile": None}, {}),
        ({"sensor": {"material": "CdTe", "thickness": 1e-3}, "max_shape": [10, 20], "orientation": 2}, {}),
        ({"sensor": "Si,0.32mm", "module_size": [5, 5], "pitch": 0.1}, {}),
    ],
)
def test_keys_of_pyfai_and_texts_that_look_like_paths_are_files(config, expected):
    assert named_files(geometry(**config).detector_config) == expected


@pytest.mark.parametrize(
    ("config", "files", "message"),
    [
        ({"filename": "/d/x.h5"}, {}, "detector_config.filename names the file /d/x.h5 without its SHA-256"),
        ({"filename": "x.h5"}, {"filename": {"path": "x.h5", "sha256": A}}, 'detector_config.filename "x.h5" is anoth'),
        ({"filename": ""}, {}, 'detector_config.filename "" is another file in each folder'),
        ({"filename": 7}, {}, "detector_config.filename 7 is not the path of a file"),
        (
            {"filename": "/d/x.h5"},
            {"filename": {"path": "/d/y.h5", "sha256": A}},
            "detector_config.filename is /d/x.h5, files has the SHA-256 of /d/y.h5",
        ),
        (
            {"x_offset_file": "/x", "y_offset_file": "/y"},
            {"detector": {"path": "/x", "sha256": A}},
            "detector_config.x_offset_file names the file /x without",
        ),
        ({}, {"filename": {"path": "/x", "sha256": A}}, "files.filename fits no file: expected mask"),
        ({}, {"detector": {"path": "/x", "sha256": A}}, "files.detector fits no file: expected mask"),
    ],
)
def test_file_without_its_hash_is_a_problem(config, files, message):
    assert any(problem.startswith(message) for problem in missing_hashes(geometry(**config), files))


def test_every_file_needs_its_own_hash():
    both = geometry(x_offset_file="/x", y_offset_file="/y")
    one = {"x_offset_file": {"path": "/x", "sha256": A}}
    assert ["y_offset_file" in problem for problem in missing_hashes(both, one)] == [True]
    assert missing_hashes(both, {**one, "y_offset_file": {"path": "/y", "sha256": B}}) == []


@pytest.mark.parametrize("name", ["detector", "filename"])
def test_the_only_file_may_be_called_detector(name):
    files = {name: {"path": "/d/x.h5", "sha256": A}, "mask": {"path": "/m.edf", "sha256": B}}
    assert missing_hashes(geometry(filename="/d/x.h5"), files) == []


@pytest.mark.parametrize("name", ["/d/x.h5", "x.h5", "d\\x.h5", "../x"])
def test_detector_that_is_a_file_is_refused(name):
    with pytest.raises(GeometryError, match="is a file: write the detector NexusDetector"):
        without_files(geometry(detector=name))


def test_detector_that_is_nothing_but_its_file_needs_it():
    with pytest.raises(GeometryError, match=r"detector_config\.filename is missing"):
        without_files(geometry(detector="NexusDetector"))


def test_geometry_without_files_is_complete():
    plain = geometry(detector="hf-9.4m", orientation=2)
    assert without_files(plain) is plain


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"path": "/x"}, "files.mask is not allowed"),
        ("/x", "files.mask is not allowed"),
        ({"path": "/x", "sha256": A, "size": 1}, "files.mask is not allowed"),
        ({"path": "x", "sha256": A}, 'files.mask.path "x" is another file in each folder'),
        ({"path": "/x\n", "sha256": A}, "is not the path of a file"),
        ({"path": "/" + "x" * 1000, "sha256": A}, "has 1001 bytes, at most 1000"),
        ({"path": "/x", "sha256": A.upper()}, "64 hexadecimal digits in lower case"),
        ({"path": "/x", "sha256": A[1:]}, "64 hexadecimal digits in lower case"),
        ({"path": "/x", "sha256": None}, "files.mask.sha256 null is not allowed"),
    ],
)
def test_form_of_files_is_checked(entry, message):
    (problem,) = files_problems({"mask": entry})
    assert message in problem


def test_windows_path_is_absolute():
    assert files_problems({"mask": {"path": "C:\\d\\m.npy", "sha256": A}}) == []
