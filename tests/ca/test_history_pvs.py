"""The history over Channel Access: select, read and activate a revision again."""

import json

import pytest

from live import wait_for
from ponikeeper.history.records import KINDS
from ponikeeper.protocol import MAX_BYTES
from speak import GEOMETRY, commit_text, counters, get, put, request, results, snapshot


@pytest.fixture
def calibrated(prefix):
    """Prefix of a detector with three revisions: near, far, near."""
    for number, (label, dist) in enumerate((("near", 0.2), ("far", 0.9), ("near", 0.21)), start=1):
        text = commit_text(f"r{number}", geometry={**GEOMETRY, "dist": dist}, label=label)
        assert request(prefix, text)["revision"] == number
    wait_for(lambda: listed(prefix)[:1] and selected(prefix)["revision"] == 3)  # shown behind the acknowledgement
    return prefix


def selected(prefix):
    return json.loads(get(f"{prefix}History:Selected_RBV"))


def listed(prefix):
    return json.loads(get(f"{prefix}History:List_RBV"))["revisions"]


def test_history_of_an_unset_detector_is_empty(prefix):
    assert get(f"{prefix}History:Count_RBV") == 0
    assert get(f"{prefix}History:Selected_RBV") == ""
    assert listed(prefix) == []
    assert put(f"{prefix}History:Select", 1)


def test_active_revision_is_shown_unless_another_is_selected(calibrated):
    assert get(f"{calibrated}History:Count_RBV") == 3
    assert (get(f"{calibrated}History:Select"), selected(calibrated)["revision"]) == (0, 3)
    assert put(f"{calibrated}History:Select", 2) is None
    shown = selected(calibrated)
    assert (shown["v"], shown["revision"], shown["label"], shown["geometry"]["dist"]) == (1, 2, "far", 0.9)
    assert put(f"{calibrated}Dist", 0.5) is None
    assert selected(calibrated)["revision"] == 2
    assert put(f"{calibrated}History:Select", 0) is None
    assert selected(calibrated)["revision"] == 4


def test_selected_revision_is_the_snapshot_of_when_it_was_active(calibrated):
    shown, in_force = selected(calibrated), snapshot(calibrated)
    for key in ("revision", "uid", "checksum", "label", "geometry", "position", "provenance"):
        assert shown[key] == in_force[key], key
    assert shown["created"] == in_force["activated"]


def test_selecting_changes_nothing(calibrated):
    before = snapshot(calibrated), counters(calibrated)
    assert put(f"{calibrated}History:Select", 1) is None
    assert (snapshot(calibrated), counters(calibrated)) == before


@pytest.mark.parametrize("number", [-1, 4, 2**31 - 1])
def test_selecting_an_unknown_number_is_refused_and_the_pv_shows_the_old_one(calibrated, number):
    assert put(f"{calibrated}History:Select", 2) is None
    assert put(f"{calibrated}History:Select", number)
    assert get(f"{calibrated}Message_RBV").startswith(f"refused: there is no revision {number}: expected 1 to 3")
    assert (get(f"{calibrated}History:Select"), selected(calibrated)["revision"]) == (2, 2)


def test_list_has_the_revisions_newest_first(calibrated):
    rows = listed(calibrated)
    assert [(row["revision"], row["label"], row["dist"]) for row in rows] == [
        (3, "near", 0.21),
        (2, "far", 0.9),
        (1, "near", 0.2),
    ]


def test_list_of_a_long_history_is_a_window_around_the_selected_that_fits(prefix):
    for number in range(50):
        text = commit_text(f"r{number}", geometry={**GEOMETRY, "dist": 0.2 + number / 1000}, author="a" * 100)
        request(prefix, text)
    assert put(f"{prefix}History:Select", 20) is None
    numbers = [row["revision"] for row in listed(prefix)]
    assert len(get(f"{prefix}History:List_RBV")) < MAX_BYTES
    assert numbers == list(range(numbers[0], numbers[-1] - 1, -1))
    assert numbers[0] > 25
    assert numbers[-1] < 15
    assert len(numbers) < 50


@pytest.mark.parametrize(
    ("name", "number", "serial"), [("1", 1, 4), ("far", 2, 4), ("near", 3, 3), (" 2 ", 2, 4), ("3", 3, 3)]
)
def test_number_or_label_is_activated_under_its_own_number(calibrated, name, number, serial):
    before = snapshot(calibrated)
    assert put(f"{calibrated}Activate", name) is None
    shown = snapshot(calibrated)
    assert (shown["revision"], shown["serial"]) == (number, serial)
    assert (shown["activated"] > before["activated"]) is (number != 3)  # which is active already
    assert (results(calibrated)[0]["op"], results(calibrated)[0]["revision"]) == ("activate", number)
    assert get(f"{calibrated}History:Count_RBV") == 3
    assert get(f"{calibrated}Activate") == str(number)


def test_activated_revision_is_whole(calibrated):
    first = json.loads(get(f"{calibrated}History:Selected_RBV"))
    assert put(f"{calibrated}Activate", "1") is None
    assert put(f"{calibrated}Activate", "3") is None
    shown = snapshot(calibrated)
    assert {key: shown[key] for key in ("uid", "checksum", "geometry", "provenance", "label", "position")} == {
        key: first[key] for key in ("uid", "checksum", "geometry", "provenance", "label", "position")
    }
    assert get(f"{calibrated}Dist") == get(f"{calibrated}Dist_RBV") == 0.21


