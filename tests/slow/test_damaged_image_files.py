"""Image files that are cut, or have other bytes than areaDetector wrote: refused soon, and never another geometry."""

import json
import random
import subprocess
import sys
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from areadetector import Frame, HDF5Plugin
from ponikeeper.errors import ImageError, NoGeometryError
from ponikeeper.protocol.frame_attributes import ALIVE, ATTRIBUTES, HEADER, VALUES
from ponikeeper.protocol.header import write_header
from ponikeeper.site.areadetector import hdf5_layout
from ponikeeper_client import recorded
from ponikeeper_client._image_files.reading import read_image
from recalling import PREFIX, revision, snapshot

TIME = 1_795_942_810.25
KINDS = {"DBR_STRING": "str", "DBR_DOUBLE": "float64", "DBR_LONG": "int32"}
FRAMES = {number: revision(1 if number <= 3 else 2) for number in range(1, 6)}
TIMEOUT = 20
"""For one file (s): a good one takes some milliseconds."""

READ = f"""
import json, signal, sys
from ponikeeper.errors import PonikeeperError
from ponikeeper_client import recorded
from ponikeeper_client._image_files.reading import read_image
for path in sys.stdin:
    answer = {{}}
    signal.alarm({TIMEOUT})  # ends the process
    try:
        for one in recorded(path.strip()):
            for event in one.events:
                answer[event.seq_num] = one.geometry and one.geometry.dist.hex()
    except PonikeeperError as error:
        answer = str(error)
    except Exception as error:
        answer = f"DIED {{type(error).__name__}}: {{error}}"
    try:
        read_image(path.strip())
    except PonikeeperError:
        pass
    except Exception as error:
        answer = f"DIED {{type(error).__name__}}: {{error}}"
    signal.alarm(0)
    print(json.dumps(answer), flush=True)
"""


def write(path):
    """Write a file of five frames, whose geometry changes after the third."""
    attributes = [
        SimpleNamespace(name=each.name, kind=KINDS[each.dbr_type], description="", source=PREFIX + each.pv.suffix)
        for each in ATTRIBUTES
    ]
    layout = hdf5_layout(SimpleNamespace(prefix=PREFIX, title=""))
    plugin = HDF5Plugin(path, layout, SimpleNamespace(attributes=attributes))
    for number, active in FRAMES.items():
        values = {each.name: b"" if KINDS[each.dbr_type] == "str" else 1 for each in ATTRIBUTES}
        values[HEADER.name] = write_header(snapshot(active, serial=active.number)).encode()
        values[ALIVE.name] = TIME + number - 0.3
        values |= {VALUES[name].name: getattr(active.geometry, name) for name in ("dist", "poni1", "wavelength")}
        plugin.write(Frame(number, TIME + number, np.full((4, 6), number, np.uint16), values))
    plugin.close()
    return path


def damaged(whole, chance):
    """Return the bytes of a file with some of them changed, or cut."""
    data = bytearray(whole)
    if chance.random() < 0.2:
        return data[: chance.randrange(len(data))]
    first = 0 if chance.random() < 0.5 else chance.randrange(len(data))  # the metadata are at the beginning
    for _ in range(chance.choice([1, 1, 2, 8])):
        place = first + min(int(chance.expovariate(1 / 4000)), len(data) - first - 1)
        data[place] = chance.choice([data[place] ^ 1 << chance.randrange(8), chance.randrange(256), 0, 255])
    return data


class Reader:
    """A process that reads files one after another; a new one where it has died or hung."""

    def __init__(self):
        self._process = None

    def read(self, path):
        if self._process is None:
            pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
            command = [sys.executable, "-c", READ]
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nothing, text=True)
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self.close()
        return "DIED"

    def close(self):
        if self._process is not None:
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait()
            self._process = None


@pytest.mark.parametrize("count", [60, pytest.param(600, marks=pytest.mark.campaign)])
def test_damaged_file_has_its_geometry_or_none(tmp_path, count):
    whole = write(tmp_path / "image.h5").read_bytes()
    truth = {str(number): active.geometry.dist.hex() for number, active in FRAMES.items()}
    assert len(set(truth.values())) == 2
    reader, wrong, died = Reader(), [], []
    refused = with_all = 0
    assert reader.read(tmp_path / "image.h5") == truth
    for number in range(count):
        path = tmp_path / f"{number}.h5"
        path.write_bytes(damaged(whole, random.Random(number)))
        answer = reader.read(path)
        if isinstance(answer, str):
            refused += 1
            died += [(number, answer)] if answer.startswith("DIED") else []
        else:
            with_all += answer == truth
            wrong += [number] if any(dist not in (None, truth.get(key)) for key, dist in answer.items()) else []
        path.unlink()
    reader.close()
    print(f"{count} files: {refused} refused, {with_all} read whole, {len(died)} died or hung, {len(wrong)} wrong")
    assert (died, wrong) == ([], [])
    assert refused > count / 5
    assert with_all > count / 5


@pytest.mark.parametrize("shape", [(10**10, 4, 6), (3, 10**6, 10**6)])
def test_images_that_claim_more_than_a_file_can_have_are_refused_at_once(tmp_path, shape):
    path = write(tmp_path / "image.h5")
    with h5py.File(path, "r+") as file:
        del file["entry/data/data"], file["entry/instrument/detector/data"]
        file.create_dataset("entry/data/data", shape, np.uint16, chunks=(1, 4, 6))[0, :4, :6] = 1
    with pytest.raises(ImageError, match=r"row \d of /entry/data/data is not written"):
        read_image(path)
    if shape[0] == 3:
        assert [one.seq_nums for one in recorded(path)] == [(1, 2, 3)]
        return
    with pytest.raises(NoGeometryError, match="its images claim 10000000000 frames, at most 2000000 are read"):
        recorded(path)


def test_attribute_that_claims_billions_of_frames_is_refused_at_once(tmp_path):
    path = write(tmp_path / "image.h5")
    with h5py.File(path, "r+") as file:
        file["entry/instrument/detector/ponikeeper/PKHeader"].resize(10**10, axis=0)
    with pytest.raises(NoGeometryError, match="the values of PKHeader claim 10000000000 frames"):
        recorded(path)
