"""Where the PVAccess server listens."""

import pytest

from ponikeeper.config import Pva
from ponikeeper.errors import ConfigError
from ponikeeper.pva.settings import own_host, required_port, server_settings

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
    ("pva", "text", "required"),
    [
        (Pva(), "", None),
        (Pva(), "0", None),
        (Pva(), " 5085 ", (PORT, 5085)),
        (Pva(port=5075), "5085", ("port", 5075)),
    ],
)
def test_port_that_must_be_free_is_that_of_the_configuration_or_of_the_variable(pva, text, required):
    assert required_port(pva, {PORT: text}) == required
    assert required_port(Pva(), {}) is None


@pytest.mark.parametrize("text", ["abc", "-1", "65536", "5075.0", "\u0665"])
def test_variable_that_is_no_port_is_named(text):
    with pytest.raises(ConfigError) as error:
        required_port(Pva(), {PORT: text})
    assert str(error.value) == f"{PORT} is {text!a}: expected a port such as 5075, or 0 for any"


@pytest.mark.parametrize(
    ("interfaces", "host"),
    [("0.0.0.0", "127.0.0.1"), ("0.0.0.0:5075", "127.0.0.1"), ("10.0.0.1 10.0.0.2", "10.0.0.1"), ("", "127.0.0.1")],
)
def test_own_host_is_one_on_which_the_server_listens(interfaces, host):
    assert own_host(interfaces) == host
