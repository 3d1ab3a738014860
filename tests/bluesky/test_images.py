"""The images of a run: from the files of its documents, a catalog or a function of the user, and of no other run."""

import subprocess
import sys
import threading
from functools import partial

import bluesky.plan_stubs as bps
import bluesky.plans as bp
import bluesky.preprocessors as bpp
import h5py
import numpy as np
import pytest
from bluesky_darkframes import DarkFramePreprocessor, SnapshotDevice
from bluesky_darkframes.sim import DiffractionDetector, Shutter, generate_dark_frame, generate_image
from event_model import pack_datum_page, pack_event_page
from ophyd import Component as Cpt
from ophyd import Device, Signal

from assets import (
    APPEND_AND_HOLD,
    DATASET,
    SHAPE,
    Hdf5Detector,
    OldTemplateTiffDetector,
    PagesTiffDetector,
    StackHdf5Detector,
    StreamHdf5Detector,
    StreamTiffDetector,
    TiffDetector,
    append_hdf5,
)
from catalogs import tiled_server
from darkframes import loses_dark_images
from live import TIMEOUT, wait_for
from ponikeeper.errors import ImageError
from ponikeeper_client._image_files.averaging import mean_image
from ponikeeper_client.images import (
    CatalogImages,
    Collector,
    UserImages,
    as_frames,
    image_key,
    image_source,
)

WRITERS = [TiffDetector, Hdf5Detector, StreamTiffDetector, OldTemplateTiffDetector, StreamHdf5Detector]
SHORT = 0.3
"""A timeout (s) for files that never appear."""


@pytest.fixture
def collector():
    return Collector(timeout=TIMEOUT)


@pytest.fixture
def impatient():
    return Collector(timeout=SHORT)


@pytest.fixture
def count(run_engine):
    """Count with a collector listening, and give the run's uid."""

    def run(detector, listener, points=1):
        (uid,) = run_engine(bpp.subs_wrapper(bp.count([detector], points), listener))
        return uid

    return run


class _Array(Signal):
    def describe(self):
        value = np.asarray(self.get())
        return {self.name: {"source": "SIM", "dtype": "array", "shape": list(value.shape), "dtype_numpy": "<u2"}}


class ArrayDetector(Device):
    """A detector whose images are in the events."""

    frame = Cpt(_Array, value=np.arange(120, dtype=np.uint16).reshape(SHAPE), kind="normal")
    scalar = Cpt(Signal, value=1.5, kind="normal")


# --- what is in the documents


@pytest.mark.parametrize("per_point", [1, 3])
@pytest.mark.parametrize("cls", [*WRITERS, PagesTiffDetector, StackHdf5Detector])
def test_files_of_a_run_are_read_frame_by_frame_in_order(cls, per_point, tmp_path, count, collector):
    detector = cls(tmp_path, name="pe1", per_point=per_point)
    uid = count(detector, collector, 2)
    found = collector.read(uid, image_key(collector.descriptor(uid), "pe1"))
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, detector.frames)
    assert found.shape == (2 * per_point, *SHAPE)


@pytest.mark.parametrize("value", [np.arange(120, dtype=np.uint16).reshape(SHAPE), np.ones((4, *SHAPE), np.uint16)])
@pytest.mark.parametrize("kind", [np.asarray, np.ndarray.tolist])
def test_images_within_the_events_are_read(value, kind, count, collector):
    detector = ArrayDetector("", name="pe1")
    detector.frame.put(kind(value))
    found = collector.read(count(detector, collector, 2), "pe1_frame")
    np.testing.assert_array_equal(found, np.concatenate([value.reshape(-1, *SHAPE)] * 2))


def test_npy_files_of_the_simulated_diffraction_detector_are_read(count, collector):
    detector = DiffractionDetector(name="pe1")
    detector.exposure_time.put(0.01)
    uid = count(detector, collector, 2)
    found = collector.read(uid, image_key(collector.descriptor(uid), "pe1"))
    np.testing.assert_array_equal(found, [generate_image(dark=False)] * 2)


