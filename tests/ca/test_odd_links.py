"""Linked PVs of servers that serve something odd."""

import pytest

from live import free_ports, wait_for
from ponikeeper.protocol import parse_links
from served import Served
from wire import Wire

DETECTOR = "{Det:1}Calib:"
LINK = '[[detector.link]]\nname = "z"\npv = "Text"\nkind = "equal"\n'


@pytest.fixture
def served(monkeypatch):
    """A server of another program."""
    monkeypatch.setenv("EPICS_CA_SERVER_PORT", str(free_ports(1)[0]))
    monkeypatch.setenv("EPICS_CAS_BEACON_ADDR_LIST", "127.0.0.1")
    monkeypatch.setenv("EPICS_CAS_AUTO_BEACON_ADDR_LIST", "NO")
    with Served() as server:
        yield server


def test_link_without_elements_is_connected_and_has_no_value(make_ioc, served):
    served.text.capacity = 0
    ioc = make_ioc(detectors=(DETECTOR,), more={DETECTOR: LINK}, other_ports=(served.port,)).start()
    with Wire(ioc.port) as wire:

        def state():
            (link,) = parse_links(wire.get_text(f"{ioc.prefix}Links_RBV"))
            return link

        wait_for(lambda: state().error == "its updates cannot be read", what="the error")
        assert state().connected
        assert ioc.stop() == 0  # it was also never closed
