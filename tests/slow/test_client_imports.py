"""Imports of the client in a session: every public name exists, and only the needed libraries are loaded."""

import subprocess
import sys

import pytest

import live
import ponikeeper_client


def python(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=live.TIMEOUT
    )


def test_every_public_name_is_loaded_from_its_module():
    values = {name: getattr(ponikeeper_client, name) for name in ponikeeper_client.__all__}
    modules = ponikeeper_client._MODULES
    assert [
        name
        for name, value in values.items()
        if not f"{value.__module__}.".startswith(f"ponikeeper_client.{modules[name]}.")
    ] == ["Nominal"]  # a value of the fit, offered with the plans that take it
    assert {name: getattr(sys.modules[f"ponikeeper_client.{modules[name]}"], name) for name in values} == values


def test_names_do_not_load_pyfai():
    names = ("CalibrationData", "calibration_guard", "calibrate", "recorded", "write_poni")
    done = python(
        f"import sys, ponikeeper_client\nfor name in {names}:\n"
        "    getattr(ponikeeper_client, name)\n"
        "    roots = {name.partition('.')[0] for name in sys.modules}\n"
        "    print(name, *roots & {'pyFAI', 'fabio', 'matplotlib', 'tiled', 'databroker', 'h5py'})"
    )
    assert (done.returncode, done.stdout.splitlines()) == (0, [*names]), done.stderr


@pytest.mark.parametrize(
    ("name", "library", "message"),
    [
        (
            "AsyncCalibrationData",
            "ophyd_async",
            "MissingOphydAsyncError ophyd-async is not installed: pip install ophyd-async",
        ),
        ("calibrate", "bluesky", "MissingExtraError bluesky is not installed: pip install 'ponikeeper[client]'"),
        (
            "calibration_guard",
            "bluesky",
            "MissingExtraError bluesky is not installed: pip install 'ponikeeper[client]'",
        ),
    ],
)
def test_name_whose_library_is_missing_says_what_to_install(name, library, message):
    done = python(
        f"import sys; sys.modules[{library!r}] = None\n"
        f"try:\n    from ponikeeper_client import {name}\n"
        "except ImportError as error:\n    print(type(error).__name__, error)"
    )
    assert done.stdout == f"{message}\n", done.stderr


@pytest.mark.parametrize(
    ("command", "library", "extra"),
    [
        ("mirror 28id1.toml http://127.0.0.1:9", "ophyd", "client"),
        ("mirror 28id1.toml http://127.0.0.1:9", "tiled", "catalog"),
        ("report P:", "event_model", "client"),
        ("model show P:", "ophyd", "client"),
        ("fit Ni.tiff --calibrant Ni --start near.poni", "pyFAI", "fit"),
    ],
)
def test_command_without_its_library_names_the_extra_that_installs_it(command, library, extra, tmp_path):
    (tmp_path / "28id1.toml").write_text('[[detector]]\nprefix = "P:"\n')
    program = f"import sys; sys.modules[{library!r}] = None; sys.argv[1:] = {command.split()!r}; "
    program += "from ponikeeper.cli.app import run; run()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, f"{library} is not installed: pip install 'ponikeeper[{extra}]'\n")


def test_ioc_that_does_not_answer_is_one_line_in_a_notebook():
    """Its traceback through a RunEngine has a hundred lines, of which none is wrong."""
    pytest.importorskip("IPython")
    cell = "from ponikeeper.errors import NotConnectedError\nraise NotConnectedError('P:Request does not answer')"
    program = f"from IPython.core.interactiveshell import InteractiveShell; InteractiveShell().run_cell({cell!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["NotConnectedError: P:Request does not answer"], done.stderr
