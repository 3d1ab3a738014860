"""Records of a store are read by number, range, label and kind."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings

from ponikeeper.history.records import KINDS, LabelRecord
from ponikeeper.store import Draft, StoredState
from ponikeeper.store.sqlite_storage import SQLiteStorage
from ponikeeper.text import strictjson
from stores import GEOMETRY, NAME, PREFIXES, SERVICE, commit, corrections, draft, large_store, time_of
from strategies import geometries

PREFIX, OTHER = PREFIXES


def reopened(storage: SQLiteStorage) -> SQLiteStorage:
    storage.close()
    storage.__init__(storage.path)
    return storage


def test_empty_history_has_nothing(storage):
    assert storage.active(PREFIX) is None
    assert storage.revision(PREFIX, 1) is None
    assert storage.revisions(PREFIX, 1, 10) == []
    assert (storage.count(PREFIX), storage.newest_labels(PREFIX, 9), storage.find_label(PREFIX, "near")) == (
        0,
        [],
        None,
    )
    assert storage.answer(PREFIX, "request-1") is None
    assert storage.stored_state(PREFIX) == StoredState()
    assert storage.follow_candidates(PREFIX, None, 10) == []
    assert not storage.verify_next()


def test_detectors_count_for_themselves(storage):
    for number in range(3):
        commit(storage, PREFIX, number)
    commit(storage, OTHER, 7)
    assert (storage.count(PREFIX), storage.count(OTHER)) == (3, 1)
    assert storage.active(OTHER)[1].serial == 1
    assert storage.active(OTHER)[0].geometry == draft(7).geometry


def test_ranges_are_ascending_and_limited_to_existing_records(storage):
    for number in range(5):
        commit(storage, PREFIX, number)
    numbers = [
        [revision.number for revision in storage.revisions(PREFIX, *ends)] for ends in ((2, 4), (-7, 2), (4, 99))
    ]
    assert numbers == [[2, 3, 4], [1, 2], [4, 5]]
    assert storage.revisions(PREFIX, 4, 2) == []


def test_label_means_its_newest_revision(storage):
    for number in range(6):
        commit(storage, PREFIX, number)
    assert storage.newest_labels(PREFIX, 9) == [("far", 5), ("near", 4)]
    assert [storage.find_label(PREFIX, label) for label in ("near", "far", "other")] == [4, 5, None]


def test_label_means_its_newest_revision_that_is_not_wrong(storage):
    for number in range(6):
        commit(storage, PREFIX, number)
    found = [storage.find_label(PREFIX, "near", besides) for besides in ((), (4,), (4, 1), (1,), (2, 3))]
    assert found == [4, 1, None, 4, 4]


def test_records_of_each_kind_are_read_by_their_numbers(storage):
    for number in range(3):
        commit(storage, PREFIX, number)
    storage.activate(PREFIX, 1, time_of(4), "activate", "bob")
    for correction in corrections(3):
        storage.add(PREFIX, correction)
    storage.add(PREFIX, replace(SERVICE, number=99))
    assert [(item.serial, item.revision) for item in storage.records(PREFIX, "activation", 2)] == [
        (2, 2),
        (3, 3),
        (4, 1),
    ]
    assert storage.records(PREFIX, "activation", 5, 9) == []
    assert storage.records(PREFIX, "revision", 1, 2) == storage.revisions(PREFIX, 1, 2)
    assert storage.records(PREFIX, "judgement") == corrections(3)
    assert storage.records(PREFIX, "service") == [SERVICE]
    assert [storage.count(PREFIX, kind) for kind in KINDS] == [3, 4, 2, 1, 0, 0, 0, 0]
    assert [storage.count(OTHER, kind) for kind in KINDS] == [0] * 8


@settings(max_examples=25)
@given(geometry=geometries())
def test_geometry_is_read_bit_by_bit_as_it_was_written(tmp_path_factory, geometry):
    storage = SQLiteStorage(tmp_path_factory.mktemp("bits") / NAME)
    try:
        written, _ = storage.commit(PREFIX, Draft(geometry, {}), time_of(0), "commit", "a")
        found, _ = reopened(storage).active(PREFIX)
    finally:
        storage.close()
    assert written.geometry == found.geometry == geometry
    for name, value in geometry.as_dict().items():
        if isinstance(value, float):
            assert math.copysign(1, getattr(found.geometry, name)) == math.copysign(1, value)
            assert getattr(found.geometry, name).hex() == value.hex()
    assert strictjson.canonical(found.geometry.as_dict()) == strictjson.canonical(geometry.as_dict())


def test_newest_labels_have_the_revisions_that_they_mean(storage):
    for number, label in enumerate(["a", "b", "a", None, "c", "b", "d"], 1):
        storage.commit(PREFIX, replace(draft(number), label=label), time_of(number), "commit", "alice")
    storage.add(PREFIX, LabelRecord(0, 4, "e", 7, time_of(8), "bob"))
    storage.add(PREFIX, LabelRecord(0, 5, None, 7, time_of(9), "bob"))
    assert storage.newest_labels(PREFIX, 9) == [("d", 7), ("b", 6), ("e", 4), ("a", 3)]
    assert storage.newest_labels(PREFIX, 2) == [("d", 7), ("b", 6)]
    assert storage.newest_labels(PREFIX, 9, {3, 6, 7}) == [("b", 2), ("e", 4), ("a", 1)]
    assert storage.newest_labels(OTHER, 9) == []


def test_newest_revision_with_a_detector_is_found_and_no_other_that_only_mentions_it(storage):
    for number, detector in enumerate(["Perkin", "Pilatus1M", "Eiger4M"], 1):
        geometry = replace(GEOMETRY, detector=detector, detector_config={"was": {"detector": "Perkin"}})
        storage.commit(PREFIX, Draft(geometry, {}), time_of(number), "commit", "alice")
    assert [storage.find_detector(PREFIX, name).number for name in ("Perkin", "Pilatus1M", "Eiger4M")] == [1, 2, 3]
    assert storage.find_detector(PREFIX, "Nonesuch") is None
    assert storage.find_detector(OTHER, "Perkin") is None


STEPS = 100
"""Instructions of SQLite between two calls of the progress handler."""


@pytest.mark.parametrize(
    "read",
    [
        lambda storage: storage.newest_labels(PREFIX, 8),
        lambda storage: storage.find_label(PREFIX, "near"),
        lambda storage: storage.find_detector(PREFIX, GEOMETRY.detector),
    ],
    ids=["newest_labels", "find_label", "find_detector"],
)
def test_work_of_a_query_does_not_grow_with_the_history(tmp_path, read):
    work = []
    for revisions in (300, 3000):
        folder = tmp_path / str(revisions)
        folder.mkdir()
        storage = SQLiteStorage(large_store(folder / NAME, PREFIX, revisions))
        calls = []
        try:
            storage._file.connection().set_progress_handler(lambda calls=calls: calls.append(1), STEPS)
            assert read(storage)
        finally:
            storage.close()
        work.append(len(calls))
    assert work[1] <= work[0] + 2
