"""The public names of the client: one list, loaded on first use, with an error that says what to install."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import live
import ponikeeper_client

SOURCE = Path(ponikeeper_client.__file__)


def imported_for_type_checkers() -> dict[str, str]:
    """Return the module of each name that the TYPE_CHECKING block imports."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) == len(block.body)
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def python(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=live.TIMEOUT)


def test_type_checkers_and_the_interpreter_have_the_same_names():
    modules = {name: f"ponikeeper_client.{module}" for name, module in ponikeeper_client._MODULES.items()}
    assert imported_for_type_checkers() == modules
    assert sorted(ponikeeper_client.__all__) == sorted(modules)


def test_names_are_completed_before_they_are_loaded():
    assert set(ponikeeper_client.__all__) <= set(dir(ponikeeper_client))


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'ponikeeper_client' has no attribute 'calibration'"):
        ponikeeper_client.calibration  # noqa: B018


def test_package_imports_no_library():
    done = python(
        "import sys, ponikeeper_client\n"
        "roots = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(roots & {'ophyd', 'bluesky', 'epics', 'numpy', 'pyFAI', 'matplotlib', 'tiled'}))"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_name_whose_library_is_missing_says_what_to_install():
    done = python(
        "import sys; sys.modules['ophyd'] = None\n"
        "try:\n    from ponikeeper_client import CalibrationData\n"
        "except ImportError as error:\n    print(type(error).__name__, error)"
    )
    assert done.stdout == "MissingExtraError ophyd is not installed: pip install 'ponikeeper[client]'\n", done.stderr
