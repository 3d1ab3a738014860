"""Queries that read a history in parts: their syntax, and that each reply fits its PV and has checksums."""

import json

import pytest

from ponikeeper.detector.commit_rules import require_room
from ponikeeper.errors import HistoryError
from ponikeeper.geometry import Geometry
from ponikeeper.history import (
    Activation,
    Correction,
    DerivedGeometry,
    LabelRecord,
    RenameRecord,
    Revision,
    ServiceChange,
    UndoRecord,
)
from ponikeeper.history.record_form import checksum
from ponikeeper.history.records import KINDS
from ponikeeper.protocol import MAX_BYTES, MAX_STRING_BYTES
from ponikeeper.protocol.history_query import MAX_RECORDS, HistoryQuery, Reply, parse_query, parse_reply, reply_text
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import GEOMETRY, NAME, PREFIXES, small_store

PREFIX = PREFIXES[0]
TIME = "2026-11-22T09:30:00.250000Z"


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    store = SQLiteStorage(small_store(tmp_path_factory.mktemp("small") / NAME))
    found = {kind: store.records(PREFIX, kind) for kind in KINDS}
    store.close()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_reply_names_its_query_and_is_read_back(records, kind):
    text = reply_text(PREFIX, HistoryQuery(kind, 2), 7, records[kind][1:])
    values = json.loads(text)
    assert (values["v"], values["read"], values["count"]) == (1, f"{kind} 2", 7)
    assert all(item["checksum"].startswith("sha256:") for item in values["records"])
    assert parse_reply(PREFIX, text) == Reply(f"{kind} 2", 7, tuple(records[kind][1:]))


def test_query_is_parsed():
    for text in ("revision 12", " revision 12 ", "revision  12"):
        assert parse_query(text) == HistoryQuery("revision", 12)
    longest = HistoryQuery("activation", 10**15 - 1)
    assert parse_query(str(longest)) == longest
    assert len(str(longest)) <= MAX_STRING_BYTES


@pytest.mark.parametrize(
    "text",
    ["", "12", "revision", "revision 0", "revision -1", "revision near", "Revision 1", "answer 1", "revision 1 2",
     "revision 1.0", "revision \u0661", "revision 01", "revision " + "9" * 25],
)  # fmt: skip
def test_text_that_is_not_a_query_is_refused_with_the_valid_ones(text):
    with pytest.raises(HistoryError) as caught:
        parse_query(text)
    expected = "expected one of revision N, activation N, judgement N, service N, undo N, label N, "
    expected += "derived N, rename N; N from 1 on"
    assert expected in str(caught.value)
    assert str(caught.value).isascii()


def revision(number, comment="", config=None):
    values = {**GEOMETRY.as_dict(), "detector_config": config or {}}
    bare = Revision(number, "0" * 36, TIME, None, Geometry.parse(values), None, {"comment": comment}, "0" * 71)
    return Revision(*bare.row()[:4], bare.geometry, None, bare.provenance, checksum(PREFIX, "revision", bare.row()))


def test_answer_has_as_many_as_fit(records):
    many = [revision(number, "x" * 500) for number in range(1, 40)]
    text = reply_text(PREFIX, HistoryQuery("revision", 1), 39, many)
    kept = parse_reply(PREFIX, text).records
    assert kept == tuple(many[: len(kept)])
    assert MAX_BYTES - 1500 < len(text) < MAX_BYTES


def test_reply_of_a_renamed_detector_names_the_prefix_that_the_checksums_cover():
    records = [revision(1)]
    text = reply_text("NEW:", HistoryQuery("revision", 1), 1, records, PREFIX)
    assert json.loads(text)["prefix"] == PREFIX
    assert parse_reply("NEW:", text).records == tuple(records)
    assert "prefix" not in json.loads(reply_text(PREFIX, HistoryQuery("revision", 1), 1, records, PREFIX))


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_records_are_read_than_can_fit_a_reply(kind):
    lengths = dict.fromkeys(("dist", "poni1", "poni2", "rot1", "rot2", "rot3"), 1.0)
    values = lengths | {"pixel1": 1e-5, "pixel2": 1e-5, "wavelength": 1e-9, "detector": "D"}
    bare = Revision(1, "0" * 36, TIME, None, Geometry.parse(values), None, {}, "sha256:" + "0" * 64)
    shortest = {
        "revision": bare, "activation": Activation(1, 1, TIME, "", ""),
        "judgement": Correction(1, "retract", 1, None, None, None, "", TIME, ""),
        "service": ServiceChange(1, "in_service", "z", "", TIME, ""),
        "undo": UndoRecord(1, 1, 1, 1), "label": LabelRecord(1, 1, "a", 1, TIME, ""),
        "derived": DerivedGeometry(1, 1, 1, bare.geometry, {}, {}), "rename": RenameRecord(1, "", "", TIME, ""),
    }[kind]  # fmt: skip
    answer = reply_text(PREFIX, HistoryQuery(kind, 1), 999, [shortest] * MAX_RECORDS[kind])
    assert len(json.loads(answer)["records"]) < MAX_RECORDS[kind]


def test_any_record_that_can_be_stored_fits_a_reply():
    fits, number = None, 10**9
    for size in range(10_000, MAX_BYTES, 25):  # until a commit would be refused
        large = revision(number, config={"note": "x" * size})
        try:
            require_room(PREFIX, large, ())  # it has all that a draft has
        except ValueError:
            break
        fits = large
    assert fits is not None
    wordy = Correction(1, "supersede", 1, 2, TIME, TIME, "\U0001f600" * 100, TIME, "\U0001f600" * 50)
    out = ServiceChange(1, "out_of_service", "z" * 32, "\U0001f600" * 100, TIME, "\U0001f600" * 50)
    for record, kind in ((fits, "revision"), (wordy, "judgement"), (out, "service")):
        assert parse_reply(PREFIX, reply_text(PREFIX, HistoryQuery(kind, number), number, [record])).records == (
            record,
        )


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"v": 2, "read": "revision 1", "count": 0, "records": []}',
     '{"v": 1, "read": "answer 1", "count": 0, "records": []}', '{"v": 1, "read": "revision 1", "count": 0}'],
)  # fmt: skip
def test_text_that_is_not_a_reply_is_refused(text):
    with pytest.raises(HistoryError, match=r"History:Read_RBV .*: expected \{\"v\": 1"):
        parse_reply(PREFIX, text)


def test_record_that_was_changed_on_its_way_is_refused(records):
    text = reply_text(PREFIX, HistoryQuery("judgement", 1), 2, records["judgement"])
    with pytest.raises(HistoryError, match="the checksum of judgement 1"):
        parse_reply(PREFIX, text.replace("typed wrong", "typed right"))
