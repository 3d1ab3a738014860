"""`ponikeeper install-unit`: the units for a configuration, explained; edited files are kept."""

from pathlib import Path

import pytest

from ponikeeper.cli.install_unit import obstacles, unit_files
from ponikeeper.config import load
from ponikeeper.errors import ConfigError

PROGRAM = Path("/opt/ponikeeper/bin/ponikeeper")
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


def test_installation_at_the_usual_place_needs_no_drop_in():
    assert sorted(unit_files(Path("/etc/ponikeeper/28id1.toml"), PROGRAM)) == UNITS


@pytest.mark.parametrize("name", ["my ioc.toml", "a@b.toml", "%i.toml", "a$b.toml", "\u00fc.toml", ".toml/x y"])
def test_name_that_no_unit_can_have_is_refused(name):
    with pytest.raises(ConfigError, match="its name cannot be the name of a unit: expected letters"):
        unit_files(Path("/etc/ponikeeper") / name, PROGRAM)


@pytest.mark.parametrize("folder", ["/etc/pony keeper", "/etc/%h", "/etc/$HOME", '/etc/"x"', "/etc/a\\b"])
def test_path_that_is_special_to_systemd_is_refused(folder):
    with pytest.raises(ConfigError, match="is special to systemd"):
        unit_files(Path(folder) / "28id1.toml", PROGRAM)
    with pytest.raises(ConfigError, match="is special to systemd"):
        unit_files(Path("/etc/ponikeeper/28id1.toml"), Path(folder) / "ponikeeper")


@pytest.mark.parametrize("putlog", ["journal", "/var/log/ponikeeper/28id1/puts", "/var/lib/ponikeeper/28id1/puts"])
def test_no_obstacles_are_listed_if_there_are_none(config, putlog):
    config.write_text(config.read_text().replace('state_dir = "/var/lib/x"', f'putlog = "{putlog}"'))
    assert obstacles(load(config), Path("/etc/ponikeeper/28id1.toml"), PROGRAM) == []
