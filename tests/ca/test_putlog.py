"""The put log of a live IOC: a line for every put, in the order of the replies, on disk before the reply is sent."""

import contextlib
import json
import threading
from collections import Counter

import aioca
import caproto as ca
import pytest
from caproto import AlarmSeverity, ChannelType

import speak
from live import wait_for
from ponikeeper.store.sqlite_storage import SQLiteStorage
from speak import Wire, commit_text, get
from trouble import fill

OUTCOMES = {ca.WriteNotifyResponse: "accepted", ca.ErrorResponse: "refused"}


@pytest.fixture
def logged(make_ioc, tmp_path):
    """An IOC with a put log in a file of its own, on which every user except eve may write."""
    own = f'putlog = "{tmp_path / "puts"}"'
    return make_ioc(own=own, access='users = ["alice", "bob", "carol", "dave"]').start()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "puts"


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def state(ioc, suffix):
    (found,) = speak.read([f"{ioc.name}{{IOC}}{suffix}"], datatype=aioca.DBR_STRING)
    return str(found), found.severity


def test_accepted_refused_and_denied_puts_are_on_disk_when_they_are_answered(logged, path):
    with Wire(logged.port, user="alice", host="ws3", source="127.0.0.2") as wire:
        request, dist = (wire.channel(logged.prefix + suffix) for suffix in ("Request", "Dist"))
        text = commit_text("first")
        assert isinstance(wire.put(request, text.encode(), ChannelType.CHAR), ca.WriteNotifyResponse)
        (line,) = lines(path)
        assert (line["user"], line["host"], line["address"]) == ("alice", "ws3", "127.0.0.2")
        assert (line["pv"], line["new"], line["outcome"]) == (f"{logged.prefix}Request", text, "accepted")
        assert (line["request"], line["op"], line["revision"], line["serial"]) == ("first", "commit", 1, 1)
        wire.put(dist, [-1.0], ChannelType.DOUBLE)
        line = lines(path)[-1]
        assert (line["new"], line["outcome"]) == (-1.0, "refused")
        assert "dist" in line["reason"]
    with Wire(logged.port, user="eve") as wire:
        wire.put(wire.channel(f"{logged.prefix}Dist"), [0.3], ChannelType.DOUBLE)
        line = lines(path)[-1]
        assert (line["user"], line["outcome"]) == ("eve", "denied")
        assert line["reason"] == f"{logged.prefix}Dist may not be written from here: the access rules forbid it"
        wire.put(wire.channel(f"{logged.prefix}Dist_RBV"), [0.3], ChannelType.DOUBLE)
        line = lines(path)[-1]
        assert (line["user"], line["outcome"]) == ("eve", "refused")
        assert line["reason"].endswith(f"Dist_RBV is a readback and cannot be put: put {logged.prefix}Dist instead")
    assert len(lines(path)) == 4


def test_line_has_the_value_that_the_pv_had_before(logged, path):
    with Wire(logged.port, user="alice") as wire:
        wire.put(wire.channel(f"{logged.prefix}Request"), commit_text().encode(), ChannelType.CHAR)
        wire.put(wire.channel(f"{logged.prefix}Dist"), [0.3], ChannelType.DOUBLE)
    line = lines(path)[-1]
    assert (line["old"], line["new"], line["outcome"]) == (speak.GEOMETRY["dist"], 0.3, "accepted")


def test_puts_without_completion_are_logged_in_their_order(logged, path):
    with Wire(logged.port, user="alice") as wire:
        channel = wire.channel(f"{logged.prefix}Stage:Dist")
        wire.send(*(channel.write([number], data_type=ChannelType.DOUBLE, notify=False) for number in range(1, 51)))
        wait_for(lambda: len(lines(path)) == 50)
    assert [line["new"] for line in lines(path)] == list(range(1, 51))


