"""Shared by all unit tests: the path of a store, and the rules that keep them quick and without heavy libraries."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from live import TIMEOUT
from stores import NAME

FOLDER = Path(__file__).parent

NOT_NEEDED = {"bluesky", "databroker", "epics", "ophyd", "ophyd_async", "pyFAI", "PySide6", "tiled", "valkey"}
"""Libraries that the extras ioc and test-unit do not install."""

SERVERS = {"farm", "forks", "fresh_prefix", "ioc", "make_ioc", "make_ioc_for_module", "make_motors", "motors"}
"""Fixtures that start an IOC."""

_running: list[str] = []


def _refuse_commands(event: str, arguments: tuple[object, ...]) -> None:
    """Raise where a unit test runs the command line or pip: audit hook."""
    if event == "subprocess.Popen" and _running:
        command = (
            [str(word) for word in arguments[1]] if isinstance(arguments[1], list | tuple) else [str(arguments[1])]
        )
        if any(word in ("ponikeeper", "pip") or word.endswith(("/ponikeeper", "/forks.py")) for word in command):
            raise RuntimeError(f"{_running[0]} runs {' '.join(command)}: such a test belongs into tests/slow")


sys.addaudithook(_refuse_commands)


@pytest.fixture(scope="session", autouse=True)
def _collected(request: pytest.FixtureRequest) -> None:
    """Check, where only unit tests run, that no module of them imports what unit tests do not need."""
    if all(FOLDER in item.path.parents for item in request.session.items):
        assert sorted(NOT_NEEDED & sys.modules.keys()) == []


@pytest.fixture(autouse=True)
def _light(request: pytest.FixtureRequest) -> Iterator[None]:
    """Check that a test starts no server, runs no command line, and imports no library that it does not need."""
    assert sorted(SERVERS & set(request.fixturenames)) == [], "a test of a running IOC belongs into tests/ca"
    before = NOT_NEEDED & sys.modules.keys()
    _running[:] = [request.node.nodeid]
    yield
    _running.clear()
    assert sorted((NOT_NEEDED & sys.modules.keys()) - before) == [], "such a test belongs into tests/slow"


@pytest.fixture
def path(quick_path: Path) -> Path:
    """Path for a new store."""
    return quick_path / NAME


@pytest.fixture
def journal(tmp_path):
    """Socket of the journal."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "socket"))
        listening.settimeout(TIMEOUT)
        yield listening
