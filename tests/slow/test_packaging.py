"""The wheel: its contents, and that it works in an empty environment without the extras."""

import ast
import email
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

import live
from ponikeeper import errors

ROOT = Path(__file__).parents[2]
EXTRAS = {"ioc", "client", "fast", "fit", "catalog", "plot", "demo", "pva", "all", "screens", "test", "test-unit"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel with the installed hatchling."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "-q", "-w", str(folder), str(ROOT)]
    done = subprocess.run([sys.executable, "-m", "pip", *build], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("folder", ["iocs/ponikeeper", "client/ponikeeper_client"])
def test_wheel_has_every_file_of_the_packages(names, folder):
    package = ROOT / folder
    files = {p.relative_to(package.parent).as_posix() for p in package.rglob("*") if p.is_file()}
    files = {name for name in files if "__pycache__" not in name}
    assert {f"{package.name}/__init__.py", f"{package.name}/py.typed"} <= files <= names


def test_wheel_has_the_table_of_detectors_and_the_licence(names):
    assert "ponikeeper/geometry/detectors.json" in names
    assert [name for name in names if name.endswith("dist-info/licenses/LICENSE")]


def test_wheel_has_what_a_site_copies(names):
    deploy = {
        f"ponikeeper/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "deploy").rglob("*") if path.is_file()
    }
    assert deploy
    assert deploy == {name for name in names if name.startswith("ponikeeper/deploy/")}


def test_wheel_has_nothing_else(names):
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {
        "ponikeeper",
        "ponikeeper_client",
    }
    assert [name for name in names if "__pycache__" in name or "test" in name.lower()] == []


def test_the_extras_are_those_of_the_readme_and_the_base_is_small(metadata, project):
    assert set(metadata.get_all("Provides-Extra")) == EXTRAS == set(project["optional-dependencies"])
    base = {line.split(">")[0].split("<")[0] for line in metadata.get_all("Requires-Dist") if "extra ==" not in line}
    assert base == {"typer", "rich", "aioca"}
    assert project["optional-dependencies"]["all"] == ["ponikeeper[ioc,client,fit,catalog,plot,demo]"]


def test_every_dependency_has_a_lower_bound(project):
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    assert [line for line in lines if ">=" not in line and not line.startswith("ponikeeper[")] == []


ALWAYS_THERE = {"typer", "rich", "aioca", "epicscorelibs", "setuptools_dso"}
"""The dependencies of ponikeeper without an extra, and what aioca brings."""

HANDLED_ALONE = {"ophyd_async", "bluesky_darkframes", "databroker", "numba", "hdf5plugin"}
"""Libraries with a message of their own, or without which the product does the same in another way."""

IMPORTED_BY_PYFAI = {"scipy"}


def names_in(requirements: list[str] | None) -> set[str]:
    """Return the distributions of requirements in lower case; those of their extras are left out."""
    lines = [line for line in requirements or () if "extra ==" not in line]
    return {re.split(r"[^A-Za-z0-9._-]", line)[0].lower().replace("_", "-") for line in lines}


def libraries() -> Iterator[str]:
    """Yield the first word of every module that the product imports from elsewhere."""
    for file in (*ROOT.glob("iocs/ponikeeper/**/*.py"), *ROOT.glob("client/ponikeeper_client/**/*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            yield from (module.partition(".")[0] for module in modules)


def test_every_library_that_may_be_missing_has_an_extra_that_installs_it(project):
    ours = {"ponikeeper", "ponikeeper_client"}
    used = {name for name in libraries() if name not in sys.stdlib_module_names} - ours
    assert used | IMPORTED_BY_PYFAI == ALWAYS_THERE | HANDLED_ALONE | set(errors.EXTRAS)
    distributions = packages_distributions()
    for library, extra in errors.EXTRAS.items():
        direct = names_in(project["optional-dependencies"][extra])
        indirect = set().union(*(names_in(requires(name)) for name in direct))
        (distribution,) = {name.lower().replace("_", "-") for name in distributions[library]}
        assert distribution in direct | indirect, (library, extra)


def test_version_is_written_alike_everywhere(metadata, project):
    import ponikeeper

    changes = (ROOT / "CHANGELOG.md").read_text()
    assert metadata["Version"] == project["version"] == ponikeeper.__version__
    assert f"\n## {ponikeeper.__version__}\n" in changes


def test_older_python_gets_a_sentence():
    code = (
        "import sys; sys.version_info = (3, 10); sys.version = '3.10.1 (main)'\n"
        "from ponikeeper.__main__ import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=live.TIMEOUT)
    assert (done.returncode, done.stderr) == (1, "ponikeeper needs Python 3.11 or newer, this is 3.10.1\n")


@pytest.mark.parametrize("verb", ["serve", "check"])
def test_missing_extra_answers_with_the_line_that_installs_it(tmp_path, verb):
    config = tmp_path / "x.toml"
    config.write_text('[ioc]\nprefix = "a"\n[[detector]]\nprefix = ""\n')
    code = (
        f"import sys; sys.modules['caproto'] = None; sys.argv = ['ponikeeper', '{verb}', {str(config)!r}]\n"
        "from ponikeeper.__main__ import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=live.TIMEOUT)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "caproto is not installed: pip install 'ponikeeper[ioc]'\n"


@pytest.mark.campaign
def test_wheel_works_in_an_empty_environment(wheel, tmp_path):
    """Install the base and its dependencies from the package index, without extras."""
    venv.create(tmp_path / "venv", with_pip=True)
    programs = tmp_path / "venv" / "bin"

    def run(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = (str(programs / program), *arguments)
        return subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path)

    assert run("pip", "install", "-q", str(wheel)).returncode == 0
    installed = {line.partition("==")[0].lower() for line in run("pip", "freeze").stdout.splitlines()}
    assert not installed & {"caproto", "ophyd", "bluesky", "pyfai"}

    assert run("ponikeeper", "--version").stdout.strip() in wheel.name
    done = run("ponikeeper", "--help")
    assert done.returncode == 0
    assert "serve" in done.stdout

    (tmp_path / "x.toml").write_text('[ioc]\nprefix = "a"\n[[detector]]\nprefix = ""\n')
    refused = run("ponikeeper", "serve", "x.toml")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "pip install 'ponikeeper[ioc]'" in refused.stderr
    assert "Traceback" not in refused.stderr

    find = "from ponikeeper.site.deploy_files import deploy_folder; print(deploy_folder())"
    deploy = Path(run("python", "-c", find).stdout.strip())
    assert programs.parent in deploy.parents
    assert (deploy / "config" / "example.toml").read_text() == (ROOT / "deploy/config/example.toml").read_text()
