"""What the attributes of a frame say of its geometry, and when a header does not count."""

import dataclasses
import logging
import math
import struct

import pytest

from ponikeeper.errors import NoGeometryError, NotValidError
from ponikeeper.geometry import Geometry
from ponikeeper.geometry.parameters import PARAMETERS
from ponikeeper.history.history_file import ExportedHistory
from ponikeeper.history.records import LabelRecord
from ponikeeper.protocol import Snapshot
from ponikeeper.protocol.header import write_header
from ponikeeper.text.strictjson import dumps, plain
from ponikeeper.text.timestamps import from_posix
from ponikeeper_client._image_files.frame_attributes import Column, FrameAttributes
from ponikeeper_client.documents._status import warn_once
from ponikeeper_client.recall._frames import completed, frame_records, is_of_frames
from ponikeeper_client.recall._histories import FileHistory
from ponikeeper_client.recall._reading import recorded
from recalling import PREFIX, history, revision, snapshot
from speak import GEOMETRY
from travelled import Travel, documents

TIME = 1_795_942_810.25


def attributes(headers, ages=None, kind="str", **columns):
    """Make the attributes of some frames, one in a second; each age is that of Alive_RBV (s)."""
    times = [TIME + index for index in range(len(headers))]
    alive = [time - age for time, age in zip(times, ages or [0.3] * len(headers), strict=True)]
    named = {"PKHeader": Column(kind, headers), "PKAlive": Column("float64", alive)}
    named |= {
        name: Column("str" if isinstance(values[0], str) else "float64", values) for name, values in columns.items()
    }
    return FrameAttributes(PREFIX, named, times, len(headers), (2048, 2048))


def header(number, status="VALID", **more):
    return write_header(snapshot(revision(number), status=status, **more))


def lines(found):
    return [(one.seq_nums, one.summary) for one in found]


def test_consecutive_frames_with_the_same_header_are_one_record():
    found = frame_records("a.h5", attributes([header(1), header(1), header(2, serial=2), header(1, serial=3)]))
    assert lines(found) == [((1, 2), "revision 1 VALID"), ((3,), "revision 2 VALID"), ((4,), "revision 1 VALID")]
    first = found[0]
    assert first.geometry == revision(1).geometry
    for name in PARAMETERS:
        assert struct.pack("d", getattr(first.geometry, name)) == struct.pack("d", getattr(revision(1).geometry, name))
    assert (first.prefix, first.detector, first.run_uid, first.image_shape) == (
        PREFIX,
        PREFIX[:-1],
        "a.h5",
        (2048, 2048),
    )
    assert [event.time for event in first.events] == [TIME, TIME + 1]
    assert (found[1].serial, first.begins, first.ends) == (2, TIME, TIME + 1)


def test_status_of_the_header_decides_whether_the_geometry_may_be_used():
    valid, moved = frame_records("a.h5", attributes([header(1), header(1, status="MOVED")]))
    assert valid.require_geometry() == revision(1).geometry
    with pytest.raises(
        NotValidError, match=f"a.h5, {PREFIX[:-1]} frames 2: revision 1 does not apply, the status is MOVED"
    ):
        moved.require_geometry()
    assert moved.require_geometry(any_status=True) == revision(1).geometry


def test_header_of_an_ioc_that_did_not_answer_is_refused_for_those_frames():
    found = frame_records("a.h5", attributes([header(1)] * 5, [0.2, 1.2, 3.2, 4.2, 0.1]))
    assert [one.seq_nums for one in found if one.geometry] == [(1, 2), (5,)]
    refused = [one for one in found if not one.geometry]
    assert [one.seq_nums for one in refused] == [(3, 4)]
    assert refused[0].reason == (
        "the IOC of the geometry did not answer when the frame was taken: PKAlive stays at "
        f"{from_posix(TIME - 1.2)}, more than 3 s before it, so the header may be that of another time"
    )
    with pytest.raises(NoGeometryError, match="frames 3-4: the IOC of the geometry did not answer"):
        refused[0].require_geometry()
    assert len(frame_records("a.h5", attributes([header(1)] * 2, [3.2, 4.2]), max_age=5.0)) == 1


def test_clocks_that_differ_are_refused():
    (one,) = frame_records("a.h5", attributes([header(1)], [-3600.0]))
    assert one.reason.startswith("PKAlive is more than 3 s newer than the frame: the clocks of the two IOCs differ")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the header is empty"),
        (header(1)[:100], "the header of 100 characters was cut or changed: it does not end with its checksum"),
        (header(1).replace("VALID", "MOVED"), "was cut or changed"),
        ("PK2 " + header(1)[4:], "the header has version PK2, which a newer ponikeeper wrote: expected PK1"),
        (write_header(Snapshot(PREFIX, "UNSET", "")), "the status was UNSET"),
    ],
)
def test_header_that_is_none_is_refused_for_its_frame_only(text, reason):
    found = frame_records("a.h5", attributes([header(1), text, header(1)]))
    assert [one.geometry is not None for one in found] == [True, False, True]
    assert reason in found[1].reason


@pytest.mark.parametrize(
    ("kind", "values", "reason"),
    [
        ("float32", [math.nan] * 2, "of type float32, not a text: the IOC of the geometry was not connected when the"),
        ("int8", [80, 80], 'of type int8, not a text: expected dbrtype="DBR_STRING" in the attributes of the driver'),
    ],
)
def test_attribute_that_is_no_text_is_refused_with_what_to_do(kind, values, reason):
    (one,) = frame_records("a.h5", attributes(values, kind=kind))
    assert one.geometry is None
    assert reason in one.reason


