"""The history: what was written is what is read, by one process at a time, in one schema."""

import math
import sqlite3
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings

from ponikeeper.errors import BusyStoreError, DamagedStoreError, StoreError
from ponikeeper.history import Activation
from ponikeeper.history.records import KINDS
from ponikeeper.store import FOLLOWED, Answer, Draft, FollowCandidate, FollowState, History, StoredState, verify
from ponikeeper.text import strictjson
from stores import GEOMETRY, NAME, PREFIXES, commit, corrections, digest, draft, small_store, time_of
from strategies import geometries

PREFIX, OTHER = PREFIXES


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "state" / NAME


@pytest.fixture
def history(path):
    opened = History(path)
    yield opened
    opened.close()


def verify_all(history: History) -> None:
    while history.verify_next():
        continue


def reopened(history: History) -> History:
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


def test_commit_is_in_force_and_survives_closing(history):
    written = history.commit(PREFIX, draft(1, "near"), time_of(1), "commit", "alice@here")
    assert history.active(PREFIX) == written
    assert reopened(history).active(PREFIX) == written
    revision, activation = written
    assert activation == Activation(1, 1, time_of(1), "commit", "alice@here")
    assert (revision.number, revision.label, revision.position) == (1, "near", {"z": {"value": 1.0, "units": "mm"}})


def test_activation_brings_an_old_revision_back_under_its_own_number(history):
    for number in range(3):
        commit(history, PREFIX, number)
    activation = history.activate(PREFIX, 1, time_of(9), "activate", "bob@there")
    found = reopened(history).active(PREFIX)
    assert found == (history.revision(PREFIX, 1), activation)
    assert (activation.serial, history.count(PREFIX)) == (4, 3)


def test_detectors_count_for_themselves(history):
    for number in range(3):
        commit(history, PREFIX, number)
    commit(history, OTHER, 7)
    assert (history.count(PREFIX), history.count(OTHER)) == (3, 1)
    assert history.active(OTHER)[1].serial == 1
    assert history.active(OTHER)[0].geometry == draft(7).geometry


def test_ranges_are_ascending_and_cut_to_what_is_there(history):
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


def test_judgements_are_kept_in_their_order(history):
    commit(history, PREFIX, 1)
    written = [history.correct(PREFIX, replace(correction, number=0)) for correction in corrections(4)]
    assert written == corrections(4)
    assert reopened(history).corrections(PREFIX) == written
    assert history.corrections(OTHER) == []
    assert history.stored_state(PREFIX).corrections == tuple(written)


def test_standing_is_kept_with_what_it_belongs_to_and_the_last_one_holds(history):
    first, second = (FollowState(follow, {"z": {"value": 1.5, "units": "mm"}}) for follow in (True, False))
    history.commit(PREFIX, draft(1), time_of(1), "commit", "a", follow_state=first)
    assert reopened(history).follow_state(PREFIX) == first
    history.set_follow_state(PREFIX, second, time_of(2), "alice", Answer("off", "d", "follow", 1, 1, time_of(2)))
    commit(history, PREFIX, 3)
    assert reopened(history).stored_state(PREFIX).follow_state == second
    assert history.answer(PREFIX, "off").op == "follow"
    assert history.follow_state(OTHER) is None
    with closing(sqlite3.connect(history.path)) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM standing").fetchone()
    assert rows == 1  # a motor that rests a thousand times a day fills no disk


def test_what_was_put_in_force_is_read_back_without_what_followed(history):
    for number in range(3):
        commit(history, PREFIX, number)
    history.activate(PREFIX, 1, time_of(4), FOLLOWED, "links")
    history.activate(PREFIX, 2, time_of(5), "activate", "bob")
    history.activate(PREFIX, 3, time_of(6), FOLLOWED, "links")
    position = draft(1).position
    candidates = [FollowCandidate(*numbers, position) for numbers in ((5, 2), (3, 3), (2, 2), (1, 1))]
    assert history.follow_candidates(PREFIX, None, 10) == candidates
    assert history.follow_candidates(PREFIX, 5, 2) == candidates[1:3]
    assert history.follow_candidates(OTHER, None, 10) == []


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


def test_records_of_another_store_stay_what_they_are(tmp_path, history):
    commit(history, PREFIX, 0)
    history.correct(PREFIX, corrections(1)[0])
    records = [record for kind in KINDS for record in history.records(PREFIX, kind)]
    other = History(tmp_path / "other" / NAME)
    try:
        other.append(PREFIX, records, time_of(9), "import")
        assert [record for kind in KINDS for record in reopened(other).records(PREFIX, kind)] == records
        assert other.active(PREFIX) == history.active(PREFIX)
        verify_all(other)
        revision, activation = other.commit(PREFIX, draft(5), time_of(10), "commit", "alice")
        assert (revision.number, activation.serial) == (2, 2)
        assert other.answer(PREFIX, "request-0") is None
    finally:
        other.close()


def test_records_that_do_not_follow_on_leave_nothing(tmp_path, history):
    for number in range(3):
        commit(history, PREFIX, number)
    first, _, third = history.revisions(PREFIX, 1, 3)
    other = History(tmp_path / "other" / NAME)
    try:
        with pytest.raises(StoreError, match=r"revision 3 of .* does not follow on: expected revision 2"):
            other.append(PREFIX, [first, third], time_of(9), "import")
        assert reopened(other).stored_state(PREFIX) == StoredState()
    finally:
        other.close()


