"""A detector gets another PV prefix: what runs recorded by the old one is found as before."""

import bluesky.plans as bp
import pytest
from bluesky import RunEngine
from ophyd import Component as Cpt
from ophyd import Device, Signal

import speak
from live import LiveIoc
from ponikeeper_client import _ioc_history
from ponikeeper_client.device import CalibrationData
from ponikeeper_client.recall import best_known, read_history, recorded
from speak import GEOMETRY, commit_text, request

NEW = ("{Det:PE1}Calib:",)


class Panel(Device):
    total = Cpt(Signal, value=1.0, kind="normal")
    calib = Cpt(CalibrationData, "Calib:", kind="config")


def run_at(prefix):
    """Record a run with the detector of a prefix."""
    panel, documents = Panel(prefix.removesuffix("Calib:"), name="pe1"), []
    panel.wait_for_connection(timeout=20)
    try:
        RunEngine({}, context_managers=[])(bp.count([panel]), lambda *document: documents.append(document))
    finally:
        panel.destroy()
    return documents


def forget():
    """Drop the channels, so that the next call searches at once."""
    speak.forget()
    for signals in _ioc_history._signals.values():
        for signal in signals:
            signal.destroy()
    _ioc_history._signals.clear()


@pytest.fixture
def ioc(make_ioc):
    return make_ioc(detectors=("{Det:1}Calib:",)).start()


def test_old_runs_are_found_by_the_old_prefix_and_share_the_history_of_the_new_one(ioc, call, tmp_path):
    old = ioc.prefix
    for number in (1, 2):
        request(old, commit_text(f"r{number}", geometry={**GEOMETRY, "dist": 0.2 + number / 100}))
    before = run_at(old)
    first = read_history(old)
    ioc.stop()
    forget()
    renamed = LiveIoc(ioc.folder, ioc.port, ioc.name, NEW)
    new = renamed.prefix

    refused = call("rename", renamed.config, new, new)
    assert (refused.returncode, refused.stderr) == (
        2,
        f"{renamed.config} still has the prefix {new}: write {new} there first\n",
    )
    done = call("rename", renamed.config, old, new)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{new}: the history of {old}, 2 revisions, the newest {first.revisions[1].created[:19]}Z\n"
    renamed.start()
    try:
        assert speak.snapshot(new)["uid"] == first.revisions[1].uid
        assert request(new, commit_text("r3", geometry={**GEOMETRY, "dist": 0.3}))["revision"] == 3
        correct = call("supersede", new, 2, "--by", 1, "--reason", "typed wrong")
        assert (correct.returncode, correct.stderr) == (0, "")

        (known,) = best_known(before)
        assert (recorded(before)[0].prefix, recorded(before)[0].revision, known.revision) == (old, 2, 1)
        after = run_at(new)
        assert (recorded(after)[0].prefix, best_known(after)[0].revision) == (new, 3)

        history = read_history(new)
        assert (history.prefix, history.prefixes) == (old, (old, new))
        assert history.revisions[:2] == first.revisions
        file = tmp_path / "pe1.jsonl"
        assert call("export", "history", new, "-o", file).stdout.endswith(f" 1 rename of {new}\n")
        assert call("verify", file).returncode == 0
        assert [best_known(run, history=file)[0].revision for run in (before, after)] == [1, 3]
    finally:
        renamed.kill()

    elsewhere = LiveIoc(tmp_path / "elsewhere", ioc.port, ioc.name, NEW)
    assert call("import", elsewhere.config, file).returncode == 0
    forget()
    elsewhere.start()
    try:
        assert best_known(before)[0].revision == 1
    finally:
        elsewhere.kill()
    back = LiveIoc(ioc.folder, ioc.port, ioc.name, ("{Det:1}Calib:",))
    done = call("serve", back.config)
    assert done.returncode == 4
    assert f"the history of {old} is that of {new} since " in done.stderr


def test_service_names_a_history_that_the_configuration_does_not(ioc, call):
    request(ioc.prefix, commit_text("r1"))
    ioc.stop()
    other = LiveIoc(ioc.folder, ioc.port, ioc.name, NEW)
    other.start()
    other.kill()
    assert f"the store has a history of {ioc.prefix} (1 revision, the newest made " in other.stderr.read_text()
    assert f"ponikeeper rename {other.config} '{ioc.prefix}' 'NEW PREFIX'" in other.stderr.read_text()
