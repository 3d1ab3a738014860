"""Commits get path and SHA-256 of their files, wherever the configuration names them."""

import pytest

from ponikeeper.errors import GeometryFileError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.files import missing_hashes
from ponikeeper.protocol import Commit
from ponikeeper.protocol.hashed_files import with_files
from strategies import VALUES


def read(path):
    """Stand for the reading of a file: its SHA-256 tells the path."""
    return {"path": f"/here/{path}", "sha256": path.encode().hex().ljust(64, "0")}


def commit(config, **more):
    return Commit({**VALUES, "detector_config": config}, **more)


@pytest.mark.parametrize(
    ("config", "count"),
    [
        ({"filename": "x.h5", "orientation": 2}, 1),
        ({"x_offset_file": "x", "y_offset_file": "y"}, 2),
        ({"parts": [{"table": "a.b"}, ["c.d", 3]], "splineFile": "s"}, 3),
    ],
)
def test_commit_is_complete_afterwards(config, count):
    done = with_files(commit(config), read)
    assert missing_hashes(Geometry.parse(done.geometry), done.files) == []
    assert len(done.files) == count


def test_other_values_stay():
    done = with_files(commit({"filename": "x.h5", "orientation": 2}, label="near"), read)
    assert done.geometry == {**VALUES, "detector_config": {"filename": "/here/x.h5", "orientation": 2}}
    assert done.label == "near"


@pytest.mark.parametrize("values", [{"dist": 0.3}, VALUES])
def test_commit_without_files_stays(values):
    assert with_files(Commit(values), read) == Commit(values)


def test_mask_is_a_file_without_a_configuration():
    assert with_files(Commit({}), read, "m.edf").files == {"mask": read("m.edf")}


@pytest.mark.parametrize("name", ["filename", "detector"])
def test_given_hash_is_not_computed_again(name):
    given = {name: {"path": "/d/x.h5", "sha256": "a" * 64}}

    def unreadable(path):
        raise GeometryFileError(path)

    assert with_files(commit({"filename": "/d/x.h5"}, files=given), unreadable).files == given


def test_given_hash_of_another_path_is_left_for_the_ioc_to_refuse():
    given = {"filename": {"path": "/elsewhere", "sha256": "a" * 64}}
    done = with_files(commit({"filename": "/d/x.h5"}, files=given), read)
    assert (done.geometry["detector_config"], done.files) == ({"filename": "/d/x.h5"}, given)


def test_file_that_cannot_be_read_stops_the_commit():
    def unreadable(path):
        raise GeometryFileError(path)

    with pytest.raises(GeometryFileError, match=r"x\.h5"):
        with_files(commit({"filename": "x.h5"}), unreadable)
