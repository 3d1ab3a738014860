"""Simulated detectors that write real files, and tell of them as areaDetector's classes and ophyd-async do."""

import collections
import itertools
import time
import uuid

import h5py
import numpy as np
import tifffile
from event_model import ComposeStreamResource
from ophyd import Device, DeviceStatus
from ophyd.areadetector.filestore_mixins import resource_factory

SHAPE = (12, 10)
DATASET = "/entry/data/data"

APPEND_AND_HOLD = f"""
import sys
import h5py
with h5py.File(sys.argv[1], "a", libver="latest") as file:
    if sys.argv[2] == "swmr":
        file.swmr_mode = True
    file["{DATASET}"].resize(len(file["{DATASET}"]) + 1, axis=0)
    file.flush()
    print("held", flush=True)
    sys.stdin.read()
"""
"""A program that keeps a file open for writing until its input ends."""

_made = itertools.count(1)


class FileDetector(Device):
    """Takes some frames for each point into files of one folder.

    Parameters
    ----------
    folder
        Where its files are.
    per_point
        Frames for each trigger.
    held
        Keep what is to be written until `write` is called: files that come after the run.
    described
        Shape that it tells of; else the true one.
    given_folder
        Folder that the documents tell of; else the true one.
    """

    def __init__(self, folder, *, name, per_point=1, held=False, described=None, given_folder=None):
        super().__init__("", name=name)
        self.folder, self.per_point, self.held = folder, per_point, held
        self.described = [per_point, *SHAPE] if described is None else described
        self.given_folder = folder if given_folder is None else given_folder
        self.key = f"{name}_frames"
        self.taken: list[np.ndarray] = []
        self.waiting: collections.deque = collections.deque()
        self._documents: collections.deque = collections.deque()

    @property
    def frames(self):
        """All that it has taken since it was staged, shape (n, y, x)."""
        return np.concatenate(self.taken)

    def stage(self):
        self.stem, self.points = uuid.uuid4().hex[:8], 0
        self.taken = []
        self.begin()
        return super().stage()

    def trigger(self):
        frames = np.arange(self.per_point * SHAPE[0] * SHAPE[1], dtype=np.uint16).reshape(self.per_point, *SHAPE)
        frames += 1000 * (next(_made) % 60)  # no two points of a test are alike
        self.taken.append(frames)
        self.waiting.append((self.points, frames))
        self.tell(self.points)
        self.points += 1
        if not self.held:
            self.write()
        status = DeviceStatus(self)
        status.set_finished()
        return status

    def write(self, points=None):
        """Write what is waiting, or so many points of it."""
        for _ in range(len(self.waiting) if points is None else points):
            self.put(*self.waiting.popleft())

    def describe(self):
        data_key = {"source": f"SIM:{self.name}", "dtype": "array", "shape": self.described, "external": self.external}
        return super().describe() | {self.key: data_key | {"dtype_numpy": "<u2"}}


class DatumDetector(FileDetector):
    """Tells of its files by Resource and Datum documents."""

    external = "FILESTORE:"

    def begin(self):
        path, kwargs = self.resource()
        document, self._datum = resource_factory(
            self.spec, self.given_folder, path, {"frame_per_point": self.per_point, **kwargs}, "posix"
        )
        self._documents.append(("resource", document))

    def tell(self, point):
        datum = self._datum({"point_number": point})
        self._documents.append(("datum", datum))
        self._reading = {self.key: {"value": datum["datum_id"], "timestamp": time.time()}}

    def read(self):
        return super().read() | self._reading

    def collect_asset_docs(self):
        while self._documents:
            yield self._documents.popleft()


class TiffDetector(DatumDetector):
    """One TIFF file a frame, as areaDetector's TIFF plugin writes them."""

    spec = "AD_TIFF"

    def resource(self):
        return "", {"template": "%s%s_%6.6d.tiff", "filename": self.stem}

    def file(self, number):
        return self.folder / f"{self.stem}_{number:06d}.tiff"

    def put(self, point, frames):
        for number, frame in enumerate(frames, point * self.per_point):
            tifffile.imwrite(self.file(number), frame)