def test_rotated_log_continues_in_a_new_file(logged, path, tmp_path):
    with Wire(logged.port, user="alice") as wire:
        channel = wire.channel(f"{logged.prefix}Stage:Dist")
        wire.put(channel, [1.0], ChannelType.DOUBLE)
        path.rename(tmp_path / "puts.1")
        wire.put(channel, [2.0], ChannelType.DOUBLE)
    assert [line["new"] for line in lines(tmp_path / "puts.1") + lines(path)] == [1.0, 2.0]


@pytest.fixture
def small_disk(make_small_disk):
    """A file system with space for a few lines."""
    return make_small_disk("64k")


def test_full_disk_is_an_alarm_but_stops_no_put_and_loses_no_line(small_disk, make_ioc):
    path, ballast = small_disk / "puts", small_disk / "ballast"
    ioc = make_ioc(own=f'putlog = "{path}"').start()
    with Wire(ioc.port) as wire:
        channel = wire.channel(f"{ioc.prefix}Stage:Dist")
        distances = [0.1 + number / 1000 for number in range(200)]
        fill(ballast)
        for dist in distances:
            assert isinstance(wire.put(channel, [dist], ChannelType.DOUBLE), ca.WriteNotifyResponse)
        wait_for(lambda: state(ioc, "PutLog:Status_RBV") == ("FAILED", AlarmSeverity.MAJOR_ALARM))
        assert "No space left" in get(f"{ioc.name}{{IOC}}PutLog:Message_RBV")
        assert len(lines(path)) < len(distances)
        ballast.unlink()
        wait_for(lambda: state(ioc, "PutLog:Status_RBV") == ("OK", AlarmSeverity.NO_ALARM))
    assert [line["new"] for line in lines(path)] == distances
    assert ioc.stop() == 0


def write(ioc, user, numbers, answered):
    """Put geometries, some of which are refused, and record the outcome of each."""
    with Wire(ioc.port, user=user) as wire:
        channel = wire.channel(f"{ioc.prefix}Request")
        for number in numbers:
            dist = 0.2 + number * 1e-6 if number % 5 else -1.0
            text = commit_text(
                f"r-{number}",
                geometry=speak.GEOMETRY | {"dist": dist},
                provenance={"comment": "x" * (1 + number % 900)},
            )
            answer = wire.put(channel, text.encode(), ChannelType.CHAR)
            answered[number] = (text, OUTCOMES[type(answer)], user)


def campaign(ioc, path, count):
    """Put from four clients at once: every put must have its line, and each accepted one its row of the history."""
    users, answered = ("alice", "bob", "carol", "dave"), {}
    shares = [range(begin, count, len(users)) for begin in range(len(users))]
    threads = [threading.Thread(target=write, args=(ioc, *each, answered)) for each in zip(users, shares, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ioc.kill()  # every put that was answered must be on disk
    found = {line["new"]: line for line in lines(path)}
    assert len(lines(path)) == len(found) == len(answered) == count
    with contextlib.closing(SQLiteStorage(ioc.store)) as storage:
        wrong = [number for number, put in answered.items() if not is_right(found.pop(put[0]), number, put, storage)]
        rows = storage.count(ioc.prefix)
    kinds = Counter(outcome for _, outcome, _ in answered.values())
    print(f"\n{count} puts of four clients: {dict(kinds)}, {rows} rows; {len(wrong)} lost, {len(found)} of no put")
    assert (wrong, found, rows) == ([], {}, kinds["accepted"])


def is_right(line, number, put, storage):
    """Return whether a line agrees with the reply that the client received, and with the history."""
    _, outcome, user = put
    if (line["outcome"], line["user"]) != (outcome, user):
        return False
    answer = storage.answer(line["pv"].removesuffix("Request"), f"r-{number}")
    if outcome == "refused":
        return answer is None and "dist" in line["reason"] and "revision" not in line
    row = (line["request"], line["revision"], line["serial"])
    return answer is not None and row == (f"r-{number}", answer.revision, answer.serial)


def test_every_put_has_its_line_and_every_accepted_one_its_row_of_the_history(logged, path):
    campaign(logged, path, 200)


@pytest.mark.campaign
def test_ten_thousand_puts_have_their_lines_and_the_accepted_ones_their_rows(logged, path):
    campaign(logged, path, 10_000)
