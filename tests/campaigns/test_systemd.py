"""The unit under a real systemd: killed, stopped, ended, and with a full disk."""

import json
import time

import pytest

from live import wait_for
from machine import ROOT, booted
from ponikeeper.geometry import Geometry, poni
from speak import GEOMETRY

pytestmark = pytest.mark.campaign

UNIT = "ponikeeper@28id1.service"
PREFIX = "XF:28ID1-ES{Det:PE1}Calib:"
CONFIG = f"""
[ioc]
prefix = "XF:28ID1-CT{{IOC:Calib}}"
interfaces = ["127.0.0.1"]

[[detector]]
prefix = "{PREFIX}"

[[detector.link]]
name = "z"
pv = "XF:28ID1-CT{{IOC:Calib}}PROCESS_ID"
kind = "motor"
units = "mm"
tolerance = 0.5
"""
_LINKS = """
import asyncio, json, sys, aioca
text = asyncio.run(aioca.caget(sys.argv[1] + "Links_RBV", datatype=aioca.DBR_CHAR_STR))
print(json.loads(text)["links"][0]["value"])
"""
STATE = "/var/lib/private/ponikeeper"


@pytest.fixture(scope="module")
def machine():
    """Yield a machine with the unit, a configuration and a small disk for the history."""
    with booted("ioc") as machine:
        (machine.root / "etc/ponikeeper").mkdir(exist_ok=True)
        (machine.root / "etc/ponikeeper/28id1.toml").write_text(CONFIG)
        for name, dist in (("near", 0.2), ("far", 1.0)):
            text = poni.write(Geometry.parse({**GEOMETRY, "dist": dist}))
            (machine.root / f"root/{name}.poni").write_text(text)
        for unit in (ROOT / "deploy/systemd").glob("*@.*"):
            (machine.root / "etc/systemd/system" / unit.name).write_text(unit.read_text())
        machine.run("mkdir", "-p", STATE)
        machine.run("mount", "-t", "tmpfs", "-o", "size=4m", "none", STATE)
        machine.run("systemctl", "daemon-reload")
        yield machine


@pytest.fixture
def served(machine):
    """The machine with the unit started and an active geometry."""
    machine.run("systemctl", "start", UNIT)
    machine.ponikeeper("put", PREFIX, "/root/near.poni", "--label", "near")
    yield machine
    machine.run("systemctl", "stop", UNIT)


def active(machine):
    """Return the active revision and its values, without what the comments say of the status, which may just pass."""
    first, *lines = machine.ponikeeper("get", PREFIX).splitlines()
    return [first.split()[:3], *(line for line in lines if not line.startswith("#"))]


def main_pid(machine):
    return int(machine.property(UNIT, "MainPID"))


def back_after(machine, signal):
    """Send a signal to the service, and return how long it takes until its next process is ready (s)."""
    before, began = main_pid(machine), time.monotonic()
    machine.run("kill", f"-{signal}", str(before))
    wait_for(
        lambda: machine.property(UNIT, "ActiveState") == "active" and main_pid(machine) not in (0, before),
        timeout=60,
        what="the restart",
    )
    return time.monotonic() - began


def test_killed_service_is_back_with_its_values(served):
    before = active(served)
    seconds = back_after(served, "KILL")
    print(f"\nSIGKILL: ready again after {seconds:.1f} s")
    assert active(served) == before
    assert seconds < 10


def test_stopped_service_is_restarted_by_the_watchdog(served):
    before = active(served)
    seconds = back_after(served, "STOP")
    print(f"\nSIGSTOP: ready again after {seconds:.1f} s")
    assert active(served) == before
    assert seconds < 20
    assert "watchdog" in served.run("journalctl", "--no-pager", "-u", UNIT).lower()


def test_watchdog_does_not_restart_a_service_that_works(served):
    before, began = main_pid(served), time.monotonic()
    wait_for(lambda: time.monotonic() - began > 35, timeout=60)  # more than twice what the watchdog allows
    assert main_pid(served) == before


def test_service_stops_soon_after_sigterm(served):
    began = time.monotonic()
    served.run("systemctl", "kill", "--signal=SIGTERM", "--kill-who=main", UNIT)
    served.run("systemctl", "stop", UNIT)
    seconds = time.monotonic() - began
    print(f"\nSIGTERM: gone after {seconds:.2f} s")
    assert served.property(UNIT, "ActiveState") == "inactive"
    assert seconds < 2


def test_full_disk_is_an_alarm_refuses_puts_and_is_recovered_from(served):
    before = active(served)
    served.run("dd", "if=/dev/zero", f"of={STATE}/ballast", "bs=4096", check=False)
    put = ("/opt/ponikeeper/bin/ponikeeper", "put", PREFIX, "/root/far.poni")
    served.run(*put, check=False)
    wait_for(lambda: "full" in served.run("journalctl", "--no-pager", "-t", "ponikeeper-put"), what="the refusal")
    assert active(served) == before
    served.run("rm", f"{STATE}/ballast")
    wait_for(lambda: "is active" in served.run(*put, check=False), what="the recovery")
    assert active(served) != before


