"""Records of a store are read by number, range, label and kind."""

import math

from hypothesis import given, settings

from ponikeeper.history.records import KINDS
from ponikeeper.store import Draft, StoredState
from ponikeeper.store.sqlite_storage import SQLiteStorage
from ponikeeper.text import strictjson
from stores import NAME, PREFIXES, commit, corrections, draft, time_of
from strategies import geometries

PREFIX, OTHER = PREFIXES


def reopened(history: SQLiteStorage) -> SQLiteStorage:
    history.close()
    history.__init__(history.path)
    return history


def test_empty_history_has_nothing(history):
    assert history.active(PREFIX) is None
    assert history.revision(PREFIX, 1) is None
    assert history.revisions(PREFIX, 1, 10) == []
    assert (history.count(PREFIX), history.labels(PREFIX), history.find_label(PREFIX, "near")) == (0, [], None)
    assert history.answer(PREFIX, "request-1") is None
    assert history.stored_state(PREFIX) == StoredState()
    assert history.follow_candidates(PREFIX, None, 10) == []
    assert not history.verify_next()


def test_detectors_count_for_themselves(history):
    for number in range(3):
        commit(history, PREFIX, number)
    commit(history, OTHER, 7)
    assert (history.count(PREFIX), history.count(OTHER)) == (3, 1)
    assert history.active(OTHER)[1].serial == 1
    assert history.active(OTHER)[0].geometry == draft(7).geometry


def test_ranges_are_ascending_and_limited_to_existing_records(history):
    for number in range(5):
        commit(history, PREFIX, number)
    numbers = [
        [revision.number for revision in history.revisions(PREFIX, *ends)] for ends in ((2, 4), (-7, 2), (4, 99))
    ]
    assert numbers == [[2, 3, 4], [1, 2], [4, 5]]
    assert history.revisions(PREFIX, 4, 2) == []


def test_label_means_its_newest_revision(history):
    for number in range(6):
        commit(history, PREFIX, number)
    assert history.labels(PREFIX) == ["far", "near"]
    assert [history.find_label(PREFIX, label) for label in ("near", "far", "other")] == [4, 5, None]


def test_label_means_its_newest_revision_that_is_not_wrong(history):
    for number in range(6):
        commit(history, PREFIX, number)
    found = [history.find_label(PREFIX, "near", besides) for besides in ((), (4,), (4, 1), (1,), (2, 3))]
    assert found == [4, 1, None, 4, 4]


def test_records_of_each_kind_are_read_by_their_numbers(history):
    for number in range(3):
        commit(history, PREFIX, number)
    history.activate(PREFIX, 1, time_of(4), "activate", "bob")
    for correction in corrections(3):
        history.correct(PREFIX, correction)
    assert [(item.serial, item.revision) for item in history.records(PREFIX, "activation", 2)] == [
        (2, 2),
        (3, 3),
        (4, 1),
    ]
    assert history.records(PREFIX, "activation", 5, 9) == []
    assert history.records(PREFIX, "revision", 1, 2) == history.revisions(PREFIX, 1, 2)
    assert history.records(PREFIX, "judgement") == corrections(3)
    assert [history.count(PREFIX, kind) for kind in KINDS] == [3, 4, 2]
    assert [history.count(OTHER, kind) for kind in KINDS] == [0, 0, 0]


@settings(max_examples=25)
@given(geometry=geometries())
def test_geometry_is_read_bit_by_bit_as_it_was_written(tmp_path_factory, geometry):
    history = SQLiteStorage(tmp_path_factory.mktemp("bits") / NAME)
    try:
        written, _ = history.commit(PREFIX, Draft(geometry, {}), time_of(0), "commit", "a")
        found, _ = reopened(history).active(PREFIX)
    finally:
        history.close()
    assert written.geometry == found.geometry == geometry
    for name, value in geometry.as_dict().items():
        if isinstance(value, float):
            assert math.copysign(1, getattr(found.geometry, name)) == math.copysign(1, value)
            assert getattr(found.geometry, name).hex() == value.hex()
    assert strictjson.canonical(found.geometry.as_dict()) == strictjson.canonical(geometry.as_dict())
