"""tests/unit mirrors the packages, and tests import only from allowed places."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNIT, SUPPORT = ROOT / "tests" / "unit", ROOT / "tests" / "support"
IOC, CLIENT = ROOT / "iocs" / "ponikeeper", ROOT / "client" / "ponikeeper_client"

NOT_A_MODULE = {
    "ca/test_sources.py": "each PV of the contract has a source among several modules of ca",
    "client/test_public_names.py": "the package ponikeeper_client itself",
    "detector/test_commit_cost.py": "how often one commit validates and hashes, over several modules",
    "test_public_docstrings.py": "the docstrings of the public names of all packages",
    "test_structure.py": "the structure of the tests",
    "test_warnings.py": "the settings of pytest",
}
"""Test files that are not named after a module, with their subject."""

TESTED_ELSEWHERE = {
    "__main__": "tests/ca/test_cli.py",
    "access/identity": "tests/unit/access/test_gate.py, and tests/ca/test_putlog.py for its text",
    "access/loading": "tests/ca/test_access.py",
    "ca": "tests/ca, with a live IOC",
    "ca/server": "tests/unit/ca/server, and tests/ca/test_circuits.py with a client",
    "caclient": "tests/ca/test_cli.py and its neighbours, with a live IOC",
    "cli": "tests/slow/test_cli_*.py and tests/ca/test_cli*.py",
    "detector/follower": "tests/unit/detector/test_keeper_travel.py",
    "detector/publisher": "tests/unit/detector/test_keeper.py: what is published is what the keeper's listener gets",
    "detector/state": "values without behaviour",
    "detector/detector_store": "tests/unit/detector/test_keeper_disk.py",
    "errors": "each error is tested where it is raised",
    "geometry/beam": "tests/slow/test_beam.py, against pyFAI",
    "geometry/detectors": "tests/slow/test_detectors.py, against pyFAI",
    "geometry/nexus": "tests/slow/test_recall_nexus.py, against pyFAI",
    "geometry/parameters": "tests/unit/geometry/test_geometry.py: limits and hints are those of a geometry",
    "history/records": "tests/unit/history/test_history_file.py",
    "history/renames": "tests/unit/history/test_history_file.py",
    "history/record_form": "tests/unit/history/test_history_file.py",
    "system/terminal": "tests/ca/test_cli_put.py, at a pseudo-terminal",
    "protocol/frame_attributes": "tests/unit/site/test_areadetector.py, with what is written of them",
    "protocol/finding": "values without behaviour",
    "protocol/json_text": "the tests of each message",
    "protocol/model_revisions": "tests/unit/protocol/test_models.py",
    "protocol/schema": "the tests of each message",
    "pva/handover": "tests/pva/test_server.py, with clients of a server",
    "pva/heartbeat": "tests/pva/test_service.py, with a live IOC",
    "pva/server": "tests/pva, with clients of a live IOC",
    "pva/service": "tests/pva/test_service.py, with a live IOC",
    "site/channelfinder": "tests/ca/test_announcing.py, with a receiver",
    "site/deploy_files": "tests/slow/test_deploy.py",
    "site/screens": "tests/unit/site/test_screens.py",
    "store/backup": "tests/ca/test_backup.py",
    "store/connection": "tests/unit/store/test_database.py and test_schema.py",
    "store/data_types": "values without behaviour",
    "store/interface": "tests/unit/store/test_store_thread.py, with a storage in memory",
    "store/rows": "tests/unit/store/test_sqlite_storage.py",
}
"""Modules and packages of the IOC without a test file of their name, with where they are tested."""

TEST_FILES = sorted(str(path.relative_to(UNIT)) for path in UNIT.rglob("test_*.py"))


def modules(root: Path) -> set[str]:
    """Return the modules and packages below a folder, as paths without a suffix."""
    files = {path.relative_to(root) for path in root.rglob("*.py")}
    names = {str(file.with_suffix("")) for file in files if file.name != "__init__.py"}
    return names | {str(file.parent) for file in files if file.name == "__init__.py"} - {"."}


def is_named_after(test: str, names: set[str]) -> bool:
    """Check that a test file has the name of a module, or begins with it: test_keeper_disk.py is about keeper."""
    path = Path(test)
    words = path.stem.removeprefix("test_").split("_")
    stems = ["_".join(words[:count]) for count in range(1, len(words) + 1)]
    return any(str(path.with_name(name)) in names for stem in stems for name in (stem, f"_{stem}"))


def imported(file: Path) -> set[str]:
    """Return the roots of what a file imports anywhere in it."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("test", [test for test in TEST_FILES if test not in NOT_A_MODULE])
def test_test_file_is_named_after_a_module(test):
    in_client = test.startswith("client/")
    assert is_named_after(test.removeprefix("client/"), modules(CLIENT if in_client else IOC))


def test_each_module_of_the_ioc_has_a_test_file_or_is_tested_elsewhere():
    without = {name for name in modules(IOC) if not any(is_named_after(test, {name}) for test in TEST_FILES)}
    packages = {name for name in without if (IOC / name).is_dir()} - TESTED_ELSEWHERE.keys()
    listed = {name for name in without if TESTED_ELSEWHERE.keys() & {name, *map(str, Path(name).parents)}}
    assert sorted(without - packages - listed) == []


def test_exceptions_exist():
    assert set(NOT_A_MODULE) <= set(TEST_FILES)
    assert set(TESTED_ELSEWHERE) <= modules(IOC)


@pytest.mark.parametrize("file", sorted(UNIT.rglob("*.py")), ids=lambda file: str(file.relative_to(UNIT)))
def test_unit_test_imports_no_other_kind_of_test(file):
    """Only tests/support can be imported from the tests: --import-mode=importlib adds no other folder."""
    allowed = {path.stem for path in SUPPORT.glob("*.py")} | set(sys.stdlib_module_names)
    allowed |= {"ponikeeper", "ponikeeper_client", "pytest", "hypothesis", "numpy", "caproto", "pydantic", "rich"}
    assert sorted(imported(file) - allowed) == []


def test_support_imports_no_test():
    tests = {
        path.stem
        for folder in ("ca", "bench", "bluesky", "campaigns", "pva", "slow", "unit")
        for path in (ROOT / "tests" / folder).rglob("*.py")
    } | {"campaigns", "bench", "unit", "slow"}
    assert {file.name: imported(file) & tests for file in SUPPORT.glob("*.py") if imported(file) & tests} == {}
