"""A history that is moved from one IOC to another: export, verify, import."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

import speak
from live import TIMEOUT, LiveIoc, serving, wait_for
from ponikeeper.geometry import Geometry, poni
from ponikeeper.history.history_file import ExportedHistory, new_records, read, write
from ponikeeper.history.records import KINDS
from ponikeeper.protocol.pvs import DETECTOR_PVS, Kind
from ponikeeper.store.sqlite_storage import SQLiteStorage
from speak import GEOMETRY, commit_text, get, put, request, snapshot
from stores import NAME, PREFIXES, large_store, small_store

ONE = ("{Det:1}Calib:",)
EXPORTED = "2026-11-23T04:00:00.000000Z"
OF_THIS_RUN = ("Alive_RBV", "Accepted_RBV", "Rejected_RBV", "Message_RBV", "Results_RBV")
"""PVs that count since the start of an IOC."""


@pytest.fixture
def calibrated(make_ioc):
    """A live IOC whose detector has revisions, a rollback and corrections."""
    ioc = make_ioc(detectors=ONE).start()
    begin(ioc.prefix, "near", "far", "near")
    assert put(f"{ioc.prefix}Activate", "2") is None
    judge = {"v": 1, "request": "s", "op": "supersede", "revision": 1, "by": 3, "reason": "typed wr\u00f6ng"}
    assert request(ioc.prefix, json.dumps(judge))["outcome"] == "accepted"
    return ioc


def begin(prefix, *labels):
    """Commit a geometry for each label."""
    for number, label in enumerate(labels, start=1):
        values = {**GEOMETRY, "dist": number / 7, "rot3": -0.0, "detector_config": {"orientation": 3}}
        fit = {"method": "fit", "calibrant": "Ni", "comment": f"\u00c5ngstr\u00f6m {number}", "sigma": {"dist": 1e-7}}
        text = commit_text(f"r{number}", geometry=values, label=label, provenance=fit, position={})
        assert request(prefix, text)["revision"] == number


def on_another_host(ioc: LiveIoc, folder: Path) -> LiveIoc:
    """Return the IOC as on another host: the same names, another disk."""
    ioc.stop()
    speak.forget()
    return LiveIoc(folder, ioc.port, ioc.name, ONE)


def shown(prefix):
    """Return all PVs that depend on the history, bit by bit."""
    suffixes = [pv.suffix for pv in DETECTOR_PVS if not pv.writable and pv.suffix not in OF_THIS_RUN]
    texts = {pv.suffix for pv in DETECTOR_PVS if pv.kind is Kind.TEXT}
    found = {suffix: get(prefix + suffix) if suffix in texts else repr(get(prefix + suffix)) for suffix in suffixes}
    for number in range(1, int(get(f"{prefix}History:Count_RBV")) + 1):
        assert put(f"{prefix}History:Select", number) is None
        found[f"Select {number}"] = get(f"{prefix}History:Selected_RBV")
    assert put(f"{prefix}History:Select", 0) is None
    for kind in KINDS:
        assert put(f"{prefix}History:Read", f"{kind} 1") is None
        found[f"Read {kind}"] = get(f"{prefix}History:Read_RBV")
    return found


def test_another_host_shows_the_same_and_continues_the_numbers(call, calibrated, tmp_path):
    prefix, file = calibrated.prefix, tmp_path / "one.jsonl"
    assert put(f"{prefix}History:Read", "judgement 1") is None
    before = shown(prefix)
    done = call("export", "history", prefix, "-o", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{file}: 3 revisions, 4 activations, 1 correction of {prefix}\n"
    verified = call("verify", file)
    exported = read(file.read_bytes()).exported
    assert verified.stdout == f"{file}: OK, 3 revisions, 4 activations, 1 correction of {prefix}, exported {exported}\n"
    other = on_another_host(calibrated, tmp_path / "other")
    imported = call("import", other.config, file)
    assert (imported.returncode, imported.stderr) == (0, "")
    assert imported.stdout == f"{file}: 3 revisions, 4 activations, 1 correction of {prefix} added to {other.store}\n"
    again = call("import", other.config, file)
    assert again.stdout.startswith(f"{file}: nothing to do, {other.store} has all of it: 3 revisions, 4 activations")
    with serving(other):
        assert put(f"{prefix}History:Read", "judgement 1") is None
        assert shown(prefix) == before
        assert call("import", other.config, file).returncode == 4  # its IOC runs
        result = request(prefix, commit_text("r1", geometry={**GEOMETRY, "dist": 2.0}))  # the ids are new again
        assert (result["outcome"], result["revision"], result["serial"]) == ("accepted", 4, 5)
        newer = call("export", "history", prefix).stdout.encode()
    assert new_records(read(file.read_bytes()), read(newer)).counts() == {
        "revision": 1,
        "activation": 1,
        "judgement": 0,
    }


def test_imported_calibrations_are_served_with_their_times_and_numbers(call, make_ioc, tmp_path):
    ioc, folder = make_ioc(), tmp_path / "xpdacq_calib"
    folder.mkdir()
    for number, dist in enumerate((0.2, 0.3), 1):
        path = folder / f"{number}.poni"
        path.write_text(poni.write(Geometry.parse({**GEOMETRY, "dist": dist})))
        os.utime(path, (1.6e9 + number, 1.6e9 + number))
    assert call("import", ioc.config, folder, "--prefix", ioc.prefix).returncode == 0
    with serving(ioc):
        found = snapshot(ioc.prefix)
        assert (found["revision"], found["geometry"]["dist"], found["status"]) == (2, 0.3, "UNWATCHED")
        assert get(f"{ioc.prefix}Time_RBV").startswith("2020-09-13")
        assert put(f"{ioc.prefix}Activate", "1") is None
        assert snapshot(ioc.prefix)["geometry"]["dist"] == 0.2


def test_json_has_the_same_content(call, calibrated, tmp_path):
    file, counts = tmp_path / "one.jsonl", {"revision": 3, "activation": 4, "judgement": 1}
    exported = json.loads(call("export", "history", calibrated.prefix, "-o", file, "--json").stdout)
    assert json.loads(call("verify", file, "--json").stdout) == exported
    assert (exported["prefix"], exported["counts"]) == (calibrated.prefix, counts)
    other = on_another_host(calibrated, tmp_path / "other")
    nothing = dict.fromkeys(counts, 0)
    for had, new in ((nothing, counts), (counts, nothing)):
        answer = json.loads(call("import", other.config, file, "--json").stdout)
        kept = {"prefix": calibrated.prefix, "store": str(other.store), "timezone": None}  # its times have a zone
        assert answer == kept | {"had": had, "added": new}


def test_store_that_lags_behind_gets_the_rest_and_one_that_is_ahead_keeps_it(call, calibrated, tmp_path):
    older, newer = tmp_path / "older.jsonl", tmp_path / "newer.jsonl"
    assert call("export", "history", calibrated.prefix, "-o", older).returncode == 0
    assert put(f"{calibrated.prefix}Dist", 0.5) is None
    assert call("export", "history", calibrated.prefix, "-o", newer).returncode == 0
    other = on_another_host(calibrated, tmp_path / "other")
    assert call("import", other.config, older).returncode == 0
    assert "1 revision, 1 activation, 0 corrections of" in call("import", other.config, newer).stdout
    assert "nothing to do" in call("import", other.config, older).stdout
    with serving(other):
        assert (snapshot(calibrated.prefix)["revision"], snapshot(calibrated.prefix)["serial"]) == (4, 5)


def test_new_store_never_gets_a_number_that_means_two_geometries(call, calibrated, tmp_path):
    file = tmp_path / "one.jsonl"
    assert call("export", "history", calibrated.prefix, "-o", file).returncode == 0
    other = on_another_host(calibrated, tmp_path / "other")
    with serving(other):
        begin(calibrated.prefix, "near")
        assert other.stop() == 0
    before = other.store.read_bytes()
    refused = call("import", other.config, file)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"{file}: revision 1 differs: in the store it is the one made " in refused.stderr
    assert f"{other.store} stays as it is" in refused.stderr
    assert other.store.read_bytes() == before


def test_export_is_of_one_time_although_two_writers_commit(call, make_ioc, tmp_path):
    ioc = make_ioc(detectors=ONE).start()
    begin(ioc.prefix, "near")
    assert put(f"{ioc.prefix}History:Select", 1) is None
    program = Path(__file__).parents[1] / "support" / "writer.py"
    writers = [
        subprocess.Popen([sys.executable, program, ioc.prefix, how, str(first)], stdout=subprocess.PIPE)
        for how, first in (("request", 1), ("poni", 2))
    ]
    try:
        counts = []
        wait_for(lambda: get(f"{ioc.prefix}History:Count_RBV") > 30)
        last = ExportedHistory(ioc.prefix, EXPORTED)
        for number in range(4):
            file = tmp_path / f"{number}.jsonl"
            done = call("export", "history", ioc.prefix, "-o", file)
            assert (done.returncode, done.stderr) == (0, "")
            found = read(file.read_bytes())  # which sees that all that is named is there
            new_records(last, found)
            counts.append(len(found.revisions))
            assert found.activations[-1].revision == len(found.revisions)
            last = found
            judge = {"v": 1, "request": f"j{number}", "op": "retract", "revision": 2, "reason": "again"}
            put(f"{ioc.prefix}Request", json.dumps(judge))
        assert counts == sorted(set(counts))
        assert all(writer.poll() is None for writer in writers)
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    assert len(last.corrections) == 3
    assert get(f"{ioc.prefix}History:Select") == 1


def test_several_readers_of_one_detector_all_get_their_own_answers(call, calibrated, tmp_path):
    def export(number):
        return call("export", "history", calibrated.prefix, "-o", tmp_path / f"{number}.jsonl")

    with ThreadPoolExecutor(3) as pool:
        assert [(done.returncode, done.stderr) for done in pool.map(export, range(9))] == [(0, "")] * 9
    found = [read((tmp_path / f"{number}.jsonl").read_bytes()) for number in range(9)]
    assert {part.counts()["activation"] for part in found} == {4}
    assert all(replace(part, exported=EXPORTED) == replace(found[0], exported=EXPORTED) for part in found)


def test_stdout_is_the_file(call, calibrated, tmp_path):
    file = tmp_path / "one.jsonl"
    assert call("export", "history", calibrated.prefix, "-o", file).returncode == 0
    for words in ((), ("-o", "-")):
        _, *rest = call("export", "history", calibrated.prefix, *words).stdout.encode().splitlines(keepends=True)
        assert rest[:-1] == file.read_bytes().splitlines(keepends=True)[1:-1]


def test_file_is_replaced_atomically_or_stays(call, calibrated, tmp_path):
    file = tmp_path / "folder" / "one.jsonl"
    file.parent.mkdir()
    file.write_text("what was there")
    silent = call("export", "history", "NOWHERE:", "-o", file)
    assert (silent.returncode, file.read_text()) == (3, "what was there")
    link = tmp_path / "link.jsonl"
    link.symlink_to(file)
    assert call("export", "history", calibrated.prefix, "-o", link).returncode == 0
    assert link.is_symlink()
    assert read(file.read_bytes()).prefix == calibrated.prefix
    assert [path.name for path in file.parent.iterdir()] == ["one.jsonl"]
    for place, message in (
        (tmp_path, "is not a regular file"),
        (tmp_path / "no" / "where", "expected a file that can be written"),
    ):
        refused = call("export", "history", calibrated.prefix, "-o", place)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert message in refused.stderr


def test_failed_write_leaves_the_old_file_and_no_other(calibrated, tmp_path):
    file = tmp_path / "one.jsonl"
    file.write_text("what was there")
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
    limited += "from ponikeeper.cli.app import run; run()"
    words = ["export", "history", calibrated.prefix, "-o", str(file)]
    done = subprocess.run(
        [sys.executable, "-c", limited, *words], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert (done.returncode, done.stderr) == (2, f"{file}: File too large: expected a file that can be written\n")
    assert file.read_text() == "what was there"
    assert [path.name for path in tmp_path.glob("*one.jsonl*")] == ["one.jsonl"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The folder of a store that no IOC serves, and an export of its first detector."""
    folder = tmp_path_factory.mktemp("small")
    file = folder / "small.jsonl"
    file.write_bytes(write(of_store(small_store(folder / NAME))))
    return folder, file


