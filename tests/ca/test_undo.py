"""Undo and labels over Channel Access and with the command line, and what edits by hand keep."""

import csv
import io
import json
import re
import uuid

import pytest

from live import serving, wait_for
from ponikeeper.history.history_file import read
from speak import GEOMETRY, commit_text, get, put, request, results, snapshot


@pytest.fixture
def prefix(fresh_prefix):
    """Prefix of a detector with a fit that is labelled near."""
    prefix = fresh_prefix()
    begin(prefix)
    return prefix


def begin(prefix):
    fit = {"method": "fit", "calibrant": "Ni"}
    assert request(prefix, commit_text("begin", label="near", provenance=fit))["revision"] == 1


def new_id():
    return uuid.uuid4().hex


def shown(prefix):
    values = snapshot(prefix)
    return values["revision"], values["serial"], values["label"], values["geometry"]["dist"]


def test_undo_pv_activates_what_was_active_before(prefix):
    first = shown(prefix)
    assert put(f"{prefix}Dist", 0.3) is None
    assert shown(prefix) == (2, 2, None, 0.3)
    assert put(f"{prefix}Undo", 0) is None  # Idle
    assert put(f"{prefix}Undo", "Do") is None
    assert shown(prefix) == (1, 3, *first[2:])
    assert get(f"{prefix}Message_RBV").startswith("activation 2, revision 2, was undone by ")
    assert int(get(f"{prefix}Undo")) == 0
    assert put(f"{prefix}Undo", "Do")
    assert "nothing was active before revision 1" in get(f"{prefix}Message_RBV")


def test_label_of_an_undone_revision_means_the_one_before(prefix):
    assert request(prefix, commit_text("wrong", label="near", geometry={**GEOMETRY, "dist": 0.9}))["revision"] == 2
    assert put(f"{prefix}Undo", 1) is None
    assert put(f"{prefix}Activate", "near") is None
    assert shown(prefix)[0] == 1
    assert put(f"{prefix}Activate", "2") is None
    assert put(f"{prefix}Activate", "near") is None
    assert shown(prefix)[0] == 2


def test_undo_with_an_outdated_serial_is_refused_and_a_repeated_one_undoes_once(prefix):
    assert put(f"{prefix}Dist", 0.3) is None
    assert put(f"{prefix}Dist", 0.31) is None
    text = json.dumps({"v": 1, "request": new_id(), "op": "undo", "expect_serial": 3})
    answer = request(prefix, text)
    assert (answer["outcome"], answer["revision"], answer["serial"]) == ("accepted", 2, 4)
    assert request(prefix, text) == answer
    late = request(prefix, json.dumps({"v": 1, "request": new_id(), "op": "undo", "expect_serial": 3}))
    assert late["errors"][0].startswith("expect_serial 3 is outdated: activation 4 is the newest one")
    assert shown(prefix)[0] == 2


def test_command_undoes_and_labels(call, prefix):
    assert put(f"{prefix}Dist", 0.3) is None
    done = call("undo", prefix, "--expect-serial", 2)
    assert done.returncode == 0
    assert done.stdout.startswith(f"{prefix} revision 1 is active (serial 3)")
    refused = call("undo", prefix)
    assert refused.returncode == 1
    assert "nothing was active before revision 1" in refused.stderr
    labelled = call("label", prefix, "far")
    nothing_checks = "UNWATCHED, no links are configured: nothing checks this geometry"
    active = f"{prefix} revision 1 is active (serial 3) and may be used: {nothing_checks}\n"
    assert (labelled.returncode, labelled.stdout) == (0, f"{prefix} revision 1 is labelled far\n{active}")
    assert shown(prefix) == (1, 3, "far", GEOMETRY["dist"])
    spare = call("label", prefix, "spare", "--revision", 2)
    assert spare.stdout == f"{prefix} revision 2 is labelled spare\n{active}"
    assert json.loads(call("get", prefix, "--label", "far", "--json").stdout)["revision"] == 1
    undone = call("get", prefix, "--label", "spare")
    assert "every revision labelled spare was superseded, retracted or undone, the last one is 2" in undone.stderr
    assert call("label", prefix, "--remove").stdout == f"{prefix} revision 1 has no label\n{active}"
    assert shown(prefix)[2] is None
    assert call("label", prefix).returncode == call("label", prefix, "far", "--remove").returncode == 2