def test_blobs_of_an_ophyd_async_detector_are_read_while_its_file_is_open_and_after(tmp_path, run_engine, collector):
    from ophyd_async.core import StaticPathProvider, TriggerInfo, UUIDFilenameProvider, init_devices
    from ophyd_async.sim import SimBlobDetector

    with init_devices():
        blob = SimBlobDetector(StaticPathProvider(UUIDFilenameProvider(), tmp_path), name="blob")
    seen = {}

    @bpp.subs_decorator(collector)
    @bpp.stage_decorator([blob])
    def plan():
        uid = yield from bps.open_run()
        collector.keep(uid)
        yield from bps.prepare(blob, TriggerInfo(livetime=0.1, collections_per_event=2), wait=True)
        for x in (-1.5, 1.5):
            blob.pattern_generator.set_x(x)
            yield from bps.trigger_and_read([blob])
        yield from bps.close_run()
        seen[uid] = collector.read(uid, "blob")

    run_engine(plan())
    ((uid, while_open),) = seen.items()
    assert image_key(collector.descriptor(uid), "blob") == "blob"
    after = collector.read(uid, "blob")
    (file,) = tmp_path.iterdir()
    with h5py.File(file) as written:
        frames = written[DATASET][:]
    assert frames.shape == (4, 240, 320)
    assert frames[0].max() != frames[2].max()
    np.testing.assert_array_equal(while_open, frames)
    np.testing.assert_array_equal(after, frames)


def test_stream_reads_only_the_frames_of_its_indices(tmp_path, run_engine, collector):
    """The file continues over two runs: each has its own part of it."""
    detector = StreamHdf5Detector(tmp_path, name="pe1", per_point=2)

    @bpp.subs_decorator(collector)
    @bpp.stage_decorator([detector])
    def plan():
        for _ in range(2):
            resource = detector._bundle.stream_resource_doc
            detector._documents.appendleft(("stream_resource", dict(resource))) if detector.points else None
            yield from bps.open_run()
            yield from bps.trigger_and_read([detector])
            yield from bps.close_run()

    first, second = run_engine(plan())
    np.testing.assert_array_equal(collector.read(first, detector.key), detector.taken[0])
    np.testing.assert_array_equal(collector.read(second, detector.key), detector.taken[1])


@pytest.mark.parametrize("cls", [TiffDetector, StreamHdf5Detector])
def test_files_that_were_recorded_under_another_root_are_found_by_the_root_map(cls, tmp_path, count):
    detector = cls(tmp_path, name="pe1", given_folder="/somewhere/else")
    collector = Collector(root_map={"/somewhere/else": str(tmp_path)}, timeout=TIMEOUT)
    np.testing.assert_array_equal(collector.read(count(detector, collector), detector.key), detector.frames)


def test_events_and_datums_that_come_in_pages_are_read(tmp_path, run_engine, collector):
    detector, documents = TiffDetector(tmp_path, name="pe1"), {}
    (uid,) = run_engine(bp.count([detector], 3), lambda name, each: documents.setdefault(name, []).append(each))
    for name in ("start", "descriptor", "resource"):
        collector(name, documents[name][0])
    collector("datum_page", pack_datum_page(*documents["datum"]))
    collector("event_page", pack_event_page(*documents["event"]))
    np.testing.assert_array_equal(collector.read(uid, detector.key), detector.frames)


def test_filled_event_is_used_unchanged(tmp_path, run_engine, impatient):
    detector, image = TiffDetector(tmp_path, name="pe1", held=True), np.full(SHAPE, 5, np.uint16)

    def fill(name, document):
        if name == "event":
            filled = {detector.key: document["data"][detector.key]}
            document = {**document, "data": {detector.key: image}, "filled": filled}
        impatient(name, document)

    (uid,) = run_engine(bp.count([detector]), fill)
    np.testing.assert_array_equal(impatient.read(uid, detector.key), [image])


def test_handler_that_is_given_comes_before_the_installed_one(tmp_path, count):
    detector = TiffDetector(tmp_path, name="pe1")
    image = np.full(SHAPE, 7)
    collector = Collector(handlers={"AD_TIFF": lambda _path, **_resource: lambda **_datum: image}, timeout=SHORT)
    np.testing.assert_array_equal(collector.read(count(detector, collector), detector.key), [image])


