"""`ponikeeper plot` and `read_history` against a live IOC."""

import pytest

from ponikeeper.history.history_file import read
from ponikeeper_client import read_history, timeline
from speak import GEOMETRY, commit_text, put, request

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def call(call_heavy):
    return call_heavy


@pytest.fixture(scope="module")
def drifting(fresh_prefix):
    """Prefix of a detector with 60 revisions that drift: more than one reply of the IOC has."""
    prefix = fresh_prefix()
    for number in range(60):
        values = {**GEOMETRY, "dist": 0.2 + number * 1e-6, "poni1": 0.1 + number * 1e-6}
        text = commit_text(f"r{number}", geometry=values, label="far" if number % 2 else "near")
        assert request(prefix, text)["revision"] == number + 1
    assert put(f"{prefix}Activate", "7") is None
    return prefix


def test_history_of_the_ioc_is_the_exported_one(call, drifting, tmp_path):
    file = tmp_path / "one.jsonl"
    assert call("export", "history", drifting, "-o", file).returncode == 0
    exported, live = read(file.read_bytes()), read_history(drifting)
    assert (live.prefix, live.by_kind()) == (exported.prefix, exported.by_kind())
    table = timeline(live)
    assert table["dist"].tolist() == [0.2 + number * 1e-6 for number in range(60)]
    assert table[table["active"]]["revision"].tolist() == [7]


def test_drift_is_drawn_from_the_ioc(call, drifting, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call("plot", drifting)
    assert (done.returncode, done.stderr) == (0, "")
    (file,) = tmp_path.iterdir()
    assert file.read_bytes().startswith(PNG)
    assert done.stdout.startswith(f"{file.name}: 60 revisions of {drifting} from 20")
    named = call("plot", drifting, "-o", tmp_path / "drift.png", "--label", "near")
    assert (named.returncode, named.stderr) == (0, "")
    assert named.stdout.startswith(f"{tmp_path}/drift.png: 30 revisions of {drifting} from 20")


def test_what_cannot_be_drawn_is_refused(call, prefix, tmp_path):
    unset = call("plot", prefix, "-o", tmp_path / "drift.png")
    assert (unset.returncode, unset.stdout) == (1, "")
    assert unset.stderr == f"{prefix} is UNSET: no geometry was ever committed\n"
    assert list(tmp_path.iterdir()) == []


def test_ioc_that_does_not_answer_has_exit_code_3(call, tmp_path):
    done = call("plot", "NOWHERE:", "-o", tmp_path / "drift.png")
    assert (done.returncode, done.stdout) == (3, "")
    assert "NOWHERE:History:Read does not answer" in done.stderr
