import subprocess
import sys


def test_library_is_loaded_without_setuptools():
    for package in ("ponikeeper.ca", "ponikeeper.caclient"):
        code = f"import {package}, aioca, sys; print(*{{'setuptools', 'pkg_resources'}} & sys.modules.keys())"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "\n", package


def test_package_that_is_loaded_already_is_left_alone():
    code = (
        "import setuptools_dso, sys; from ponikeeper.system.epics_library import skip_setuptools; skip_setuptools(); "
        "assert sys.modules['setuptools_dso'] is setuptools_dso; setuptools_dso.setup"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