def of_store(path: Path) -> ExportedHistory:
    store = SQLiteStorage(path)
    try:
        return ExportedHistory(PREFIXES[0], EXPORTED, *(tuple(store.records(PREFIXES[0], kind)) for kind in KINDS))
    finally:
        store.close()


def config_of(folder: Path, prefix: str = PREFIXES[0]) -> Path:
    folder.mkdir(exist_ok=True)
    config = folder / "ioc.toml"
    config.write_text(f'[ioc]\nprefix = "I:"\nstate_dir = "state"\n[[detector]]\nprefix = "{prefix}"\n')
    return config


def test_damage_is_reported_with_file_line_and_exit_code_1(call, small, tmp_path):
    file, config = tmp_path / "bad.jsonl", config_of(tmp_path)
    file.write_bytes(small[1].read_bytes().replace(b'"near"', b'"mear"', 1))
    for words in (("verify", file), ("verify", file, "--json"), ("import", config, file)):
        done = call(*words)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"{file}: line 2: the checksum of revision 1 of {PREFIXES[0]} does not match: the record was changed\n"
        )
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("words", [("verify", "/nowhere/one.jsonl"), ("verify", "/"), ("import", "/nowhere.toml", "/")])
def test_file_that_cannot_be_read_is_a_usage_error(call, words):
    done = call(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_history_of_a_detector_that_is_not_configured_is_refused(call, small, tmp_path):
    config = config_of(tmp_path, "OTHER:")
    done = call("import", config, small[1])
    assert done.returncode == 2
    assert done.stderr == f"{small[1]} is the history of {PREFIXES[0]}: expected one of OTHER: ({config})\n"
    assert not (tmp_path / "state").exists()


def test_import_without_its_extra_prints_the_line_that_installs_it():
    code = (
        "import sys; sys.modules['pydantic'] = None; from pathlib import Path; from ponikeeper.cli import importing\n"
    )
    code += "importing.import_(Path('ioc.toml'), Path('one.jsonl'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.stderr.endswith("MissingExtraError: pydantic is not installed: pip install 'ponikeeper[ioc]'\n")


def test_import_killed_in_the_middle_leaves_all_or_nothing(tmp_path):
    file, config = tmp_path / "large.jsonl", config_of(tmp_path / "other")
    # more than SQLite keeps in memory: the store grows while the transaction runs
    whole = of_store(large_store(tmp_path / "one" / NAME, PREFIXES[0], 1000, "x" * 3000))
    file.write_bytes(write(whole))
    store = config.parent / "state" / NAME
    arguments = ["import", str(config), str(file)]
    for size in (100_000, 900_000):  # bytes: the whole import takes more
        killed = subprocess.run([sys.executable, "-c", KILLED_AT, str(size), *arguments], timeout=4 * TIMEOUT)
        assert killed.returncode == -signal.SIGXFSZ
        opened = SQLiteStorage(store)
        assert {kind: opened.count(PREFIXES[0], kind) for kind in KINDS} == dict.fromkeys(KINDS, 0)
        opened.close()
    command = [sys.executable, "-m", "ponikeeper", *arguments]
    assert subprocess.run(command, capture_output=True, timeout=4 * TIMEOUT, check=True).stderr == b""
    assert of_store(store) == whole
    assert store.stat().st_size > size


KILLED_AT = """
import resource, signal, sys
from ponikeeper.__main__ import main
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # the kernel kills the process in the call that writes beyond the limit
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
main()
"""
