"""An exported history is read as it was written, and any change to the file is detected."""

import gzip
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ponikeeper.errors import HistoryError, ProblemsError, RefusedError
from ponikeeper.history import Activation, Correction, Revision, ServiceChange
from ponikeeper.history.history_file import ExportedHistory, counted, format_counts, new_records, read, write
from ponikeeper.history.record_form import checksum
from ponikeeper.history.records import KINDS, with_checksum
from ponikeeper.store.sqlite_storage import SQLiteStorage
from stores import COUNTS, NAME, PREFIXES, small_store
from strategies import geometries, json_values

PREFIX = PREFIXES[0]
EXPORTED = "2026-11-23T04:00:00.000000Z"


def of_store(path, revisions=4) -> ExportedHistory:
    """Export one detector of a small store."""
    store = SQLiteStorage(small_store(path, revisions))
    try:
        return ExportedHistory.of(PREFIX, EXPORTED, {kind: store.records(PREFIX, kind) for kind in KINDS})
    finally:
        store.close()


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    return of_store(tmp_path_factory.mktemp("one") / NAME)


@pytest.fixture(scope="module")
def data(history):
    return write(history)


def refusal(data: bytes) -> str:
    with pytest.raises(HistoryError) as caught:
        read(data)
    return str(caught.value)


def line_of(message: str) -> int:
    return int(re.match(r"line (\d+): ", message)[1])


def test_what_was_written_is_read(history, data):
    assert read(data) == history
    assert data.isascii()
    assert write(read(data)) == data
    assert history.counts() == COUNTS
    text = "4 revisions, 7 activations, 2 corrections, 1 service change, 1 undo, 1 label, 1 model result, 2 renames"
    assert format_counts(history.counts()) == text
    assert format_counts({"revision": 1, "judgement": 0}) == "1 revision, 0 corrections"


def test_undo_or_label_of_what_is_not_in_the_file_is_refused(history):
    for undos, labels in ((1, 0), (0, 1)):
        part = ExportedHistory.of(PREFIX, EXPORTED, cut(history, 3, 3, 0, 0, undos, labels, 0, 0).by_kind())
        with pytest.raises(HistoryError, match=r"the newest activation that is an undo is .*: expected records of the"):
            read(write(part))


def test_file_is_one_json_object_a_line_and_ends_with_the_hash_of_all_before(data):
    *lines, end = data.splitlines(keepends=True)
    head = json.loads(lines[0])
    assert (head["v"], head["what"], head["prefix"], head["exported"]) == (1, "ponikeeper history", PREFIX, EXPORTED)
    assert [next(iter(json.loads(line))) for line in lines[1:]] == 4 * ["revision"] + 7 * ["activation"] + [
        "judgement", "judgement", "service", "undo", "label", "derived", "rename", "rename",
    ]  # fmt: skip
    assert json.loads(end) == {
        "counts": COUNTS,
        "sha256": hashlib.sha256(b"".join(lines)).hexdigest(),
    }


def test_file_of_a_version_with_three_kinds_is_read_and_written_to_the_same_bytes(history):
    old = write(replace(history, service=(), undos=(), labels=(), derived=(), renames=()))
    assert json.loads(old.splitlines()[-1])["counts"] == {"revision": 4, "activation": 7, "judgement": 2}
    assert write(read(old)) == old
    later = {"service": 1, "undo": 1, "label": 1, "derived": 1, "rename": 2}
    assert new_records(read(old), history).counts() == {"revision": 0, "activation": 0, "judgement": 0, **later}


def test_renamed_history_is_proven_by_its_first_prefix_and_has_all_of_them(history):
    assert (history.prefix, history.prefixes) == (PREFIX, (PREFIX, f"{PREFIX}Old:", PREFIX))
    renamed = ExportedHistory.of(f"{PREFIX}Old:", EXPORTED, cut(history, 4, 7, 2, 1, 1, 1, 1, 1).by_kind())
    assert (renamed.prefix, renamed.prefixes) == (PREFIX, (PREFIX, f"{PREFIX}Old:"))
    assert read(write(renamed)) == renamed
    assert new_records(renamed, history).renames == history.renames[1:]


