"""The status while the server of a link is killed, hangs, has no number, or has other values when it is back."""

import contextlib
import json
import os
import signal
import time

import pytest

from live import wait_for
from motion import WAY, Record, move
from speak import commit_text, put, request

DETECTOR = "{Det:1}Calib:"
NEAR, FAR = 1000.0, 1500.0

NOTICED = 7.0
"""Time within which a server that hangs must be noticed (s)."""

RECOVERED = 30.0
"""Time within which the status must be right again (s)."""


@pytest.fixture(scope="module")
def outage(make_ioc_for_module, motors):
    """Yield an IOC calibrated at `near` and `far`, its motor at `near`, and the record of what clients see."""
    motors.kill()
    motors.mode = 1.0
    motors.start()
    rows = motors.link("z", "Z:RBV", moving="Z:MOVN") + motors.link("mode", "Mode", kind="equal")
    with patient(make_ioc_for_module, motors, rows) as (ioc, record):
        record.until_seen(1.0, "mode", moving=False)
        for place, label in ((FAR, "far"), (NEAR, "near")):
            move(motors, place)
            record.until_seen(place, moving=False)
            assert request(ioc.prefix, commit_text(label, position="now", label=label))["outcome"] == "accepted"
            record.until(status="VALID", label=label)
        yield ioc, motors, record


@contextlib.contextmanager
def patient(make_ioc_for_module, motors, rows):
    """Run an IOC of a site that has set a longer connection timeout for all its clients."""
    environment = {"EPICS_CA_CONN_TMO": "30"}
    more = {DETECTOR: "settle = 0.2\n" + rows}
    ioc = make_ioc_for_module(
        detectors=(DETECTOR,), more=more, environment=environment, other_ports=(motors.port,)
    ).start()
    with Record(ioc.prefixes, {}) as record:
        yield ioc, record


def links(record):
    (prefix,) = record.prefixes
    return {row["name"]: row for row in json.loads(record.seen[f"{prefix}Links_RBV"][-1].value)["links"]}


def valid_after(record, since, until):
    """Return time and status of the snapshots that had VALID at or after a time."""
    (prefix,) = record.prefixes
    said = [(seen.at, words["status"]) for seen, words in record.snapshots(prefix)]
    held = [item for item in said if item[0] <= since < until][-1:]
    return [item for item in (*held, *(item for item in said if since < item[0] <= until)) if item[1] == "VALID"]


def outlast(record, begin, end, limit=WAY, **wanted):
    """Run an outage; return after how long it was noticed, and after how long the status was right again (s)."""
    serial = record.now(record.prefixes[0])["serial"]
    began = time.time()
    begin()
    began = max(began, time.time()) if limit == WAY else began
    noticed = record.until(status="UNKNOWN")
    ended = time.time()
    end()
    back = time.time()
    recovered = record.until(RECOVERED, **(wanted or {"status": "VALID"}))
    assert valid_after(record, began + limit, ended) == []
    assert record.now(record.prefixes[0])["serial"] == serial  # nothing follows from an outage
    print(f"noticed after {noticed:.2f} s, right again after {recovered + back - ended:.2f} s")
    return noticed, recovered


def restart(motors, place=NEAR):
    """Return a function that starts the server again, with its motor at a place from the first update on."""

    def start():
        motors.place = place
        motors.start()

    return start


def kill(outage, times):
    _, motors, record = outage
    for _ in range(times):
        outlast(record, motors.kill, restart(motors))


def hang(outage, times):
    _, motors, record = outage
    for _ in range(times):
        outlast(
            record,
            lambda: motors.signal(signal.SIGSTOP),
            lambda: motors.signal(signal.SIGCONT),
            limit=NOTICED,
        )


def say_nan(outage, times):
    _, motors, record = outage
    for _ in range(times):
        outlast(
            record,
            lambda: put(motors.pv("Z:RBV"), float("nan")),
            lambda: put(motors.pv("Z:RBV"), NEAR),
        )


def test_status_is_unknown_while_a_server_hangs_or_has_no_number(outage):
    hang(outage, 1)
    say_nan(outage, 2)


@pytest.mark.campaign
def test_status_is_unknown_through_ten_outages_of_each_kind(outage):
    kill(outage, 10)
    hang(outage, 10)
    say_nan(outage, 10)


def test_link_that_is_back_elsewhere_and_as_a_text_is_unknown_then_moved_and_nothing_follows(outage):
    ioc, motors, record = outage
    near = record.now(ioc.prefix)["revision"]

    def come_back_as_a_text():
        motors.mode = "idle"
        restart(motors)()
        wait_for(lambda: links(record)["mode"]["error"] and links(record)["z"]["value"] == NEAR)
        motors.kill()
        wait_for(lambda: not links(record)["z"]["connected"])

    def come_back_elsewhere():
        motors.mode = 1.0
        restart(motors, FAR)()

    def die_twice():
        motors.kill()
        come_back_as_a_text()

    outlast(record, die_twice, come_back_elsewhere, status="MOVED", revision=near)
    move(motors, NEAR)
    record.until(status="VALID", revision=near)
    move(motors, FAR)
    record.until(status="VALID", label="far")
    move(motors, NEAR)
    record.until(status="VALID", revision=near)


@pytest.mark.campaign
@pytest.mark.parametrize("mode", ["idle", "busy"])
def test_status_is_right_soon_after_a_minute_without_packets(mode):
    import subprocess

    import dropping
    import namespaces

    reason = namespaces.why_not()
    if reason is not None:
        pytest.skip(f"no networks can be made here: {reason}")
    ran = subprocess.run(dropping.command(60.0, mode), check=True, capture_output=True, text=True, env=os.environ)
    found = json.loads(ran.stdout)
    print(mode, found)
    assert found["noticed"] < NOTICED
    assert found["statuses"] == ["UNKNOWN"]
    assert found["recovered"] < RECOVERED
