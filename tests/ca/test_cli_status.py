"""The commands status, record-position and follow against a live IOC."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from live import TIMEOUT, wait_for
from ponikeeper.protocol import Status
from speak import commit_text, get, put, request, results, snapshot

VALID, MOVED, UNSET, GOING, CROWDED, ALONE = DETECTORS = tuple(f"{{Det:{name}}}Calib:" for name in range(6))
UNSERVED = "NOWHERE:a:"  # which is no picture of an A


@pytest.fixture(scope="module")
def ioc(make_ioc_for_module, motors):
    """One IOC with a detector for each status; the link Y of one is away from its calibrated position."""
    z, y = "settle = 0.2\n" + motors.link("z", "Z:RBV"), "settle = 0.2\n" + motors.link("y", "Y:RBV", moving="Y:MOVN")
    more = {VALID: z, MOVED: z, UNSET: z, GOING: y, CROWDED: z}
    live = make_ioc_for_module(detectors=DETECTORS, more=more, other_ports=(motors.port,)).start()
    for name, place in ((VALID, {"z": 1000.0}), (MOVED, {"z": 900.0}), (GOING, {"y": 1000.0})):
        text = commit_text("first", position=place, label="far" if name == MOVED else None)
        assert request(live.name + name, text)["outcome"] == "accepted"
    for name, status in ((VALID, "VALID"), (MOVED, "MOVED"), (GOING, "VALID"), (UNSET, "UNSET")):
        wait_for(
            lambda name=name, status=status: snapshot(live.name + name)["status"] == status, what=f"{name} {status}"
        )
    return live


@pytest.fixture
def going(ioc, motors):
    """Prefix of a detector that is VALID, before and after the test."""
    yield ioc.name + GOING
    put(motors.pv("Y:RBV"), 1000.0)
    wait_for(lambda: snapshot(ioc.name + GOING)["status"] == "VALID")


def circuits(port):
    """Count the TCP connections of clients with a server."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