def test_renames_that_do_not_follow_each_other_are_refused(history):
    other = replace(history, renames=(history.renames[0], replace(history.renames[1], old="P:")))
    assert "the renames do not lead from" in refusal(write(other))


def test_history_of_nothing_is_a_history():
    empty = ExportedHistory(PREFIX, EXPORTED)
    assert read(write(empty)) == empty


@settings(max_examples=50)
@given(geometry=geometries(), provenance=st.dictionaries(st.text(max_size=5), json_values, max_size=3))
def test_geometry_and_provenance_are_read_bit_by_bit_as_they_were_written(geometry, provenance):
    bare = Revision(1, "uid", EXPORTED, "near", geometry, None, provenance, "")
    revision = replace(bare, checksum=checksum(PREFIX, "revision", bare.row()))
    activation = Activation(1, 1, EXPORTED, "commit", "al\u00efce")
    whole = ExportedHistory(PREFIX, EXPORTED, (revision,), (activation,))
    found = read(write(whole))
    assert found == whole
    assert found.revisions[0].row() == revision.row()


@settings(max_examples=300)
@given(drawn=st.data())
def test_any_changed_byte_is_detected_in_its_line(data, drawn):
    place = drawn.draw(st.integers(0, len(data) - 1))
    changed = bytearray(data)
    changed[place] ^= drawn.draw(st.integers(1, 255))
    assert line_of(refusal(bytes(changed))) == data.count(b"\n", 0, place) + 1


@settings(max_examples=200)
@given(drawn=st.data())
def test_any_truncation_is_detected(data, drawn):
    kept = drawn.draw(st.integers(1, len(data) - 1))
    line = data.count(b"\n", 0, kept)
    assert line_of(refusal(data[:kept])) in (line, line + 1)


def test_every_truncation_between_two_lines_is_reported_as_one(data):
    lines = data.splitlines(keepends=True)
    for count in range(1, len(lines)):
        message = refusal(b"".join(lines[:count]))
        assert message == f"line {count}: the file ends without its last line: it was truncated"
    assert "truncated" in refusal(data[:-1])


@settings(max_examples=100)
@given(drawn=st.data())
def test_any_omitted_duplicated_or_moved_line_is_detected(data, drawn):
    lines = data.splitlines(keepends=True)
    some = st.integers(0, len(lines) - 1)
    one, other = drawn.draw(some), drawn.draw(some)
    what = drawn.draw(st.sampled_from(["left out", "doubled", "swapped", "moved"]))
    changed = list(lines)
    if what == "left out":
        del changed[one]
    elif what == "doubled":
        changed.insert(other, lines[one])
    elif what == "swapped":
        changed[one], changed[other] = lines[other], lines[one]
    else:
        changed.insert(other, changed.pop(one))
    assume(changed != lines)
    assert line_of(refusal(b"".join(changed)))  # if the last record of a kind is missing, the counts differ


def with_end(lines: list[bytes]) -> bytes:
    """Put the last line to lines that it fits: what remains to be noticed is what stands in them."""
    body = b"".join(lines)
    counts = counted({kind: sum(line.startswith(f'{{"{kind}"'.encode()) for line in lines) for kind in KINDS})
    return body + json.dumps({"counts": counts, "sha256": hashlib.sha256(body).hexdigest()}).encode() + b"\n"


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ((0, 1, 3, 4), "line 3: revision 3 is here, where revision 2 was expected: a line was omitted, duplicated"),
        ((0, 1, 1, 2), "line 3: revision 1 is here, where revision 2 was expected"),
        ((0, 5, 1), "line 3: revision 1 is here, where no revision can follow the first activation"),
        ((0, 1, 5, 6), "line 5: there are 1 revisions, the newest that was activated is 2"),
        ((0, 1, 2, 5), "line 5: there are 2 revisions, the newest that was activated is 1"),
        ((0, 1, 5, 12), "line 5: there are 1 revisions, the newest that was activated is 1, and the newest that"),
    ],
)
def test_lines_that_do_not_form_a_history_are_refused_although_counts_and_hash_match(data, order, message):
    lines = data.splitlines(keepends=True)
    assert refusal(with_end([lines[number] for number in order])).startswith(message)


