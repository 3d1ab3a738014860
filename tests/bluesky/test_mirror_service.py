"""The mirror as a service: it copies what is new, and survives the end of an IOC, of Tiled, and its own."""

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import contextmanager

import pytest
from tiled.client import from_uri

import speak
from catalogs import tiled_server
from live import LiveIoc, free_ports, serving, wait_for
from ponikeeper.errors import PonikeeperError
from ponikeeper_client._ioc_history import IocHistory
from ponikeeper_client.recall import read_history
from ponikeeper_client.recall._mirror import find_mirror, read_mirror
from ponikeeper_client.recall._mirror_command import Copies
from recalling import history
from speak import GEOMETRY, commit_text, request
from stores import store_history

KEY = "secret0123456789"
DAY = 86_400.0


@pytest.fixture
def ioc(make_ioc):
    return make_ioc().start()


def commit(prefix, number):
    request(prefix, commit_text(f"r{number}", geometry={**GEOMETRY, "dist": 0.2 + number / 1000}))


def drop_channels():
    """Drop the channels to an IOC that was stopped, so that the next call searches at once."""
    from ponikeeper_client import _ioc_history

    speak.forget()
    for signals in _ioc_history._signals.values():
        for signal in signals:
            signal.destroy()
    _ioc_history._signals.clear()


class Catalog:
    """A Tiled server that can be stopped and started again, with the same address and content."""

    def __init__(self, folder):
        self._folder, (self._port,) = folder, free_ports(1)
        self._server = None

    def start(self):
        self._server = tiled_server(self._folder, api_key=KEY, port=self._port)

    def stop(self):
        if self._server is not None:
            self._server.close()
            self._server = None

    @property
    def address(self):
        return f"http://127.0.0.1:{self._port}"

    @contextmanager
    def failing(self):
        """Make the server answer 500 for the duration of the block; yield what counts these answers."""
        before = self._answers_of_500()
        database = sqlite3.connect(self._folder / "catalog.db")
        database.execute("ALTER TABLE nodes RENAME TO gone")
        try:
            yield lambda: self._answers_of_500() - before
        finally:
            database.execute("ALTER TABLE gone RENAME TO nodes")
            database.close()

    def _answers_of_500(self):
        return (self._folder / "access.log").read_text().count("500 Internal")

    @contextmanager
    def client(self):
        client = from_uri(self.address, api_key=KEY)
        try:
            yield client
        finally:
            client.context.close()

    def read(self, prefix):
        """Return the history of a prefix, None where there is none."""
        with self.client() as client:
            try:
                return read_history(prefix, mirror=client)
            except PonikeeperError:
                return None

    def count(self, prefix):
        whole = self.read(prefix)
        return 0 if whole is None else whole.counts()["revision"]


@pytest.fixture
def tiled(tmp_path):
    catalog = Catalog(tmp_path / "tiled")
    catalog.start()
    yield catalog
    catalog.stop()


@contextmanager
def mirroring(ioc, tiled, *options, log):
    """Run `ponikeeper mirror` in a process of its own for the duration of the block."""
    command = (sys.executable, "-m", "ponikeeper", "mirror", str(ioc.config), tiled.address, *options)
    with log.open("a") as output:
        environment = {**os.environ, "TILED_API_KEY": KEY}
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def test_next_copies_read_what_is_new_and_a_day_later_all_of_it(ioc, tiled, capsys, monkeypatch):
    whole_reads, read_all = [], IocHistory.read_all

    def counted(self):
        whole_reads.append(self)
        return read_all(self)

    monkeypatch.setattr(IocHistory, "read_all", counted)
    first, second = ioc.prefixes
    commit(first, 1)
    with tiled.client() as client:
        copies = Copies(client)
        assert copies.copy(ioc.prefixes, 0.0)
        assert capsys.readouterr().out == (f"{first}: 2 new records, 2 in all\n{second}: nothing was committed yet\n")
        whole_reads.clear()
        assert copies.copy((first,), 10.0)
        assert capsys.readouterr().out == ""
        commit(first, 2)
        assert copies.copy((first,), 20.0)
        assert capsys.readouterr().out == f"{first}: 2 new records, 4 in all\n"
        assert whole_reads == []
        assert copies.copy((first,), DAY)
        assert len(whole_reads) == 1
    assert tiled.read(first).by_kind() == read_history(first).by_kind()