@loses_dark_images
def test_dark_frames_are_in_their_own_stream_also_where_they_are_used_again(run_engine):
    detector, shutter = DiffractionDetector(name="pe1"), Shutter(name="shutter", value="open")
    detector.exposure_time.put(0.01)

    def dark_plan(detector):
        yield from bps.unstage(detector)
        yield from bps.stage(detector)
        yield from bps.mv(shutter, "closed")
        yield from bps.trigger(detector, group="dark")
        yield from bps.wait("dark")
        snapshot = SnapshotDevice(detector)
        yield from bps.mv(shutter, "open")
        yield from bps.unstage(detector)
        yield from bps.stage(detector)
        return snapshot

    run_engine.preprocessors.append(
        preprocessor := DarkFramePreprocessor(dark_plan=dark_plan, detector=detector, max_age=60)
    )
    try:
        for _ in range(2):
            collector = Collector(timeout=TIMEOUT)
            (uid,) = run_engine(bpp.subs_wrapper(bp.count([detector], 2), collector))
            np.testing.assert_array_equal(collector.read(uid, "pe1_image", "dark"), [generate_dark_frame()])
            np.testing.assert_array_equal(collector.read(uid, "pe1_image"), [generate_image()] * 2)
    finally:
        run_engine.preprocessors.remove(preprocessor)


def test_stream_that_the_run_does_not_have_gives_no_frames(tmp_path, count, collector):
    detector = TiffDetector(tmp_path, name="pe1")
    uid = count(detector, collector)
    assert collector.read(uid, detector.key, "dark") is None
    assert collector.descriptor(uid, "dark") is None


# --- only the own run


def test_detector_in_two_runs_gives_each_its_own_images(tmp_path, count, collector):
    detector = TiffDetector(tmp_path, name="pe1")
    taken = {count(detector, collector): detector.frames for _ in range(2)}
    for uid, frames in taken.items():
        np.testing.assert_array_equal(collector.read(uid, detector.key), frames)


@pytest.mark.parametrize("cls", [TiffDetector, StreamHdf5Detector])
def test_two_interleaved_runs_are_kept_apart(cls, tmp_path, run_engine):
    detectors = [cls(tmp_path, name=name) for name in ("pe1", "pe2")]
    collectors = [Collector(timeout=TIMEOUT) for _ in detectors]
    pairs = list(zip(detectors, collectors, strict=True))

    @bpp.stage_decorator(detectors)
    def plan():
        for detector, collector in pairs:
            yield from bps.subscribe("all", collector)
            collector.keep((yield from bpp.set_run_key_wrapper(bps.open_run(), detector.name)))
        for _ in range(2):
            for detector in detectors:
                yield from bpp.set_run_key_wrapper(bps.trigger_and_read([detector]), detector.name)
        for detector in detectors:
            yield from bpp.set_run_key_wrapper(bps.close_run(), detector.name)

    uids = run_engine(plan())
    for uid, other, (detector, collector) in zip(uids, uids[::-1], pairs, strict=True):
        np.testing.assert_array_equal(collector.read(uid, detector.key), detector.frames)
        with pytest.raises(ImageError, match=f"run {other} is not known"):
            collector.read(other, detector.key)


def test_run_that_began_before_it_listened_is_not_known(tmp_path, count, collector):
    detector = TiffDetector(tmp_path, name="pe1")
    uid = count(detector, Collector())
    with pytest.raises(ImageError, match=f"run {uid} is not known here"):
        collector.read(uid, detector.key)


def test_documents_that_another_callback_changes_stay_as_they_came(tmp_path, run_engine, collector):
    detector = TiffDetector(tmp_path, name="pe1")

    def spoil(name, document):
        if name == "resource":
            document["resource_kwargs"]["filename"] = "spoilt"
        if name == "event":
            document["data"][detector.key] = "spoilt"

    (uid,) = run_engine(bpp.subs_wrapper(bp.count([detector]), [collector, spoil]))
    np.testing.assert_array_equal(collector.read(uid, detector.key), detector.frames)


# --- files that are late, half-written, or never come