def test_old_revision_that_is_read_says_that_it_was_undone_and_the_history_marks_it(call, prefix):
    assert put(f"{prefix}Dist", 0.3) is None
    mistake = snapshot(prefix)["activated"]
    assert put(f"{prefix}Undo", 1) is None
    undo = snapshot(prefix)["activated"]
    for words in (("--revision", 2), ("--at", mistake)):
        done = call("get", prefix, *words)
        line = rf"its activation 2 \(\S+, {mistake}\) was undone by 3 \(\S+, {undo}\)"
        assert re.search(f"# {line}\n# revision 2 was undone: every activation", done.stdout), done
        assert re.search(line, done.stderr)
        values = json.loads(call("get", prefix, *words, "--json").stdout)
        assert re.match(line, values["undos"][0])
        assert (values["active"], values["undone"], values["corrections"]) == (False, True, [])
    right = call("get", prefix, "--revision", 1)
    assert ("undone" in right.stdout + right.stderr, right.returncode) == (False, 0)
    table, tree = (call("history", prefix, *words).stdout for words in ((), ("--tree",)))
    for shown_as in (table, tree):
        assert next("undone" in line for line in shown_as.splitlines() if " 2 " in f" {line} ")
        assert shown_as.count("undone") == 1
    rows = json.loads(call("history", prefix, "--json").stdout)["revisions"]
    assert [(row["revision"], row["undone"]) for row in rows] == [(2, True), (1, False)]
    rows = list(csv.DictReader(io.StringIO(call("history", prefix, "--csv").stdout)))
    assert [(row["revision"], row["undone"]) for row in rows] == [("2", "yes"), ("1", "no")]
    assert put(f"{prefix}Activate", "2") is None  # by its number: it stands again, and its first activation was undone
    again = call("get", prefix, "--revision", 2)
    assert ("was undone by 3" in again.stdout, "every activation" in again.stdout) == (True, False)
    assert "undone" not in call("history", prefix).stdout


def test_label_pv_labels_the_active_revision_without_a_new_one(prefix):
    before = snapshot(prefix)
    assert put(f"{prefix}Label", "far") is None
    assert snapshot(prefix) == {**before, "label": "far"}
    assert [get(prefix + suffix) for suffix in ("Label", "Label_RBV", "History:Count_RBV")] == ["far", "far", 1]
    wait_for(lambda: json.loads(get(f"{prefix}History:List_RBV"))["revisions"][0]["label"] == "far")
    assert "far" in get(f"{prefix}History:Table_RBV")
    assert put(f"{prefix}Label", "7 up")
    assert 'label "7 up" is not allowed' in get(f"{prefix}Message_RBV")
    assert get(f"{prefix}Label") == "far"
    assert put(f"{prefix}Label", "") is None
    assert snapshot(prefix)["label"] is None
    assert (results(prefix)[0]["op"], results(prefix)[0]["revision"]) == ("label", 1)


def test_undos_and_labels_survive_a_kill_and_an_export(call, make_ioc, tmp_path):
    ioc = make_ioc(detectors=("{Det:1}Calib:",)).start()
    begin(ioc.prefix)
    for dist in (0.3, 0.31):
        assert put(f"{ioc.prefix}Dist", dist) is None
    assert put(f"{ioc.prefix}Label", "spare") is None
    assert put(f"{ioc.prefix}Undo", 1) is None
    file = tmp_path / "one.jsonl"
    assert call("export", "history", ioc.prefix, "-o", file).stdout == (
        f"{file}: 3 revisions, 4 activations, 0 corrections, 1 undo, 1 label of {ioc.prefix}\n"
    )
    ioc.kill()
    with serving(ioc):
        assert shown(ioc.prefix) == (2, 4, None, 0.3)
        assert put(f"{ioc.prefix}Activate", "spare")
        assert put(f"{ioc.prefix}Undo", 1) is None
        assert shown(ioc.prefix) == (1, 5, "near", GEOMETRY["dist"])
        assert put(f"{ioc.prefix}Activate", "3") is None
        assert shown(ioc.prefix)[2] == "spare"
    history = read(file.read_bytes())
    assert [(undo.serial, undo.undone, undo.revision) for undo in history.undos] == [(4, 3, 3)]
    assert [(label.revision, label.label) for label in history.labels] == [(3, "spare")]
