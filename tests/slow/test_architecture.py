"""The imports between modules follow the contracts in pyproject.toml, and each module is in a contract."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from live import TIMEOUT

ROOT = Path(__file__).parents[2]
SHARED = ("errors", "geometry", "history", "protocol", "system", "text")
"""The packages of the IOC that the client may import."""

MAX_LAYERS = 9


@pytest.fixture(scope="module")
def contracts():
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return {contract["name"]: contract for contract in linter["contracts"]}


def parts(package: Path) -> set[str]:
    """Return the names of the modules and packages in a package."""
    names = {path.stem for path in package.glob("*.py")} | {path.parent.name for path in package.glob("*/__init__.py")}
    return names - {"__init__"}


def test_imports_follow_the_contracts():
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 0, done.stdout[done.stdout.find("Broken contracts") :]
    assert " 0 broken" in done.stdout


def test_ioc_package_has_few_layers_that_name_each_part(contracts):
    contract = contracts["the IOC package: arrows run one way"]
    named = {name.strip() for layer in contract["layers"] for name in layer.split("|")}
    assert contract["exhaustive"]
    assert len(contract["layers"]) <= MAX_LAYERS
    assert named == parts(ROOT / "iocs" / "ponikeeper")


def test_no_package_has_a_cycle(contracts):
    assert contracts["no cycles"]["ancestors"] == ["ponikeeper", "ponikeeper_client"]


def test_client_imports_only_shared_modules(contracts):
    (contract,) = (contract for name, contract in contracts.items() if name.startswith("the client imports only"))
    rest = parts(ROOT / "iocs" / "ponikeeper") - set(SHARED)
    assert set(contract["protected_modules"]) == {f"ponikeeper.{name}" for name in rest}
    assert contract["allowed_importers"] == ["ponikeeper"]


def test_shared_modules_import_only_the_standard_library():
    """A Python without any other library can import them."""
    source = ROOT / "iocs"
    files = [file for part in SHARED for file in source.glob(f"ponikeeper/{part}/**/*.py")]
    names = [".".join(file.relative_to(source).with_suffix("").parts).removesuffix(".__init__") for file in files]
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'iocs')!r})\n"
        f"import {', '.join(names)}\n"
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
