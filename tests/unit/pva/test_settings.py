"""Where the PVAccess server listens."""

import pytest

from ponikeeper.config import Pva
from ponikeeper.pva.settings import own_host, server_settings

CA = ("10.28.1.5", "127.0.0.1")
LISTED, PORT, SEARCH = "EPICS_PVAS_INTF_ADDR_LIST", "EPICS_PVAS_SERVER_PORT", "EPICS_PVAS_BROADCAST_PORT"


@pytest.mark.parametrize(
    ("pva", "variables", "settings"),
    [
        (Pva(), {}, {LISTED: "10.28.1.5 127.0.0.1"}),
        (Pva(), {LISTED: " "}, {LISTED: "10.28.1.5 127.0.0.1"}),
        (Pva(), {LISTED: "10.0.0.1", PORT: "1"}, {}),
        (Pva(interfaces=("10.0.0.2",)), {LISTED: "10.0.0.1"}, {LISTED: "10.0.0.2"}),
        (Pva(port=5075, search_port=5076), {LISTED: "x"}, {PORT: "5075", SEARCH: "5076"}),
    ],
)
def test_configuration_precedes_the_environment(pva, variables, settings):
    assert server_settings(pva, variables, CA) == settings


@pytest.mark.parametrize(
    ("interfaces", "host"),
    [("0.0.0.0", "127.0.0.1"), ("0.0.0.0:5075", "127.0.0.1"), ("10.0.0.1 10.0.0.2", "10.0.0.1"), ("", "127.0.0.1")],
)
def test_own_host_is_one_on_which_the_server_listens(interfaces, host):
    assert own_host(interfaces) == host
