"""Revisions of the history are read without activating them, by number, label and time; the history as a list."""

import csv
import io
import json
import time
from datetime import UTC, timedelta

import pytest

from live import serving, wait_for
from ponikeeper.geometry import Geometry, poni
from ponikeeper.history import Revision
from ponikeeper.protocol import Snapshot, origin
from ponikeeper.text import timestamps
from speak import GEOMETRY, commit_text, counters, get, put, request, snapshot
from stores import GEOMETRY as STORED
from stores import large_store

DISTS = (0.2, 0.9, 0.21, 0.91)
LABELS = ("near", "far", "near", None)
LONG = 10_000


@pytest.fixture(scope="module")
def four(fresh_prefix):
    """Prefix of a detector with four revisions, the second one active, and when each activation was."""
    prefix = fresh_prefix()
    times = []
    for number, (dist, label) in enumerate(zip(DISTS, LABELS, strict=True), start=1):
        text = commit_text(
            f"r{number}", geometry={**GEOMETRY, "dist": dist}, label=label, author="al\u00e9x",
            provenance={"method": "fit", "calibrant": "Ni", "comment": 'a "comment", with\nlines'},
        )  # fmt: skip
        assert request(prefix, text)["revision"] == number
        times.append(snapshot(prefix)["activated"])
    assert put(f"{prefix}Activate", "2") is None
    times.append(snapshot(prefix)["activated"])
    judge = {"v": 1, "request": "s", "op": "supersede", "revision": 1, "by": 3, "reason": "typed wrong"}
    assert request(prefix, json.dumps(judge))["outcome"] == "accepted"
    return prefix, times


def active(prefix):
    return Snapshot.from_json(json.dumps(snapshot(prefix)))


def comments(text):
    return [line.removeprefix("# ") for line in text.splitlines() if line.startswith("#")]


@pytest.mark.parametrize(
    ("words", "number"),
    [(("--revision", 1), 1), (("--revision", 4), 4), (("--label", "near"), 3), (("--label", "far"), 2)],
    ids=str,
)
def test_old_revision_is_read_and_nothing_is_activated(call, four, words, number):
    prefix, _ = four
    before = snapshot(prefix), counters(prefix)
    done = call("get", prefix, *words)
    assert done.returncode == 0
    assert poni.read(done.stdout) == Geometry.parse({**GEOMETRY, "dist": DISTS[number - 1]})
    lines = comments(done.stdout)
    label = f" ({LABELS[number - 1]})" if LABELS[number - 1] else ""
    assert lines[0].startswith(f"revision {number}{label} of {prefix}, uid ")
    assert 'comment: a "comment", with lines' in lines
    is_active = f"it is active now; {origin.status_line(active(prefix))}"
    assert lines[-2] == (is_active if number == 2 else "NOT ACTIVE when this was read: revision 2 was")
    assert (snapshot(prefix), counters(prefix)) == before


def test_corrected_revision_says_so_in_the_file_and_at_the_terminal(call, four, tmp_path):
    prefix, _ = four
    file = tmp_path / "old.poni"
    done = call("get", prefix, "--revision", 1, "-o", file)
    assert (done.returncode, done.stdout) == (0, "")
    lines = comments(file.read_text())
    assert any(line.startswith("revision 1 superseded by revision 3: typed wrong [") for line in lines)
    assert "WRONG now: revision 3 is right" in lines
    assert "WRONG now: revision 3 is right" in done.stderr.splitlines()
    assert "typed wrong" in done.stderr
    assert call("get", prefix, "--revision", 3).stderr == ""


def test_active_geometry_is_written_with_its_status(call, four):
    prefix, times = four
    lines = comments(call("get", prefix).stdout)
    assert lines[0].startswith(f"revision 2 (far) of {prefix}, uid ")
    assert f"active since {times[-1]} (serial 5)" in lines
    assert origin.status_line(active(prefix)) in lines