def test_prefixes_that_no_ioc_serves_are_reported_once_and_keep_no_other_waiting(ioc, tiled, capsys, monkeypatch):
    monkeypatch.setattr("ponikeeper_client.recall._mirror_command._TIMEOUT", 1.0)
    commit(ioc.prefix, 1)
    missing = [f"NO{{Such:{number}}}Calib:" for number in range(20)]
    with tiled.client() as client:
        copies = Copies(client)
        assert not copies.copy([*missing, ioc.prefix], 0.0)
        printed = capsys.readouterr()
        assert printed.out == f"{ioc.prefix}: 2 new records, 2 in all\n"
        assert printed.err == "".join(f"{prefix}: its IOC does not answer within 1 s\n" for prefix in missing)
        assert not copies.copy([*missing, ioc.prefix], 1.0)
        assert capsys.readouterr() == ("", "")


def test_renamed_detector_is_one_history_under_both_prefixes(ioc, tiled, call, capsys):
    old = ioc.prefix
    commit(old, 1)
    with tiled.client() as client:
        copies = Copies(client)
        assert copies.copy([old], 0.0)
        ioc.stop()
        drop_channels()
        renamed = LiveIoc(ioc.folder, ioc.port, ioc.name, ("{Det:PE1}Calib:",))
        new = renamed.prefix
        assert call("rename", renamed.config, old, new).returncode == 0
        with serving(renamed):
            prefixes = copies.read_again([renamed.config], [old])
            assert prefixes == [new]
            assert copies.copy(prefixes, 1.0)
            commit(new, 2)
            assert copies.copy(prefixes, 2.0)
            assert f"{new}: 2 new records, 5 in all\n" in capsys.readouterr().out
            live = read_history(new)
        drop_channels()
        assert len(read_mirror(find_mirror(client))) == 1
        for prefix in (old, new):
            assert read_history(prefix, mirror=client).by_kind() == live.by_kind()


def test_configuration_that_cannot_be_read_again_leaves_the_detectors_of_before(ioc, tiled, capsys):
    with tiled.client() as client:
        copies, prefixes = Copies(client), [ioc.prefix]
        ioc.config.write_text("[ioc\n")
        assert [copies.read_again([ioc.config], prefixes) for _ in range(2)] == [prefixes, prefixes]
        assert capsys.readouterr().err.count("expected the configuration of an IOC") == 1


def test_service_goes_on_after_outages_of_tiled_and_prints_each_once(ioc, tiled, tmp_path):
    log = tmp_path / "mirror.log"
    commit(ioc.prefix, 1)
    with mirroring(ioc, tiled, "--every", "1", log=log):
        wait_for(lambda: "2 in all" in log.read_text())
        tiled.stop()
        commit(ioc.prefix, 2)
        wait_for(lambda: "catalog: " in log.read_text())
        tiled.start()
        wait_for(lambda: "4 in all" in log.read_text())
        with tiled.failing() as failed:
            commit(ioc.prefix, 3)
            wait_for(lambda: failed() >= 3)  # each answer of 500 has a number of its own
        wait_for(lambda: "6 in all" in log.read_text())
    assert tiled.read(ioc.prefix).by_kind() == read_history(ioc.prefix).by_kind()
    printed = log.read_text().splitlines()
    failures = [re.sub(r"correlation ID \w+", "", line) for line in printed if "rror" in line]
    assert len(failures) == len(set(failures)), printed
    assert {"500" in line for line in failures} == {False, True}, printed
    assert [line.rpartition(": ")[2] for line in printed if line.startswith(ioc.prefix) and "new" in line] == [
        "2 new records, 2 in all",
        "2 new records, 4 in all",
        "2 new records, 6 in all",
    ]
    assert not [line for line in printed if not line.startswith(("catalog: ", *ioc.prefixes))]


def test_copy_that_was_killed_is_continued_without_loss_or_doubles(make_ioc, tiled, tmp_path):
    """A campaign kills it at many moments: tests/campaigns/test_mirror_killed.py."""
    ioc = make_ioc()
    whole = history(600, prefix=ioc.prefix)  # two batches
    store_history(ioc.store, whole)
    ioc.start()
    log = tmp_path / "mirror.log"
    with tiled.client() as client:
        with mirroring(ioc, tiled, log=log):
            wait_for(lambda: has_batches(client, whole))
        with mirroring(ioc, tiled, log=log) as process:
            assert process.wait(timeout=60) == 0
    assert tiled.read(ioc.prefix).by_kind() == whole.by_kind()


def has_batches(client, whole):
    """Return whether a mirror has a part of a history."""
    try:
        return len(client["ponikeeper", whole.revisions[0].uid]) > 0
    except KeyError:
        return False
