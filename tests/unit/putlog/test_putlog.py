"""The put log: a put is one line of strict JSON, nothing shortened, whole or not at all, in a file or the journal."""

import array
import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live import TIMEOUT
from ponikeeper.errors import ConfigError
from ponikeeper.protocol import Result
from ponikeeper.putlog.entry import Put
from ponikeeper.putlog.sinks import FileSink, JournalSink, make_sink
from ponikeeper.system import journal as taking
from ponikeeper.system.journal import Journal, JournalHandler

DONE = Result("r-1", "commit", "accepted", revision=7, serial=9, errors=(), time="2026-09-21T14:13:20Z")
PUT = Put(1_790_000_000.25, "alice", "ws3", "10.28.1.7", "P:Dist", 0.3, 0.25, "accepted")
LONG = "x" * 300_000


def line_of(**changes):
    """Write a put, and read its line as any reader of JSON does."""
    values = {name: getattr(PUT, name) for name in Put.__slots__} | changes
    return json.loads(Put(**values).line(), parse_constant=pytest.fail)


def test_line_has_the_keys_of_caputjsonlog_and_the_address_of_the_peer():
    told = line_of()
    assert {"date", "time", "host", "user", "pv", "new", "old"} <= told.keys()
    assert (told["user"], told["host"], told["address"]) == ("alice", "ws3", "10.28.1.7")
    assert (told["pv"], told["new"], told["old"], told["outcome"]) == ("P:Dist", 0.3, 0.25, "accepted")
    assert told["utc"] == "2026-09-21T14:13:20.250000Z"


def test_line_of_a_transaction_has_its_revision_and_one_that_was_refused_its_reason():
    told = line_of(result=DONE)
    assert {name: told[name] for name in ("request", "op", "revision", "serial")} == {
        "request": "r-1", "op": "commit", "revision": 7, "serial": 9,
    }  # fmt: skip
    assert line_of(outcome="refused", reason="dist: 40 m is beyond 10 m")["reason"] == "dist: 40 m is beyond 10 m"


@pytest.mark.parametrize(
    ("put", "written"),
    [
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (0.1 + 0.2, 0.1 + 0.2),
        ([1], 1),
        ((1.5, float("nan")), [1.5, "NaN"]),
        (array.array("d", [1.0, 2.0]), [1.0, 2.0]),
        ([b"near"], "near"),
        ("Ångström".encode(), "Ångström"),
        (b"\xff\x00", "\xff\x00"),
        ([], []),
    ],
)
def test_value_is_written_as_json_has_it(put, written):
    assert line_of(new=put)["new"] == written


@given(new=st.text() | st.binary().filter(lambda data: data.isascii()), user=st.text(), reason=st.text(min_size=1))
def test_nothing_of_a_text_is_shortened_and_a_line_is_one_line(new, user, reason):
    put = Put(PUT.time, user, "ws3", "10.0.0.1", "P:Request", new, "", "refused", reason)
    assert put.line().isascii()
    assert not {"\n", "\r"} & set(put.line())
    told = json.loads(put.line())
    expected = new if isinstance(new, str) else new.decode()
    assert (told["new"], told["user"], told["reason"]) == (expected, user, reason)


# --- a file


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


def test_file_that_was_rotated_away_is_begun_anew(tmp_path):
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


def test_file_whose_folder_is_gone_for_a_while_is_written_again(tmp_path):
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


def test_file_on_a_disk_that_is_full_has_whole_lines_alone(tmp_path):
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


# --- the journal


@pytest.fixture
def journal(tmp_path):
    """What systemd listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "socket"))
        listening.settimeout(TIMEOUT)
        yield listening


def received(journal):
    """Receive an entry, and read it by systemd's native protocol."""
    data, files, _, _ = socket.recv_fds(journal, 1_000_000, 1)
    if files:
        with os.fdopen(files[0], "rb") as file:
            file.seek(0)
            data = file.read()
    fields = {}
    while data:
        name, _, data = data.partition(b"\n")
        size = int.from_bytes(data[:8], "little")
        fields[name.decode()], end, data = data[8 : 8 + size].decode(), data[8 + size : 9 + size], data[9 + size :]
        assert end == b"\n"
    return fields


@pytest.mark.parametrize("new", [0.3, LONG], ids=["short", "longer than a datagram"])
def test_journal_is_given_fields_to_search_by_and_the_whole_line(journal, new):
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


@pytest.fixture
def logger(request):
    """A logger that writes to the journal alone."""
    logger = logging.getLogger(f"ponikeeper.{request.node.name}")
    logger.propagate, logger.level = False, logging.DEBUG
    yield logger
    for handler in [each for each in logger.handlers if isinstance(each, JournalHandler)]:
        logger.removeHandler(handler)
        handler._journal.close()


def test_what_is_logged_has_its_level_its_logger_and_its_place(journal, logger):
    logger.addHandler(JournalHandler(Journal(Path(journal.getsockname()))))
    try:
        Path("/nowhere/ponikeeper.sqlite").read_bytes()
    except OSError:
        logger.exception("store of %s", "P:")
    logger.debug("small")
    fields = received(journal)
    assert fields["MESSAGE"].startswith("store of P:\nTraceback")
    assert fields["MESSAGE"].endswith("No such file or directory: '/nowhere/ponikeeper.sqlite'")
    assert (fields["PRIORITY"], fields["PONIKEEPER_LOGGER"]) == ("3", logger.name)
    assert fields["CODE_FILE"] == __file__
    assert received(journal)["PRIORITY"] == "7"


def test_what_the_journal_does_not_take_is_told_on_stderr(tmp_path, capsys, logger):
    logger.addHandler(JournalHandler(Journal(tmp_path / "gone")))
    logger.error("store")
    assert capsys.readouterr().err == f"ERROR {logger.name}: store\n"


# --- which of them


def test_log_is_the_file_that_is_named(tmp_path):
    (tmp_path / "log").mkdir()
    sink = make_sink("log/puts", tmp_path)
    assert isinstance(sink, FileSink)
    sink.close()
    assert (tmp_path / "log/puts").exists()


def test_without_a_name_it_is_the_journal_that_systemd_gives_or_nothing(journal, monkeypatch, tmp_path):
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    monkeypatch.setattr(taking, "JOURNAL", Path(journal.getsockname()))
    assert make_sink(None, tmp_path) is None
    monkeypatch.setenv("JOURNAL_STREAM", "8:12345")
    sink = make_sink(None, tmp_path)
    assert isinstance(sink, JournalSink)
    sink.close()


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("journal", 'putlog = "journal": .*socket is not there: expected a host with systemd, or a file'),
        ("none/puts", r'putlog = "none/puts": .*No such file.*expected "journal" or a file in a folder that is there'),
    ],
)
def test_log_that_cannot_be_opened_is_told_at_the_start(named, told, tmp_path, monkeypatch):
    monkeypatch.setattr(taking, "JOURNAL", tmp_path / "socket")
    with pytest.raises(ConfigError, match=told):
        make_sink(named, tmp_path)
