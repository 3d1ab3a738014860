"""The EPICS variables of the environment."""

import pytest

from ponikeeper.ca.server.environment import ANY, Network, host_networks, read_environment
from ponikeeper.errors import ConfigError

NETWORKS = [
    Network("127.0.0.1", None),
    Network("10.28.1.5", "10.28.1.255"),
    Network("192.168.0.7", "192.168.0.255"),
]
HOSTS = {"console": "10.28.1.9", "localhost": "127.0.0.1"}


def resolve(host):
    if host not in HOSTS:
        raise OSError("unknown host")
    return HOSTS[host]


def read(variables=None, **options):
    return read_environment(variables or {}, NETWORKS, resolve, **options)


def test_defaults_are_those_of_epics_base():
    environment = read()
    assert (environment.port, environment.interfaces, environment.period) == (5064, (ANY,), 15.0)
    assert environment.broadcasts == {}
    assert environment.beacons == (("10.28.1.255", 5065), ("192.168.0.255", 5065))
    assert environment.ignored == frozenset()
    assert environment.clients_search == (("10.28.1.255", 5064), ("192.168.0.255", 5064), ("127.0.0.1", 5064))


def test_bound_to_one_interface_its_broadcast_address_is_heard_and_gets_beacons():
    environment = read({"EPICS_CAS_INTF_ADDR_LIST": "10.28.1.5"})
    assert environment.interfaces == ("10.28.1.5",)
    assert environment.broadcasts == {"10.28.1.5": "10.28.1.255"}
    assert environment.beacons == (("10.28.1.255", 5065),)


def test_bound_to_loopback_beacons_go_there():
    environment = read({"EPICS_CAS_INTF_ADDR_LIST": "localhost"})
    assert (environment.interfaces, environment.broadcasts) == (("127.0.0.1",), {})
    assert environment.beacons == (("127.0.0.1", 5065),)


def test_variables_of_the_server_take_precedence_over_those_of_clients():
    both = {
        "EPICS_CA_SERVER_PORT": "6000", "EPICS_CAS_SERVER_PORT": "6001", "EPICS_CA_REPEATER_PORT": "6002",
        "EPICS_CA_ADDR_LIST": "10.0.0.1", "EPICS_CA_AUTO_ADDR_LIST": "NO", "EPICS_CA_BEACON_PERIOD": "3",
    }  # fmt: skip
    environment = read(both)
    assert (environment.port, environment.period) == (6001, 3.0)
    assert environment.beacons == (("10.0.0.1", 6002),)
    assert environment.clients_search == (("10.0.0.1", 6000),)
    own = {"EPICS_CAS_BEACON_ADDR_LIST": "10.0.0.2 10.0.0.3:7", "EPICS_CAS_BEACON_PORT": "6003"}
    own |= {"EPICS_CAS_AUTO_BEACON_ADDR_LIST": "yes", "EPICS_CAS_BEACON_PERIOD": "4.5"}
    environment = read(both | own)
    assert environment.period == 4.5
    assert environment.beacons[:2] == (("10.0.0.2", 6003), ("10.0.0.3", 7))
    assert ("10.28.1.255", 6003) in environment.beacons


def test_configuration_takes_precedence():
    environment = read({"EPICS_CAS_SERVER_PORT": "6001"}, interfaces=("192.168.0.7",), port=7000)
    assert (environment.port, environment.interfaces) == (7000, ("192.168.0.7",))
    assert environment.clients_search[-1] == ("127.0.0.1", 7000)


@pytest.mark.parametrize("empty", ["", "  "])
def test_empty_variable_is_its_default(empty):
    names = ("CA_SERVER_PORT", "CAS_SERVER_PORT", "CAS_INTF_ADDR_LIST", "CAS_BEACON_PERIOD", "CA_REPEATER_PORT",
             "CAS_BEACON_ADDR_LIST", "CAS_AUTO_BEACON_ADDR_LIST", "CAS_IGNORE_ADDR_LIST", "CA_ADDR_LIST")  # fmt: skip
    assert read({f"EPICS_{name}": empty for name in names}) == read()


def test_host_names_are_looked_up():
    environment = read({"EPICS_CAS_IGNORE_ADDR_LIST": "console 10.0.0.4"})
    assert environment.ignored == {"10.28.1.9", "10.0.0.4"}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("EPICS_CA_SERVER_PORT", "30s", "EPICS_CA_SERVER_PORT = '30s': expected a port from 1 to 65535, such as 5064"),
        ("EPICS_CAS_SERVER_PORT", "0", "expected a port from 1 to 65535"),
        ("EPICS_CA_REPEATER_PORT", "\u0665", "EPICS_CA_REPEATER_PORT = '\\u0665': expected a port"),
        (
            "EPICS_CAS_BEACON_PERIOD",
            "30s",
            "EPICS_CAS_BEACON_PERIOD = '30s': expected seconds, at least 0.1, such as 15",
        ),
        ("EPICS_CAS_BEACON_PERIOD", "nan", "expected seconds"),
        ("EPICS_CAS_BEACON_PERIOD", "-1", "expected seconds"),
        ("EPICS_CAS_INTF_ADDR_LIST", "nowhere", "'nowhere': expected an IPv4 address or the name of a host"),
        ("EPICS_CAS_BEACON_ADDR_LIST", "10.0.0.1:x", "'10.0.0.1:x': expected an address or a host, and perhaps :port"),
        ("EPICS_CAS_AUTO_BEACON_ADDR_LIST", "maybe", "= 'maybe': expected YES or NO"),
    ],
)
def test_value_that_cannot_be_used_is_named_with_what_is_expected(name, text, expected):
    with pytest.raises(ConfigError) as caught:
        read({name: text})
    assert any(expected in problem and name in problem for problem in caught.value.problems), caught.value.problems


def test_all_problems_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        read({"EPICS_CA_SERVER_PORT": "x", "EPICS_CAS_BEACON_PERIOD": "y", "EPICS_CAS_INTF_ADDR_LIST": "a b"})
    assert len({problem.partition(" = ")[0] for problem in caught.value.problems}) >= 3


def test_host_has_loopback():
    assert "127.0.0.1" in [network.address for network in host_networks()]