def test_linked_pv_is_watched_within_the_rights_of_the_unit(served):
    """The unit must allow what libca and the callbacks of ctypes need; the linked PV is one of the IOC's own."""
    links = ("/opt/ponikeeper/bin/python3", "-c", _LINKS, PREFIX)
    wait_for(lambda: served.run(*links).strip() == str(float(main_pid(served))), what="the value of the link")


def test_backup_is_made_while_it_is_served_and_verified(served):
    served.run("systemctl", "enable", "--now", "ponikeeper-backup@28id1.timer")
    served.run("systemctl", "start", "ponikeeper-backup@28id1.service")
    output = served.run("journalctl", "--no-pager", "-o", "cat", "-u", "ponikeeper-backup@28id1.service")
    assert f" of {PREFIX}" in output
    made = served.run("ls", "/var/backups/ponikeeper").split()
    assert "OK, schema version" in served.ponikeeper("verify", f"/var/backups/ponikeeper/{made[-1]}")
    assert "ponikeeper-backup@28id1.timer" in served.run("systemctl", "list-timers", "--no-pager")


def test_put_log_is_in_the_journal_with_fields_to_search_by(served):
    lines = served.run(
        "journalctl", "--no-pager", "-o", "cat", "-t", "ponikeeper-put", "PONIKEEPER_OUTCOME=accepted"
    ).splitlines()
    record = json.loads(lines[-1])
    assert (record["outcome"], record["user"], record["pv"]) == ("accepted", "root", f"{PREFIX}Request")


def test_store_is_moved_to_another_disk_by_a_backup_and_a_mount(served):
    """As the page about the store says; the new disk belongs to root until the unit starts."""
    before, folder = active(served), f"{STATE}/28id1"
    served.run("systemctl", "stop", UNIT)
    state = "STATE_DIRECTORY=/var/lib/ponikeeper/28id1"
    program = "/opt/ponikeeper/bin/ponikeeper"
    served.run("env", state, program, "backup", "/etc/ponikeeper/28id1.toml", "-o", "/root/new-disk")
    served.run("mount", "-t", "tmpfs", "none", STATE)
    served.run("mkdir", folder)
    served.run("bash", "-c", f"cp /root/new-disk/28id1.*.sqlite {folder}/ponikeeper.sqlite")
    served.run("env", state, program, "check", "/etc/ponikeeper/28id1.toml")
    served.run("systemctl", "start", UNIT)
    assert active(served) == before
    assert "is active" in served.ponikeeper("put", PREFIX, "/root/far.poni")
    assert served.property(UNIT, "DynamicUser") == "yes"
    assert served.run("stat", "-c", "%U", f"{folder}/ponikeeper.sqlite").strip() != "root"


@pytest.mark.parametrize(
    ("code", "breaking", "mending", "reason"),
    [
        ("2", "echo '[ioc' >> {config}", "sed -i '$d' {config}", "28id1.toml"),
        ("4", "cd {state}; mv ponikeeper.sqlite kept; head -c 8192 /dev/urandom > ponikeeper.sqlite",
         "cd {state}; mv kept ponikeeper.sqlite", "ponikeeper.sqlite"),
    ],
    ids=["configuration", "store"],
)  # fmt: skip
def test_service_that_a_person_must_mend_is_not_restarted(served, code, breaking, mending, reason):
    places = {"config": "/etc/ponikeeper/28id1.toml", "state": f"{STATE}/28id1"}
    served.run("systemctl", "stop", UNIT)
    served.run("bash", "-c", breaking.format(**places))
    try:
        served.run("systemctl", "start", UNIT, check=False)
        ended = [served.property(UNIT, name) for name in ("ActiveState", "ExecMainStatus", "NRestarts")]
    finally:
        served.run("bash", "-c", mending.format(**places))
        served.run("systemctl", "reset-failed", UNIT, check=False)
    assert ended == ["failed", code, "0"]
    assert reason in served.run("journalctl", "--no-pager", "-o", "cat", "-n", "20", "-u", UNIT)
    served.run("systemctl", "start", UNIT)


def test_put_log_that_is_a_file_is_written_and_the_port_taken_from_the_environment_file(machine):
    """A second instance runs as another user, with its own folder and port."""
    config = CONFIG.replace("PE1", "PE2").replace("[ioc]", '[ioc]\nputlog = "/var/log/ponikeeper/28id2/puts"')
    (machine.root / "etc/ponikeeper/28id2.toml").write_text(config)
    (machine.root / "etc/ponikeeper/28id2.env").write_text("EPICS_CA_SERVER_PORT=5066\n")
    machine.run("systemctl", "start", "ponikeeper@28id2.service")
    prefix = PREFIX.replace("PE1", "PE2")
    machine.run("env", "EPICS_CA_SERVER_PORT=5066", "/opt/ponikeeper/bin/ponikeeper", "put", prefix, "/root/near.poni")
    (line,) = machine.run("cat", "/var/log/ponikeeper/28id2/puts").splitlines()
    assert (json.loads(line)["outcome"], json.loads(line)["pv"]) == ("accepted", f"{prefix}Request")
    machine.run("systemctl", "stop", "ponikeeper@28id2.service")