def read_in_thread(collector, uid, key):
    """Read in a thread of its own; gives the thread and where the frames, or the error, will be."""
    found = {}

    def run():
        try:
            found["frames"] = collector.read(uid, key)
        except ImageError as error:
            found["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, found


@pytest.fixture
def polled(monkeypatch):
    """Count how often a reader has paused for files."""
    from ponikeeper_client.images._waiting import Pauses

    times = []
    pause = Pauses.pause
    monkeypatch.setattr(Pauses, "pause", lambda self: (times.append(1), pause(self)))
    return times


def after_pauses(polled, more=2):
    """Wait until the reader has looked again."""
    seen = len(polled)
    wait_for(lambda: len(polled) >= seen + more, what="another look at the files")


@pytest.mark.parametrize("cls", WRITERS)
def test_files_that_come_after_the_run_are_waited_for(cls, tmp_path, count, collector, polled):
    detector = cls(tmp_path, name="pe1", per_point=2, held=True)
    uid = count(detector, collector, 2)
    thread, found = read_in_thread(collector, uid, detector.key)
    after_pauses(polled)
    detector.write(points=1)
    after_pauses(polled)
    assert not found
    detector.write()
    thread.join(TIMEOUT)
    np.testing.assert_array_equal(found["frames"], detector.frames)


def cut_file(detector):
    return detector.file(1) if callable(detector.file) else detector.file


@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.999])
@pytest.mark.parametrize("cls", WRITERS)
def test_half_written_file_is_waited_for(cls, part, tmp_path, count, collector, polled):
    detector = cls(tmp_path, name="pe1", per_point=2)
    uid = count(detector, collector)
    whole = cut_file(detector).read_bytes()
    cut_file(detector).write_bytes(whole[: int(len(whole) * part)])
    thread, found = read_in_thread(collector, uid, detector.key)
    after_pauses(polled)
    assert not found
    cut_file(detector).write_bytes(whole)
    thread.join(TIMEOUT)
    np.testing.assert_array_equal(found["frames"], detector.frames)


@pytest.mark.parametrize("cls", WRITERS)
def test_half_written_file_that_stays_so_is_named(cls, tmp_path, count, impatient):
    detector = cls(tmp_path, name="pe1", per_point=2)
    uid = count(detector, impatient)
    whole = cut_file(detector).read_bytes()
    cut_file(detector).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=r"after waiting for \d\.\d s; nothing was removed") as caught:
        impatient.read(uid, detector.key)
    assert str(cut_file(detector)) in str(caught.value)
    assert uid in str(caught.value)


@pytest.mark.parametrize("cls", WRITERS)
def test_file_that_never_comes_is_named(cls, tmp_path, count, impatient):
    detector = cls(tmp_path, name="pe1", per_point=2, held=True)
    uid = count(detector, impatient)
    with pytest.raises(ImageError, match="is not there, after waiting for") as caught:
        impatient.read(uid, detector.key)
    assert str(cut_file(detector)) in str(caught.value)


def test_file_that_other_frames_are_appended_to_need_not_come_to_rest(tmp_path, count, collector, polled):
    detector = StreamHdf5Detector(tmp_path, name="pe1")
    uid = count(detector, collector)
    stop = threading.Event()

    def append():
        with h5py.File(detector.file, "a", libver="latest") as file:
            file.swmr_mode = True
            dataset = file[DATASET]
            while not stop.wait(0.01):
                dataset.resize(len(dataset) + 1, axis=0)
                dataset.flush()

    writer = threading.Thread(target=append)
    writer.start()
    try:
        np.testing.assert_array_equal(collector.read(uid, detector.key), detector.frames)
    finally:
        stop.set()
        writer.join()
    assert len(polled) < 5


@pytest.mark.parametrize(("mode", "readable"), [("swmr", True), ("plain", False)])
def test_file_that_another_process_holds_open_is_read_where_it_lets_readers_in(
    mode, readable, tmp_path, count, impatient
):
    detector = StreamHdf5Detector(tmp_path, name="pe1")
    uid = count(detector, impatient)
    command = [sys.executable, "-c", APPEND_AND_HOLD, str(detector.file), mode]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "held\n"
        if readable:
            np.testing.assert_array_equal(impatient.read(uid, detector.key), detector.frames)
        else:
            with pytest.raises(ImageError, match="cannot be read"):
                impatient.read(uid, detector.key)
    np.testing.assert_array_equal(impatient.read(uid, detector.key), detector.frames)


def test_rows_that_a_dataset_has_without_being_written_are_not_taken_for_zeros(tmp_path, count, impatient):
    detector = StreamHdf5Detector(tmp_path, name="pe1", held=True)
    uid = count(detector, impatient)
    with h5py.File(detector.file, "w", libver="latest") as file:
        file.create_dataset(DATASET, (1, *SHAPE), "<u2", maxshape=(None, *SHAPE), chunks=(1, *SHAPE))
    with pytest.raises(ImageError, match=f"row 0 of {DATASET} is not written"):
        impatient.read(uid, detector.key)