def test_time_selects_what_was_active_then(call, four):
    prefix, times = four
    for number, at in zip((1, 2, 3, 4, 2), times, strict=True):
        done = call("get", prefix, "--at", at)
        assert poni.read(done.stdout).dist == DISTS[number - 1], at
    (line,) = [line for line in comments(call("get", prefix, "--at", times[2]).stdout) if "selected as" in line]
    shown = timestamps.to_datetime(times[2]).replace(tzinfo=None).isoformat(" ")
    assert line == f"selected as active at {shown} (UTC+00:00): revision 3 from {times[2]} to {times[3]}"


def test_time_without_a_zone_is_local_and_the_zone_is_in_the_output(call, four):
    prefix, times = four
    local = timestamps.to_datetime(times[2]).astimezone(UTC) + timedelta(hours=5, minutes=45)
    text = local.replace(tzinfo=None).isoformat(" ")
    done = call("get", prefix, "--at", text, TZ="Asia/Kathmandu")
    assert done.returncode == 0, done.stderr
    assert poni.read(done.stdout).dist == DISTS[2]
    assert f"selected as active at {text} (UTC+05:45): revision 3" in done.stdout
    other = call("get", prefix, "--at", text, TZ="UTC")
    assert (other.returncode, other.stdout) == (2, "")
    assert f"--at {text} (UTC+00:00) lies in the future" in other.stderr


def test_day_with_several_revisions_is_refused_with_all_of_them(call, four):
    prefix, times = four
    first, last = (timestamps.to_datetime(text).date() for text in (times[0], times[-1]))
    if first != last:
        pytest.skip("midnight was between the commits")
    done = call("get", prefix, "--at", str(first), TZ="UTC")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"several revisions were active at {first} (UTC+00:00): revision 1 from {times[0]}")
    assert f"revision 2 from {times[4]} on: give a time of that day" in done.stderr


def test_day_with_one_revision_is_enough(call, prefix):
    request(prefix, commit_text("only"))
    day = snapshot(prefix)["activated"][:10]
    done = call("get", prefix, "--at", day, TZ="UTC")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"selected as active at {day} (UTC+00:00): revision 1 from " in done.stdout


def test_time_before_the_first_revision_is_refused_with_its_time(call, four):
    prefix, times = four
    done = call("get", prefix, "--at", "2001-01-01T00:00:00Z")
    assert (done.returncode, done.stdout) == (1, "")
    assert "had no active revision at 2001-01-01 00:00:00 (UTC+00:00): the first one is revision 1" in done.stderr
    assert times[0] in done.stderr


def test_corrections_are_those_for_the_time(call, prefix):
    for number in (1, 2):
        request(prefix, commit_text(f"r{number}", geometry={**GEOMETRY, "dist": number / 10}))
    at = snapshot(prefix)["activated"]
    judge = {"v": 1, "request": "s", "op": "supersede", "revision": 2, "by": 1, "reason": "bump", "until": at}
    assert request(prefix, json.dumps(judge))["outcome"] == "accepted"
    now, then = call("get", prefix, "--revision", 2), call("get", prefix, "--at", at)
    assert now.stderr == then.stderr == ""
    assert "revision 2 is right now" in comments(now.stdout)
    assert f"revision 2 is right for {at}" in comments(then.stdout)


def test_json_has_the_revision_its_corrections_and_when_it_was_active(call, four):
    prefix, times = four
    done = call("get", prefix, "--at", times[0], "--json")
    values = json.loads(done.stdout)
    assert (values["revision"], values["active"], values["active_revision"]) == (1, False, 2)
    assert values["geometry"]["dist"] == DISTS[0]
    assert [item["by"] for item in values["corrections"]] == [3]
    assert values["at"] == {
        "start": times[0], "end": times[0], "active": [{"serial": 1, "since": times[0], "until": times[1]}],
    }  # fmt: skip
    assert json.loads(call("get", prefix, "--revision", 2, "--json").stdout)["active"] is True


