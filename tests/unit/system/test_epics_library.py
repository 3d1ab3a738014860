import subprocess
import sys

import pytest


@pytest.mark.parametrize("package", ["ponikeeper.ca", "ponikeeper.caclient"])
def test_library_is_loaded_without_setuptools_and_without_a_look_at_all_modules(package):
    code = (
        "import inspect, sys; inspect.stack = None\n"
        f"import {package}, aioca; print(*{{'setuptools', 'pkg_resources'}} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("\n", "")


def test_package_that_is_loaded_already_is_left_alone():
    code = (
        "import setuptools_dso, sys; from setuptools_dso import runtime; auto = runtime._auto_pkg\n"
        "from ponikeeper.system.epics_library import prepare_library; prepare_library()\n"
        "assert sys.modules['setuptools_dso'] is setuptools_dso; setuptools_dso.setup; assert runtime._auto_pkg is auto"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