@pytest.mark.parametrize("written", [False, True])
def test_incomplete_contiguous_dataset_is_not_taken_for_zeros(written, tmp_path, count, impatient):
    detector = StreamHdf5Detector(tmp_path, name="pe1", held=True)
    uid = count(detector, impatient)
    with h5py.File(detector.file, "w", libver="latest") as file:
        dataset = file.create_dataset(DATASET, (1, *SHAPE), "<u2")
        if written:
            dataset[:] = detector.frames
    whole = detector.file.read_bytes()
    if written:
        detector.file.write_bytes(whole[:-100])
    with pytest.raises(ImageError, match=r"\(ValueError: /entry/data/data is not written\)|truncated"):
        impatient.read(uid, detector.key)
    if written:
        detector.file.write_bytes(whole)
        np.testing.assert_array_equal(impatient.read(uid, detector.key), detector.frames)


def test_missing_parts_of_a_virtual_dataset_are_not_taken_for_zeros(tmp_path, count, impatient):
    detector = StreamHdf5Detector(tmp_path, name="pe1", held=True)
    uid = count(detector, impatient)
    layout = h5py.VirtualLayout((1, *SHAPE), "<u2")
    layout[:] = h5py.VirtualSource("part.h5", DATASET, (1, *SHAPE))
    with h5py.File(detector.file, "w", libver="latest") as file:
        file.create_virtual_dataset(DATASET, layout)
    with pytest.raises(ImageError, match=r"part\.h5, of which it is made, is not there"):
        impatient.read(uid, detector.key)
    (frame,) = detector.taken
    append_hdf5(tmp_path / "part.h5", frame)
    np.testing.assert_array_equal(impatient.read(uid, detector.key), frame)


@pytest.mark.parametrize("cls", [TiffDetector, StreamTiffDetector])
def test_frame_that_is_being_rewritten_is_not_read(cls, tmp_path, count, collector, monkeypatch):
    """The file was readable, and was then replaced."""
    detector = cls(tmp_path, name="pe1")
    uid = count(detector, collector)
    from ponikeeper_client.images._waiting import Pauses

    (first,) = detector.taken
    changes = [first + 1, first + 2]
    pause = Pauses.pause

    def changed(self):
        if changes:
            detector.put(0, changes.pop(0))
        pause(self)

    monkeypatch.setattr(Pauses, "pause", changed)
    np.testing.assert_array_equal(collector.read(uid, detector.key), first + 2)


@pytest.mark.parametrize("cls", WRITERS)
def test_shape_other_than_the_recorded_one_is_refused_with_both(cls, tmp_path, count, impatient):
    detector = cls(tmp_path, name="pe1", described=[1, 24, 5])
    uid = count(detector, impatient)
    with pytest.raises(ImageError, match=r"shape \(12, 10\), the run says \(24, 5\)"):
        impatient.read(uid, detector.key)


def test_missing_handler_is_reported_at_once(tmp_path, count, collector):
    detector = TiffDetector(tmp_path, name="pe1")
    detector.spec = "AD_OTHER"
    uid = count(detector, collector)
    with pytest.raises(ImageError, match="no handler is installed for files of the spec AD_OTHER"):
        collector.read(uid, detector.key)


def test_unsupported_type_of_file_is_reported_at_once(tmp_path, count, collector):
    class Jpeg(StreamTiffDetector):
        def stream(self):
            return "multipart/related;type=image/jpeg", *super().stream()[1:]

    detector = Jpeg(tmp_path, name="pe1")
    uid = count(detector, collector)
    with pytest.raises(ImageError, match=r"image/jpeg are not read here: expected application/x-hdf5"):
        collector.read(uid, detector.key)


def test_key_that_was_not_recorded_is_reported_with_those_that_were(tmp_path, count, collector):
    detector = TiffDetector(tmp_path, name="pe1")
    uid = count(detector, collector)
    with pytest.raises(ImageError, match="were not recorded: the stream has the keys pe1_frames"):
        collector.read(uid, "pe1_image")


def test_run_without_an_event_has_no_frames(run_engine, collector):
    detector = ArrayDetector("", name="pe1")

    @bpp.subs_decorator(collector)
    @bpp.run_decorator()
    def plan():
        yield from bps.declare_stream(detector, name="primary")

    (uid,) = run_engine(plan())
    with pytest.raises(ImageError, match="were not taken"):
        collector.read(uid, "pe1_frame")