def test_put_after_a_rollback_derives_from_the_active_revision(calibrated):
    assert put(f"{calibrated}Activate", "far") is None
    assert put(f"{calibrated}Rot1", 0.05) is None
    shown = snapshot(calibrated)
    assert (shown["revision"], shown["label"], shown["geometry"]["dist"]) == (4, None, 0.9)
    assert shown["provenance"]["derived_from"] == 2


@pytest.mark.parametrize(
    ("revision", "reason"),
    [
        (9, "there is no revision 9: the history has revisions 1 to 3"),
        ("middle", "there is no revision middle: the history has labels far, near"),
    ],
)
def test_activating_an_unknown_revision_is_refused_with_the_known_ones(calibrated, revision, reason):
    before = snapshot(calibrated)
    text = json.dumps({"v": 1, "request": "go", "op": "activate", "revision": revision})
    assert request(calibrated, text)["errors"] == [reason]
    assert snapshot(calibrated) == before


def test_activating_on_an_unset_detector_is_refused(prefix):
    assert put(f"{prefix}Activate", "1")
    assert results(prefix)[0]["errors"] == ["there is no revision 1: the history has no revisions"]


def asked(prefix, text):
    """Query records, and return the answer."""
    assert put(f"{prefix}History:Read", text) is None
    return json.loads(get(f"{prefix}History:Read_RBV"))


def test_records_are_read_from_a_number_on_and_nothing_else_changes(calibrated):
    supersede = {"v": 1, "request": "s", "op": "supersede", "revision": 1, "by": 3, "reason": "typed wrong"}
    assert request(calibrated, json.dumps(supersede))["outcome"] == "accepted"
    assert put(f"{calibrated}Activate", "far") is None
    assert put(f"{calibrated}History:Select", 1) is None
    before = (
        snapshot(calibrated),
        counters(calibrated),
        selected(calibrated),
        listed(calibrated),
        get(f"{calibrated}Message_RBV"),
    )
    answers = {text: asked(calibrated, text) for text in ("revision 2", "activation 3", "judgement 1")}
    assert (
        snapshot(calibrated),
        counters(calibrated),
        selected(calibrated),
        listed(calibrated),
        get(f"{calibrated}Message_RBV"),
    ) == before
    assert (get(f"{calibrated}History:Select"), get(f"{calibrated}History:Read")) == (1, "")
    assert {text: (answer["v"], answer["read"], answer["count"]) for text, answer in answers.items()} == {
        "revision 2": (1, "revision 2", 3),
        "activation 3": (1, "activation 3", 4),
        "judgement 1": (1, "judgement 1", 1),
    }
    revisions, activations, (correction,) = (answer["records"] for answer in answers.values())
    assert [(item["revision"], item["geometry"]["dist"]) for item in revisions] == [(2, 0.9), (3, 0.21)]
    assert [(item["serial"], item["revision"], item["cause"]) for item in activations] == [
        (3, 3, "commit"), (4, 2, "activate"),
    ]  # fmt: skip
    assert (correction["revision"], correction["by"], correction["reason"]) == (1, 3, "typed wrong")
    for text, answer in answers.items():
        for item in answer["records"]:
            KINDS[text.split()[0]].parse(calibrated, item)  # proven by its checksum


def test_reading_beyond_the_newest_gives_no_records(calibrated):
    assert asked(calibrated, "revision 4") == {"v": 1, "read": "revision 4", "count": 3, "records": []}
    assert asked(calibrated, "judgement 1") == {"v": 1, "read": "judgement 1", "count": 0, "records": []}
    assert asked(calibrated, "activation 999999999999")["records"] == []


def test_reading_an_unset_detector_gives_no_records(prefix):
    for kind in KINDS:
        assert asked(prefix, f"{kind} 1") == {"v": 1, "read": f"{kind} 1", "count": 0, "records": []}


@pytest.mark.parametrize("text", ["", "revision", "revision 0", "geometry 1", "revision near", "12"])
def test_reading_an_unknown_kind_is_refused_with_the_known_ones(calibrated, text):
    answer = asked(calibrated, "revision 1")
    before = snapshot(calibrated), counters(calibrated)
    assert put(f"{calibrated}History:Read", text)
    kinds = ", ".join(f"{kind} N" for kind in KINDS)
    expected = f"expected one of {kinds}; N from 1 on"
    assert expected in get(f"{calibrated}Message_RBV")
    assert json.loads(get(f"{calibrated}History:Read_RBV")) == answer
    assert (snapshot(calibrated), counters(calibrated)) == before


def test_long_history_is_read_in_pieces_that_fit(prefix):
    for number in range(30):
        comment = {"method": "manual", "comment": "x" * 1000}
        request(
            prefix, commit_text(f"r{number}", geometry={**GEOMETRY, "dist": 0.2 + number / 100}, provenance=comment)
        )
    found, pieces = [], 0
    while len(found) < 30:
        answer = asked(prefix, f"revision {len(found) + 1}")
        assert len(get(f"{prefix}History:Read_RBV")) < MAX_BYTES
        found += answer["records"]
        pieces += 1
    assert [item["revision"] for item in found] == list(range(1, 31))
    assert pieces < 6
