"""`ponikeeper install-unit` writes the units for a configuration and overwrites nothing that a person edited."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from live import TIMEOUT
from ponikeeper.cli.install_unit import obstacles
from ponikeeper.config import load
from ponikeeper.site.deploy_files import deploy_folder

UNITS = [
    "ponikeeper-backup@.service",
    "ponikeeper-backup@.timer",
    "ponikeeper-mirror@.service",
    "ponikeeper@.service",
]


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "etc" / "28id1.toml"
    path.parent.mkdir()
    path.write_text('[ioc]\nprefix = "I:"\nstate_dir = "/var/lib/x"\n[[detector]]\nprefix = "P:"\n')
    return path


@pytest.fixture
def install(call):
    def run(config, folder, *options):
        return call("install-unit", config, "--folder", folder, *options)

    return run


def written(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_units_are_written_unchanged_with_drop_ins_for_the_path_of_the_program(install, config, tmp_path):
    done = install(config, tmp_path / "system")
    assert (done.returncode, done.stderr) == (0, "")
    drop_ins = [
        f"{unit}@28id1.service.d/place.conf" for unit in ("ponikeeper-backup", "ponikeeper-mirror", "ponikeeper")
    ]
    assert written(tmp_path / "system") == sorted(UNITS + drop_ins)
    for name in UNITS:
        assert (tmp_path / "system" / name).read_text() == (deploy_folder() / "systemd" / name).read_text()
    place = (tmp_path / "system" / drop_ins[2]).read_text()
    assert place.endswith(f"ExecStart=\nExecStart={sys.prefix}/bin/ponikeeper serve {config}\n")
    assert "systemctl enable --now ponikeeper@28id1 " in done.stdout
    assert done.stdout.count(": written\n") == 7


def test_dry_run_writes_nothing(install, config, tmp_path):
    done = install(config, tmp_path / "system", "--dry-run")
    assert (done.returncode, done.stdout.count(": would be written\n")) == (0, 7)
    assert not (tmp_path / "system").exists()


def test_edited_files_are_kept_unless_forced(install, config, tmp_path):
    folder = tmp_path / "system"
    assert install(config, folder).returncode == 0
    assert install(config, folder).stdout.count(": unchanged\n") == 7
    unit = folder / "ponikeeper@.service"
    unit.write_text(unit.read_text() + "# ours\n")
    done = install(config, folder)
    assert done.returncode == 1
    assert "ponikeeper@.service in" in done.stderr
    assert "--force overwrites these files" in done.stderr
    assert unit.read_text().endswith("# ours\n")
    assert install(config, folder, "--force").returncode == 0
    assert not unit.read_text().endswith("# ours\n")


def test_invalid_configuration_installs_nothing(install, config, tmp_path):
    config.write_text("[ioc]\n")
    assert install(config, tmp_path / "system").returncode == 2
    assert not (tmp_path / "system").exists()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_other_units_are_clean_to_systemd(tmp_path):
    program = Path(sys.executable).parent / "ponikeeper"
    for name in UNITS:
        text = (deploy_folder() / "systemd" / name).read_text()
        (tmp_path / name).write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={program}", text, flags=re.MULTILINE))
    for name in UNITS[:3]:
        command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / name.replace("@.", "@28id1."))]
        shutil.copy(tmp_path / name, tmp_path / name.replace("@.", "@28id1."))
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_obstacles_of_the_unit_are_listed(install, config, tmp_path):
    config.write_text(config.read_text().replace('"/var/lib/x"', '"/var/lib/x"\nputlog = "/var/log/28id1.puts"'))
    said = obstacles(load(config), Path("/home/me/28id1.toml"), Path("/tmp/venv/bin/ponikeeper"))
    assert [sentence.split(":")[0].split()[0] for sentence in said] == [
        "/tmp/venv/bin/ponikeeper",
        "/home/me/28id1.toml",
        "ioc.state_dir",
        "ioc.putlog",
    ]
    assert "ATTENTION: ioc.state_dir: the unit may not write to /var/lib/x" in install(config, tmp_path / "s").stdout
