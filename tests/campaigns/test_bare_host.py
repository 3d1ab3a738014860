"""The commands of deploy/README.md, exactly as written there, on a Debian with only its base system."""

import re
import shutil
import subprocess
import sys
import time

import pytest

from machine import ROOT, make_debian, running
from ponikeeper.geometry import Geometry, poni
from speak import GEOMETRY

pytestmark = pytest.mark.campaign

PREFIX = "XF:28ID1-ES{Det:PE1}Calib:"
EDIT = r"sed -i '/^\[\[detector.link\]\]/,/^$/d' /etc/ponikeeper/28id1.toml"
"""What "edit it" is here: the host has no motors, and a position that cannot be recorded is refused."""

LEFT_BEHIND = shutil.ignore_patterns(".*", "__pycache__", "build", "dist")


@pytest.fixture(scope="module")
def blocks():
    """Return the commands of the page: those for the checkout, and those for the host."""
    return re.findall(r"^```sh\n(.*?)^```$", (ROOT / "deploy/README.md").read_text(), flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def host(tmp_path_factory, blocks):
    """Make the files of a bare host, with the wheels and a PONI in root's folder."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the wheels are made for the Python of Debian 12, 3.11")
    wheels, _ = blocks
    checkout = tmp_path_factory.mktemp("checkout") / "ponikeeper"
    shutil.copytree(ROOT, checkout, ignore=LEFT_BEHIND)
    root = tmp_path_factory.mktemp("host") / "root"
    make_debian(root)
    python = next(root.glob("usr/bin/python3.*"), None)
    assert python is None, "a bare host has no Python"
    subprocess.run(["bash", "-ec", wheels.replace("python3", sys.executable)], cwd=checkout, check=True, timeout=600)
    shutil.copytree(checkout / "wheelhouse", root / "root/wheelhouse")
    (root / "root/near.poni").write_text(poni.write(Geometry.parse(GEOMETRY)))
    return root


def test_bare_host_is_brought_to_a_running_ioc_by_the_commands_of_the_page(host, blocks):
    _, commands = blocks
    packages, offline = commands.split("\n", 1)
    began = time.monotonic()
    online = [
        "chroot",
        str(host),
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "bash",
        "-ec",
        f"apt-get update; {packages}",
    ]
    subprocess.run(online, check=True, timeout=600, stdout=subprocess.DEVNULL)
    with running(host) as machine:
        begin, check, rest = offline.partition("STATE_DIRECTORY=")
        output = machine.run("bash", "-exc", f"cd /root\n{begin}{EDIT}\n{check}{rest}")
        print(f"\n{output}\nfrom a bare host to an active geometry: {time.monotonic() - began:.0f} s")
        assert machine.property("ponikeeper@28id1", "ActiveState") == "active"
        before = machine.run("ponikeeper", "get", PREFIX)
        exported = sorted(path.name for path in (host / "root/site").iterdir())
        assert [name for name in exported if name.startswith("28id1.")] == [
            "28id1.alarms.component.xml",
            "28id1.alarms.xml",
            "28id1.archiver.json",
            "28id1.bob",
            "28id1.pvlist",
        ]
    with running(host) as machine:  # it was switched off, and on
        assert machine.property("ponikeeper@28id1", "ActiveState") == "active"
        assert machine.run("ponikeeper", "get", PREFIX) == before
        assert "ponikeeper-backup@28id1.timer" in machine.run("systemctl", "list-timers", "--no-pager")
        _move_in(machine)


def _move_in(machine):
    """Import root's PONI before the first start of another instance, whose user then owns the store."""
    prefix = "XF:28ID2-ES{Det:PE1}Calib:"
    (machine.root / "etc/ponikeeper/28id2.toml").write_text(
        f'[ioc]\nprefix = "I2:"\n[[detector]]\nprefix = "{prefix}"\n'
    )
    (machine.root / "etc/ponikeeper/28id2.env").write_text("EPICS_CA_SERVER_PORT=5066\n")
    state = "STATE_DIRECTORY=/var/lib/ponikeeper/28id2"
    machine.run("env", state, "ponikeeper", "import", "/etc/ponikeeper/28id2.toml", "/root/near.poni")
    machine.run("systemctl", "start", "ponikeeper@28id2")
    output = machine.run("env", "EPICS_CA_SERVER_PORT=5066", "ponikeeper", "get", prefix)
    assert f"Distance: {GEOMETRY['dist']}" in output
    put = ("env", "EPICS_CA_SERVER_PORT=5066", "ponikeeper", "put", prefix, "/root/near.poni", "--label", "near")
    assert "revision 2 is active" in machine.run(*put)