def test_label_that_was_given_later_is_shown_and_the_record_stays_as_it_was_committed(call, prefix):
    for number, label in ((1, "near"), (2, "far")):
        request(prefix, commit_text(f"r{number}", geometry={**GEOMETRY, "dist": number / 10}, label=label))
    assert call("label", prefix, "best", "--revision", 1).returncode == 0
    assert comments(call("get", prefix, "--revision", 1).stdout)[0].startswith("revision 1 (best)")
    (row,) = [line for line in call("diff", prefix, 1, 2).stdout.splitlines() if "label" in line]
    assert "best" in row
    assert "near" not in row
    (first, _), one = (json.loads(call(*words, "--json").stdout) for words in (
        ("diff", prefix, 1, 2), ("get", prefix, "--revision", 1),
    ))  # fmt: skip
    for values in (first, one):
        assert (values["label"], values["label_now"]) == ("near", "best")
        own = {key: value for key, value in values.items() if key in first and key != "label_now"}
        assert Revision.parse(prefix, own).number == 1  # its checksum matches


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("--revision", 5), 1, "there is no revision 5: the history has revisions 1 to 4"),
        (("--revision", 0), 1, "there is no revision 0: they are numbered from 1 on"),
        (("--label", "middle"), 1, "there is no revision labelled middle: the history has labels far, near"),
        (("--label", ""), 1, "there is no revision labelled "),
        (("--revision", 1, "--label", "near"), 2, "--revision and --label are given: give only one of them"),
        (("--at", "2026-01-01", "--revision", 1), 2, "--revision and --at are given: give only one of them"),
        (("--at", "yesterday"), 2, "--at 'yesterday' is not a time: expected 2026-11-22T09:30:00Z, "),
        (("--at", "2999-01-01"), 2, "lies in the future: omit --at to read the active geometry"),
        (("--revision", "near"), 2, "--revision 'near' is not a number: for a label type --label near"),
    ],
    ids=str,
)
def test_what_does_not_exist_or_is_not_clear_is_refused(call, four, words, code, reason):
    done = call("get", four[0], *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert reason in done.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--revision", 1), "there is no revision 1: the history has no revisions"),
        (("--label", "near"), "there is no revision labelled near: the history has no labels, and no revisions"),
        (("--at", "2026-01-01"), "is UNSET: no geometry was ever committed"),
    ],
    ids=str,
)
def test_unset_detector_has_no_old_revision(call, prefix, words, reason):
    done = call("get", prefix, *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert reason in done.stderr


def test_history_marks_the_active_revision_and_counts(call, four):
    prefix, _ = four
    lines = [line.rstrip() for line in call("history", prefix).stdout.splitlines()]
    assert lines[-1] == "4 revisions; revision 2 is active"
    assert [line.split()[0] for line in lines[2:-1]] == ["4", "3", "*2", "1"]
    values = json.loads(call("history", prefix, "--json").stdout)
    assert (values["active"], values["count"]) == (2, 4)


def test_csv_has_every_value_with_all_its_digits(call, four):
    prefix, times = four
    done = call("history", prefix, "--csv")
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["revision"], row["active"]) for row in rows] == [("4", "no"), ("3", "no"), ("2", "yes"), ("1", "no")]
    first = rows[-1]
    assert {name: float(first[name]) for name in GEOMETRY if name not in ("detector", "detector_config")} == {
        name: value for name, value in (GEOMETRY | {"dist": 0.2}).items() if name not in ("detector", "detector_config")
    }
    assert json.loads(first["detector_config"]) == GEOMETRY.get("detector_config", {})
    assert (first["created"], first["comment"]) == (times[0], 'a "comment", with\nlines')
    assert (first["correction"], first["replaced_by"], first["reason"]) == ("superseded", "3", "typed wrong")
    assert rows[0]["correction"] == ""


