"""PVAccess needs p4p, of the extra test; without it these tests are not collected."""

from importlib.util import find_spec

import pytest

collect_ignore_glob = [] if find_spec("p4p") else ["test_*.py"]


@pytest.fixture(scope="module")
def ioc(make_ioc_for_module):
    """One live IOC that serves PVAccess, too, for all tests of a module."""
    return make_ioc_for_module(pva=True).start()


@pytest.fixture(scope="module")
def client(ioc):
    """A PVAccess client of it."""
    from pva_clients import connected

    with connected(ioc.pva_port) as context:
        yield context