# --- which key, which shape, the mean


def descriptor(**shapes):
    keys = {name: {"dtype": dtype, "shape": shape} for name, (dtype, shape) in shapes.items()}
    return {"object_keys": {"pe1": list(keys), "motor": []}, "data_keys": keys}


@pytest.mark.parametrize("shape", [[12, 10], [1, 12, 10], [5, 12, 10], [None, 12, 10], (12, 10)])
def test_image_is_the_array_of_two_dimensions_whatever_its_name(shape):
    found = descriptor(
        pe1_stats_total=("number", []),
        pe1_any=("array", shape),
        pe1_histogram=("array", [1, 256]),
        pe1_s=("string", []),
    )
    assert image_key(found, "pe1") == "pe1_any"


def test_several_images_are_listed_with_the_way_to_choose():
    found = descriptor(pe1_a=("array", [12, 10]), pe1_b=("array", [1, 6, 5]))
    with pytest.raises(ImageError, match=r"several images: select one with key=, one of pe1_a, pe1_b"):
        image_key(found, "pe1")
    assert image_key(found, "pe1", "pe1_b") == "pe1_b"


def test_key_that_is_no_image_is_refused():
    found = descriptor(pe1_a=("array", [12, 10]), pe1_x=("number", []))
    with pytest.raises(ImageError, match="key='pe1_x' is no image of pe1: its images are pe1_a"):
        image_key(found, "pe1", "pe1_x")


def test_detector_without_an_image_and_missing_detector_are_distinguished():
    found = descriptor(pe1_x=("number", []))
    with pytest.raises(ImageError, match=r"pe1 recorded no image: .* found pe1_x \(\)"):
        image_key(found, "pe1")
    with pytest.raises(ImageError, match="pe2 was not read in this run: its detectors are pe1, motor"):
        image_key(found, "pe2")


def test_mean_of_uint16_does_not_overflow():
    found = mean_image(np.full((2, *SHAPE), 40000, np.uint16))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, np.full(SHAPE, 40000.0))


def test_mean_of_one_image_is_that_image():
    image = np.arange(120, dtype=np.int32).reshape(SHAPE)
    np.testing.assert_array_equal(mean_image([image]), image.astype(float))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(5), r"shape \(5,\): expected"),
        (np.zeros((1, 1, 2, 2)), r"shape \(1, 1, 2, 2\): expected"),
        (np.zeros((0, 2, 2)), "not one frame"),
        ([[1, 2], [3]], "differ in shape"),
        (np.array([["a"]]), "are of type <U1"),
        (np.ones((2, 2), complex), "are of type complex128"),
    ],
)
def test_value_that_is_not_an_image_is_refused_with_its_type(values, message):
    with pytest.raises(ImageError, match=message):
        as_frames(values, "these")


# --- the user's function


def test_function_of_the_user_is_asked_for_run_and_key():
    asked = []
    source = UserImages(lambda *arguments: (asked.append(arguments), np.ones(SHAPE))[1])
    assert source.read("5f0c", "pe1_any").shape == (1, *SHAPE)
    assert source.read("5f0c", "pe1_any", "dark") is None
    assert asked == [("5f0c", "pe1_any")]


def test_failing_function_of_the_user_is_reported_with_its_reason():
    def images(run_uid, data_key):
        raise KeyError("no such thing")

    with pytest.raises(ImageError, match=r"images\('5f0c', 'pe1_any'\) failed: KeyError: 'no such thing'"):
        UserImages(images).read("5f0c", "pe1_any")
    with pytest.raises(ImageError, match=r"what images\('5f0c', 'pe1_any'\) returned have the shape \(3,\)"):
        UserImages(lambda *_: [1, 2, 3]).read("5f0c", "pe1_any")


def test_source_is_the_function_or_the_catalog_or_the_collector(collector):
    assert image_source(collector) is collector
    assert isinstance(image_source(collector, images=lambda *_: []), UserImages)
    assert isinstance(image_source(collector, db={}), CatalogImages)
    with pytest.raises(ImageError, match="both given"):
        image_source(collector, images=lambda *_: [], db={})


# --- catalogs