@pytest.mark.parametrize("words", [("--csv", "--json"), ("--tree", "--csv"), ("--all", "--around", 3)], ids=str)
def test_history_takes_one_form_at_once(call, four, words):
    done = call("history", four[0], *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "are given: give only one of them" in done.stderr


@pytest.fixture(scope="module")
def long(make_ioc_for_module):
    """Prefix of a detector with a history of 10,000 revisions."""
    ioc = make_ioc_for_module(detectors=("{Det:1}Calib:",))
    large_store(ioc.store, ioc.prefix, LONG)
    with serving(ioc):
        yield ioc.prefix


def test_long_history_is_listed_in_part_and_says_so(call, long):
    lines = call("history", long).stdout.splitlines()
    assert lines[-1].rstrip() == "9970 to 10000 of 10000 revisions; revision 10000 is active; --all lists all"
    assert len(lines) == 31 + 3
    done = call("history", long, "--csv", "--around", 5000)
    assert len(done.stdout.splitlines()) == 1 + 61
    assert done.stderr == "4970 to 5030 of 10000 revisions; revision 10000 is active; --all lists all\n"


def test_all_of_a_long_history_is_listed(call, long):
    began = time.monotonic()
    done = call("history", long, "--all", "--csv")
    print(f"all {LONG} revisions: {time.monotonic() - began:.1f} s")
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [int(row["revision"]) for row in rows] == list(range(LONG, 0, -1))
    assert {row["dist"] for row in rows} == {repr(STORED.dist)}


@pytest.mark.parametrize(("words", "number"), [(("--revision", 7777), 7777), (("--label", "near"), 9999)], ids=str)
def test_old_revision_of_a_long_history(call, long, words, number):
    done = call("get", long, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"# revision {number}")


def test_time_in_a_long_history_whose_timestamps_are_out_of_order_is_refused(call, long):
    began = time.monotonic()
    done = call("get", long, "--at", "2026-11-23T00:00:00Z")  # the timestamps of this store start again each minute
    print(f"{LONG} activations: {time.monotonic() - began:.1f} s")
    assert (done.returncode, done.stdout) == (1, "")
    assert "because the clock of the IOC was wrong" in done.stderr
    assert len(done.stderr) < 1000


def test_revision_that_was_undone_says_so_wherever_it_is_shown(call, fresh_prefix):
    prefix = fresh_prefix()
    for number, dist in enumerate((0.2, 0.9), start=1):
        text = commit_text(f"r{number}", geometry={**GEOMETRY, "dist": dist}, label="near")
        assert request(prefix, text)["revision"] == number
    assert put(f"{prefix}Undo", 1) is None
    wait_for(lambda: [line.split()[-1] for line in get(f"{prefix}History:Table_RBV").splitlines()[1:2]] == ["undone"])
    assert [row["undone"] for row in json.loads(get(f"{prefix}History:List_RBV"))["revisions"]] == [True, False]
    assert [row["undone"] for row in json.loads(call("history", prefix, "--json").stdout)["revisions"]] == [True, False]
    rows = csv.DictReader(io.StringIO(call("history", prefix, "--csv").stdout))
    assert [(row["revision"], row["undone"]) for row in rows] == [("2", "yes"), ("1", "no")]
    table = call("history", prefix, COLUMNS="120").stdout.splitlines()
    assert (table[1].split()[-1], table[2].split()[-1]) == ("corrected", "undone")
    assert "2 (near)" in (line := call("history", prefix, "--tree").stdout.splitlines()[1])
    assert line.endswith(" undone")
    said = "revision 2 was undone: every activation of it that a person or a client asked for"
    done = call("get", prefix, "--revision", 2)
    assert said in comments(done.stdout)
    assert done.stderr.splitlines()[-1] == said
    assert json.loads(call("get", prefix, "--revision", 2, "--json").stdout)["undone"] is True
    assert put(f"{prefix}Activate", "2") is None
    assert said not in call("get", prefix, "--revision", 2).stdout
