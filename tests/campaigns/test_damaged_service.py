"""The service on a damaged store: one sentence and exit code 4, or the last good geometry with an alarm."""

import subprocess

import caproto as ca
import pytest

from live import TIMEOUT, wait_for
from ponikeeper.store.schema import journal_of
from stores import GEOMETRY, large_store, small_store
from strategies import VALUES
from wire import Wire, new_request


def served(ioc) -> subprocess.CompletedProcess[str]:
    """Try to serve, in the environment of a user."""
    quiet = {**ioc.environment(), "PYTHONWARNINGS": "ignore"}
    return subprocess.run(ioc.command(), env=quiet, capture_output=True, text=True, timeout=TIMEOUT)


def flip(path, position: int) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[position] ^= 0x55
    path.write_bytes(damaged)


def truncate(path) -> None:
    path.write_bytes(path.read_bytes()[:-512])


def lose(path) -> None:
    journal_of(path).write_bytes(b"left")
    path.unlink()


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: flip(path, 100), "is damaged"),
        (lambda path: flip(path, path.read_bytes().rindex(b'"method"')), "the checksum of"),
        (truncate, "is damaged"),
        (lambda path: path.write_bytes(b""), "it is empty"),
        (lose, "is gone, but its journal"),
    ],
)
def test_serving_a_damaged_store_ends_with_one_sentence_and_code_4(make_ioc, damage, expected):
    ioc = make_ioc()
    damage(small_store(ioc.store))
    left = {file.name: file.read_bytes() for file in ioc.state_dir.iterdir()}
    ended = served(ioc)
    assert ended.returncode == 4, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith(str(ioc.store))
    assert expected in line
    assert ended.stdout == ""
    assert {file.name: file.read_bytes() for file in ioc.state_dir.iterdir()} == left


def test_damage_of_an_old_row_is_found_while_serving_and_ends_all_writing(make_ioc):
    ioc = make_ioc()
    content = large_store(ioc.store, ioc.prefix, 10_000).read_bytes()
    position = content.index(b"2026-11-22T09:30:03.250000Z") + 3  # of one of the oldest rows
    flip(ioc.store, position)
    with Wire(ioc.start().port) as wire:
        status, message = (f"{ioc.name}{{IOC}}Storage:{name}_RBV" for name in ("Status", "Message"))
        wait_for(lambda: wire.get_text(status) == "FAILED", what="the alarm")
        assert wire.get_severity(status) is ca.AlarmSeverity.MAJOR_ALARM
        expected = wire.get_text(message)
        assert expected.startswith(f"{ioc.store} is damaged (")
        before = wire.snapshot(ioc.prefix)
        assert (before.revision, before.geometry) == (10_000, GEOMETRY)
        result = wire.transact(ioc.prefix, new_request({"dist": 0.7}))
        assert result.outcome == "refused"
        assert "is damaged" in result.errors[0]
        assert wire.snapshot(ioc.prefix) == before
        assert wire.get_text(message) == expected


def test_byte_that_flips_while_serving_is_found_and_ends_all_writing(make_ioc):
    ioc = make_ioc()
    with Wire(ioc.start().port) as wire:
        for number in range(3):
            assert wire.transact(ioc.prefix, new_request({**VALUES, "dist": 0.1 + number / 100})).outcome == "accepted"
        status = f"{ioc.name}{{IOC}}Storage:Status_RBV"
        assert wire.get_text(status) == "OK"
        with ioc.store.open("r+b") as file:
            file.seek(ioc.store.read_bytes().rindex(b'"dist"'))
            file.write(b"'")
        wait_for(lambda: wire.get_text(status) == "FAILED", what="the alarm")
        assert wire.transact(ioc.prefix, new_request({"dist": 0.7})).outcome == "refused"
        assert wire.snapshot(ioc.prefix).revision == 3
