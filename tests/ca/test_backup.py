"""Backup of a served history: complete, verified, and no put is refused; `verify` of any store."""

import json
import shutil
import sqlite3
import statistics
import subprocess
import sys
import threading
import time

import pytest

from live import TIMEOUT, serving, wait_for
from ponikeeper.history.history_file import format_counts
from ponikeeper.store.backup import copy
from ponikeeper.store.schema import MIGRATIONS
from ponikeeper.store.sqlite_storage import SQLiteStorage
from speak import GEOMETRY, Wire, commit_text, put, snapshot
from stores import COUNTS, NAME, PREFIXES, contents, large_store, small_store


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "28id1.toml"
    tables = "".join(f'[[detector]]\nprefix = "{prefix}"\n' for prefix in PREFIXES)
    path.write_text(f'[ioc]\nprefix = "I:"\nstate_dir = "state"\n{tables}')
    return path


@pytest.fixture
def store(config):
    return small_store(config.parent / "state" / NAME)


def backups(folder):
    return sorted(folder.iterdir())


def test_backup_has_all_of_the_store_and_prints_its_counts(call, config, store, tmp_path):
    done = call("backup", config, "-o", tmp_path / "new" / "backups")
    (made,) = backups(tmp_path / "new" / "backups")
    counts = f"{format_counts(COUNTS)} of"
    assert (done.returncode, done.stderr) == (0, "")
    head = f"{made}: OK, schema version {len(MIGRATIONS)}, 2 detectors"
    assert done.stdout == f"{head}\n{counts} {PREFIXES[0]}\n{counts} {PREFIXES[1]}\n"
    verified = call("verify", made)
    assert (verified.returncode, verified.stdout) == (0, done.stdout)
    values = json.loads(call("backup", config, "-o", tmp_path / "other", "--json").stdout)
    expected = {
        "revision": 4,
        "activation": 7,
        "judgement": 2,
        "service": 1,
        "undo": 1,
        "label": 1,
        "derived": 1,
        "rename": 2,
    }
    assert values["counts"][PREFIXES[0]] == expected
    restored = tmp_path / "restored" / NAME
    restored.parent.mkdir()
    shutil.copy(made, restored)
    assert contents(restored) == contents(store)