@pytest.fixture(scope="module")
def tiled(tmp_path_factory):
    """A client of a live Tiled server, with a writer and a detector."""
    from bluesky_tiled_plugins import TiledWriter
    from tiled.client import from_uri

    files = tmp_path_factory.mktemp("files")
    server = tiled_server(tmp_path_factory.mktemp("tiled"), readable_storage=[files])
    client = from_uri(server.uri)
    yield client, TiledWriter(client), partial(StreamHdf5Detector, files)
    client.context.close()
    server.close()


@pytest.fixture(scope="module")
def brokers():
    """Catalogs of both databroker versions over one temporary store, and the callback that writes documents to it."""
    pytest.importorskip("doct", reason="databroker is installed without its extra [all]")
    from databroker import Broker

    broker = Broker.named("temp")
    return broker, broker.v2, broker.v1.insert


class Alone(dict):
    """A catalog as a Tiled client without a plugin has it."""

    def __init__(self, catalog):
        super().__init__()
        self._catalog = catalog

    def __missing__(self, uid):
        return self._catalog[uid].base


@pytest.fixture(params=["tiled", "tiled alone", "databroker 1", "databroker 2"])
def catalog(request):
    """A catalog, the callback that writes documents to it, and a detector class whose files it reads."""
    if "tiled" in request.param:
        client, *rest = request.getfixturevalue("tiled")
        return (Alone(client) if "alone" in request.param else client, *rest)
    first, second, insert = request.getfixturevalue("brokers")
    db = first if request.param == "databroker 1" else second
    return db, insert, partial(TiffDetector, request.getfixturevalue("tmp_path"))


@pytest.mark.parametrize("per_point", [1, 3])
def test_catalog_gives_the_images_within_events_of_exactly_that_run(catalog, run_engine, per_point):
    db, write, _ = catalog
    detector = ArrayDetector("", name="pe1")
    taken = {}
    for value in (1, 2, 3):
        frames = np.full((per_point, *SHAPE), value, np.uint16)
        detector.frame.put(frames if per_point > 1 else frames[0])
        (uid,) = run_engine(bp.count([detector], 2), write)
        taken[uid] = np.concatenate([frames, frames])
    for uid, frames in taken.items():
        np.testing.assert_array_equal(CatalogImages(db, TIMEOUT).read(uid, "pe1_frame"), frames)
        assert CatalogImages(db, TIMEOUT).read(uid, "pe1_frame", "dark") is None


@pytest.mark.parametrize("per_point", [1, 2])
def test_catalog_gives_the_images_in_files(catalog, run_engine, per_point):
    db, write, make_detector = catalog
    detector = make_detector(name="pe1", per_point=per_point)
    (uid,) = run_engine(bp.count([detector], 3), write)
    np.testing.assert_array_equal(CatalogImages(db, TIMEOUT).read(uid, detector.key), detector.frames)


def test_run_that_appears_late_in_the_catalog_is_waited_for_whole(catalog, run_engine, polled):
    db, write, _ = catalog
    documents = []
    (uid,) = run_engine(bp.count([ArrayDetector("", name="pe1")], 3), lambda *document: documents.append(document))
    thread, found = read_in_thread(CatalogImages(db, TIMEOUT), uid, "pe1_frame")
    after_pauses(polled)
    for document in documents[:4]:
        write(*document)
    after_pauses(polled)
    assert not found
    for document in documents[4:]:
        write(*document)
    thread.join(TIMEOUT)
    assert found["frames"].shape == (3, *SHAPE)


def test_run_that_is_not_in_the_catalog_is_reported_with_key_and_catalog(catalog, run_engine):
    db, write, _ = catalog
    (uid,) = run_engine(bp.count([ArrayDetector("", name="pe1")]), write)
    images = CatalogImages(db, SHORT)
    with pytest.raises(
        ImageError, match=r"(tiled|databroker|bluesky_tiled_plugins|tests)'s \w+ has no images pe1_any in"
    ) as e:
        images.read("00000000-0000-4000-8000-000000000000", "pe1_any")
    assert "of run 00000000-0000-4000-8000-000000000000 after" in str(e.value)
    assert "the run is not there" in str(e.value)
    with pytest.raises(ImageError, match="the stream has no pe1_any, only "):
        images.read(uid, "pe1_any")
    with pytest.raises(ImageError, match="the run is not there"):
        images.read(uid[:8], "pe1_frame")
