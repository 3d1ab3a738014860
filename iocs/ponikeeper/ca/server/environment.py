"""The EPICS variables of the environment that a CA server reads, as EPICS base reads them. Pure, but for `networks`.

An empty variable means its default. A value that cannot be used is an error that says what was expected; it is never
replaced by a default.
"""

import array
import fcntl
import math
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from ponikeeper.errors import ConfigError

_SIOCGIFCONF, _SIOCGIFFLAGS, _SIOCGIFBRDADDR = 0x8912, 0x8913, 0x8919
_IFF_BROADCAST, _IFF_LOOPBACK = 0x2, 0x8
_ENTRY, _MAX_ADDRESSES = 40, 256
_ADDRESS = slice(20, 24)
"""netdevice(7): the size of a ``struct ifreq``, and where it has an IPv4 address."""

ANY = "0.0.0.0"  # noqa: S104  # all interfaces: the default of every CA server
_SERVER_PORT, _REPEATER_PORT, _BEACON_PERIOD = 5064, 5065, 15.0
_MAX_PORT = 65535
_MIN_PERIOD = 0.1

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Network:
    """One IPv4 address of this host, with the broadcast address of its network (None for loopback)."""

    address: str
    broadcast: str | None


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment says to a CA server.

    Parameters
    ----------
    port
        UDP port for searches, and the first TCP port to try.
    interfaces
        Addresses to listen on.
    broadcasts
        Broadcast address of each interface that has one, where it must be bound to hear broadcast searches.
    beacons
        Where beacons are sent.
    period
        Longest time between two beacons (s).
    ignored
        Hosts whose searches are not answered.
    clients_search
        Where clients of this environment search: this is where another server of our PVs would be found.
    """

    port: int
    interfaces: tuple[str, ...]
    broadcasts: Mapping[str, str]
    beacons: tuple[Address, ...]
    period: float
    ignored: frozenset[str]
    clients_search: tuple[Address, ...]


def read_environment(
    variables: Mapping[str, str],
    networks: Sequence[Network],
    resolve: Callable[[str], str],
    interfaces: Sequence[str] | None = None,
    port: int | None = None,
) -> Environment:
    """Read the EPICS variables.

    Parameters
    ----------
    variables
        The environment.
    networks
        The addresses of this host.
    resolve
        Returns the address of a host name; raises OSError if there is none.
    interfaces, port
        Of the configuration; they take precedence.

    Returns
    -------
    Environment
        The values.

    Raises
    ------
    ConfigError
        With every variable that cannot be used.
    """
    reader = _Reader(variables, resolve)
    server_port = port or reader.port("EPICS_CAS_SERVER_PORT", "EPICS_CA_SERVER_PORT", default=_SERVER_PORT)
    search_port = port or reader.port("EPICS_CA_SERVER_PORT", default=_SERVER_PORT)
    beacon_port = reader.port("EPICS_CAS_BEACON_PORT", "EPICS_CA_REPEATER_PORT", default=_REPEATER_PORT)
    period = reader.seconds("EPICS_CAS_BEACON_PERIOD", "EPICS_CA_BEACON_PERIOD", default=_BEACON_PERIOD)
    listed = [host for host, _ in reader.addresses("EPICS_CAS_INTF_ADDR_LIST", port=server_port)]
    bound = tuple(dict.fromkeys(interfaces or listed or [ANY]))
    if ANY in bound:
        bound = (ANY,)
    near = [network for network in networks if network.address in bound or ANY in bound]
    broadcasts = {network.address: network.broadcast for network in near if network.broadcast}
    beacons = reader.addresses("EPICS_CAS_BEACON_ADDR_LIST", "EPICS_CA_ADDR_LIST", port=beacon_port, ports=False)
    if reader.switch("EPICS_CAS_AUTO_BEACON_ADDR_LIST", "EPICS_CA_AUTO_ADDR_LIST"):
        beacons += [(broadcast, beacon_port) for broadcast in broadcasts.values()]
        beacons += [] if broadcasts else [("127.0.0.1", beacon_port)]
    searched = reader.addresses("EPICS_CA_ADDR_LIST", port=search_port)
    if reader.switch("EPICS_CA_AUTO_ADDR_LIST"):
        searched += [(network.broadcast, search_port) for network in networks if network.broadcast]
        searched += [("127.0.0.1", search_port)]
    ignored = frozenset(host for host, _ in reader.addresses("EPICS_CAS_IGNORE_ADDR_LIST", port=0))
    if reader.problems:
        raise ConfigError(reader.problems)
    return Environment(
        server_port,
        bound,
        {} if ANY in bound else broadcasts,
        tuple(dict.fromkeys(beacons)),
        period,
        ignored,
        tuple(dict.fromkeys(searched)),
    )


def host_networks() -> list[Network]:
    """Return the IPv4 addresses of this host.

    It asks with ``ioctl``, as EPICS base does (netdevice(7)): the libraries for this use netlink sockets, to which the
    systemd unit gives no access.
    """
    networks = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        entries = array.array("B", bytes(_MAX_ADDRESSES * _ENTRY))
        request = struct.pack("iL", len(entries), entries.buffer_info()[0])
        size = struct.unpack("iL", fcntl.ioctl(sock, _SIOCGIFCONF, request))[0]
        for begin in range(0, size, _ENTRY):
            entry = entries[begin : begin + _ENTRY].tobytes()
            address = socket.inet_ntoa(entry[_ADDRESS])
            flags = struct.unpack_from("H", fcntl.ioctl(sock, _SIOCGIFFLAGS, entry), 16)[0]
            broadcast = None
            if flags & _IFF_BROADCAST and not flags & _IFF_LOOPBACK:
                broadcast = socket.inet_ntoa(fcntl.ioctl(sock, _SIOCGIFBRDADDR, entry)[_ADDRESS])
            networks.append(Network(address, broadcast))
    return networks


class _Reader:
    """Reads variables, and keeps what is wrong with them."""

    def __init__(self, variables: Mapping[str, str], resolve: Callable[[str], str]) -> None:
        self._variables, self._resolve = variables, resolve
        self.problems: list[str] = []

    def _first(self, names: Sequence[str]) -> tuple[str, str]:
        """Return the first variable that is set, and its text; an empty one counts as not set."""
        for name in names:
            text = self._variables.get(name, "").strip()
            if text:
                return name, text
        return names[0], ""

    def port(self, *names: str, default: int) -> int:
        """Read a port number."""
        name, text = self._first(names)
        if not text:
            return default
        if text.isascii() and text.isdecimal() and 1 <= int(text) <= _MAX_PORT:
            return int(text)
        self.problems.append(f"{name} = {text!a}: expected a port from 1 to {_MAX_PORT}, such as {default}")
        return default

    def seconds(self, *names: str, default: float) -> float:
        """Read a time in seconds."""
        name, text = self._first(names)
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if _MIN_PERIOD <= value < math.inf:
            return value
        self.problems.append(f"{name} = {text!a}: expected seconds, at least {_MIN_PERIOD}, such as {default:g}")
        return default

    def switch(self, *names: str) -> bool:
        """Read YES or NO; the default is YES."""
        name, text = self._first(names)
        if text and text.upper() not in ("YES", "NO"):
            self.problems.append(f"{name} = {text!a}: expected YES or NO")
        return text.upper() != "NO"

    def addresses(self, *names: str, port: int, ports: bool = True) -> list[Address]:
        """Read addresses and host names, each with a port where `ports` allows it."""
        name, text = self._first(names)
        found = []
        for item in text.split():
            host, _, number = item.partition(":")
            if number and not (number.isascii() and number.isdecimal() and 1 <= int(number) <= _MAX_PORT):
                self.problems.append(f"{name}: {item!a}: expected an address or a host, and perhaps :port")
                continue
            address = self._address(name, host)
            if address is not None:
                found.append((address, int(number) if number and (ports or name == names[0]) else port))
        return found

    def _address(self, name: str, host: str) -> str | None:
        try:
            return str(IPv4Address(host))
        except AddressValueError:
            pass
        try:
            return self._resolve(host)
        except (OSError, UnicodeError):
            self.problems.append(f"{name}: {host!a}: expected an IPv4 address or the name of a host")
            return None
