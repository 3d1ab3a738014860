"""The files of deploy/: each has a test here or elsewhere, and a file without a test fails the run."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import live
from configurations import PONI
from ponikeeper.access.loading import read_rules
from ponikeeper.access.rules import Right
from ponikeeper.config import Access, Config, Detector, Ioc, Link, load
from ponikeeper.protocol.pvs import DETECTOR_PVS
from ponikeeper.site.deploy_files import deploy_folder
from ponikeeper.site.screens import overview, phoebus
from ponikeeper.store.sqlite_storage import SQLiteStorage

DEPLOY = Path(__file__).parents[2] / "deploy"
EXAMPLE = DEPLOY / "config" / "example.toml"
UNIT = DEPLOY / "systemd" / "ponikeeper@.service"

TESTED = {
    "README.md": "test_readme_links_each_file_of_its_folder",
    "access/README.md": "test_readme_links_each_file_of_its_folder",
    "access/example.acf": "test_access_rules_of_the_example_are_accepted_and_admit_the_named_clients",
    "config/README.md": "test_readme_links_each_file_of_its_folder",
    "config/example.toml": "test_example_is_accepted_by_check",
    "phoebus/README.md": "test_readme_links_each_file_of_its_folder",
    "phoebus/ponikeeper_calibration.png": "test_picture_is_a_valid_image",
    "phoebus/ponikeeper_demo.png": "test_picture_is_a_valid_image",
    "phoebus/ponikeeper_detector.png": "test_picture_is_a_valid_image",
    "phoebus/ponikeeper_history.png": "test_picture_is_a_valid_image",
    "phoebus/ponikeeper_overview.png": "test_picture_is_a_valid_image",
    **dict.fromkeys(
        [f"phoebus/ponikeeper_{name}.bob" for name in ("detector", "history", "ioc", "overview", "row")],
        "test_screen_is_generated_and_tested_elsewhere",
    ),
    "save-restore/README.md": "test_readme_links_each_file_of_its_folder",
    "save-restore/ponikeeper.req": "test_save_set_has_the_setpoint_that_restores_a_whole_revision",
    "systemd/README.md": "test_readme_links_each_file_of_its_folder",
    "systemd/ponikeeper@.service": "test_unit_is_clean_to_systemd",
    "systemd/ponikeeper-backup@.service": "test_unit_of_the_backup_calls_an_existing_command",
    "systemd/ponikeeper-backup@.timer": "test_unit_of_the_backup_calls_an_existing_command",
    "systemd/ponikeeper-mirror@.service": "test_unit_of_the_mirror_calls_an_existing_command_with_few_rights",
}
"""The test of each file."""

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def directives(unit: str) -> dict[str, str]:
    """Read a unit file: the last value of each directive."""
    return dict(re.findall(r"^([A-Za-z]+)=(.*)$", unit, flags=re.MULTILINE))


def analyze(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=live.TIMEOUT)


@pytest.fixture
def unit(tmp_path):
    """Copy the unit with the path of the installed program: systemd checks that it exists."""
    program = Path(sys.executable).parent / "ponikeeper"
    text = UNIT.read_text()
    copy = tmp_path / UNIT.name
    copy.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={program}", text, flags=re.MULTILINE))
    assert copy.read_text() != text
    return copy


def test_every_file_has_a_test():
    files = {path.relative_to(DEPLOY).as_posix() for path in DEPLOY.rglob("*") if path.is_file()}
    assert files == set(TESTED)
    assert [name for name in TESTED.values() if name not in globals()] == []


@pytest.mark.parametrize("readme", [name for name in TESTED if name.endswith("README.md")])
def test_readme_links_each_file_of_its_folder(readme):
    path = DEPLOY / readme
    text = path.read_text(encoding="ascii")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert [link for link in links if not (path.parent / link).exists()] == []
    files = {item.name for item in path.parent.iterdir()} - {"README.md"}
    assert files == {Path(link).parts[0] for link in links} - {".."}  # other folders have pages, too
    assert len(text.splitlines()) < 40


@pytest.mark.parametrize("name", [name for name in TESTED if name.endswith(".png")])
def test_picture_is_a_valid_image(name):
    picture = (DEPLOY / name).read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert picture.endswith(b"IEND\xaeB`\x82")
    assert len(picture) < 500_000


@pytest.mark.parametrize("name", [name for name in TESTED if name.endswith(".bob")])
def test_screen_is_generated_and_tested_elsewhere(name):
    assert Path(name).name in {*phoebus.SCREENS, overview.EXAMPLE}


def test_save_set_has_the_setpoint_that_restores_a_whole_revision():
    """Restoring it is tested in tests/ca/test_restore.py."""
    lines = (DEPLOY / "save-restore" / "ponikeeper.req").read_text(encoding="ascii").splitlines()
    names = [line for line in lines if not line.startswith("#")]
    writable = {f"$(P){pv.suffix}": pv for pv in DETECTOR_PVS if pv.writable}
    assert names == ["$(P)Activate"]
    assert names[0] in writable


def test_deploy_files_are_found_in_an_editable_install():
    assert deploy_folder() == DEPLOY


def test_deploy_is_in_the_package_after_an_installation(monkeypatch, tmp_path):
    (tmp_path / "ponikeeper" / "deploy").mkdir(parents=True)
    monkeypatch.setattr(
        "ponikeeper.site.deploy_files.__file__", str(tmp_path / "ponikeeper" / "site" / "deploy_files.py")
    )
    assert deploy_folder() == tmp_path / "ponikeeper" / "deploy"


def test_example_is_accepted_by_check(tmp_path):
    place = "STATE_DIRECTORY=/var/lib/ponikeeper/28id1"
    assert f"\n# {place} ponikeeper check /etc/ponikeeper/28id1.toml\n" in EXAMPLE.read_text(encoding="ascii")
    command = [sys.executable, "-m", "ponikeeper", "check", str(EXAMPLE)]
    environment = {"STATE_DIRECTORY": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=live.TIMEOUT)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"OK, 2 detectors, store {tmp_path}/ponikeeper.sqlite" in done.stdout
    assert "XF:28ID1-ES{Det:PE1}Calib:  3 links" in done.stdout


def test_example_has_every_key_with_a_valid_value(tmp_path):
    path = tmp_path / "28id1.toml"
    path.write_text(re.sub(r"^# (\w+ = |\[)", r"\1", EXAMPLE.read_text(encoding="ascii"), flags=re.MULTILINE))
    load(path)
    table = tomllib.loads(path.read_text())
    detector = table["detector"][0]
    assert set(table) == set(Config.model_fields) - {"source"}
    assert set(table["ioc"]) == set(Ioc.model_fields)
    assert set(detector) == set(Detector.model_fields)
    assert set(detector["link"][0]) == set(Link.model_fields)
    assert set(table["access"]) == set(Access.model_fields) - {"file", "asg"}
    assert all(f" {key} = " in path.read_text() for key in ("file", "asg"))


def test_access_rules_of_the_example_are_accepted_and_admit_the_named_clients(tmp_path):
    path = tmp_path / "28id1.toml"
    shutil.copy(DEPLOY / "access" / "example.acf", tmp_path / "28id1.acf")
    path.write_text(EXAMPLE.read_text(encoding="ascii") + '[access]\nfile = "28id1.acf"\n')
    rules = read_rules(load(path))
    clients = [("alice", "10.28.1.5"), ("alice", "10.28.2.1"), ("eve", "10.28.1.5")]
    assert [rules.right(*client) for client in clients] == [Right.WRITE, Right.READ, Right.READ]


def test_example_has_the_right_defaults():
    detectors = load(EXAMPLE).detector
    shown, bare = detectors[0], detectors[1]
    assert (shown.follow, shown.settle, shown.seed) == (bare.follow, bare.settle, bare.seed)


@needs_systemd
def test_unit_is_clean_to_systemd(unit):
    done = analyze("verify", "--man=no", str(unit))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_unit_of_the_backup_calls_an_existing_command(tmp_path):
    """Run the command of the unit with a configuration of this test; test_cli_install_unit.py verifies the unit."""
    words = directives((DEPLOY / "systemd" / "ponikeeper-backup@.service").read_text())["ExecStart"].split()[1:]
    config = tmp_path / "28id1.toml"
    config.write_text(f'[ioc]\nprefix = "I:"\nstate_dir = "{tmp_path}"\n[[detector]]\nprefix = "P:"\n')
    SQLiteStorage(tmp_path / "ponikeeper.sqlite").close()
    places = {"/etc/ponikeeper/%i.toml": str(config), "/var/backups/ponikeeper": str(tmp_path / "backups")}
    command = [sys.executable, "-m", "ponikeeper", *(places.get(word, word) for word in words)]
    assert subprocess.run(command, capture_output=True, timeout=live.TIMEOUT).returncode == 0
    assert len(list((tmp_path / "backups").iterdir())) == 1
    assert "[Timer]" in (DEPLOY / "systemd" / "ponikeeper-backup@.timer").read_text()


@needs_systemd
def test_unit_of_the_mirror_calls_an_existing_command_with_few_rights(tmp_path):
    """Its command without a catalog ends with the code that systemd does not restart; another one it does."""
    unit = DEPLOY / "systemd" / "ponikeeper-mirror@.service"
    values = directives(unit.read_text(encoding="ascii"))
    words = values["ExecStart"].split()[1:]
    assert words[-2:] == ["/etc/ponikeeper/%i.toml", "${PONIKEEPER_MIRROR}"]
    config = tmp_path / "28id1.toml"
    command = [sys.executable, "-m", "ponikeeper", *words[:-2], str(config)]
    for text, catalog, code in (
        ("", "http://127.0.0.1:9", 2),
        ('[[detector]]\nprefix = "P:"\n', "http://127.0.0.1:9", 3),
    ):
        config.write_text(text)
        environment = {**os.environ, "TILED_RETRY_ATTEMPTS": "1"}
        done = subprocess.run(
            [*command, catalog], env=environment, capture_output=True, text=True, timeout=live.TIMEOUT
        )
        assert done.returncode == code, done.stderr
        assert (values["RestartPreventExitStatus"] == str(code)) == (code == 2)
    done = analyze("security", "--offline=true", "--threshold=25", "--no-pager", str(unit))
    assert done.returncode == 0, done.stdout[-500:]


@needs_systemd
def test_unit_with_a_mistake_is_not_clean_to_systemd(unit):
    unit.write_text(unit.read_text().replace("RestartSec=1", "RestartSec=soon"))
    assert "ignoring: soon" in analyze("verify", "--man=no", str(unit)).stderr


@needs_systemd
def test_unit_gives_few_rights(unit):
    done = analyze("security", "--offline=true", "--threshold=10", "--no-pager", str(unit))
    assert done.returncode == 0, done.stdout[-500:]


def allowed_calls(unit: str) -> set[str]:
    """Expand the unit's SystemCallFilter to the names of system calls."""
    sets: dict[str, set[str]] = {}
    name = ""
    for line in analyze("syscall-filter", "--no-pager").stdout.splitlines():
        if line.startswith("@"):
            name = line.strip()
        elif line.strip() and not line.strip().startswith("#"):
            sets.setdefault(name, set()).add(line.strip())

    def calls(item: str) -> set[str]:
        return set().union(*map(calls, sets[item])) if item.startswith("@") else {item}

    allowed: set[str] = set()
    for value in re.findall(r"^SystemCallFilter=(.*)$", unit, flags=re.MULTILINE):
        for item in value.lstrip("~").split():
            allowed = allowed - calls(item) if value.startswith("~") else allowed | calls(item)
    return allowed


