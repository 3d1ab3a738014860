"""Devices that are connected and destroyed after the test, and runs whose documents are collected."""

import pytest
from bluesky import RunEngine

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
