"""Devices that are connected and destroyed after the test, and runs whose documents are collected."""

import uuid

import pytest
from bluesky import RunEngine

import catalogs as catalogs_of
import pyfai_without_qt  # noqa: F401  # before a test module loads pyFAI
from stages import Stage


@pytest.fixture
def make():
    """Make devices that are connected; they end with the test."""
    made = []

    def connected(cls, prefix, name="pe1", **options):
        device = cls(prefix, name=name, **options)
        made.append(device)
        device.wait_for_connection(timeout=30)
        return device

    yield connected
    for device in made:
        device.destroy()


@pytest.fixture
def stage(make, motors):
    """Connect to the stage that moves a detector."""
    return make(Stage, motors.name, "stage")


@pytest.fixture(scope="session")
def run_engine():
    return RunEngine({}, context_managers=[])


@pytest.fixture
def take(run_engine):
    """Run a plan, and return its documents by kind."""

    def run(plan):
        found = {}
        run_engine(plan, lambda kind, document: found.setdefault(kind, []).append(document))
        return found

    return run


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """Serve a Tiled catalog: the server, a client, and a databroker."""
    with catalogs_of.serving(tmp_path_factory.mktemp("tiled")) as found:
        yield found


@pytest.fixture
def catalogs(servers):
    """Catalogs with an empty Tiled."""
    _, client, broker = servers
    return catalogs_of.Catalogs(client.create_container(uuid.uuid4().hex), broker)