class Hdf5Detector(DatumDetector):
    """One HDF5 file a run, as areaDetector's HDF5 plugin writes it."""

    spec = "AD_HDF5"

    def resource(self):
        return f"{self.stem}.h5", {}

    @property
    def file(self):
        return self.folder / f"{self.stem}.h5"

    def put(self, point, frames):  # noqa: ARG002  # its frames are in the order of the points
        append_hdf5(self.file, frames)


class StreamDetector(FileDetector):
    """Tells of its files by StreamResource and StreamDatum documents, as ophyd-async's detectors do."""

    external = "STREAM:"

    def begin(self):
        mimetype, uri, parameters = self.stream()
        self._bundle = ComposeStreamResource()(
            mimetype=mimetype, uri=uri, data_key=self.key, parameters={"chunk_shape": (1, *SHAPE), **parameters}
        )
        self._documents.append(("stream_resource", self._bundle.stream_resource_doc))

    def tell(self, point):
        self._documents.append(("stream_datum", self._bundle.compose_stream_datum({"start": point, "stop": point + 1})))

    def get_index(self):
        return self.points

    def collect_asset_docs(self, index=None):  # noqa: ARG002  # all that was taken is message of
        while self._documents:
            yield self._documents.popleft()


class StreamTiffDetector(StreamDetector):
    """A series of TIFF files; its template is ophyd-async's, or areaDetector's own."""

    template = "{stem}_{{:06d}}.tiff"

    def stream(self):
        template = self.template.format(stem=self.stem)
        return "multipart/related;type=image/tiff", f"file://localhost{self.given_folder}/", {"template": template}

    def file(self, number):
        return self.folder / f"{self.stem}_{number:06d}.tiff"

    put = TiffDetector.put


class OldTemplateTiffDetector(StreamTiffDetector):
    """As areaDetector's file template names them."""

    def stream(self):
        mimetype, uri, _ = super().stream()
        return mimetype, uri, {"template": "%s%s_%6.6d.tiff", "filename": self.stem}


class PagesTiffDetector(StreamTiffDetector):
    """All frames of a point in one TIFF file."""

    def stream(self):
        mimetype, uri, parameters = super().stream()
        return mimetype, uri, {**parameters, "chunk_shape": (self.per_point, *SHAPE)}

    def put(self, point, frames):
        tifffile.imwrite(self.file(point), frames, photometric="minisblack")


class StreamHdf5Detector(StreamDetector):
    """One HDF5 file for as long as it is staged."""

    file = Hdf5Detector.file

    def stream(self):
        return "application/x-hdf5", f"file://localhost{self.given_folder}/{self.stem}.h5", {"dataset": DATASET}

    def put(self, point, frames):  # noqa: ARG002  # its frames are in the order of the points
        append_hdf5(self.file, frames)


class StackHdf5Detector(StreamHdf5Detector):
    """A dataset with an axis for the points, before that of a point's frames."""

    def put(self, point, frames):
        with h5py.File(self.file, "a", libver="latest") as file:
            shape = (self.per_point, *SHAPE)
            dataset = file.require_dataset(DATASET, (9, *shape), "<u2", chunks=(1, *shape))
            dataset[point] = frames


def append_hdf5(path, frames):
    """Append frames to the dataset of a file, which is made with the first of them."""
    with h5py.File(path, "a", libver="latest") as file:
        if DATASET not in file:
            file.create_dataset(DATASET, (0, *SHAPE), "<u2", maxshape=(None, *SHAPE), chunks=(1, *SHAPE))
        dataset = file[DATASET]
        dataset.resize(len(dataset) + len(frames), axis=0)
        dataset[-len(frames) :] = frames
