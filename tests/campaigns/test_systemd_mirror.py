"""The unit of the mirror under a real systemd: outages, mistakes in the configuration, its end."""

import contextlib
import sys
from pathlib import Path

import pytest

from live import wait_for
from machine import ROOT, booted
from ponikeeper.geometry import Geometry, poni
from speak import GEOMETRY

pytestmark = pytest.mark.campaign

IOC, MIRROR, TILED = "ponikeeper@28id1.service", "ponikeeper-mirror@28id1.service", "tiled.service"
PREFIX = "XF:28ID1-ES{Det:PE1}Calib:"
CONFIG = f"""
[ioc]
prefix = "XF:28ID1-CT{{IOC:Calib}}"
interfaces = ["127.0.0.1"]

[[detector]]
prefix = "{PREFIX}"
"""
KEY = "secret0123456789"
ENVIRONMENT = f"PONIKEEPER_MIRROR=http://127.0.0.1:8000\nTILED_API_KEY={KEY}\n"
SETTINGS = "[Service]\nRestartSec=2\nExecStart=\n"
"""So that the test need not wait for half a minute between restarts, nor ten between copies."""


@pytest.fixture(scope="module")
def machine():
    """Yield a machine with an IOC and its first geometry, the unit of the mirror, and a catalog of Tiled."""
    with booted("ioc", "client", "catalog") as machine:
        etc = machine.root / "etc"
        (etc / "ponikeeper").mkdir(exist_ok=True)
        (etc / "ponikeeper/28id1.toml").write_text(CONFIG)
        (etc / "ponikeeper/mirror.env").write_text(ENVIRONMENT)
        for unit in (ROOT / "deploy/systemd").glob("*@.*"):
            (etc / "systemd/system" / unit.name).write_text(unit.read_text())
        (command,) = [
            line
            for line in (ROOT / "deploy/systemd/ponikeeper-mirror@.service").read_text().splitlines()
            if line.startswith("ExecStart=")
        ]
        drop_in = etc / f"systemd/system/{MIRROR}.d/quick.conf"
        drop_in.parent.mkdir()
        drop_in.write_text(SETTINGS + command.replace("--every 600", "--every 2") + "\n")
        tiled = Path(sys.executable).parent / "tiled"
        (etc / "systemd/system" / TILED).write_text(
            f"[Service]\nExecStart={tiled} serve catalog /root/catalog.db --init --api-key {KEY} --write /root/files\n"
        )
        (machine.root / "root/near.poni").write_text(poni.write(Geometry.parse(GEOMETRY)))
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "start", IOC)
        machine.ponikeeper("put", PREFIX, "/root/near.poni", "--label", "near")
        yield machine


@pytest.fixture
def stopped(machine):
    """The machine, whose mirror is stopped before and after the test."""
    yield machine
    machine.run("systemctl", "stop", MIRROR, TILED)
    machine.run("systemctl", "reset-failed", MIRROR, check=False)


def journal(machine, unit=MIRROR):
    return machine.run("journalctl", "--no-pager", "-o", "cat", "-u", unit)


@contextlib.contextmanager
def edited(machine, name, text):
    """Write another text into a file of the configuration for the duration of the block."""
    path = machine.root / "etc/ponikeeper" / name
    before = path.read_text()
    path.write_text(text)
    try:
        yield
    finally:
        path.write_text(before)


def test_started_before_tiled_it_waits_and_copies(stopped):
    stopped.run("systemctl", "start", MIRROR)
    wait_for(lambda: int(stopped.property(MIRROR, "NRestarts")) >= 2, timeout=120, what="restarts without Tiled")
    assert "the catalog http://127.0.0.1:8000 cannot be opened" in journal(stopped)
    stopped.run("systemctl", "start", TILED)
    wait_for(lambda: f"{PREFIX}: 2 new records, 2 in all" in journal(stopped), timeout=120, what="the copy")
    assert KEY not in journal(stopped)


def test_outage_of_tiled_and_a_kill_are_survived(stopped):
    stopped.run("systemctl", "start", TILED)
    stopped.run("systemctl", "start", MIRROR)
    wait_for(lambda: "0 new records, 2 in all" in journal(stopped), timeout=120, what="the copy that adds nothing")
    before = stopped.property(MIRROR, "MainPID")
    stopped.run("systemctl", "stop", TILED)
    wait_for(lambda: "catalog: " in journal(stopped), timeout=60, what="the report of the outage")
    stopped.ponikeeper("set", PREFIX, "dist=0.3")
    stopped.run("systemctl", "start", TILED)
    wait_for(lambda: "2 new records, 4 in all" in journal(stopped), timeout=120, what="the copy after it")
    assert stopped.property(MIRROR, "MainPID") == before
    assert journal(stopped).count("catalog: ") == 1
    stopped.run("kill", "-KILL", before)
    stopped.ponikeeper("set", PREFIX, "dist=0.31")
    wait_for(lambda: "2 new records, 6 in all" in journal(stopped), timeout=120, what="the copy after the kill")
    stopped.run("systemctl", "stop", MIRROR)
    assert stopped.property(MIRROR, "ActiveState") == "inactive"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("28id1.toml", "[ioc\n", "expected the configuration of an IOC"),
        ("mirror.env", "TILED_API_KEY=x\n", "there is no catalog without a name"),
    ],
)
def test_mistake_waits_for_a_person(stopped, name, text, reason):
    with edited(stopped, name, text):
        stopped.run("systemctl", "start", MIRROR, check=False)
        wait_for(lambda: stopped.property(MIRROR, "ActiveState") == "failed", timeout=60, what="the end")
    assert (stopped.property(MIRROR, "ExecMainStatus"), stopped.property(MIRROR, "NRestarts")) == ("2", "0")
    assert reason in journal(stopped)
