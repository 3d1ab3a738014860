"""The name of the time zone of the host."""

import os
import subprocess
import sys

import pytest

PROGRAM = "from ponikeeper.system.time_zone import local_zone_name; print(local_zone_name())"


@pytest.mark.parametrize(("variable", "name"), [("Asia/Tokyo", "Asia/Tokyo"), (":Europe/Berlin", "Europe/Berlin")])
def test_variable_of_the_environment_names_the_zone(variable, name):
    environment = {**os.environ, "TZ": variable}
    assert subprocess.check_output([sys.executable, "-c", PROGRAM], env=environment, text=True).strip() == name


def test_host_without_the_variable_has_a_name():
    environment = {key: value for key, value in os.environ.items() if key != "TZ"}
    assert subprocess.check_output([sys.executable, "-c", PROGRAM], env=environment, text=True).strip()
