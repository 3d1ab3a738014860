"""The rows of the table of supported versions: the versions of each, its virtual environment, and the tests."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

PYTHONS = ("3.11", "3.12", "3.13")

SHOWN = (
    "bluesky",
    "ophyd",
    "ophyd-async",
    "tiled",
    "bluesky-tiled-plugins",
    "databroker",
    "pyepics",
    "pyFAI",
    "caproto",
    "numpy",
)
"""The columns of the table."""

EXTRAS = ("ioc", "client", "fit", "catalog", "plot")

TOOLS = ("pytest>=9", "pytest-xdist", "hypothesis", "event-model", "bluesky-darkframes", "psutil", "pip")

TESTS = (
    "unit/client",
    "ca/test_transactions.py",
    "bluesky/test_device.py",
    "bluesky/test_device_sets.py",
    "bluesky/test_runs.py",
    "bluesky/test_guard.py",
    "bluesky/test_guard_flights.py",
    "bluesky/test_at_positions.py",
    "bluesky/test_calibration_md.py",
    "bluesky/test_async_device.py",
    "slow/test_geometry_against_pyfai.py",
    "slow/test_poni_against_pyfai.py",
    "slow/test_recall_nexus.py",
)
"""What is run in each row: the device, runs, the guard, recall, pyFAI, the service."""

CATALOG_TESTS = ("bluesky/test_recall.py", "bluesky/test_images.py")
"""What needs a Tiled server of today, and databroker 2."""


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Parameters
    ----------
    name
        For people.
    python
        Version of the interpreter.
    pins
        Requirements in addition to those of pyproject.toml.
    extras
        The extras to install.
    tests
        What is run, in the folder of the tests.
    """

    name: str
    python: str
    pins: tuple[str, ...] = ()
    extras: tuple[str, ...] = EXTRAS
    tests: tuple[str, ...] = TESTS

    @property
    def label(self) -> str:
        """Name and Python."""
        return f"{self.name}, Python {self.python}"


_NUMERIC = ("numpy", "scipy", "matplotlib", "pandas")
"""Libraries whose oldest versions have wheels for the oldest Python only."""


def lower_bounds(python: str) -> tuple[str, ...]:
    """Return the oldest version of each requirement that pyproject.toml allows for a Python, as pins."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    needs = [need for extra in EXTRAS for need in extras[extra]]
    pins: dict[str, str] = {}
    for need in needs:
        name, bound = re.match(r"([A-Za-z0-9-]+)(?:\[[a-z,]+\])?>=([0-9.a-z]+)", need).groups()  # type: ignore[union-attr]
        if python == PYTHONS[0] or name not in _NUMERIC:
            pins.setdefault(name, f"{name}=={bound}")
    return tuple(pins.values())


def rows() -> list[Row]:
    """Return all rows: the newest versions, the oldest, and those of sites, for each Python."""
    newest = ("databroker[all]>=2", "ophyd-async>=0.21")
    oldest = ("ophyd-async>=0.13,<0.14",)
    return [
        *(Row("newest", python, newest, (*EXTRAS, "demo"), (*TESTS, *CATALOG_TESTS)) for python in PYTHONS),
        *(Row("oldest", python, (*lower_bounds(python), *oldest)) for python in PYTHONS),
    ]


def interpreter(version: str) -> str | None:
    """Return an interpreter of a version, of pyenv or in PATH; None where there is none."""
    of_pyenv = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"))
    return str(of_pyenv[-1]) if of_pyenv else shutil.which(f"python{version}")


def make(row: Row, folder: Path, tools: tuple[str, ...] = TOOLS) -> tuple[Path | None, str]:
    """Make the virtual environment of a row; return its Python, or None and why it cannot be made."""
    python = interpreter(row.python)
    if python is None:
        return None, f"there is no Python {row.python} on this machine"
    uv = shutil.which("uv")
    here = folder / "bin" / "python"
    create = [uv, "venv", "-q", "--python", python, str(folder)] if uv else [python, "-m", "venv", str(folder)]
    install = [uv, "pip", "install", "-q", "--python", str(here)] if uv else [str(here), "-m", "pip", "install", "-q"]
    for command in (create, [*install, "-e", f"{ROOT}[{','.join(row.extras)}]", *tools, *row.pins]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
        if done.returncode:
            return None, done.stderr.strip()
    return here, ""


def versions(python: Path) -> dict[str, str]:
    """Return the versions in a virtual environment, by distribution; those that are not there are empty."""
    code = (
        "import importlib.metadata as m, json, sys\n"
        "def of(name):\n"
        "    try: return m.version(name)\n"
        "    except m.PackageNotFoundError: return ''\n"
        f"print(json.dumps({{name: of(name) for name in {SHOWN!r}}}))"
    )
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def run_tests(python: Path, tests: tuple[str, ...]) -> tuple[int, str]:
    """Run the tests of a row; return the exit status and the output. Warnings of other versions are not errors."""
    options = [
        "-q",
        "-n",
        "2",
        "-o",
        "filterwarnings=ignore",
        "--durations=0",
        "--durations-min=60",
        "--show-capture=no",
        "--tb=line",
    ]
    command = [str(python), "-m", "pytest", *options, *(str(ROOT / "tests" / name) for name in tests)]
    environment = {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=3000, check=False)
    return done.returncode, done.stdout.decode(errors="replace")  # a failed test may show any bytes


def outcome(summary: str) -> str:
    """Return the outcome of a row from the last line of pytest: ``412 passed``, ``3 failed, 409 passed, 6 xfailed``."""
    return ", ".join(re.findall(r"\d+ (?:passed|failed|xfailed|errors?)", summary)) or summary


def cause(text: str) -> str:
    """Return the line that says why something failed, for a cell of the table."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"[Ff]ailed to build|Because|Error:|No matching", line)]
    line = (telling or lines or ["no reason was given"])[0 if len(telling) > 1 else -1]
    return re.sub(r" \([^()]*/[^()]*\)", "", line).replace("|", "/")[:160]  # without the path of a module


def with_row(page: str, row: Row, found: dict[str, str], outcome: str) -> str:
    """Return the page with one row of its table replaced, or added at the end.

    Parameters
    ----------
    page
        Text of the page, with a table whose first column is the label of the row.
    row
        The row.
    found
        The versions that were installed, by distribution.
    outcome
        What came of it.
    """
    line = f"| {row.label} | {' | '.join(found.get(name) or '-' for name in SHOWN)} | {outcome} |"
    lines = page.splitlines()
    header = next(number for number, each in enumerate(lines) if each.startswith("| environment |"))
    end = next((number for number in range(header, len(lines)) if not lines[number].startswith("|")), len(lines))
    old = next((number for number in range(header, end) if lines[number].startswith(f"| {row.label} |")), None)
    lines[old if old is not None else end : end if old is None else old + 1] = [line]
    return "\n".join(lines) + "\n"