@contextlib.contextmanager
def waiting(ioc, *words):
    """Run ``ponikeeper status`` in a process of its own; it is connected when the block begins."""
    before = circuits(ioc.port)
    process = subprocess.Popen(
        [sys.executable, "-m", "ponikeeper", "status", *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        try:
            wait_for(lambda: circuits(ioc.port) > before or process.poll() is not None)
            assert process.poll() is None, process.stderr.read()
            yield process
        finally:
            process.kill()


def test_status_prints_one_aligned_line_for_each_detector(call, ioc, motors):
    prefixes = [ioc.name + VALID, ioc.name + MOVED, ioc.name + UNSET, UNSERVED]
    done = call("status", *prefixes, "--timeout", 2)
    assert (done.returncode, done.stderr) == (3, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    width = max(map(len, prefixes)) + 2
    assert [line[:width].rstrip() for line in lines] == prefixes
    cells = [line[width:] for line in lines]
    since = [snapshot(prefix)["activated"][:19] + "Z" for prefix in prefixes[:2]]
    assert cells[0] == f"VALID      1        since {since[0]}"
    assert cells[1] == (
        f"MOVED      1 (far)  since {since[1]}  z ({motors.pv('Z:RBV')}) is at 1000 mm, calibrated at 900 mm, "
        "tolerance 0.05 mm"
    )
    assert cells[2].startswith(f"UNSET      -        -{' ' * len(since[0])}       no geometry was ever committed: ")
    assert cells[3].startswith(
        f"no answer  -        -{' ' * len(since[0])}       {UNSERVED}Snapshot_RBV does not answer"
    )


def test_exit_code_of_status_is_0_where_all_are_valid_and_1_where_one_is_not(call, ioc):
    valid, moved, alone = (ioc.name + name for name in (VALID, MOVED, ALONE))
    assert request(alone, commit_text("begin"))["outcome"] == "accepted"
    assert call("status", valid).returncode == 0
    unwatched = call("status", valid, alone)
    assert unwatched.returncode == 0
    assert "nothing checks this geometry" in unwatched.stdout
    assert call("status", valid, moved).returncode == 1
    twice = call("status", valid, valid)
    assert (twice.returncode, len(twice.stdout.splitlines())) == (0, 1)


def test_status_json_is_a_list_of_snapshots(call, ioc):
    done = call("status", ioc.name + MOVED, UNSERVED, ioc.name + VALID, "--json", "--timeout", 1)
    moved, silent, valid = json.loads(done.stdout)
    assert done.returncode == 3
    assert (moved, valid) == (snapshot(ioc.name + MOVED), snapshot(ioc.name + VALID))
    assert (silent["prefix"], silent["status"]) == (UNSERVED, None)
    assert "does not answer within 1 s" in silent["reason"]


def test_silent_detectors_are_waited_for_together(call):
    began = time.monotonic()
    done = call("status", *(f"NOWHERE{number}:" for number in range(20)), "--timeout", 1)
    assert (done.returncode, len(done.stdout.splitlines())) == (3, 20)
    assert time.monotonic() - began < 6.0


def test_wait_ends_at_once_if_the_status_is_reached_already(call, ioc):
    done = call("status", ioc.name + VALID, "--wait", "valid")
    assert (done.returncode, done.stderr) == (0, "")
    assert "VALID" in done.stdout
    moved = call("status", ioc.name + MOVED, "--wait", "MOVED")
    assert (moved.returncode, moved.stderr) == (0, "")


def test_wait_ends_when_all_have_the_status(ioc, motors, going):
    put(motors.pv("Y:RBV"), 1005.0)
    wait_for(lambda: snapshot(going)["status"] == "MOVED")
    with waiting(ioc, ioc.name + VALID, going, "--wait", "VALID", "--timeout", "20") as process:
        put(motors.pv("Y:RBV"), 1000.0)
        out, errors = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, errors) == (0, "")
    assert [line.split()[1] for line in out.splitlines()] == ["VALID", "VALID"]


def test_wait_ends_although_the_detector_is_not_valid_then(ioc, motors, going):
    with waiting(ioc, going, "--wait", "MOVED", "--timeout", "20") as process:
        put(motors.pv("Y:RBV"), 1005.0)
        out, errors = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, errors) == (0, "")
    assert "MOVED" in out
    assert f"y ({motors.pv('Y:RBV')}) is at 1005 mm, calibrated at 1000 mm" in out


def test_wait_that_times_out_prints_what_it_waited_for(call, ioc):
    valid, moved = ioc.name + VALID, ioc.name + MOVED
    done = call("status", valid, moved, "--wait", "VALID", "--timeout", 0.5)
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 2)
    assert done.stderr == f"timed out after 0.5 s waiting for VALID: {moved} is MOVED\n"
    silent = call("status", valid, moved, UNSERVED, "--wait", "VALID", "--timeout", 0.5)
    assert silent.returncode == 3
    assert [line.split()[1] for line in silent.stdout.splitlines()] == ["VALID", "MOVED", "no"]
    assert silent.stderr == f"timed out after 0.5 s waiting for VALID: {moved} is MOVED, {UNSERVED} does not answer\n"


def test_wait_that_is_interrupted_is_no_success(ioc):
    with waiting(ioc, ioc.name + VALID, "--wait", "MOVED", "--timeout", "20") as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) not in (0, 3)


def test_wait_ends_at_its_timeout_although_the_ioc_hangs(ioc):
    """At exit, the library would wait until the IOC closes the circuit."""
    try:
        with waiting(ioc, ioc.name + VALID, UNSERVED, "--wait", "VALID", "--timeout", "2") as process:
            began = time.monotonic()
            ioc.signal(signal.SIGSTOP)
            assert process.wait(TIMEOUT) == 3
            assert time.monotonic() - began < 6.0
    finally:
        ioc.signal(signal.SIGCONT)
    assert snapshot(ioc.name + VALID)["status"] == "VALID"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            ("--wait", "GOOD"),
            f"--wait GOOD is not a status: expected one of {' '.join(Status.__members__)}\n",
        ),
        (("--timeout", "0"), "--timeout 0 is not allowed: expected seconds, more than 0\n"),
        (("--timeout", "nan"), "--timeout nan is not allowed: expected seconds, more than 0\n"),
    ],
    ids=str,
)
def test_unknown_status_is_a_usage_error(call, words, reason):
    done = call("status", "P:", *words)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", reason)