def test_frames_without_alive_or_time_are_refused():
    known = attributes([header(1)] * 2)
    without = FrameAttributes(PREFIX, {"PKHeader": known.columns["PKHeader"]}, known.times, 2, None)
    (one,) = frame_records("a.h5", without)
    assert one.reason.startswith(
        "the frame has no PKAlive, so it is not known whether the IOC of the geometry answered"
    )
    (one,) = frame_records("a.h5", FrameAttributes(PREFIX, known.columns, [], 2, None))
    assert one.reason.startswith("the frame has no time")
    unconnected = {**known.columns, "PKAlive": Column("float32", [math.nan, math.nan])}
    (one,) = frame_records("a.h5", FrameAttributes(PREFIX, unconnected, known.times, 2, None))
    assert one.reason.startswith("the frame has no PKAlive")


def test_frames_behind_the_last_header_are_refused():
    known = attributes([header(1)] * 2)
    found = frame_records("a.h5", FrameAttributes(PREFIX, known.columns, [*known.times, TIME + 2], 3, None))
    assert lines(found) == [((1, 2), "revision 1 VALID"), ((3,), "no geometry: the file has no PKHeader of this frame")]


def test_other_attributes_may_lag_and_are_named(caplog):
    warn_once.cache_clear()
    lagging = {"PKRevision": [1.0, 1.0, 2.0], "PKDist": [revision(1).geometry.dist] * 3, "PKStatus": ["VALID"] * 3}
    with caplog.at_level(logging.WARNING):
        found = frame_records("a.h5", attributes([header(1), header(2), header(2)], **lagging))
    assert [one.geometry for one in found] == [revision(1).geometry, revision(2).geometry]
    decides = "is not what PKHeader has, which decides: it is a PV of its own, updated before or after it"
    assert sorted(record.getMessage() for record in caplog.records) == [
        f"a.h5: PKDist of the frames 2-3 {decides}",
        f"a.h5: PKRevision of the frames 2 {decides}",
    ]


CONFIG = {"orientation": 2, "note": "x" * 100}


def with_config(number=1):
    return Snapshot(
        PREFIX, "VALID", "", 1, number, revision(number).uid, geometry=Geometry(**GEOMETRY, detector_config=CONFIG)
    )


def test_long_configuration_is_taken_from_its_own_attribute_if_it_is_the_one_of_the_header():
    texts = [dumps(plain(config)) for config in (CONFIG, {**CONFIG, "orientation": 3})] + [dumps(CONFIG)[:90]]
    found = frame_records("a.h5", attributes([write_header(with_config())] * 3, PKDetectorConfig=texts))
    assert [one.geometry for one in found] == [with_config().geometry, None]
    assert found[1].reason == (
        "the detector_config of revision 1 is too long for the header, which has its hash: it is in the history, "
        "recorded(file, history=...)"
    )


def test_history_completes_the_record():
    exported = history(3)
    (one,) = frame_records("a.h5", attributes([header(2, serial=2)]))
    assert (one.uid, one.checksum, is_of_frames(one)) == (revision(2).uid[:12], None, True)
    whole = completed(one, FileHistory(exported))
    assert (whole.uid, whole.checksum) == (revision(2).uid, revision(2).checksum)
    assert whole.geometry == one.geometry
    assert not is_of_frames(whole)


@pytest.mark.parametrize("other", [history(1), history(3, store="another")], ids=["shorter", "created again"])
def test_history_of_another_store_is_refused(other: ExportedHistory):
    (one,) = frame_records("a.h5", attributes([header(2)]))
    with pytest.raises(
        NoGeometryError, match=rf"a.h5, frames 1: revision 2, uid {revision(2).uid[:12]}\.\.\.: the history of"
    ):
        completed(one, FileHistory(other))


def test_frames_of_a_model_have_what_it_gave_for_each_rest_and_the_history_has_the_model():
    travel = Travel((1010.0, 1200.0, 1333.3))
    headers = [write_header(travel.snapshot(rest)) for rest in (1, 2, 2, 3)]
    found = frame_records("a.h5", attributes(headers))
    assert [one.geometry for one in found] == [derived.geometry for derived in travel.derived]
    whole = [completed(one, FileHistory(travel.history())) for one in found]
    assert [one.geometry for one in whole] == [derived.geometry for derived in travel.derived]
    for rest, one in enumerate(whole, 1):
        (of_run,) = recorded(documents(travel.snapshot(rest), [{"det_z": travel.rests[rest - 1]}]))
        same = ("model", "covariance", "uid", "checksum", "label", "files", "geometry", "status")
        assert {name: getattr(one, name) for name in same} == {name: getattr(of_run, name) for name in same}


def test_label_of_a_frame_is_the_one_that_its_revision_had_then():
    labels = tuple(
        LabelRecord(number, 1, label, 1, from_posix(TIME + seconds), "alice")
        for number, (seconds, label) in enumerate([(-9.0, "near"), (4.5, "far")], 1)
    )
    exported = dataclasses.replace(history(2), labels=labels)
    found = frame_records("a.h5", attributes([header(1), header(2, serial=2), header(2, serial=2), header(1)]))
    assert [completed(one, FileHistory(exported)).label for one in found] == ["near", revision(2).label, "near"]
    (late,) = frame_records("a.h5", attributes([header(1)]))
    late = dataclasses.replace(late, begins=TIME + 5.0)
    assert completed(late, FileHistory(exported)).label == "far"


def test_history_that_ends_before_a_rest_still_verifies_the_model():
    travel = Travel((1010.0, 1200.0))
    ended = dataclasses.replace(travel.history(), derived=(), activations=travel.history().activations[:3])
    (one,) = frame_records("a.h5", attributes([write_header(travel.snapshot(2))]))
    whole = completed(one, FileHistory(ended))
    assert whole.geometry == travel.derived[1].geometry
    assert whole.model is None, "for which position it gave the geometry is not known"