def test_where_the_links_rested_before_is_forgotten_when_records_are_added(tmp_path, history):
    commit(history, PREFIX, 0)
    other = History(tmp_path / "other" / NAME)
    try:
        other.append(
            PREFIX, [record for kind in KINDS for record in history.records(PREFIX, kind)], time_of(1), "import"
        )
        other.set_follow_state(PREFIX, FollowState(False, {"z": {"value": 1.5, "units": "mm"}}), time_of(2), "links")
        commit(history, PREFIX, 1)
        other.append(
            PREFIX, [*history.revisions(PREFIX, 2, 2), *history.records(PREFIX, "activation", 2)], time_of(3), "i"
        )
        assert reopened(other).follow_state(PREFIX) == FollowState(False, {})
    finally:
        other.close()


def test_request_id_gets_the_answer_that_was_stored_with_its_row(history):
    commit(history, PREFIX, 3)
    assert reopened(history).answer(PREFIX, "request-3") == Answer("request-3", f"{3:064x}", "commit", 1, 1, time_of(3))
    assert history.answer(OTHER, "request-3") is None
    kept = Answer("again", "d" * 64, "commit", 1, 1, time_of(4))
    history.store_answer(PREFIX, kept)
    assert reopened(history).answer(PREFIX, "again") == kept


def test_id_that_is_there_already_is_not_written_twice(history):
    commit(history, PREFIX, 3)
    with pytest.raises(StoreError):
        commit(history, PREFIX, 3)
    assert (history.count(PREFIX), history.active(PREFIX)[1].serial) == (1, 1)


@settings(max_examples=25)
@given(geometry=geometries())
def test_geometry_is_read_bit_by_bit_as_it_was_written(tmp_path_factory, geometry):
    history = History(tmp_path_factory.mktemp("bits") / NAME)
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


def test_checksum_covers_every_column(path):
    small_store(path)
    for table, columns in (
        ("revision", "uid created label geometry position provenance"),
        ("activation", "revision time cause author"),
        ("answer", "digest op revision serial time"),
        ("judgement", "kind revision by since reason time author"),
        ("standing", "follow rested time author"),
    ):
        for column in columns.split():
            sound = path.read_bytes()
            connection = sqlite3.connect(path)
            connection.execute(f"UPDATE {table} SET {column} = {column} || '1' WHERE rowid = 1")
            connection.commit()
            connection.close()
            changed = digest(path)
            with pytest.raises(DamagedStoreError, match=f"the checksum of {table}"):
                History(path)
            assert digest(path) == changed
            path.write_bytes(sound)
    History(path).close()


@pytest.mark.parametrize("table", ["revision", "activation", "answer", "judgement", "standing"])
@pytest.mark.parametrize("which", ["min", "max"])
def test_missing_row_is_noticed(path, table, which):
    small_store(path)
    connection = sqlite3.connect(path)
    connection.execute(f"DELETE FROM {table} WHERE rowid = (SELECT {which}(rowid) FROM {table} WHERE detector = 1)")
    connection.commit()
    connection.close()
    with pytest.raises(DamagedStoreError, match="is damaged"):
        History(path)


def test_old_rows_are_verified_behind_the_start(path, monkeypatch):
    monkeypatch.setattr(verify, "RECENT", 2)
    monkeypatch.setattr(verify, "_SLICE", 2)
    small_store(path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE revision SET uid = 'x' WHERE rowid = 1")
    connection.commit()
    connection.close()
    history = History(path)
    try:
        assert history.active(PREFIX) is not None  # the newest rows are sound
        with pytest.raises(DamagedStoreError, match=f"{NAME} is damaged .the checksum of revision 1 of"):
            verify_all(history)
        with pytest.raises(DamagedStoreError, match="the checksum of revision 1"):
            history.revision(PREFIX, 1)
    finally:
        history.close()


def test_second_opening_of_one_directory_is_refused_until_the_first_is_closed(history):
    with pytest.raises(BusyStoreError, match="is served by another ponikeeper"):
        History(history.path)
    history.close()
    History(history.path).close()


def test_store_moved_away_under_a_history_takes_no_commit_until_it_is_back(history):
    commit(history, PREFIX, 1)
    away = history.path.with_name("away")
    history.path.rename(away)
    with pytest.raises(StoreError, match=r"was moved, deleted or replaced while it was served: put it back"):
        commit(history, PREFIX, 2)
    away.rename(history.path)
    commit(history, PREFIX, 3)
    assert reopened(history).count(PREFIX) == 2


def test_failed_transaction_leaves_nothing(history):
    commit(history, PREFIX, 1)
    before = history.active(PREFIX)
    with suppress(RuntimeError), history._file.transaction() as connection:
        connection.execute("UPDATE revision SET uid = 'x'")
        raise RuntimeError("in the middle")
    assert history.active(PREFIX) == before
    assert reopened(history).active(PREFIX) == before


def test_probe_changes_nothing_of_the_history(history):
    commit(history, PREFIX, 1)
    before = history.active(PREFIX)
    history.probe()
    assert reopened(history).active(PREFIX) == before
    assert before[0].geometry == draft(1).geometry != GEOMETRY