def test_status_of_nothing_is_a_usage_error(call):
    assert call("status").returncode == 2


def test_watch_and_show_print_the_reason_where_the_geometry_is_not_valid(call, ioc, motors, going):
    process = subprocess.Popen(
        [sys.executable, "-m", "ponikeeper", "watch", going], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline().endswith(" VALID serial 1 revision 1 dist 234.5 mm\n")
        put(motors.pv("Y:RBV"), 1005.0)
        line = next(line for line in process.stdout if " MOVED " in line and " not for long" not in line)
        moved = f"y ({motors.pv('Y:RBV')}) is at 1005 mm, calibrated at 1000 mm, tolerance 0.05 mm"
        assert line.endswith(f"dist 234.5 mm: {moved}\n")
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 0
    shown = " ".join(call("show", going, COLUMNS="200").stdout.split())
    assert moved in shown


def test_here_records_the_present_position_for_the_active_geometry(call, ioc):
    prefix = ioc.name + CROWDED
    assert request(prefix, commit_text("first", label="near"))["revision"] == 1
    assert snapshot(prefix)["position"] is None
    done = call("record-position", prefix)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (f"{prefix} revision 2 is active (serial 2) and may be used: VALID\nposition: z 1000.0 mm\n")
    assert snapshot(prefix)["position"] == {"z": {"value": 1000.0, "units": "mm"}}
    again = call("record-position", prefix, "--json")
    assert json.loads(again.stdout).items() >= results(prefix)[0].items()
    assert json.loads(again.stdout)["revision"] == 2  # nothing changed


def test_here_is_refused_without_an_active_geometry_or_position(call, ioc):
    unset, alone = call("record-position", ioc.name + UNSET), call("record-position", ioc.name + ALONE)
    assert (unset.returncode, unset.stdout) == (1, "")
    assert unset.stderr.startswith("no revision is active yet, so RecordPosition has no geometry to record: ")
    assert request(ioc.name + ALONE, commit_text("again"))["revision"] == 1
    alone = call("record-position", ioc.name + ALONE)
    assert (alone.returncode, alone.stdout) == (1, "")
    assert alone.stderr == "the configuration has no links, so there is no position that RecordPosition could record\n"


def test_follow_switches_and_prints(call, ioc):
    prefix = ioc.name + VALID
    says = "follows the links to known positions"
    assert call("follow", prefix).stdout == f"{prefix} {says}\n"
    off = call("follow", prefix, "off")
    active = f"{prefix} revision {snapshot(prefix)['revision']} is active (serial {snapshot(prefix)['serial']})"
    first, second = off.stdout.splitlines()
    assert (off.returncode, first) == (0, f"{prefix} does not follow the links from now on")
    assert second.startswith(f"{active} and may be used: VALID")
    assert get(f"{prefix}Follow_RBV") == 0
    assert call("follow", prefix).stdout == f"{prefix} does not follow the links\n"
    assert json.loads(call("follow", prefix, "--json").stdout) == {"prefix": prefix, "follow": False}
    answer = json.loads(call("follow", prefix, "on", "--json").stdout)
    assert answer.items() >= results(prefix)[0].items()
    assert (answer["status"], answer["applies"], answer["next"]) == ("VALID", True, None)
    assert get(f"{prefix}Follow_RBV") == 1
    assert call("follow", prefix, "ON").stdout.startswith(f"{prefix} {says} from now on\n{active} and may be used")
    assert call("follow", prefix, "maybe").returncode == 2


def test_here_and_follow_have_exit_code_3_if_the_ioc_does_not_answer():
    commands = ([sys.executable, "-m", "ponikeeper", verb, UNSERVED] for verb in ("record-position", "follow"))
    with contextlib.ExitStack() as ends:  # they wait together
        processes = [
            ends.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
            for command in commands
        ]
        for process in processes:
            out, errors = process.communicate(timeout=TIMEOUT)
            assert (process.returncode, out) == (3, "")
            assert errors.startswith(f"{UNSERVED}")
            assert "does not answer within 5 s" in errors