DENIED = {
    "fchown",  # SQLite changes the owner of a journal to that of its database, when root writes it
    "mbind",  # numpy's linear algebra asks for memory near its processor
}
"""System calls that an IOC makes and the unit denies; the IOC works without them."""


@needs_systemd
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_ioc_serves_with_the_system_calls_and_sockets_that_the_unit_allows(make_ioc, tmp_path):
    trace, near = tmp_path / "trace", tmp_path / "near.poni"
    near.write_text(PONI)
    deny = ("-e", f"inject={','.join(sorted(DENIED))}:error=EPERM")
    ioc = make_ioc().start(wrapper=("strace", "-D", "-f", "-qq", "-e", "signal=none", *deny, "-o", str(trace)))
    put = [sys.executable, "-m", "ponikeeper", "put", ioc.prefix, str(near)]
    subprocess.run(put, check=True, capture_output=True, timeout=live.TIMEOUT)
    assert ioc.stop() == 0
    calls = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), flags=re.MULTILINE))
    families = set(re.findall(r"socket\((AF_\w+)", trace.read_text()))
    unit = UNIT.read_text()
    assert {"bind", "listen"} <= calls
    assert {"fsync", "fdatasync"} & calls
    assert calls - allowed_calls(unit) <= DENIED
    assert {"AF_INET"} <= families <= set(directives(unit)["RestrictAddressFamilies"].split())