def test_oldest_backups_beyond_the_limit_are_removed_and_nothing_else(call, config, store, tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()
    others = {folder / "other.20260101T000000.000000Z.sqlite", folder / "28id1.notes"}
    for path in others:
        path.write_text("kept")
    made = []
    for _ in range(4):
        made += [json.loads(call("backup", config, "-o", folder, "--keep", 2, "--json").stdout)["backup"]]
    assert set(backups(folder)) == others | {folder / name for name in made[-2:]}


def test_damaged_store_is_reported_and_leaves_no_backup(call, config, store, tmp_path):
    connection = sqlite3.connect(store)
    connection.execute("UPDATE revision SET label = 'mear' WHERE number = 1")
    connection.commit()
    connection.close()
    for words in (("backup", config, "-o", tmp_path / "backups"), ("verify", store)):
        done = call(*words)
        assert (done.returncode, done.stdout) == (4, "")
        assert f"{store} is damaged (the checksum of revision 1 of {PREFIXES[0]} does not match)" in done.stderr
    assert backups(tmp_path / "backups") == []


def test_full_disk_leaves_no_incomplete_backup(call, config, store, small_disk):
    done = call("backup", config, "-o", small_disk)
    assert (done.returncode, done.stdout) == (4, "")
    assert "free space on the disk" in done.stderr
    assert backups(small_disk) == []


@pytest.fixture
def small_disk(make_small_disk):
    """A file system that is too small for a store."""
    return make_small_disk("16k")


def test_missing_store_is_reported(call, config, tmp_path):
    done = call("backup", config, "-o", tmp_path / "backups")
    assert done.returncode == 4
    assert f"{tmp_path / 'state' / NAME}: No such file or directory" in done.stderr
    assert not (tmp_path / "state").exists()


def test_store_with_a_journal_is_not_changed_by_verify_and_backup(call, store):
    """A process that dies in a transaction leaves a journal, which only the IOC may roll back."""
    code = (
        "import os, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('PRAGMA cache_spill=1')\n"
        "connection.execute('PRAGMA cache_size=1')\n"
        "connection.execute('BEGIN IMMEDIATE')\n"
        "connection.execute('CREATE TABLE t AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n'\n"
        "    ' LIMIT 99999) SELECT i, randomblob(100) FROM n')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, store], check=False, timeout=TIMEOUT)
    journal = store.with_name(f"{NAME}-journal")
    before = store.read_bytes(), journal.read_bytes()
    done = call("verify", store)
    assert (done.returncode, done.stdout) == (4, "")
    assert "has an unfinished write" in done.stderr
    assert "start its IOC, which undoes it and verifies the store" in done.stderr
    assert (store.read_bytes(), journal.read_bytes()) == before
    SQLiteStorage(store).close()
    assert call("verify", store).returncode == 0


def write(ioc, stop, puts):
    """Put one geometry after the other; record each result and how long it took (s)."""
    with Wire(ioc.port) as wire:
        channel = wire.channel(f"{ioc.prefix}Request")
        number = 0
        while not stop.is_set():
            number += 1
            began = time.monotonic()
            text = commit_text(f"r-{number}", geometry={**GEOMETRY, "dist": 0.2 + number * 1e-7})
            answer = wire.put(channel, text.encode(), 4)
            puts.append((number, type(answer).__name__, time.monotonic() - began))


def campaign(ioc, folder, count):
    """Make backups during puts; each must have every revision that was acknowledged before it began."""
    stop, puts = threading.Event(), []
    writer = threading.Thread(target=write, args=(ioc, stop, puts))
    there = snapshot(ioc.prefix)["revision"]
    writer.start()
    lacking, took = 0, []
    for number in range(count):
        wait_for(lambda had=puts[-1:]: puts[-1:] != had)
        answered = there + puts[-1][0]
        began = time.monotonic()
        contents = copy(ioc.store, folder / f"{number}.sqlite")
        took.append(time.monotonic() - began)
        lacking += contents.counts[ioc.prefix]["revision"] < answered
    stop.set()
    writer.join()
    refused = sum(kind != "WriteNotifyResponse" for _, kind, _ in puts)
    print(
        f"\n{count} backups of {ioc.store.stat().st_size / 1e6:.1f} MB in {statistics.median(took):.3f} s each, under "
        f"{len(puts)} puts: {lacking} lack what was answered, {refused} puts refused; a put took "
        f"{statistics.median(each[2] for each in puts) * 1e3:.1f} ms, {max(each[2] for each in puts):.3f} s at most"
    )
    assert (lacking, refused) == (0, 0)
    return there + len(puts)


def test_backups_during_puts_are_complete_and_no_put_is_refused(call, make_ioc, tmp_path):
    ioc = make_ioc()
    with serving(ioc):
        count = campaign(ioc, tmp_path, 10)
        assert f"OK, schema version {len(MIGRATIONS)}," in call("verify", ioc.store).stdout
        assert snapshot(ioc.prefix)["revision"] == count
        ioc.stop()
    shutil.copy(tmp_path / "9.sqlite", ioc.store)
    with serving(ioc):
        assert snapshot(ioc.prefix)["status"] == "UNWATCHED"
        assert put(f"{ioc.prefix}Dist", 0.5) is None


@pytest.mark.campaign
def test_backups_of_a_large_store_during_puts_are_complete_and_no_put_is_refused(make_ioc, tmp_path):
    ioc = make_ioc()
    large_store(ioc.store, ioc.prefix, 100_000)
    with serving(ioc):
        campaign(ioc, tmp_path, 5)