def test_two_exports_pasted_together_are_refused(data):
    last = len(data.splitlines())
    assert (
        refusal(data + data)
        == f"line {last + 1}: the export has ended, but the file continues: expected a single export"
    )
    assert line_of(refusal(data + b"\n")) == last + 1
    without_end = b"".join(data.splitlines(keepends=True)[:-1])
    assert refusal(without_end + data).startswith(f"line {last}: another export begins here: expected one of")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the file is empty: expected an exported history"),
        (b"poni_version: 2.1\n", "line 1: this is not JSON: .*: expected a first line such as"),
        (b"\x89PNG\r\n\x1a\n", "line 1: this is not JSON: .*: expected a first line such as"),
        (b"[1]\n", "line 1: this is not a JSON object: expected a first line"),
        (b'{"v": 1, "prefix": "P:"}\n', "line 1: this is not an exported history: expected a first line"),
        (b'{"v": 2, "what": "ponikeeper history"}\n', "line 1: this ponikeeper reads only version 1 of such files"),
        (b'{"v": 1, "what": "ponikeeper history"}\n', "line 1: its checksum does not match"),
    ],
)
def test_file_that_is_not_an_exported_history_is_reported(text, message):
    assert re.match(message, refusal(text))


@pytest.mark.parametrize(
    ("done", "message"),
    [
        (lambda data: data.replace(b"\n", b"\r\n"), "the lines end with CR LF: .* copy it once more as binary data"),
        (gzip.compress, "the file is compressed: .* gunzip"),
        (lambda data: b"\xef\xbb\xbf" + data, "the file begins with a byte order mark"),
        (lambda data: data.decode().encode("utf-16"), "the file begins with a byte order mark"),
    ],
)
def test_file_that_another_program_changed_is_reported(data, done, message):
    assert re.match(message, refusal(done(data)))


def test_record_under_another_prefix_is_not_proven(history):
    for record in (records[0] for records in history.by_kind().values()):
        values = with_checksum(PREFIX, record)
        assert type(record).parse(PREFIX, values) == record
        with pytest.raises(ProblemsError, match=r"the checksum of .* does not match: the record was changed"):
            type(record).parse("OTHER:", values)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (Revision, {"label": 3}, 'revision 1: "label": 3 is not allowed: expected a text in one line, or null'),
        (Revision, {"revision": 0}, 'revision 0: "revision": 0 is not allowed: expected a whole number from 1 on'),
        (Revision, {"revision": True}, '"revision": true is not allowed'),
        (Revision, {"created": "yesterday"}, '"created": "yesterday" is not allowed: expected a time'),
        (Revision, {"geometry": None}, '"geometry": null is not allowed: expected an object'),
        (Revision, {"geometry": {"dist": 1.0}}, "revision 1: incomplete: poni1, poni2"),
        (Revision, {"position": {"z": 3}}, '"position": {"z": 3} is not allowed: expected an object of objects'),
        (Revision, {"more": 1}, 'revision 1: unknown key "more": expected revision uid checksum'),
        (Activation, {"serial": None}, 'activation null: "serial": null is not allowed'),
        (Activation, {"author": "a\x1fb"}, '"author": "a\\u001fb" is not allowed: expected a text in one line'),
        (Activation, {"time": "2026-11-22T09:30:00"}, '"time": "2026-11-22T09:30:00" is not allowed'),
        (Correction, {"kind": "praise"}, 'judgement 1: "kind": "praise" is not allowed: expected supersede or retract'),
        (Correction, {"by": 1.5}, '"by": 1.5 is not allowed: expected a whole number from 1 on, or null'),
        (Correction, {"reason": "other"}, "the checksum of judgement 1 of"),
        (ServiceChange, {"kind": "gone"}, '"kind": "gone" is not allowed: expected out_of_service or in_service'),
        (ServiceChange, {"link": "y"}, "the checksum of service 1 of"),
    ],
)
def test_invalid_record_is_refused_with_what_is_expected(history, kind, change, message):
    record = next(records[0] for records in history.by_kind().values() if isinstance(records[0], kind))
    with pytest.raises(HistoryError) as caught:
        kind.parse(PREFIX, with_checksum(PREFIX, record) | change)
    assert message in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_key_is_named(history, kind):
    values = with_checksum(PREFIX, history.by_kind()[kind][0])
    for key in values:
        with pytest.raises(HistoryError, match=f'"{key}" is missing: expected '):
            KINDS[kind].parse(PREFIX, {name: value for name, value in values.items() if name != key})


