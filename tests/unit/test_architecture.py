"""The arrows between modules, as pyproject.toml draws them: the linter runs, and nothing escapes it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from live import TIMEOUT

ROOT = Path(__file__).parents[2]
SHARED = ("geometry", "poni", "messages", "contract", "errors", "records", "judgements", "exported", "inquiry")
"""What the client may import of the IOC package."""
BENEATH = ("detectors", "parameters", "strictjson")
"""What these stand on."""


@pytest.fixture(scope="module")
def linter():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]


def modules(package: Path) -> set[str]:
    """Name the modules and packages that lie in a package."""
    found = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    return found - {"__init__"}


def test_arrows_run_as_they_are_drawn(tmp_path):
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stdout[done.stdout.find("Broken contracts") :]
    assert " 0 broken" in done.stdout


def test_every_package_is_drawn_with_all_its_modules(linter):
    layers = [contract for contract in linter["contracts"] if contract["type"] == "layers"]
    drawn = {container for contract in layers if contract["exhaustive"] for container in contract["containers"]}
    sources = [ROOT / "iocs", ROOT / "client"]
    packages = {
        ".".join(path.parent.relative_to(source).parts) for source in sources for path in source.rglob("__init__.py")
    }
    assert {package for package in packages if modules_of(package)} == drawn


def modules_of(package: str) -> set[str]:
    source = "client" if package.startswith("ponikeeper_client") else "iocs"
    return modules(ROOT / source / Path(*package.split(".")))


def test_client_is_forbidden_all_but_what_is_shared(linter):
    (contract,) = (c for c in linter["contracts"] if c.get("source_modules") == ["ponikeeper_client"])
    rest = modules_of("ponikeeper") - set(SHARED) - set(BENEATH)
    assert set(contract["forbidden_modules"]) == {f"ponikeeper.{name}" for name in rest}


def test_shared_modules_import_the_standard_library_alone():
    """They are imported by a Python that has no other library than its own."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'iocs')!r})\n"
        f"from ponikeeper import {', '.join(SHARED + BENEATH)}\n"
        "roots = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(roots - set(sys.stdlib_module_names) - {'__main__'}))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=TIMEOUT)
    assert (done.stdout.strip(), done.stderr) == ("['ponikeeper']", "")


@pytest.mark.parametrize("verb", ["--version", "--help"])
def test_command_line_starts_without_the_heavy_libraries(verb):
    code = (
        f"import sys; sys.argv = ['ponikeeper', {verb!r}]\n"
        "from ponikeeper.__main__ import main\n"
        "try:\n    main()\n"
        "finally:\n"
        "    heavy = {'caproto', 'ophyd', 'bluesky', 'epics', 'pyFAI', 'numpy', 'matplotlib', 'tiled'}\n"
        "    print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=TIMEOUT)
    assert (done.returncode, done.stderr.strip()) == (0, "[]")
