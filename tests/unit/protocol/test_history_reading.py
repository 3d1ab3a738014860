"""Reading a history in parts: every record once, by the fewest queries, also while others commit."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chains
from ponikeeper.errors import RefusedError
from ponikeeper.history import Correction, DerivedGeometry, LabelRecord
from ponikeeper.history.records import FOLLOWED, KINDS, UNDO, name_of
from ponikeeper.protocol import history_reading as reading
from ponikeeper.protocol.history_query import MAX_RECORDS, Reply, parse_reply, reply_text
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import LABELS, NAME, PREFIXES, SERVICE, draft, large_store, small_store, time_of

PREFIX = PREFIXES[0]
REVISIONS = 200


class Source:
    """Replies to queries from a store, as the IOC does, and counts them."""

    def __init__(self, path):
        self._storage = SQLiteStorage(path)
        self.queries = []
        self.before_reply = lambda _: None

    def __call__(self, query):
        self.queries.append(str(query))
        self.before_reply(str(query))
        last = query.first + MAX_RECORDS[query.kind] - 1
        records = self._storage.records(PREFIX, query.kind, query.first, last)
        return parse_reply(PREFIX, reply_text(PREFIX, query, self._storage.count(PREFIX, query.kind), records))

    def retract(self, number, revision):
        self._storage.add(PREFIX, Correction(number, "retract", revision, None, None, None, "x", time_of(1), "bob"))

    def close(self):
        self._storage.close()


@pytest.fixture
def long(tmp_path):
    source = Source(large_store(tmp_path / NAME, PREFIX, REVISIONS))
    yield source
    source.close()


@pytest.fixture
def small(tmp_path):
    source = Source(small_store(tmp_path / NAME))
    yield source
    source.close()


@pytest.fixture
def empty(tmp_path):
    source = Source(tmp_path / "empty" / NAME)
    yield source
    source.close()


def numbers(records):
    return [name_of(record)[1] for record in records]


def test_everything_is_read_once_and_in_order(long):
    listing = reading.run(reading.everything(), long)
    assert numbers(listing.revisions) == list(range(1, REVISIONS + 1))
    assert (listing.count, listing.corrections) == (REVISIONS, [])
    history = reading.run(reading.full_history(), long)
    assert {kind: len(records) for kind, records in history.items()} == {
        "revision": REVISIONS, "activation": REVISIONS, "judgement": 0, "service": 0, "undo": 0, "label": 0,
        "derived": 0, "rename": 0,
    }  # fmt: skip
    assert history["revision"] == listing.revisions
    assert numbers(history["activation"]) == list(range(1, REVISIONS + 1))


@pytest.mark.parametrize(
    ("centre", "first", "last"), [(1, 1, 31), (100, 70, 130), (REVISIONS, 170, REVISIONS), (0, 1, 30), (999, 0, -1)]
)
def test_window_around_a_revision(long, centre, first, last):
    listing = reading.run(reading.around(centre), long)
    assert numbers(listing.revisions) == list(range(first, last + 1))
    assert listing.count == REVISIONS


@pytest.mark.parametrize("number", [1, 7, REVISIONS])
def test_one_revision_needs_one_query(long, number):
    assert reading.run(reading.revision(number), long).number == number
    assert long.queries == [f"revision {number}"]


@pytest.mark.parametrize("number", [0, -3])
def test_number_below_one_is_refused_without_a_query(number):
    with pytest.raises(RefusedError, match=f"there is no revision {number}: they are numbered from 1 on"):
        reading.run(reading.revision(number), lambda query: pytest.fail(str(query)))


def test_number_that_does_not_exist_is_refused_with_those_that_do(long, empty):
    with pytest.raises(RefusedError, match=f"no revision 201: the history has revisions 1 to {REVISIONS}"):
        reading.run(reading.revision(201), long)
    with pytest.raises(RefusedError, match="no revision 1: the history has no revisions"):
        reading.run(reading.revision(1), empty)


def test_label_is_the_newest_revision_and_found_from_the_end(long):
    expected = {LABELS[number % 3]: number for number in range(1, REVISIONS + 1)}
    for label in ("near", "far"):
        assert reading.run(reading.labelled(label), long).number == expected[label]
    assert "revision 41" not in long.queries
    assert len(long.queries) < 16


def test_label_skips_corrected_revisions_as_activate_does(small):
    assert [each.label for each in reading.run(reading.everything(), small).revisions] == [
        "near",
        "far",
        "spare",
        "near",
    ]
    assert reading.run(reading.labelled("near"), small).number == 4
    small.retract(3, 2)
    small.retract(4, 4)  # revision 1 was superseded before
    with pytest.raises(
        RefusedError, match="every revision labelled near was superseded, retracted or undone, the last one is 4"
    ):
        reading.run(reading.labelled("near"), small)


def random_history(storage, steps):
    """Commit, label, activate, undo and retract at random; return what a person would expect each label to mean."""
    given, requested, undone = {}, {}, set()
    labelled_at = {}
    for clock, (what, number, label) in enumerate(steps):
        count = storage.count(PREFIX)
        number = 1 + number % max(count, 1)
        if what == "commit" or not count:
            revision, activation = storage.commit(PREFIX, draft(clock, label), time_of(clock), "commit", "alice")
            given[revision.number], labelled_at[revision.number] = label, clock
            requested[activation.serial] = revision.number
        elif what == "label":
            storage.add(PREFIX, LabelRecord(0, number, label, count, time_of(clock), "bob"))
            given[number], labelled_at[number] = label, clock
        elif what == "activate":
            requested[storage.activate(PREFIX, number, time_of(clock), "activate", "bob").serial] = number
        elif what == "follow":
            storage.activate(PREFIX, number, time_of(clock), FOLLOWED, "links")
        elif what == "undo" and requested.keys() - undone:
            serial = max(requested.keys() - undone)
            (wrong,) = storage.records(PREFIX, "activation", serial, serial)
            storage.activate(PREFIX, number, time_of(clock), UNDO, "bob", undone=wrong)
            undone.add(serial)
    standing = {number for serial, number in requested.items() if serial not in undone}
    order = sorted(given, key=labelled_at.__getitem__)
    return {label: [n for n in order if given[n] == label and n in standing] for label in ("near", "far")}


STEP = st.tuples(
    st.sampled_from(["commit", "label", "activate", "follow", "undo"]),
    st.integers(0, 99),
    st.sampled_from(["near", "far", None]),
)


@settings(max_examples=60)
@given(steps=st.lists(STEP, min_size=1, max_size=25))
def test_label_means_the_revision_that_got_it_last_and_was_not_undone(tmp_path_factory, steps):
    source = Source(tmp_path_factory.mktemp("labels") / NAME)
    try:
        storage = source._storage
        for label, numbers_of_label in random_history(storage, steps).items():
            expected = numbers_of_label[-1] if numbers_of_label else None
            assert storage.find_label(PREFIX, label, storage.undone_revisions(PREFIX)) == expected
            if expected is None:
                with pytest.raises(RefusedError, match=f"no revision labelled {label}|every revision labelled {label}"):
                    reading.run(reading.labelled(label), source)
            else:
                assert reading.run(reading.labelled(label), source).number == expected
        shown = {each.label for each in reading.run(reading.everything(), source).revisions}
        assert sorted(label for label, _ in storage.newest_labels(PREFIX, 9)) == sorted(shown - {None})
    finally:
        source.close()


def test_unknown_label_is_refused_with_those_that_exist(long, empty):
    with pytest.raises(RefusedError, match="no revision labelled middle: the history has labels far, near"):
        reading.run(reading.labelled("middle"), long)
    with pytest.raises(RefusedError, match="no revision labelled near: the history has no labels, and no revisions"):
        reading.run(reading.labelled("near"), empty)


def test_full_history_has_the_service_changes(small):
    assert reading.run(reading.full_history(), small)["service"] == [SERVICE]


def test_only_what_is_new_is_read_with_the_newest_known_records(long):
    known = {"revision": 150, "activation": 160}
    long.retract(1, 7)
    history = reading.run(reading.full_history(known), long)
    assert numbers(history["revision"]) == list(range(150, REVISIONS + 1))
    assert numbers(history["activation"]) == list(range(160, REVISIONS + 1))
    assert numbers(history["judgement"]) == [1]
    long.queries.clear()
    newest = reading.run(reading.full_history({"revision": REVISIONS, "activation": REVISIONS, "judgement": 1}), long)
    counts = {kind: len(records) for kind, records in newest.items() if records}
    assert counts == {"revision": 1, "activation": 1, "judgement": 1}
    assert len(long.queries) == 2 * len(KINDS) - 2


def test_shorter_history_than_is_known_has_no_newest_record(long):
    history = reading.run(reading.full_history({"revision": 300, "activation": 300, "judgement": 1}), long)
    assert not any(history.values())


def test_correction_that_arrives_meanwhile_is_part_of_the_history_or_comes_too_late(long):
    def correct_once(query):
        if query.startswith("activation"):
            long.before_reply = lambda _: None
            long.retract(1, 7)

    long.before_reply = correct_once
    assert numbers(reading.run(reading.full_history(), long)["judgement"]) == [1]


@pytest.mark.parametrize("kind", KINDS)
def test_record_that_is_too_long_for_its_pv_ends_the_reading_with_a_reason(kind):
    with pytest.raises(RefusedError, match=f"{kind} 1 of 3 is not published"):
        reading.run(reading.records(kind, 1), lambda query: Reply(str(query), 3, ()))


def test_corrections_all_the_time_end_the_reading(long):
    added = iter(range(1, 1000))

    def correct(query):
        if query.startswith("activation"):
            long.retract(next(added), 7)

    long.before_reply = correct
    with pytest.raises(
        RefusedError, match="corrections, undos, labels or service changes are added all the time: try again later"
    ):
        reading.run(reading.full_history(), long)


def test_replies_of_any_size_give_the_same(long):
    def one_by_one(query):
        reply = long(query)
        return replace(reply, records=reply.records[:1])

    whole = reading.run(reading.around(60), long)
    assert reading.run(reading.around(60), one_by_one) == whole


@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_what_a_model_gave_is_found_by_its_serial_with_few_queries(count):
    records = [_given(number, 2 * number + 7) for number in range(1, count + 1)]
    queries = []

    def ask(query):
        queries.append(str(query))
        return Reply(str(query), count, tuple(records[query.first - 1 : query.first + 39]))

    for serial in range(1, 2 * count + 12):
        queries.clear()
        found = reading.run(reading.derived_of(serial), ask)
        assert found == next((each for each in records if each.serial == serial), None)
        assert len(queries) <= 6


def _given(number, serial):
    return DerivedGeometry(number, serial, 3, chains.geometry(), {}, {})