def cut(history, *counts):
    """Return the beginning of a history; `counts` are in the order of the kinds."""
    parts = zip(history.by_kind().items(), counts, strict=True)
    return ExportedHistory.of(PREFIX, EXPORTED, {kind: records[:count] for (kind, records), count in parts})


@pytest.mark.parametrize(
    "kept", [(0,) * 8, (1, 1, 0, 0, 0, 0, 0, 0), (4, 4, 1, 1, 0, 0, 0, 0), (4, 7, 2, 1, 1, 0, 0, 1)]
)
def test_records_that_continue_a_history_are_the_new_ones(history, kept):
    beginning = cut(history, *kept)
    new = new_records(beginning, history)
    for kind, records in history.by_kind().items():
        assert beginning.by_kind()[kind] + new.by_kind()[kind] == records
    assert new_records(history, beginning).counts() == {"revision": 0, "activation": 0, "judgement": 0}


@pytest.mark.parametrize("kind", KINDS)
def test_first_record_that_differs_is_named(history, kind):
    *before, last = history.by_kind()[kind]
    changes = {"revision": {"created": EXPORTED}, "undo": {"undone": 1}, "derived": {"serial": 2}}
    change = changes.get(kind, {"author": "mallory"})
    other = ExportedHistory.of(PREFIX, EXPORTED, {**history.by_kind(), kind: [*before, replace(last, **change)]})
    number = len(before) + 1
    with pytest.raises(RefusedError, match=rf"{kind} {number} differs: in the store it is the one .*, in the file the"):
        new_records(history, other)


def test_histories_that_went_two_ways_are_refused(history):
    with pytest.raises(RefusedError, match="the file continues with judgement 1, the store with activation 5: neither"):
        new_records(cut(history, 4, 7, 0, 0, 0, 0, 0, 0), cut(history, 4, 4, 2, 0, 0, 0, 0, 0))


OLD = Path(__file__).with_name("export_of_0_1.jsonl")


def test_export_of_0_1_is_read_with_its_words_for_causes():
    history = read(OLD.read_bytes())
    assert [(each.number, each.label, each.geometry.dist) for each in history.revisions] == [
        (1, "near", 0.2345),
        (2, "near", 0.2345),
        (3, "far", 0.3),
    ]
    assert [each.cause for each in history.activations] == ["commit", "here", "commit", "activate"]
    assert [(each.kind, each.revision, each.by) for each in history.corrections] == [("supersede", 3, 2)]


def test_record_of_a_newer_version_is_named_as_such(data):
    head, rest = data.split(b"\n", 1)
    told = refusal(head + b'\n{"forecast":{"number":1}}\n' + rest)
    assert told.startswith("line 2: this is not a record: expected one of revision, ")
    assert told.endswith("or the last line; if a newer ponikeeper exported it, read it with that one")
