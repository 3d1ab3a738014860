"""The put log in a file and in the journal: whole lines only, also on a full disk or without the journal."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from journal_entries import received
from live import TIMEOUT
from ponikeeper.errors import ConfigError
from ponikeeper.protocol import Result
from ponikeeper.putlog.entry import Put
from ponikeeper.putlog.sinks import FileSink, JournalSink, make_sink
from ponikeeper.system import systemd_journal as taking
from ponikeeper.system.systemd_journal import Journal

DONE = Result("r-1", "commit", "accepted", revision=7, serial=9, errors=(), time="2026-09-21T14:13:20Z")
PUT = Put(1_790_000_000.25, "alice", "ws3", "10.28.1.7", "P:Dist", 0.3, 0.25, "accepted")
LONG = "x" * 300_000


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def many(count, **changes):
    values = {name: getattr(PUT, name) for name in Put.__slots__}
    return [Put(**values | {"new": number} | changes) for number in range(count)]


def test_file_goes_on_where_it_ended(tmp_path):
    for put in many(3):
        sink = FileSink(tmp_path / "puts")
        sink.write(put)
        sink.close()
    assert [each["new"] for each in lines(tmp_path / "puts")] == [0, 1, 2]


def test_new_file_is_created_after_rotation(tmp_path):
    path, sink = tmp_path / "puts", FileSink(tmp_path / "puts")
    one, other, last = many(3)
    sink.write(one)
    path.rename(tmp_path / "puts.1")
    sink.write(other)
    path.rename(tmp_path / "puts.2")
    path.touch()
    sink.write(last)
    assert [[each["new"] for each in lines(tmp_path / name)] for name in ("puts.1", "puts.2", "puts")] == [
        [0],
        [1],
        [2],
    ]
    sink.close()


def test_file_is_written_again_when_its_folder_is_back(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    sink = FileSink(folder / "puts")
    (one,) = many(1)
    sink.write(one)
    folder.rename(tmp_path / "away")
    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            sink.write(one)
    folder.mkdir()
    sink.write(one)
    assert len(lines(folder / "puts")) == 1
    sink.close()


def test_file_on_a_full_disk_has_whole_lines_only(tmp_path):
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from ponikeeper.putlog.entry import Put\n"
        "from ponikeeper.putlog.sinks import FileSink\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))\n"
        "sink, failed = FileSink(Path(sys.argv[1])), 0\n"
        "for number in range(100):\n"
        "    if failed == 3:\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\n"
        "    try:\n"
        "        sink.write(Put(0.0, 'alice', 'ws3', '10.0.0.1', 'P:Comment', 'x' * number, '', 'accepted'))\n"
        "    except OSError:\n"
        "        failed += 1\n"
        "print(failed)\n"
    )
    path = tmp_path / "puts"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=TIMEOUT)
    assert (done.stdout, done.stderr) == ("3\n", "")
    assert len(lines(path)) == 97


@pytest.mark.parametrize("new", [0.3, LONG], ids=["short", "longer than a datagram"])
def test_journal_entry_has_searchable_fields_and_the_whole_line(journal, new):
    put = Put(PUT.time, "alice\nPRIORITY=0", "ws3", "10.28.1.7", "P:Request", new, "", "accepted", "", DONE)
    sink = JournalSink(Journal(Path(journal.getsockname())))
    sink.write(put)
    sink.close()
    fields = received(journal)
    assert json.loads(fields.pop("MESSAGE"))["new"] == new
    assert fields == {
        "PRIORITY": "5",
        "SYSLOG_IDENTIFIER": "ponikeeper-put",
        "PONIKEEPER_PV": "P:Request",
        "PONIKEEPER_OUTCOME": "accepted",
        "PONIKEEPER_USER": "alice\nPRIORITY=0",
        "PONIKEEPER_ADDRESS": "10.28.1.7",
        "PONIKEEPER_REVISION": "7",
    }


def test_denied_put_is_a_warning(journal):
    sink = JournalSink(Journal(Path(journal.getsockname())))
    sink.write(Put(PUT.time, "eve", "ws3", "10.28.1.9", "P:Dist", 0.3, 0.2, "denied", "not yours"))
    sink.close()
    assert received(journal)["PRIORITY"] == "4"


def test_journal_that_is_away_raises_and_is_written_when_it_is_back(tmp_path):
    sink = JournalSink(Journal(tmp_path / "socket"))
    with pytest.raises(OSError, match="No such file"):
        sink.write(PUT)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "socket"))
        sink.write(PUT)
        assert received(listening)["PONIKEEPER_PV"] == "P:Dist"
    sink.close()


def test_log_is_the_file_that_is_named(tmp_path):
    (tmp_path / "log").mkdir()
    sink = make_sink("log/puts", tmp_path)
    assert isinstance(sink, FileSink)
    sink.close()
    assert (tmp_path / "log/puts").exists()


def test_default_is_the_journal_under_systemd_and_else_no_log(journal, monkeypatch, tmp_path):
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    monkeypatch.setattr(taking, "JOURNAL", Path(journal.getsockname()))
    assert make_sink(None, tmp_path) is None
    monkeypatch.setenv("JOURNAL_STREAM", "8:12345")
    sink = make_sink(None, tmp_path)
    assert isinstance(sink, JournalSink)
    sink.close()


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("journal", 'putlog = "journal": .*socket does not exist: expected a host with systemd, or a file'),
        ("none/puts", r'putlog = "none/puts": .*No such file.*expected "journal" or a file in an existing folder'),
    ],
)
def test_log_that_cannot_be_opened_is_reported_at_the_start(named, message, tmp_path, monkeypatch):
    monkeypatch.setattr(taking, "JOURNAL", tmp_path / "socket")
    with pytest.raises(ConfigError, match=message):
        make_sink(named, tmp_path)