def test_unit_serves_the_configuration_of_its_instance():
    unit = directives(UNIT.read_text(encoding="ascii"))
    assert unit["ExecStart"].split()[1:] == ["serve", "/etc/ponikeeper/%i.toml"]
    assert (unit["Type"], unit["Restart"], unit["RestartSec"], unit["TimeoutStopSec"]) == (
        "notify",
        "always",
        "1",
        "5",
    )
    assert (unit["StateDirectory"], unit["DynamicUser"]) == ("ponikeeper/%i", "yes")
    assert {"AF_INET", "AF_UNIX"} <= set(unit["RestrictAddressFamilies"].split())


def test_invalid_configuration_ends_with_the_code_that_systemd_does_not_restart(tmp_path):
    command = [sys.executable, "-m", "ponikeeper", "serve", str(tmp_path / "none.toml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=live.TIMEOUT)
    unit = directives(UNIT.read_text())
    assert str(done.returncode) in unit["RestartPreventExitStatus"].split()


def test_store_that_cannot_be_used_ends_with_a_code_that_systemd_does_not_restart(tmp_path):
    (tmp_path / "ponikeeper.sqlite").write_bytes(bytes(200))
    config = tmp_path / "28id1.toml"
    config.write_text(f'[ioc]\nprefix = "I:"\nstate_dir = "{tmp_path}"\n[[detector]]\nprefix = "D:"\n')
    command = [sys.executable, "-m", "ponikeeper", "serve", "--force", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=live.TIMEOUT)
    assert (done.returncode, "4" in directives(UNIT.read_text())["RestartPreventExitStatus"].split()) == (4, True)


def test_systemd_is_notified_when_the_ioc_is_ready_and_when_it_stops(make_ioc, tmp_path):
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(live.TIMEOUT)
        ioc = make_ioc(environment={"NOTIFY_SOCKET": str(address)}).start()
        assert systemd.recv(100) == b"READY=1"
        assert ioc.stop() == 0
        assert set(iter(lambda: systemd.recv(100), b"STOPPING=1")) <= {b"WATCHDOG=1"}


def test_store_is_in_the_folder_of_systemd(make_ioc, tmp_path):
    ioc = make_ioc(environment={"STATE_DIRECTORY": str(tmp_path / "systemd")})
    ioc.config.write_text(re.sub(r"^state_dir.*$", "", ioc.config.read_text(), flags=re.MULTILINE))
    ioc.start()
    assert (tmp_path / "systemd" / "ponikeeper.sqlite").exists()
    assert not ioc.store.exists()
