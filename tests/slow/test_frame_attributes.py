"""Files of areaDetector that are cut, merged, split, damaged or large: a geometry is the right one, or refused."""

import re
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from ponikeeper.errors import NoGeometryError
from ponikeeper.protocol.frame_attributes import ATTRIBUTES
from ponikeeper.protocol.header import write_header
from ponikeeper_client.recall import recorded
from recalling import PREFIX, revision, snapshot

ATTRIBUTES_OF_FRAMES = "entry/instrument/NDAttributes"
SOURCES = {attribute.name: PREFIX + attribute.pv.suffix for attribute in ATTRIBUTES}
BEGIN = 1_795_942_810


def header(number):
    return write_header(snapshot(revision(number))).encode()


def write(path, count=3, number=1, **options):
    """Write a file of some frames of one second each, with the header of a revision."""
    times = BEGIN + np.arange(count)
    columns = {"PKHeader": np.full(count, header(number), "S256"), "PKAlive": times - 0.5}
    columns |= {"NDArrayEpicsTSSec": (times - 631152000).astype("u4"), "NDArrayEpicsTSnSec": np.zeros(count, "u4")}
    with h5py.File(path, "w", **options) as file:
        for name, values in columns.items():
            dataset = file.create_dataset(f"{ATTRIBUTES_OF_FRAMES}/{name}", data=values)
            if name in SOURCES:
                dataset.attrs["NDAttrSource"] = np.bytes_(SOURCES[name])
        file.create_dataset("entry/data/data", shape=(count, 4, 6), dtype="u2")
    return path


def copy_to(file, group, number):
    """Copy all of a file to another group, with the header of another revision."""
    file.copy("entry", group)
    file[f"{group}/instrument/NDAttributes/PKHeader"][...] = header(number)


def test_two_acquisitions_in_one_file_are_refused_unless_they_are_the_same(tmp_path):
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        copy_to(file, "second", 2)
    with pytest.raises(NoGeometryError, match=r"has PKHeader twice, with different values: /entry/\S+ and /second/"):
        recorded(path)
    with h5py.File(path, "r+") as file:
        del file["second"]
        copy_to(file, "second", 1)
    assert [one.summary for one in recorded(path)] == ["revision 1 VALID"]


def test_headers_of_several_detectors_that_do_not_say_of_which_are_refused(tmp_path):
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        copy_to(file, "second", 2)
        for group in ("entry", "second"):
            del file[f"{group}/instrument/NDAttributes/PKHeader"].attrs["NDAttrSource"]
    with pytest.raises(NoGeometryError, match="NDAttrSource at the attributes of several detectors"):
        recorded(path)


def test_master_file_is_followed_to_its_parts(tmp_path):
    write(tmp_path / "part.h5")
    for name in ("part", "gone"):
        with h5py.File(tmp_path / f"master_{name}.h5", "w") as file:
            for group in ("entry/data", "entry/instrument"):
                file[group] = h5py.ExternalLink(f"{name}.h5", f"/{group}")
    assert [one.seq_nums for one in recorded(tmp_path / "master_part.h5")] == [(1, 2, 3)]
    with pytest.raises(NoGeometryError, match=r"writes; gone.h5, to which it refers, cannot be read$"):
        recorded(tmp_path / "master_gone.h5")


@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_file_that_is_cut_is_refused_at_once(tmp_path, version):
    whole = write(tmp_path / "a.h5", libver=(version, "latest")).read_bytes()
    for length in range(0, len(whole) - 1, len(whole) // 12):
        (tmp_path / "cut.h5").write_bytes(whole[:length])
        began = time.monotonic()
        with pytest.raises(NoGeometryError, match="cannot be read"):
            recorded(tmp_path / "cut.h5")
        assert time.monotonic() - began < 5


def test_file_that_is_written_at_present_is_read(tmp_path):
    path = write(tmp_path / "a.h5", libver="latest")
    with h5py.File(path, "r+", libver="latest") as file:
        file.swmr_mode = True
        code = f"from ponikeeper_client.recall import recorded; print(recorded({str(path)!r}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{PREFIX[:-1]}: frames 1-3: revision 1 VALID\n", done.stderr


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("PKAlive", [1e300, -1e300, np.nan], "the frame has no PKAlive, so"),
        ("PKAlive", h5py.Empty("f8"), "the frame has no PKAlive, so"),
        ("NDArrayEpicsTSSec", [b"x", b"y", b"z"], "the frame has no time, so"),
        ("NDArrayEpicsTSSec", [np.nan] * 3, "the frame has no time, so"),
        ("NDArrayEpicsTSSec", [2**60] * 3, "the frame has no time, so"),
        ("PKHeader", [b"PK1 \xff"] * 3, "cut or changed"),
    ],
)
def test_what_is_no_time_or_no_header_is_a_reason(tmp_path, name, values, reason):
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        source = dict(file[f"{ATTRIBUTES_OF_FRAMES}/{name}"].attrs)
        del file[f"{ATTRIBUTES_OF_FRAMES}/{name}"]
        dataset = file.create_dataset(f"{ATTRIBUTES_OF_FRAMES}/{name}", data=values)
        dataset.attrs.update(source)
    found = recorded(path)
    assert {bool(re.search(reason, one.reason)) for one in found} == {True}
    assert "no geometry" in str(found)


def test_hundred_thousand_frames_are_read_within_seconds(tmp_path):
    path = write(tmp_path / "a.h5", 100_000)
    began = time.monotonic()
    (one,) = recorded(path)
    assert len(one.events) == 100_000
    assert time.monotonic() - began < 4
